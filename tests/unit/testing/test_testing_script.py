"""Scripts in Python, and the one-line summary of requests."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmsim import testing
from llmsim.scripts import read
from llmsim.testing import Exchange, Session, call, calls, fail, say, scripted
from llmsim.testing.script import encode_script


def script_of(given: Any) -> dict[str, Any]:
    content_type, data = encode_script(given)
    assert content_type == "application/json"
    table: dict[str, Any] = json.loads(data)
    return table


TURNS = [
    say("Hello", reasoning="Hm.", expect={"contains": "Hi"}),
    call("bash", command="ls"),
    calls(call("read", path="a"), {"name": "now", "id": "call_7"}, text="Two."),
    calls({"name": "now"}) | {"repeat": 2},
    fail("rate_limit", retry_after_ms=10),
    fail(status_code=418),
]


def test_turns_are_those_of_a_script() -> None:
    """TEST-2.1: Every turn that the functions build can be played."""
    script = read(encode_script(TURNS)[1], "json", "ours", profiles=())

    assert script.length == len(TURNS) + 1


def test_calls_combines_single_calls() -> None:
    """TEST-2.1: `calls` accepts results of `call`, and tables."""
    assert TURNS[2] == {
        "type": "mixed",
        "text": "Two.",
        "calls": [{"name": "read", "arguments": {"path": "a"}}, {"name": "now", "id": "call_7"}],
    }


@pytest.mark.parametrize(
    "given", [[say("Hello")], (say("Hello"),), say("Hello")], ids=["list", "tuple", "turn"]
)
def test_turns_alone_are_exhausted_after_the_last(given: Any) -> None:
    """TEST-2.2: Turns, or a single one, are a script that is exhausted after them."""
    assert script_of(given) == {"on_exhausted": "error", "turns": [say("Hello")]}


def test_scripted_adds_keys_of_a_script() -> None:
    """TEST-2.1: Turns with the requests that they are for, and that are exhausted after the last."""
    given = scripted(say("Hello", when={"last_role": "user"}), when={"tools_offered": True})

    script = read(encode_script(given)[1], "json", "ours", profiles=())

    assert script_of(given)["on_exhausted"] == "error"
    assert script.when is not None
    assert script.when.offers_tools is True
    assert script.turns[0].when is not None
    assert script.turns[0].when.last_author == "user"


def test_a_table_is_sent_unchanged() -> None:
    """TEST-2.1: A whole script defines what follows its last turn."""
    table = {"on_exhausted": "loop", "turns": [say("Hello")]}

    assert script_of(table) == table


@pytest.mark.parametrize(
    ("name", "kind"), [("a.json", "json"), ("a.toml", "toml"), ("a.yaml", "yaml"), ("a.yml", "yaml")]
)
def test_a_file_is_sent_unchanged(tmp_path: Path, name: str, kind: str) -> None:
    """TEST-2.1: The suffix of a path gives the content type."""
    path = tmp_path / name
    path.write_bytes(b"as it is")

    assert encode_script(path) == (f"application/{kind}", b"as it is")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("agent.json", TypeError, r"for a file, give Path\('agent.json'\)"),
        (Path("agent.txt"), ValueError, r"agent.txt: wanted a script file, with the suffix \.json"),
        (7, TypeError, "found int"),
    ],
)
def test_other_arguments_are_rejected(given: Any, error: type[Exception], message: str) -> None:
    """TEST-2.3: The message says what is accepted."""
    with pytest.raises(error, match=message):
        encode_script(given)


@pytest.mark.parametrize("name", ["", "a/b", "größe", "a\nb", "x" * 181])
def test_names_that_cannot_be_sent_are_rejected(name: str) -> None:
    """TEST-3.2: A name that does not fit in a header or path is rejected before anything is sent."""
    with pytest.raises(ValueError, match="name: wanted"):
        Session("http://127.0.0.1:1", name)


def entry(request: Any, **rest: Any) -> Exchange:
    head = {"session": "s", "script": "default", "endpoint": "messages", "turn": 0, "outcome": "finished"}
    return Exchange(head | {"request": request} | rest)


def answer(text: str | None, *tool_calls: dict[str, Any]) -> dict[str, Any]:
    return {"choices": [{"text": text, "calls": list(tool_calls)}]}


BASH = {"id": "1", "name": "bash", "arguments": '{"command":"ls"}'}


@pytest.mark.parametrize(
    ("exchange", "line"),
    [
        (
            entry({"messages": [{"content": "no"}, {"content": "go"}]}, answer=answer("Hi")),
            'messages "go" -> turn 0: "Hi"',
        ),
        (
            entry({"messages": [{"content": [{"text": "go"}]}]}, answer=answer("One.", BASH)),
            'messages "go" -> turn 0: "One."; bash({"command":"ls"})',
        ),
        (
            entry(
                {"input": [{"type": "function_call_output", "output": "a.txt"}]}, answer=answer(None, BASH)
            ),
            'messages "a.txt" -> turn 0: bash({"command":"ls"})',
        ),
        (entry({"input": "go"}, answer=answer("x" * 200)), f'messages "go" -> turn 0: "{"x" * 98}…'),
        (
            entry({"input": "go"}, answer=answer("Hi"), outcome="abandoned"),
            'messages "go" -> turn 0: "Hi"; abandoned',
        ),
        (
            entry(
                {"input": "go"},
                answer=answer("Hi") | {"breaks": {"after_tokens": 2, "kind": "disconnect"}},
                outcome="server_error",
            ),
            'messages "go" -> turn 0: "Hi"; cut off after 2 tokens: disconnect',
        ),
        (
            entry({"input": "go"}, answer=answer("Hi"), outcome=None),
            'messages "go" -> turn 0: "Hi"; in progress',
        ),
        (
            entry({"input": "go"}, fault={"kind": "rate_limit"}, outcome="rate_limit"),
            'messages "go" -> turn 0: rate_limit',
        ),
        (
            entry(
                {"bytes": 3, "begins": "{,}"}, turn=None, refusal={"message": "no JSON"}, outcome="refused"
            ),
            "messages -> no turn: refused: no JSON",
        ),
    ],
)
def test_a_request_is_summarized_in_a_line(exchange: Exchange, line: str) -> None:
    """TEST-4.1: The last input, the turn, and the answer, whatever the API calls them."""
    assert str(exchange) == line
    assert repr(exchange) == f"<Exchange {line}>"


def test_all_exports_exist() -> None:
    """TEST-5.1: The lazily imported names are those of `__all__`."""
    assert set(testing.__all__) == set(testing._MODULES)
    assert all(getattr(testing, name) for name in testing.__all__)
    with pytest.raises(AttributeError, match="'Simulater'"):
        testing.Simulater  # noqa: B018
