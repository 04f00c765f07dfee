"""The report on clients: misbehaving ones among others, and the command that reads it; see REPORT in the specs."""

import contextlib
import hashlib
import http.client
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.servers import Server, eventually, serve

from llmsim.testing import Simulator

CHAT = "/openai/v1/chat/completions"
MESSAGES = "/anthropic/v1/messages"
RESPONSES = "/openai/v1/responses"
QUESTION = {"role": "user", "content": "What is a tide?"}


def post(
    server: Server, key: str, body: dict[str, Any], path: str = CHAT, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send a request as a simple client does; what comes of a response that breaks off is returned."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    sent = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    with contextlib.closing(connection):
        connection.request("POST", path, json.dumps(body), sent)
        response = connection.getresponse()
        try:
            return response.status, response.headers, response.read()
        except http.client.IncompleteRead as error:
            return response.status, response.headers, error.partial


def chat(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": list(messages or (QUESTION,)), **fields}


def resend(server: Server, key: str, pauses: list[float], fault: str, path: str = CHAT) -> None:
    """Send a request that fails, and again after each pause."""
    body = chat(max_tokens=5)
    for pause in [0.0, *pauses]:
        time.sleep(pause)
        version = {"anthropic_version": "2023-06-01"} if path == MESSAGES else {}
        post(server, key, body, path, x_llmsim_fault=fault, **version)


def deltas(stream: bytes) -> list[dict[str, Any]]:
    """Return the deltas of a stream of chat chunks that are whole."""
    events = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: {")]
    choices = [choice for event in events for choice in json.loads(event)["choices"]]
    return [choice["delta"] for choice in choices]


def ignores_retry_after(server: Server, key: str) -> None:
    resend(server, key, [0.3], "429")


def storms(server: Server, key: str) -> None:
    resend(server, key, [0.0] * 12, "500")


def retries_invalid_request(server: Server, key: str) -> None:
    for _ in range(2):
        assert post(server, key, {"model": "gpt-4o", "messages": 3})[0] == 400
        time.sleep(0.5)


def retries_too_large_request(server: Server, key: str) -> None:
    body = chat({"role": "user", "content": "x" * 300_000})
    for _ in range(2):
        assert post(server, key, body)[0] == 413
        time.sleep(0.5)


def waits_always_as_long(server: Server, key: str) -> None:
    resend(server, key, [1.0] * 3, "502")


def waits_ever_less(server: Server, key: str) -> None:
    resend(server, key, [1.6, 0.9, 0.3], "500", MESSAGES)


def takes_truncated_text(server: Server, key: str) -> None:
    status, _, stream = post(server, key, chat(stream=True), x_llmsim_fault="close;at=20")
    text = "".join(delta.get("content") or "" for delta in deltas(stream))
    assert status == 200
    assert text
    answer = {"role": "assistant", "content": text}
    assert post(server, key, chat(QUESTION, answer, {"role": "user", "content": "And a wave?"}))[0] == 200


def hangs_up(server: Server, key: str, **more: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    sent = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    body = json.dumps(chat(stream=True, max_tokens=50))
    connection.request("POST", CHAT, body, sent | {"x-llmsim-latency": "ttft=0,itl=400"} | more)
    connection.getresponse().read(10)
    connection.close()


def hangs_up_on_broken_json(server: Server, key: str) -> None:
    hangs_up(server, key, **{"x-llmsim-fault": "malformed_json;at=1"})


CLIENTS: dict[str, tuple[Callable[[Server, str], None], set[str]]] = {
    "ignores-retry-after": (ignores_retry_after, {"retry_after"}),
    "storms": (storms, {"retry_storm", "no_backoff"}),
    "retries-invalid": (retries_invalid_request, {"not_retryable"}),
    "retries-too-large": (retries_too_large_request, {"not_retryable"}),
    "always-as-long": (waits_always_as_long, {"no_backoff"}),
    "ever-less": (waits_ever_less, {"no_backoff"}),
    "takes-truncated": (takes_truncated_text, {"truncated"}),
    "hangs-up": (hangs_up, {"abandoned"}),
    "cannot-read": (hangs_up_on_broken_json, set()),
}


@pytest.fixture(scope="module", params=[1, 4], ids=["1 worker", "4 workers"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = tmp_path_factory.mktemp("clients") / "settings.toml"
    settings.write_text("[server]\nmax_body_bytes = 200000\n")
    arguments = ("--config", str(settings), "--workers", str(request.param), "--latency", "instant")
    with serve(tmp_path_factory.mktemp("clients"), *arguments) as running:
        yield running


def report(server: Server) -> dict[str, set[str]]:
    """Return the kinds that are found, by client."""
    with urllib.request.urlopen(f"{server.base}/llmsim/clients", timeout=30) as answer:
        clients = json.load(answer)["clients"]
    return {one["client"]: {finding["kind"] for finding in one["findings"]} for one in clients}


def call(server: Server, method: str, path: str) -> Any:
    request = urllib.request.Request(f"{server.base}/llmsim/{path}", method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def fingerprint(key: str) -> str:
    return f"key {hashlib.sha256(key.encode()).hexdigest()[:8]}"


def behave(server: Server, key: str, done: threading.Event) -> None:
    """Send load, each request another; obey what the server asks for, and give up on what is final."""
    number = 0
    while not done.is_set():
        number += 1
        body = chat({"role": "user", "content": f"Question {number} of {key}"}, max_tokens=5)
        if number % 20:
            post(server, key, body)
        elif number % 40:
            post(server, key, body, x_llmsim_fault="400")
        else:
            _, headers, _ = post(server, key, body, x_llmsim_fault="429")
            time.sleep(int(headers["retry-after-ms"]) / 1000)
            post(server, key, body)


def test_misbehaving_clients_are_found_among_others(server: Server) -> None:
    """REPORT-2.9: Each with what it does wrong, and nothing else: REPORT-2.7 among them; REPORT-1.1: by its key."""
    call(server, "DELETE", "clients")
    done = threading.Event()
    good = [f"good-{number}" for number in range(3)]
    load = [threading.Thread(target=behave, args=(server, key, done)) for key in good]
    bad = [threading.Thread(target=act, args=(server, key)) for key, (act, _) in CLIENTS.items()]
    for thread in (*load, *bad):
        thread.start()
    for thread in bad:
        thread.join()
    for key in ("hangs-up", "cannot-read"):
        eventually(lambda key=key: fingerprint(key) in report(server))
    done.set()
    for thread in load:
        thread.join()

    found = report(server)
    assert {key: found.get(fingerprint(key)) for key in CLIENTS} == {
        key: kinds for key, (_, kinds) in CLIENTS.items()
    }
    assert {key: found.get(fingerprint(key), set()) for key in good} == {key: set() for key in good}


def test_result_of_a_truncated_call_is_found(server: Server) -> None:
    """REPORT-2.5: A client that runs a call of a stream that broke off has taken it for complete."""
    tools = [{"type": "function", "function": {"name": "search", "parameters": {
        "type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}}}]  # fmt: skip
    fields = {"tools": tools, "tool_choice": "required"}
    _, _, stream = post(server, "calls", chat(stream=True, **fields), x_llmsim_fault="close;at=4")
    calls = [one for delta in deltas(stream) for one in delta.get("tool_calls") or []]
    made = {"id": calls[0]["id"], "type": "function", "function": {"name": "search", "arguments": "{}"}}
    result = {"role": "tool", "tool_call_id": made["id"], "content": "nothing"}
    post(server, "calls", chat(QUESTION, {"role": "assistant", "tool_calls": [made]}, result, **fields))

    assert report(server)[fingerprint("calls")] == {"truncated"}


def test_id_of_a_truncated_response_is_found(server: Server) -> None:
    """REPORT-2.5: Its response does not exist, and the client names it."""
    body = {"model": "gpt-4o", "input": "What is a tide?", "stream": True}
    _, _, stream = post(server, "ids", body, RESPONSES, x_llmsim_fault="close;at=10")
    created = next(line for line in stream.split(b"\n") if line.startswith(b"data: "))
    name = json.loads(created[6:])["response"]["id"]
    status, _, _ = post(server, "ids", body | {"previous_response_id": name}, RESPONSES)

    assert status == 400
    assert report(server)[fingerprint("ids")] == {"truncated"}


def test_continuing_a_truncated_text_is_right(server: Server) -> None:
    """REPORT-2.6: So is sending the request again, and going on with the whole answer."""
    _, _, stream = post(
        server, "continues", chat(stream=True), x_llmsim_fault="close;at=20", x_llmsim_seed="7"
    )
    text = "".join(delta.get("content") or "" for delta in deltas(stream))
    post(server, "continues", chat(QUESTION, {"role": "assistant", "content": text}))
    time.sleep(0.5)
    _, _, whole = post(server, "continues", chat(), x_llmsim_seed="7")
    answer = json.loads(whole)["choices"][0]["message"]["content"]
    assert answer.startswith(text.strip())
    post(server, "continues", chat(QUESTION, {"role": "assistant", "content": answer}, QUESTION))

    assert report(server)[fingerprint("continues")] == set()


def test_same_body_from_many_users_of_a_key_is_not_judged(server: Server) -> None:
    """REPORT-1.4: A load test sends one body over and over; nobody can see who sends it again."""
    start = threading.Barrier(4)

    def user() -> None:
        start.wait()
        for _ in range(6):
            post(server, "shared", chat(), x_llmsim_fault="429;for_ms=100")

    threads = [threading.Thread(target=user) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert report(server)[fingerprint("shared")] == set()


def test_no_key_is_kept_and_sessions_are_clients(server: Server, tmp_path: Path) -> None:
    """REPORT-1.2: Neither in the report nor in the files; REPORT-1.1: a session comes before the key."""
    secret = "sk-very-secret-key"
    post(server, secret, {"model": 1})
    post(server, secret, {"model": 1}, x_llmsim_session="nightly")
    with urllib.request.urlopen(f"{server.base}/llmsim/clients", timeout=30) as answer:
        body = answer.read()

    assert b'"nightly"' in body
    assert secret.encode() not in body
    files = [path for path in server.log.parent.iterdir() if ".clients" in path.name]
    assert files
    assert all(secret.encode() not in path.read_bytes() for path in files)


def test_reset_forgets(server: Server) -> None:
    """REPORT-3.2: The reset of a session forgets its client, that of all forgets all."""
    post(server, "k", {"model": 1}, x_llmsim_session="one")
    post(server, "k", {"model": 1}, x_llmsim_session="two")
    call(server, "POST", "sessions/one/reset")
    between = report(server)
    call(server, "POST", "reset")

    assert "one" not in between
    assert "two" in between
    assert report(server) == {}


def run(server: Server, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "llmsim", "clients", "--url", server.base, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_command_fails_on_what_it_is_asked_to(server: Server) -> None:
    """REPORT-3.3: With 1 for the kinds that were named, with 0 for others, with 2 for what is no kind."""
    call(server, "DELETE", "clients")
    clean = run(server, "--fail-on", "any")
    retries_invalid_request(server, "ci")

    shown = run(server)
    failed = run(server, "--fail-on", "no_backoff,not_retryable")
    other = run(server, "--fail-on", "no_backoff")
    wrong = run(server, "--fail-on", "not_retriable")
    elsewhere = run(server, "--fail-on", "any", "--session", "other")
    assert clean.returncode == 0
    assert "No request to" in clean.stdout
    assert shown.returncode == 0
    assert "not_retryable" in shown.stdout
    assert "after a 400, which no repetition changes" in shown.stdout
    assert (failed.returncode, other.returncode, elsewhere.returncode) == (1, 0, 0)
    assert fingerprint("ci") in failed.stderr
    assert wrong.returncode == 2
    assert "did you mean 'not_retryable'?" in wrong.stderr


def test_report_is_guarded(server: Server) -> None:
    """REPORT-3.1: As the control API is: what comes by a proxy may not read it."""
    request = urllib.request.Request(f"{server.base}/llmsim/clients", headers={"x-forwarded-for": "10.1.1.1"})
    with pytest.raises(urllib.error.HTTPError) as denied:
        urllib.request.urlopen(request, timeout=30)

    assert denied.value.code == 403
    denied.value.close()


def test_nothing_is_kept_where_it_is_off() -> None:
    """REPORT-3.5: The path answers, and knows of none."""
    with Simulator(settings={"admin.client_report": False}) as simulator:
        server = Server.__new__(Server)
        server.port = int(simulator.base_url.rpartition(":")[2])
        retries_invalid_request(server, "off")

        assert simulator.clients == []


def test_assertion_of_the_testing_package() -> None:
    """REPORT-3.4: It names client, kind and example, for all clients and for one session."""
    with Simulator() as simulator:
        server = Server.__new__(Server)
        server.port = int(simulator.base_url.rpartition(":")[2])
        simulator.assert_clients_behave()
        session = simulator.session(name="nightly")
        for _ in range(2):
            post(server, "any", {"model": 1}, x_llmsim_session="nightly")

        simulator.session(name="other").assert_clients_behave()
        session.assert_clients_behave(allow=["not_retryable"])
        with pytest.raises(ValueError, match="one of: retry_after"):
            session.assert_clients_behave(allow=["unretryable"])
        with pytest.raises(AssertionError, match=r"nightly: not_retryable x 1: .*after a 400"):
            simulator.assert_clients_behave()
        assert session.clients[0].kinds == {"not_retryable"}
