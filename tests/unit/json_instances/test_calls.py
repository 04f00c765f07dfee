"""Arguments of tool calls: values of the message, else neutral ones."""

import json
import random
from typing import Any

import pytest
from support.schemas import WEATHER, encoded

from llmsim.json_instances.call_arguments import CalledTool, client_action, free_text
from llmsim.json_instances.calls import json_arguments
from llmsim.json_instances.member_names import kind_of
from llmsim.json_instances.message_facts import extract_facts
from llmsim.json_schema.document import read
from llmsim.json_schema.validation import conforms

TEXT = {"type": "string"}
DATE = {"type": "string", "format": "date"}
MOMENT = {"type": "string", "format": "date-time"}
NUMBER = {"type": "number"}
INTEGER = {"type": "integer"}
NUMBERS = {"type": "array", "items": NUMBER}
TEXTS = {"type": "array", "items": TEXT}


def arguments(
    properties: dict[str, Any],
    message: str,
    *,
    name: str = "get_it",
    required: list[str] | None = None,
    seed: int = 7,
) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }
    made: dict[str, Any] = json.loads(
        json_arguments(CalledTool(name), encoded(schema), message, random.Random(seed))
    )
    assert conforms(made, read(encoded(schema)))
    return made


@pytest.mark.parametrize(
    ("message", "properties", "expected"),
    [
        ("What's the weather in New York?", {"city": TEXT}, {"city": "New York"}),
        ("Paris", {"city": TEXT}, {"city": "Paris"}),
        ("Is London sunny?", {"city": TEXT}, {"city": "London"}),
        ("Fly to Rio de Janeiro", {"destination": TEXT}, {"destination": "Rio de Janeiro"}),
        ("add 2 and 3.5", {"a": NUMBER, "b": NUMBER}, {"a": 2, "b": 3.5}),
        ("sum 1, 2 and 3", {"numbers": NUMBERS}, {"numbers": [1, 2, 3]}),
        ("roll 2 dice of 20 sides", {"sides": INTEGER, "n": INTEGER}, {"sides": 20, "n": 2}),
        ("It costs $1,250.50 on 2025-01-02 at 10:30", {"price": NUMBER}, {"price": 1250.5}),
        ("-5 degrees", {"temperature": NUMBER}, {"temperature": -5}),
        ("in 30 days", {"days": {"type": "integer", "maximum": 100}}, {"days": 30}),
        ('Show "good morning" in French', {"text": TEXT}, {"text": "good morning"}),
        ("Open https://a.example/x?y=1, please", {"url": TEXT}, {"url": "https://a.example/x?y=1"}),
        ("fetch www.python.org", {"url": {"type": "string", "format": "uri"}}, {"url": "https://www.python.org"}),
        ("On 2025-05-06 then", {"date": DATE}, {"date": "2025-05-06"}),
        ("On 3 March 2027, or March 4th, 2027", {"a": DATE, "b": DATE}, {"a": "2027-03-03", "b": "2027-03-04"}),
        ("On 2025-05-06 then", {"start": MOMENT}, {"start": "2025-05-06T09:00:00Z"}),
        ("On 2025-05-06T14:30 then", {"start": MOMENT}, {"start": "2025-05-06T14:30:00Z"}),
        ("Read src/main.py please", {"file_path": TEXT}, {"file_path": "src/main.py"}),
        ("Read src/app.py and README.md", {"files": TEXTS}, {"files": ["src/app.py", "README.md"]}),
        ("Read `a.md`, then b.md", {"first_file": TEXT, "path": TEXT}, {"first_file": "a.md", "path": "b.md"}),
        ("Tell Alice that I am in Rome", {"name": TEXT}, {"name": "Alice"}),
        ("in Celsius", {"unit": {"enum": ["fahrenheit", "celsius"]}}, {"unit": "celsius"}),
        ("3 stars", {"stars": {"enum": [1, 2, 3, 4, 5]}}, {"stars": 3}),
        ('grep for "def main" in src/', {"pattern": TEXT, "path": TEXT}, {"pattern": "def main", "path": "src/"}),
        ("a circle", {"shape": {"anyOf": [
            {"type": "object", "properties": {"kind": {"const": kind}}, "required": ["kind"]} for kind in ("square", "circle", "line")
        ]}}, {"shape": {"kind": "circle"}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_values_are_taken_from_the_message(
    message: str, properties: dict[str, Any], expected: dict[str, Any]
) -> None:
    """FIT-1.6: Paths, URLs, numbers, dates, quotations and one proper noun are taken where name and type allow."""
    for seed in range(3):
        assert arguments(properties, message, seed=seed) == expected


def test_the_weather_of_new_york() -> None:
    """FIT-1.6: The usual example tool is called with the expected arguments."""
    message = "What's the weather in New York in fahrenheit for 3 days?"

    assert arguments(WEATHER["properties"], message) == {
        "location": "New York",
        "unit": "fahrenheit",
        "days": 3,
    }


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"enum": ["b", "a"]}, "b"),
        ({"type": "string", "default": "d"}, "d"),
        ({"type": "integer", "default": 7}, 7),
        ({"type": "number", "minimum": 5}, 5),
        ({"type": "number", "minimum": 0.5}, 0.5),
        ({"type": "number", "exclusiveMinimum": 0}, 1),
        (NUMBER, 1),
        (INTEGER, 1),
        ({"type": "integer", "multipleOf": 5}, 0),
        ({"type": "boolean"}, False),
        ({"type": "boolean", "default": True}, True),
        (TEXT, "example"),
        ({"type": "string", "minLength": 10}, "example example"),
        ({"type": "string", "maxLength": 3}, "exa"),
        (DATE, "2026-01-01"),
        ({"type": "string", "format": "email"}, "user@example.com"),
        ({"type": "string", "format": "uuid"}, "00000000-0000-4000-8000-000000000000"),
        (TEXTS, ["example"]),
        ({"type": "array", "items": TEXT, "default": []}, []),
        ({"type": "object"}, {}),
        ({"type": "object", "additionalProperties": TEXT}, {}),
        ({"type": ["string", "null"]}, None),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, None),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}], "default": 3}, 3),
        ({"anyOf": [TEXT, {"type": "object"}]}, "example"),
    ],
    ids=str,
)
def test_a_required_member_without_a_value(schema: dict[str, Any], value: Any) -> None:
    """FIT-1.12: It gets the first of its enumeration, its default, its minimum, or a fixed value of its type and format."""
    for seed in range(3):
        assert arguments({"x": schema}, "Please go on, Sir", seed=seed) == {"x": value}


