"""`llmsim sessions`: its requests, its output and its errors."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from llmsim.cli import main
from llmsim.cli.sessions import JournalPage, SessionDetails, SessionList, bar, render_list, render_session

PROGRESS: dict[str, Any] = {
    "session": "build-17",
    "script": "agent",
    "cursor": 3,
    "length": 7,
    "finished": False,
    "turns_played": 2,
    "expectations_met": 1,
    "expectations_failed": 2,
    "begun_at": 900.0,
    "used_at": 995.0,
}
ALL = {
    "sessions": [PROGRESS, PROGRESS | {"session": "t/e::s[red] ü\x1b[2J", "length": None}],
    "has_more": True,
}
ONE = {
    "session": "build-17",
    "scripts": [
        PROGRESS
        | {
            "failures": [
                {"at": 990.0, "cursor": 3, "unmet": ['expected the tools bash to be offered, got "x"']}
            ]
        }
    ],
}
ENTRY = {
    "number": 1,
    "session": "build-17",
    "at": 940.0,
    "seconds": 0.1,
    "endpoint": "messages",
    "script": "agent",
}
REQUESTS = {
    "requests": [
        ENTRY
        | {
            "turn": 2,
            "outcome": "finished",
            "request": {},
            "answer": {"choices": [{"text": "Look:\n", "calls": [{"name": "bash", "arguments": '{"a":1}'}]}]},
        },
        ENTRY | {"turn": 3, "outcome": "rate_limit", "fault": {"kind": "rate_limit", "message": None}},
        ENTRY | {"turn": None, "outcome": "refused", "refusal": {"message": "x" * 200}},
        ENTRY
        | {
            "turn": None,
            "outcome": "refused",
            "refusal": {"message": "script 'a': z", "unmet": ["why", "so"]},
        },
        ENTRY
        | {
            "turn": 5,
            "outcome": "server_error",
            "answer": {
                "choices": [{"text": "Broken"}],
                "breaks": {"after_tokens": 2, "kind": "disconnect"},
            },
        },
        ENTRY | {"turn": 4, "outcome": None, "answer": {"choices": []}},
    ],
    "has_more": False,
}


def lines(renderable: Any, width: int = 80) -> list[str]:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(renderable)
    return [line.rstrip() for line in console.export_text().splitlines()]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["sessions", *arguments], env={"LLMSIM_PORT": None, "COLUMNS": "120"})


@contextmanager
def serving(answers: dict[str, Any], status: int = 200) -> Iterator[tuple[str, list[str]]]:
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            found = answers.get(self.path.partition("?")[0])
            self.send_response(status if found is not None else 404)
            self.end_headers()
            self.wfile.write(
                found if isinstance(found, bytes) else json.dumps(found or {"error": {}}).encode()
            )

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", paths
        finally:
            server.shutdown()
            thread.join()


SERVED = {
    "/llmsim/sessions": ALL,
    "/llmsim/sessions/build-17": ONE,
    "/llmsim/sessions/a%2Fb": ONE,
    "/llmsim/requests": REQUESTS,
}


def test_sessions_are_shown() -> None:
    """SESS-6.1: A line each: session, script, progress, turns, expectations, and last use."""
    output = lines(render_list(msgspec.convert(ALL, SessionList), origin="http://x", now=1000.0))

    (line,) = [line for line in output if "build-17" in line]
    assert line.split() == ["build-17", "agent", "━" * 10, "3/7", "2", "1", "2", "5", "s", "ago"]
    assert any("3/?" in line for line in output)
    assert any("There are more" in line for line in output)
    assert max(map(len, output)) <= 80


def test_unprintable_characters_are_replaced() -> None:
    """SESS-6.1: Clients choose the names: neither control characters nor markup reach the terminal."""
    output = "\n".join(lines(render_list(msgspec.convert(ALL, SessionList), origin="x", now=1000.0), 200))

    assert "\x1b" not in output
    assert "t/e::s[red] ü" in output


@pytest.mark.parametrize(
    ("cursor", "length", "full", "figures"),
    [
        (0, 7, 0, "0/7"),
        (1, 1000, 1, "1/1000"),
        (999, 1000, 9, "999/1000"),
        (7, 7, 10, "7/7"),
        (9, 7, 10, "9/7"),
    ],
)
def test_the_bar_matches_the_progress(cursor: int, length: int, full: int, figures: str) -> None:
    """SESS-6.1: It is empty only at the start, and full only at the end."""
    drawn = bar(cursor, length)

    assert drawn.plain == f"{'━' * 10} {figures}"
    assert sum(span.end - span.start for span in drawn.spans if span.style in ("cyan", "green")) == full


def test_one_session_is_shown() -> None:
    """SESS-6.2: Its progress, its unmet expectations, and its last requests."""
    output = lines(
        render_session(
            msgspec.convert(ONE, SessionDetails),
            msgspec.convert(REQUESTS, JournalPage),
            origin="x",
            now=1000.0,
        ),
        120,
    )
    text = "\n".join(output)

    assert "session build-17" in output[0]
    assert "agent, request 4, 10 s ago" in text
    assert 'expected the tools bash to be offered, got "x"' in text
    assert 'Look: bash({"a":1})' in text
    assert "rate_limit" in text
    assert f"{'x' * 59}…" in text
    assert "in progress" in text
    assert "why; so" in text
    assert "script 'a'" not in text
    assert "Broken (cut off after 2 tokens: disconnect)" in text
    assert "1 min 0 s ago" in text


def test_requests_to_the_server() -> None:
    """SESS-6.1, SESS-6.2: The address is used, a slash in a name is encoded, and the limit is sent."""
    with serving(SERVED) as (url, paths):
        assert "build-17" in run("--url", url, "--limit", "7").output
        assert "build-17" in run("a/b", "--url", url.removeprefix("http://")).output

    assert paths == [
        "/llmsim/sessions?limit=7",
        "/llmsim/sessions/a%2Fb",
        "/llmsim/requests?session=a%2Fb&last=20",
    ]


def test_the_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """ACC-1.7: The key of LLMSIM_ADMIN_KEY is sent, but not to where the server redirects."""
    received: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append(self.headers["authorization"])
            if self.path.startswith("/llmsim"):
                self.send_response(302)
                self.send_header("location", f"http://localhost:{server.server_port}/elsewhere")
                self.end_headers()
            else:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(ALL).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    monkeypatch.setenv("LLMSIM_ADMIN_KEY", "s3cret")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            assert run("--url", f"http://127.0.0.1:{server.server_port}").exit_code == 0
        finally:
            server.shutdown()
            thread.join()

    assert received == ["Bearer s3cret", None]


def test_json() -> None:
    """SESS-6.1, SESS-6.2: The JSON of the control API."""
    with serving(SERVED) as (url, _):
        assert json.loads(run("--url", url, "--json").output) == ALL
        assert json.loads(run("build-17", "--url", url, "--json").output) == ONE | {
            "requests": REQUESTS["requests"]
        }


def test_no_session_yet() -> None:
    """SESS-6.1: Instead of an empty table there is a message."""
    with serving({"/llmsim/sessions": {"sessions": [], "has_more": False}}) as (url, _):
        assert "No session" in run("--url", url).output


@pytest.mark.parametrize(
    ("answers", "status", "arguments", "message"),
    [
        ({}, 200, (), "answers 404 Not Found: is this an llmsim server, with [admin] enabled?"),
        ({"/llmsim/sessions": b"hello"}, 200, (), "not in the format of this llmsim"),
        ({"/llmsim/sessions": b"\xff"}, 200, (), "not in the format of this llmsim"),
        (
            {
                "/llmsim/sessions/a": {
                    "error": {"message": "session 'a' has asked for nothing", "problems": []}
                }
            },
            404,
            ("a",),
            "session 'a' has asked for nothing",
        ),
    ],
)
def test_errors_of_the_server(
    answers: dict[str, Any], status: int, arguments: tuple[str, ...], message: str
) -> None:
    """SESS-6.3: One line, and exit code 1."""
    with serving(answers, status) as (url, _):
        result = run(*arguments, "--url", url)

    assert result.exit_code == 1
    assert message in result.output
    assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--port", "1"), "Connection refused"), (("--url", "file:///etc/passwd"), "wanted http://HOST:PORT")],
)
def test_no_server(arguments: tuple[str, ...], message: str) -> None:
    """SESS-6.3: No server, and an address that is not HTTP."""
    result = run(*arguments)

    assert result.exit_code == 1
    assert message in result.output
    assert len(result.output.splitlines()) == 1
