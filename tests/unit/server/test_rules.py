"""Reading rules, and their placeholders; see RULES in the specs."""

import json
from typing import Any

import pytest

from llmsim.domain import Message, Prompt
from llmsim.errors import ScriptError
from llmsim.scripts.placeholders import RequestValues, fill, find_problem
from llmsim.server.rules import MOST_BYTES, describe_rule, read_rules

PROFILES = ("fast", "gpt-4o")


def problems(*rules: Any, source: dict[str, Any] | None = None) -> str:
    data = json.dumps({"rules": list(rules)} if source is None else source).encode()
    with pytest.raises(ScriptError) as refused:
        read_rules(data, "json", "support.json", PROFILES)
    return "\n".join(refused.value.problems)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"txt": "a"}, 'rules[0].txt: unknown key; did you mean "text"?'),
        ({"when": {"contians": "a"}, "text": "b"}, 'rules[0].when.contians: unknown key; did you mean "contains"?'),
        ({"text": "${usertext}"}, "rules[0].text: unknown placeholder ${usertext}; did you mean ${user_text}?"),
        ({"text": "${josn.a}"}, "unknown placeholder ${josn.a}"),
        ({"calls": [{"name": "f", "arguments": {"a": ["${modl}"]}}]}, "rules[0].calls[0].arguments: unknown placeholder"),
        ({"fault": "rate_limt"}, 'rules[0].fault: unknown kind "rate_limt"; did you mean "rate_limit"?'),
        ({"profile": "fasst"}, 'rules[0].profile: unknown profile "fasst"; did you mean "fast"?'),
        ({"tokens": 0}, "rules[0].tokens: wanted a whole number from 1 to 1000000, found"),
        ({"text": "a", "script": "b"}, "rules[0]: wanted one answer, found script and text or calls"),
        ({"when": {"model": "a"}}, "rules[0]: wanted an answer, found none. One or more of: text, calls"),
        ({"when": {"matches": "("}, "text": "a"}, "rules[0].when.matches: not a regular expression"),
        ({"calls": []}, "rules[0].calls: wanted at least one call"),
        ({"script": 5.5}, "rules[0].script: wanted"),
        ({"text": "a", "name": "\n"}, "rules[0].name: wanted"),
        ({"when": {"header": {"x-a": 3}}, "text": "a"}, "rules[0].when.header.x-a: wanted a text"),
    ],
)  # fmt: skip
def test_mistakes_are_named(rule: dict[str, Any], message: str) -> None:
    """RULES-3.3: By file, rule, key, what was found, and the nearest right one."""
    found = problems(rule)

    assert found.startswith("support.json")
    assert message in found


def test_what_rules_give_is_listed_by_their_own_words() -> None:
    """RULES-3.2: With the keys that they have, an empty text too, and placeholders of names."""
    rules = [{"text": "", "profile": "fast", "tokens": 3}, {"calls": [{"name": "${tool}"}], "fault": "429"}]
    found = read_rules(json.dumps({"rules": rules}).encode(), "json", "support.json", PROFILES).rules

    assert [(one["gives"], one["has_placeholders"]) for one in map(describe_rule, found)] == [
        (["text", "profile", "tokens"], False),
        (["calls", "fault"], True),
    ]


def test_all_mistakes_come_at_once() -> None:
    """RULES-3.3: Of all rules."""
    assert problems({"txt": 1}, {"text": "a"}, {"fault": "no"}).count("support.json") == 3
    assert '"rules" is missing' in problems(source={"rule": []})


def test_bounds() -> None:
    """RULES-3.4: One more is refused."""
    assert "at most 1,000 rules" in problems(*[{"text": "a"}] * 1_001)
    assert "at most 262,144 bytes" in problems({"text": "a" * MOST_BYTES})
    assert (
        len(read_rules(json.dumps({"rules": [{"text": "a"}] * 1_000}).encode(), "json", "a", ()).rules)
        == 1_000
    )


def values(body: bytes = b"{}", *texts: str) -> RequestValues:
    return RequestValues(Prompt(model="gpt-4o", messages=(Message("user", texts or ("Hi",)),)), body)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${model} ${user_text}", "gpt-4o Hi"),
        ("${json.a.1.b}", "3"),
        ("${json.a}", '[0, {"b": 3}]'),
        ("${json.a.9.b}${json.c}${json.d}${tool}", ""),
        ("$${model} $5 ${", "${model} $5 ${"),
    ],
)
def test_placeholders(text: str, filled: str) -> None:
    """RULES-2.2: Each is replaced by what the request has, and a doubled dollar stands for itself."""
    assert find_problem(text) is None
    assert fill(text, values(b'{"a": [0, {"b": 3}], "d": null}')) == filled


def test_what_is_put_in_is_no_template() -> None:
    """RULES-2.2: A client's text is not read for placeholders."""
    assert fill("${user_text}", values(b"{}", "${model}")) == "${model}"


def test_output_is_bounded() -> None:
    """RULES-2.3: However often and however much is put in."""
    long = "x" * 100_000

    assert len(fill("${user_text}", values(b"{}", long))) == 4_096
    assert len(fill("${json.a}" * 100, values(json.dumps({"a": long}).encode()))) == 65_536


def test_broken_body_has_nothing() -> None:
    """RULES-2.2: One that is nested too deeply, too."""
    assert fill("${json.a}", values(b"[" * 5000)) == ""