@pytest.mark.parametrize(
    ("message", "schema", "name", "expected"),
    [
        ("go on", TEXT, "shell", {}),
        ('go on "here"', TEXT, "workdir", {}),
        ("go on in src/", TEXT, "workdir", {}),
        ("wait for 5 hours", NUMBER, "yield_time_ms", {}),
        ("find the first 20 lines", INTEGER, "lines", {"lines": 20}),
        ("find it with a limit of 5", INTEGER, "limit", {"limit": 5}),
        ("find it in src/", TEXT, "path", {"path": "src/"}),
        ("find it", TEXT, "path", {}),
        ("find it in Oslo", TEXT, "city", {"city": "Oslo"}),
        ("find it since 2025-03-04", DATE, "since", {"since": "2025-03-04"}),
        ('with the label "new"', TEXT, "label", {"label": "new"}),
        ("in celsius", {"enum": ["celsius", "kelvin"]}, "unit", {"unit": "celsius"}),
        ("find it", {"enum": ["celsius", "kelvin"]}, "unit", {}),
        ("find it", {"type": "boolean"}, "deep", {}),
        ("find it", {"type": "boolean", "default": False}, "deep", {"deep": False}),
        ("find it", {"type": "integer", "default": None}, "n", {}),
        ("find it", {"type": "integer", "default": 4}, "n", {"n": 4}),
        ("find it", {"type": "object"}, "options", {}),
        ("find it", TEXTS, "tags", {}),
    ],
)
def test_optional_members(message: str, schema: dict[str, Any], name: str, expected: dict[str, Any]) -> None:
    """FIT-1.12: They are left out unless the message or a default has a value for them."""
    for seed in range(5):
        assert arguments({name: schema}, message, required=[], seed=seed) == expected


def test_the_name_that_a_tool_for_files_takes_is_a_path() -> None:
    """FIT-1.6: A name is a proper noun elsewhere."""
    assert arguments({"name": TEXT}, "Show README.md to Bob", name="read_file") == {"name": "README.md"}
    assert arguments({"name": TEXT}, "Show README.md to Bob", name="get_user") == {"name": "Bob"}


def test_all_files_match_without_a_pattern() -> None:
    """FIT-1.12: The neutral pattern of a tool that lists by patterns matches all."""
    assert arguments({"pattern": TEXT}, "list them", name="Glob") == {"pattern": "*"}
    assert arguments({"pattern": TEXT}, "list them", name="grep") == {"pattern": "example"}


def test_required_members_come_first() -> None:
    """FIT-1.12: An optional member gets what required ones leave."""
    members = {"path": TEXT, "file": TEXT}

    assert arguments(members, "show a.py", required=["file"]) == {"file": "a.py"}
    assert arguments(members, "show a.py in b/", required=["file"]) == {"path": "b/", "file": "a.py"}


def test_the_shell_of_codex() -> None:
    """FIT-1.12: Five options are left out, and no number has a fraction."""
    members = {
        "cmd": TEXT,
        "workdir": TEXT,
        "shell": TEXT,
        "tty": {"type": "boolean"},
        "yield_time_ms": NUMBER,
    }

    assert arguments(members, "Run the command ls.", name="exec_command", required=["cmd"]) == {"cmd": "ls"}


