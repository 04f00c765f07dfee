"""Argument hints: values of a message for the arguments of a tool."""

import json
import random
from typing import Any

import pytest
from support.schemas import WEATHER, encoded

from llmsim.json_instances.kinds import kind_of
from llmsim.json_instances.making import json_instance
from llmsim.json_instances.message_facts import extract_facts
from llmsim.json_schema.document import read
from llmsim.json_schema.validation import conforms

TEXT = {"type": "string"}
DATE = {"type": "string", "format": "date"}
MOMENT = {"type": "string", "format": "date-time"}
CODE = {"type": "string", "description": "ISO 639-1 code"}
NUMBER = {"type": "number"}
INTEGER = {"type": "integer"}
NUMBERS = {"type": "array", "items": NUMBER}
TEXTS = {"type": "array", "items": TEXT}


def arguments(properties: dict[str, Any], message: str, seed: int = 7) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    made: dict[str, Any] = json.loads(json_instance(encoded(schema), message, random.Random(seed)))
    return made


@pytest.mark.parametrize(
    ("message", "properties", "expected"),
    [
        ("What's the weather in New York?", {"city": TEXT}, {"city": "New York"}),
        ("Weather in paris please", {"location": TEXT}, {"location": "Paris"}),
        ("Paris", {"city": TEXT}, {"city": "Paris"}),
        ("Is London sunny?", {"city": TEXT}, {"city": "London"}),
        ("Tell Alice about Rome. Show Oslo.", {"city": TEXT}, {"city": "Alice"}),
        ("Tell Alice that I am in Rome.", {"city": TEXT, "name": TEXT}, {"city": "Rome", "name": "Alice"}),
        ("Fly from Paris to Rio de Janeiro", {"destination": TEXT, "origin": TEXT}, {"destination": "Rio de Janeiro", "origin": "Paris"}),
        ("add 2 and 3.5", {"a": NUMBER, "b": NUMBER}, {"a": 2, "b": 3.5}),
        ("sum 1, 2 and 3", {"numbers": NUMBERS}, {"numbers": [1, 2, 3]}),
        ("roll two dice of 20 sides", {"n": INTEGER, "sides": INTEGER}, {"n": 2, "sides": 20}),
        ("It costs $1,250.50 on 2025-01-02 at 10:30", {"price": NUMBER}, {"price": 1250.5}),
        ("-5 degrees", {"temperature": NUMBER}, {"temperature": -5}),
        ("in 30 days", {"days": {"type": "integer", "maximum": 100}}, {"days": 30}),
        ('Translate "good morning" to French', {"text": TEXT, "target_language": TEXT}, {"text": "good morning", "target_language": "French"}),
        ("Who wrote War and Peace?", {"query": TEXT}, {"query": "Who wrote War and Peace?"}),
        ("What is (2+3)*4?", {"expression": TEXT}, {"expression": "(2+3)*4"}),
        ("Mail bob@acme.com.", {"recipient_email": TEXT}, {"recipient_email": "bob@acme.com"}),
        ("Mail bob@acme.com.", {"to": {"type": "string", "format": "email"}}, {"to": "bob@acme.com"}),
        ("Open https://a.example/x?y=1, please", {"url": TEXT}, {"url": "https://a.example/x?y=1"}),
        ("On 2025-05-06 then", {"date": {"type": "string", "format": "date"}}, {"date": "2025-05-06"}),
        ("On 2025-05-06 then", {"start": {"type": "string", "format": "date-time"}}, {"start": "2025-05-06T09:00:00Z"}),
        ("Meet me next Friday at 3pm", {"date": TEXT, "time": TEXT}, {"date": "next Friday", "time": "3pm"}),
        ("Where is order ORD-1234?", {"order_id": TEXT}, {"order_id": "ORD-1234"}),
        ("Read src/main.py please", {"file_path": TEXT}, {"file_path": "src/main.py"}),
        ("Convert 100 USD to EUR", {"amount": NUMBER, "from_currency": TEXT, "to_currency": TEXT}, {"amount": 100, "from_currency": "USD", "to_currency": "EUR"}),
        ("I am John Smith", {"firstName": TEXT, "last_name": TEXT}, {"firstName": "John", "last_name": "Smith"}),
        ("Alice and Bob go to a science fair on Friday.", {"participants": TEXTS}, {"participants": ["Alice", "Bob"]}),
        ("in Celsius", {"unit": {"enum": ["fahrenheit", "celsius"]}}, {"unit": "celsius"}),
        ("the high_priority one", {"p": {"enum": ["low", "high priority"]}}, {"p": "high priority"}),
        ("Weather in new york please", {"location": TEXT}, {"location": "New York"}),
        ("Fly on March 3rd, back on 10 March 2027", {"departure_date": DATE, "return_date": DATE}, {"departure_date": "2026-03-03", "return_date": "2027-03-10"}),
        ("Fly on 2025-03-14", {"departure_date": DATE, "return_date": DATE}, {"departure_date": "2025-03-14", "return_date": "2025-03-21"}),
        ("2 seats on March 3rd", {"seats": INTEGER}, {"seats": 2}),
        ("On 2025-06-02 from 14:00 to 3pm", {"start": MOMENT, "end": MOMENT}, {"start": "2025-06-02T14:00:00Z", "end": "2025-06-02T15:00:00Z"}),
        ("On 2025-06-02 at noon", {"start": MOMENT, "end": MOMENT}, {"start": "2025-06-02T12:00:00Z", "end": "2025-06-02T13:00:00Z"}),
        ("Invite a@x.com and b@x.com", {"attendees": TEXTS}, {"attendees": ["a@x.com", "b@x.com"]}),
        ("Email bob@acme.com saying that we are late", {"to": TEXT, "subject": TEXT, "body": TEXT}, {"to": "bob@acme.com", "subject": "We are late", "body": "we are late"}),
        ("Tell a@x.com", {"to": {"type": "string", "description": "Recipient"}}, {"to": "a@x.com"}),
        ("Run the command ls -la", {"command": {"type": "string", "description": "The command to run"}}, {"command": "ls -la"}),
        ("please run git status in the shell", {"command": TEXT}, {"command": "git status"}),
        ("Execute:\n```python\nprint(1)\n```", {"code": {"type": "string", "description": "Python to run"}}, {"code": "print(1)"}),
        ("Run SELECT 1 FROM t WHERE s = 'open' on the database", {"query": {"type": "string", "description": "SQL"}}, {"query": "SELECT 1 FROM t WHERE s = 'open'"}),
        ("commit src/app.py and README.md to branch dev", {"branch": TEXT, "files": TEXTS}, {"branch": "dev", "files": ["src/app.py", "README.md"]}),
        ("set the status to open in table users", {"status": TEXT, "table": TEXT}, {"status": "open", "table": "users"}),
        ("Charge $20 to customer cus_A1", {"customer_id": TEXT, "currency": {"type": "string", "pattern": "^[A-Z]{3}$"}}, {"customer_id": "cus_A1", "currency": "USD"}),
        ('Translate "hi" from English to French', {"source_language": TEXT, "target_language": CODE}, {"source_language": "English", "target_language": "fr"}),
        ("translate hello to german", {"text": TEXT, "target_lang": TEXT}, {"text": "hello", "target_lang": "german"}),
        ("How many cm are 5 feet?", {"from_unit": TEXT, "to_unit": TEXT}, {"from_unit": "feet", "to_unit": "cm"}),
        ("How is Tesla doing?", {"symbol": TEXT}, {"symbol": "TSLA"}),
        ("Calculate 15% of 240", {"expression": TEXT}, {"expression": "15 / 100 * 240"}),
        ("add 2 and 3", {"expression": TEXT}, {"expression": "2 + 3"}),
        ("15 divided by 4", {"operation": {"enum": ["add", "divide"]}}, {"operation": "divide"}),
        ("click on #submit-btn", {"selector": TEXT}, {"selector": "#submit-btn"}),
        ("fetch www.python.org", {"url": {"type": "string", "format": "uri"}}, {"url": "https://www.python.org"}),
        ("Add buy milk to my todo list", {"item": TEXT}, {"item": "Buy milk"}),
        ("grep for def main in src/", {"pattern": TEXT, "path": TEXT}, {"pattern": "def main", "path": "src/"}),
        ("A bug on Safari, assign it to Maria", {"assignee": TEXT}, {"assignee": "Maria"}),
        ("size L", {"size": {"enum": ["S", "M", "L", "XL"]}}, {"size": "L"}),
        ("3 stars", {"stars": {"enum": [1, 2, 3, 4, 5]}}, {"stars": 3}),
        ("a circle", {"shape": {"anyOf": [
            {"type": "object", "properties": {"kind": {"const": kind}}, "required": ["kind"]} for kind in ("square", "circle", "line")
        ]}}, {"shape": {"kind": "circle"}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_values_are_taken_from_the_message(
    message: str, properties: dict[str, Any], expected: dict[str, Any]
) -> None:
    """FIT-1.6: If name and type allow, a value is from the last user message."""
    for seed in range(10):
        assert arguments(properties, message, seed) == expected


def test_the_weather_of_new_york() -> None:
    """FIT-1.6: The usual example tool is called with the expected arguments."""
    message = "What's the weather in New York in fahrenheit for 3 days?"

    assert json.loads(json_instance(encoded(WEATHER), message, random.Random(1))) == {
        "location": "New York",
        "unit": "fahrenheit",
        "days": 3,
    }


def test_values_that_do_not_conform_are_not_used() -> None:
    """FIT-1.6: A value of the message that violates the schema is ignored."""
    made = arguments(
        {"n": {"type": "integer", "maximum": 10}, "city": {"type": "string", "maxLength": 4}},
        "500.5 in New York",
    )

    assert isinstance(made["n"], int)
    assert made["n"] <= 10
    assert len(made["city"]) <= 4


def test_a_plausible_value_is_the_default() -> None:
    """FIT-1.6: If the message has no value, it is an example of the schema, or one that the name suggests."""
    described = {"type": "string", "description": "The city and state, e.g. San Francisco, CA"}
    made = arguments(
        {"location": described, "email": TEXT, "size": {"type": "string", "examples": ["huge"]}}, ""
    )

    assert made["location"] == "San Francisco, CA"
    assert made["email"].endswith("@example.com")
    assert made["size"] == "huge"


@pytest.mark.parametrize(
    ("name", "description", "kind"),
    [
        ("city", "", "place"),
        ("userEmail", "", "email"),
        ("user_name", "", "person"),
        ("file_name", "", "file"),
        ("q", "", "text"),
        ("customer_id", "", "code"),
        ("departure_date", "", "date"),
        ("x1", "The command to run", "command"),
        ("to", "Recipient email", "recipient"),
        ("to_currency", "", "coded to currency"),
        ("value", "The city to look for", "place"),
        ("foo", "", ""),
    ],
)
def test_the_kind_of_a_member_follows_from_its_words(name: str, description: str, kind: str) -> None:
    """FIT-1.6: From the words of its name, or else those of its description."""
    assert kind_of(name, description) == kind


def test_long_messages_are_read_in_part() -> None:
    """FIT-1.6: Only the beginning of a long message is searched, in bounded time."""
    for piece in ("1+(", "a-", "A ", "a.", '"', "é' ", "-1,", "@a", "Ab. "):
        message = extract_facts("in Rome " + piece * 50_000)

        assert message.names[0].text.startswith("Rome")
        assert len(message.numbers) <= 50
        assert (
            len(
                message.formulas
                + message.files
                + message.codes
                + message.emails
                + message.quotes
                + message.dates
            )
            < 400
        )


def test_a_title_is_not_a_place() -> None:
    """FIT-1.6: The name of a thing is not used as a place."""
    made = arguments({"title": TEXT, "location": TEXT}, 'Create "Design review" called Standup')

    assert made["title"] == "Design review"
    assert made["location"] not in ("Design", "Standup", "Design review")


def test_generated_values_are_of_their_kind() -> None:
    """FIT-1.6: A command, code and SQL are valid even if the message has none."""
    sql = {"type": "string", "description": "SQL query"}
    made = arguments({"command": TEXT, "script": TEXT, "query": sql}, "Do what you think is best")

    assert made["command"] in ("ls -la", "pwd")
    assert made["script"].startswith("print(")
    assert made["query"].startswith("SELECT")


@pytest.mark.parametrize(
    "message", ["May 99th, 2025", "2025-02-30", "9999-12-31 at 23:30", "at 77:99 on 2025-01-01"]
)
def test_days_that_do_not_exist_are_not_used(message: str) -> None:
    """FIT-1.6: Invalid dates and times are ignored."""
    schema = {"type": "object", "properties": {"a": MOMENT, "b": MOMENT, "c": DATE, "d": DATE}}
    schema["required"] = list("abcd")
    made = json.loads(json_instance(encoded(schema), message, random.Random(1)))

    assert conforms(made, read(encoded(schema)))