def test_values_that_do_not_conform_are_not_used() -> None:
    """FIT-1.6: A value of the message that violates the schema is ignored."""
    members = {"n": {"type": "integer", "maximum": 10}, "city": {"type": "string", "pattern": "^[a-z]+$"}}
    made = arguments(members, "500.5 in New York")

    assert made["n"] == 1
    assert made["city"] == "example"


@pytest.mark.parametrize(
    ("name", "form", "kind"),
    [
        ("city", "", "noun"),
        ("file_name", "", "path"),
        ("filePath", "", "path"),
        ("user_name", "", "noun"),
        ("repo_path", "", "directory"),
        ("branch_name", "", ""),
        ("q", "", "query"),
        ("customer_id", "", "id"),
        ("departure_date", "", "date"),
        ("to", "date-time", "date-time"),
        ("site", "uri", "url"),
        ("mail", "email", "format"),
        ("foo", "", ""),
        ("", "", ""),
    ],
)
def test_the_kind_of_a_member_follows_from_its_last_word(name: str, form: str, kind: str) -> None:
    """FIT-1.6: Unless it has a format."""
    assert kind_of(name, form) == kind


@pytest.mark.parametrize(
    ("text", "noun"),
    [
        ("What is New York like?", "New York"),
        ("Paris", "Paris"),
        ("Hello there", ""),
        ("See README.md and TaskOutput", ""),
        ("On Monday I pay in USD", ""),
        ('Open "Big Ben"', ""),
        ("Ask Bob's team", "Bob"),
        ("Extract: Jason is 25 years old", "Jason"),
        ("Note: The end", ""),
    ],
)
def test_the_proper_noun(text: str, noun: str) -> None:
    """FIT-1.6: It is the first capitalized name inside of a sentence; no day, acronym, identifier or file."""
    assert extract_facts(text).noun == noun


def test_paths() -> None:
    """FIT-1.6: Whole words that have the form of one; no URL, address, abbreviation, domain or version."""
    text = "See src/a.py, ./b, ../c.txt, /etc/hosts, ~/x, .env, Makefile and dir/; not https://a.b/c.d, u@x.io, e.g. x.com 1.5"

    assert extract_facts(text).paths == [
        "src/a.py", "./b", "../c.txt", "/etc/hosts", "~/x", ".env", "Makefile", "dir/",
    ]  # fmt: skip


def test_long_messages_are_read_in_part() -> None:
    """FIT-1.6: Only the beginning of a long message is searched, in bounded time."""
    for piece in (
        "1+(",
        "a-",
        "A ",
        "a.",
        '"',
        "\u00e9' ",
        "-1,",
        "@a",
        "Ab. ",
        "not ",
        ": ",
        "a/",
        "run cat ",
    ):
        facts = extract_facts("in Rome " + piece * 50_000)

        assert facts.noun.startswith("Rome")
        assert len(facts.numbers) <= 50
        assert len(facts.paths + facts.safe_names + facts.urls + facts.quotes + facts.dates) < 400
        assert facts.command == ""


@pytest.mark.parametrize("message", ["May 99, 2025", "2025-02-30", "9999-12-31T23:30", "77:99 on 2025-01-01"])
def test_days_that_do_not_exist_are_not_used(message: str) -> None:
    """FIT-1.6: Invalid dates and times are ignored."""
    arguments({"a": MOMENT, "b": MOMENT, "c": DATE, "d": DATE}, message)


def test_free_text() -> None:
    """FIT-1.9: A custom tool gets a quotation of the message, or a neutral text."""
    facts = extract_facts('Note "Buy milk" down')

    assert free_text(CalledTool("note"), facts) == "Buy milk"
    assert free_text(CalledTool("note"), extract_facts("Note it")) == "example"
    assert free_text(CalledTool("exec_code"), facts) == 'print("ok")'
    patch = "*** Begin Patch\n*** Add File: a.py\n+ok\n*** End Patch\n"
    assert free_text(CalledTool("apply_patch"), extract_facts("Patch a.py")) == patch


@pytest.mark.parametrize(
    ("tool", "message", "action"),
    [
        ("shell", "Run git status", {"commands": ["git status"]}),
        ("shell", "Run rm -rf x", {"commands": ["echo ok"]}),
        ("local_shell", "Run git status", {"command": ["git", "status"]}),
        ("local_shell", "", {"command": ["echo", "ok"]}),
        ("apply_patch", "Create a.py", {"type": "create_file", "path": "a.py", "diff": "+ok\n"}),
        ("apply_patch", "", {"type": "create_file", "path": "llmsim-example.txt", "diff": "+ok\n"}),
        ("computer", "Click on it", {"type": "screenshot"}),
    ],
)
def test_actions(tool: str, message: str, action: dict[str, Any]) -> None:
    """FIT-6.5: A tool that the provider defines and the client runs gets a harmless action."""
    assert json.loads(client_action(tool, extract_facts(message))) == action
