"""Transcripts: what a running server sends, heads, errors and WebSocket events included, byte for byte.

`transcripts/<provider>/<case>.http` holds the answers of a case as they leave the server, with the framing of their chunks,
and `<case>.ws` the events of a connection. Dates, ids and measured figures are replaced, as in `<date>`; ids keep their order.
`pytest --update-golden` writes them anew; their diff is reviewed as code. Nothing is imported of the server.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from support import resource_steps
from support.recording import Step, record_http, record_websocket, unchunked
from support.servers import Server, serve

pytestmark = pytest.mark.process

TRANSCRIPTS = Path(__file__).parent / "transcripts"

MAX_BODY = 500_000
RATES = {
    "RATE_LIMIT_RATE": "0.2",
    "SERVER_ERROR_RATE": "0.2",
    "TIMEOUT_RATE": "0.2",
    "INVALID_REQUEST_RATE": "0.2",
    "AUTHENTICATION_RATE": "0.2",
    "TIMEOUT_AFTER_MS": "1",
    "RETRY_AFTER_MS": "1500",
}


class Api(NamedTuple):
    """A generating endpoint.

    Attributes:
        provider: Folder of its transcripts, and first part of its paths.
        name: What its transcripts begin with.
        path: Where it is.
        body: A request that it answers.
        long: What makes the request longer than the context window.
        fault_statuses: Status of each fault, by the fault's name.
        streams: Whether it streams.
        headers: That it needs.
    """

    provider: str
    name: str
    path: str
    body: dict[str, Any]
    long: dict[str, Any]
    fault_statuses: dict[str, int]
    streams: bool = True
    headers: tuple[tuple[str, str], ...] = ()

    def post(self, headers: tuple[tuple[str, str], ...] = (), **fields: Any) -> Step:
        """Make a request, with `fields` on top of the usual ones."""
        return Step("POST", self.path, json.dumps(self.body | fields).encode(), (*self.headers, *headers))

    def send(self, body: bytes, *headers: tuple[str, str], method: str = "POST") -> Step:
        """Make a request of any body."""
        return Step(method, self.path, body, (*self.headers, *headers))


FAULTS = {
    "rate_limit": 429,
    "server_error": 500,
    "overloaded": 503,
    "timeout": 504,
    "invalid_request": 400,
    "authentication": 401,
}
VERSION = (("anthropic-version", "2023-06-01"),)
HELLO = [{"role": "user", "content": "Hello"}]
CHAT = Api(
    "openai",
    "chat",
    "/openai/v1/chat/completions",
    {"model": "gpt-4o", "messages": HELLO},
    {"model": "gpt-4", "messages": [{"role": "user", "content": "a " * 9_000}]},
    FAULTS,
)
RESPONSES = Api(
    "openai",
    "responses",
    "/openai/v1/responses",
    {"model": "gpt-5", "input": "Hello"},
    {"model": "gpt-4", "input": "a " * 9_000},
    FAULTS,
)
EMBEDDINGS = Api(
    "openai",
    "embeddings",
    "/openai/v1/embeddings",
    {"model": "text-embedding-3-small", "input": "Hello", "dimensions": 4},
    {"input": "a " * 9_000},
    FAULTS,
    streams=False,
)
OPENRESPONSES = Api(
    "openresponses",
    "responses",
    "/openresponses/v1/responses",
    {"model": "gpt-5", "input": "Hello"},
    {"model": "gpt-4", "input": "a " * 9_000},
    FAULTS,
)
MESSAGES = Api(
    "anthropic",
    "messages",
    "/anthropic/v1/messages",
    {"model": "claude-sonnet-4-5", "max_tokens": 50, "messages": HELLO},
    {"messages": [{"role": "user", "content": "a " * 205_000}]},
    FAULTS | {"overloaded": 529},
    headers=VERSION,
)
APIS = (CHAT, RESPONSES, EMBEDDINGS, OPENRESPONSES, MESSAGES)


class Case(NamedTuple):
    """One transcript.

    Attributes:
        file: Below the folder of transcripts.
        steps: What is sent, one after the other.
        script: What requests that name the script `played` get.
        has_faults: Whether the server answers with faults only.
        pipelined: Whether all is sent at once.
    """

    file: str
    steps: tuple[Step, ...]
    script: dict[str, Any] | None = None
    has_faults: bool = False
    pipelined: bool = False


def _errors(api: Api) -> Iterator[tuple[str, Step]]:
    whole = json.dumps(api.body).encode()
    yield "invalid_json", api.send(whole[:-3])
    yield "not_an_object", api.send(b"[]")
    yield "not_utf8", api.send(whole.replace(b"Hello", b"\xff"))
    yield "empty_body", api.send(b"")
    yield "no_body", Step("POST", api.path, None, api.headers)
    yield "wrong_type", api.post(model=5)
    yield "missing_field", api.send(b"{}")
    yield "unknown_word", api.post(service_tier="none", encoding_format="none")
    yield "context_length", api.post(**api.long)
    yield "content_encoding", api.send(whole, ("content-encoding", "gzip"))
    yield "body_too_large", api.send(b" " * (MAX_BODY + 1))
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (MAX_BODY + 1, b" " * (MAX_BODY + 1))
    yield "chunked_body_too_large", api.send(chunk, ("transfer-encoding", "chunked"))
    small = b"%x\r\n%b\r\n0\r\n\r\n" % (len(whole), whole)
    yield "chunked_body", api.send(small, ("transfer-encoding", "chunked"))
    yield "patch", api.send(b"{}", method="PATCH")
    yield "put", api.send(b"{}", method="PUT")
    yield "options", Step("OPTIONS", api.path, None, api.headers)
    yield "head", Step("HEAD", api.path, None, api.headers)
    yield "search", Step("SEARCH", api.path, None, api.headers)
    yield "connection_close", api.post((("connection", "close"),))
    yield "bad_session_name", api.post((("x-llmsim-session", "s" * 201),))
    yield "bad_script_name", api.post((("x-llmsim-script", "a\tb"),))
    if api is not EMBEDDINGS:
        yield "out_of_range", api.post(temperature=9)
        yield "unknown_script", api.post((("x-llmsim-script", "play"),))


SESSION = (("x-llmsim-session", "transcript"), ("x-llmsim-script", "played"))
ANSWER = {
    "on_exhausted": "error",
    "turns": [{"type": "assistant", "text": "Hello! What shall we do?", "expect": {"contains": "Hello"}}],
}
CALLS = {
    "turns": [
        {
            "type": "mixed",
            "text": "I look.",
            "reasoning": "Where?",
            "calls": [{"name": "bash", "arguments": {"command": "ls"}}, {"name": "look", "id": "mine_1"}],
        }
    ]
}
FILTERED = {"turns": [{"type": "assistant", "refusal": "No.", "finish_reason": "content_filter"}]}
FAILURE = {
    "turns": [
        {"type": "error", "kind": "other", "message": "Teapot", "status_code": 418},
        {"type": "error", "kind": "rate_limit", "retry_after_ms": 250},
        {"type": "error", "kind": "overloaded", "message": "Full"},
        {"type": "error", "kind": "timeout"},
    ]
}


def _breaking(**fault: Any) -> dict[str, Any]:
    return {"turns": [{"type": "assistant", "text": "One two three four", "stream_fault": fault}]}


def _scripted(api: Api) -> Iterator[tuple[str, dict[str, Any], tuple[Step, ...]]]:
    play = api.post(SESSION)
    stream = api.post(SESSION, stream=True)
    yield "script_answer", ANSWER, (play,)
    yield "script_answer_streamed", ANSWER, (stream,)
    yield "script_calls", CALLS, (play,)
    yield "script_calls_streamed", CALLS, (stream,)
    yield "script_refusal", FILTERED, (play, stream)
    yield "script_exhausted", ANSWER, (play, play, stream)
    unmet = {"messages": [{"role": "user", "content": "Bye"}]} if "messages" in api.body else {"input": "Bye"}
    yield "script_unmet", ANSWER, (api.post(SESSION, **unmet),)
    yield "script_errors", FAILURE, (play, stream, play, play)
    for name, fault in (
        ("script_error_in_stream", _breaking(kind="error", after_tokens=2)),
        (
            "script_rate_limit_in_stream",
            _breaking(kind="error", error="rate_limit", message="Slow", after_tokens=1),
        ),
        ("script_error_before_stream", _breaking(kind="error", error="overloaded", after_tokens=0)),
        ("script_disconnect", _breaking(kind="disconnect", after_tokens=2)),
        ("script_disconnect_at_once", _breaking(kind="disconnect", after_tokens=0)),
    ):
        yield name, fault, (play,)
        yield f"{name}_streamed", fault, (stream,)
    yield "script_stall", _breaking(kind="stall", for_ms=1, after_tokens=0), (play,)


def _api_cases() -> Iterator[Case]:
    for api in APIS:
        base = f"{api.provider}/{api.name}"
        yield Case(f"{base}_success.http", (api.post(),))
        if api.streams:
            yield Case(f"{base}_streamed.http", (api.post(stream=True),))
        for name, step in _errors(api):
            yield Case(f"{base}_{name}.http", (step,))
        if api is not EMBEDDINGS:
            for name, script, steps in _scripted(api):
                yield Case(f"{base}_{name}.http", steps, script)
        for name, status in api.fault_statuses.items():
            step = api.post()._replace(until=b"HTTP/1.1 %d " % status)
            yield Case(f"{base}_fault_{name}.http", (step,), has_faults=True)
    for api in (RESPONSES, OPENRESPONSES):
        step = api.post(previous_response_id="resp_none")
        yield Case(f"{api.provider}/responses_unknown_previous.http", (step,))


def _get(path: str, *, until: bytes = b"", most: int | None = None, headers: Any = ()) -> Step:
    return Step("GET", path, headers=headers, until=until, most=most)


def _post(path: str, body: Any = None, *, headers: Any = (), method: str = "POST") -> Step:
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return Step(method, path, data, headers)


def _delete(path: str, headers: Any = ()) -> Step:
    return Step("DELETE", path, headers=headers)


def _resource_cases() -> Iterator[Case]:
    for provider, headers, model in (
        ("openai", (), "gpt-4o"),
        ("openresponses", (), "gpt-4o"),
        ("anthropic", VERSION, "claude-sonnet-4-5"),
    ):
        models = f"/{provider}/v1/models"
        yield Case(f"{provider}/models_list.http", (_get(models, most=300, headers=headers),))
        yield Case(f"{provider}/models_retrieve.http", (_get(f"{models}/{model}", headers=headers),))
        yield Case(f"{provider}/models_unknown.http", (_get(f"{models}/none", headers=headers),))
        yield Case(f"{provider}/unknown_route.http", (_get(f"/{provider}/v1/nothing", headers=headers),))
        yield Case(f"{provider}/prefix.http", (_get(f"/{provider}", headers=headers),))
    yield Case("openai/chat_store.http", tuple(_chat_store()))
    for api in (RESPONSES, OPENRESPONSES):
        yield Case(f"{api.provider}/responses_store.http", tuple(_responses_store(api)))
        yield Case(f"{api.provider}/responses_operations.http", tuple(_responses_operations(api)))
    yield Case("anthropic/messages_without_version.http", (MESSAGES.post()._replace(headers=()),))
    yield Case("anthropic/messages_of_another_version.http", (_versioned("2020-01-01"),))
    yield Case("anthropic/count_tokens.http", tuple(_count_tokens()))
    yield Case("anthropic/batches.http", tuple(_batches()))
    yield Case("openai/batches.http", tuple(resource_steps.batches()))
    yield Case("gemini/batches.http", tuple(resource_steps.gemini_batches()))
    yield Case("gemini/file_search_stores.http", tuple(resource_steps.file_search_stores()))
    yield Case("gemini/media.http", tuple(resource_steps.gemini_media()))
    yield Case("openai/vector_stores.http", tuple(resource_steps.vector_stores()))
    yield Case("openai/transcriptions.http", tuple(resource_steps.transcriptions()))


def _versioned(version: str) -> Step:
    return MESSAGES.post()._replace(headers=(("anthropic-version", version),))


def _chat_store() -> Iterator[Step]:
    base = "/openai/v1/chat/completions"
    yield CHAT.post(store=True, metadata={"case": "chat store"})
    listed = f"{base}?{quote('metadata[case]')}=chat%20store"
    yield _get(listed)
    yield _get(f"{base}/{{id}}")
    yield _get(f"{base}/{{id}}/messages")
    yield _post(f"{base}/{{id}}", {"metadata": {"case": "another"}})
    yield _get(listed)
    yield _delete(f"{base}/{{id}}")
    yield _delete(f"{base}/{{id}}")
    yield _get(f"{base}/{{id}}")
    yield _get(f"{base}?limit=0")
    yield _post(f"{base}/{{id}}", b"no JSON")


def _responses_store(api: Api) -> Iterator[Step]:
    one = f"{api.path}/{{id}}"
    yield api.post()
    yield _get(one)
    yield _get(f"{one}?stream=true&starting_after=1")
    yield _get(f"{one}?stream=maybe")
    yield _get(f"{one}/input_items")
    yield _get(f"{one}/input_items?limit=1000")
    yield _post(f"{one}/cancel")
    yield _delete(one)
    yield _delete(one)
    yield _get(one)
    yield _get(f"{one}/input_items")
    yield _post(f"{one}/cancel")


def _responses_operations(api: Api) -> Iterator[Step]:
    asked = {"model": "gpt-5", "input": "Hello"}
    yield _post(f"{api.path}/input_tokens", asked)
    yield _post(f"{api.path}/input_tokens", {"model": 5})
    yield _post(f"{api.path}/input_tokens", {"previous_response_id": "resp_none"})
    yield _post(f"{api.path}/compact", asked)
    yield _post(f"{api.path}/compact", b"{")
    yield Step("GET", f"{api.path}/compact/x")


def _count_tokens() -> Iterator[Step]:
    path = "/anthropic/v1/messages/count_tokens"
    yield _post(path, {"model": "claude-sonnet-4-5", "messages": HELLO}, headers=VERSION)
    yield _post(path, {"model": "claude-sonnet-4-5"}, headers=VERSION)
    yield _post(path, {"model": "claude-sonnet-4-5", "messages": HELLO})
    yield _get(path, headers=VERSION)


def _batches() -> Iterator[Step]:
    base = "/anthropic/v1/messages/batches"
    good, bad = ({"custom_id": name, "params": MESSAGES.body} for name in ("a", "b"))
    yield _post(base, {"requests": [good, bad | {"params": {"model": "claude-sonnet-4-5"}}]}, headers=VERSION)
    yield _get(f"{base}/{{id}}", until=b'"ended"', headers=VERSION)
    yield _get(f"{base}/{{id}}/results", headers=VERSION)
    yield _get(f"{base}?limit=1", headers=VERSION)
    yield _post(f"{base}/{{id}}/cancel", headers=VERSION)
    yield _delete(f"{base}/{{id}}", headers=VERSION)
    yield _get(f"{base}/{{id}}", headers=VERSION)
    yield _post(base, {"requests": []}, headers=VERSION)
    yield _post(base, {"requests": [good, good]}, headers=VERSION)


def _llmsim_cases() -> Iterator[Case]:
    yield Case("llmsim/health.http", (_get("/health"), Step("HEAD", "/health")))
    yield Case(
        "llmsim/health_refused.http",
        (_post("/health"), Step("OPTIONS", "/health"), Step("SEARCH", "/health")),
    )
    yield Case("llmsim/stats.http", (_get("/llmsim/stats", most=0), _post("/llmsim/stats")))
    yield Case(
        "llmsim/unknown_path.http",
        (_get("/"), _get("/v1/models"), _get("/llmsim/none"), _post("/openaix/v1")),
    )
    yield Case(
        "llmsim/pipelined.http",
        (_get("/health"), CHAT.post(), CHAT.post(stream=True), _get("/none")),
        pipelined=True,
    )
    yield Case(
        "llmsim/keep_alive.http", (CHAT.post(stream=True), CHAT.send(b"{"), CHAT.post(), _get("/health"))
    )
    yield Case("llmsim/connection_close.http", (_get("/health", headers=(("connection", "close"),)),))
    yield Case("llmsim/scripts.http", tuple(_control_scripts()))
    yield Case("llmsim/sessions.http", tuple(_control_sessions()), ANSWER)
    yield Case("llmsim/requests.http", tuple(_control_requests()), ANSWER)
    yield Case(
        "llmsim/requests_of_faults.http",
        tuple(_control_faults()),
        _breaking(kind="disconnect", after_tokens=2),
    )


def _control_scripts() -> Iterator[Step]:
    one = "/llmsim/scripts/greeting"
    typed = (("content-type", "application/toml"),)
    yield _post(one, ANSWER, method="PUT")
    yield _post(one, b'[[turns]]\ntype = "assistant"\ntext = "Hi"\n', headers=typed, method="PUT")
    yield _get(one)
    yield _get("/llmsim/scripts")
    yield _post("/llmsim/scripts/bad", {"turns": [{"type": "assistnt"}, {"type": "assistant"}]}, method="PUT")
    yield _post("/llmsim/scripts/bad", b"{", method="PUT")
    yield _post("/llmsim/scripts/bad", b"", method="PUT")
    yield _post("/llmsim/scripts/bad", b"{}", headers=(("content-type", "text/plain"),), method="PUT")
    yield _post("/llmsim/scripts/bad", b"{}", headers=(("content-encoding", "br"),), method="PUT")
    yield _post("/llmsim/scripts/" + "n" * 201, ANSWER, method="PUT")
    yield _post("/llmsim/scripts/bad", b" " * (MAX_BODY + 1), method="PUT")
    yield _delete(one)
    yield _delete(one)
    yield _get(one)
    yield _post("/llmsim/scripts")
    yield _post("/llmsim/scripts/a%2Fb", ANSWER, method="PUT")
    yield _get("/llmsim/scripts/a/b")
    yield _delete("/llmsim/scripts/a/b")


def _control_sessions() -> Iterator[Step]:
    one = "/llmsim/sessions/transcript"
    yield CHAT.post(SESSION)
    yield CHAT.post(SESSION, messages=[{"role": "user", "content": "Bye"}])
    yield _get(one, until=b'"turns_played":1')
    yield _get("/llmsim/sessions?limit=1")
    yield _post(f"{one}/reset")
    yield _get(one)
    yield _delete(one)
    yield _post(one)
    yield _get("/llmsim/sessions?limit=0")
    yield _get("/llmsim/sessions?limt=1")
    yield _delete("/llmsim/sessions")
    yield MESSAGES.post(SESSION, messages=[{"role": "user", "content": "Bye"}])
    yield _get(one)
    yield _post("/llmsim/reset")
    yield _get("/llmsim/reset")


def _control_requests() -> Iterator[Step]:
    ended = b'"outcome":"finished"'
    own = "/llmsim/requests?session=transcript"
    yield CHAT.post(SESSION)
    yield _get(own, until=ended)
    yield RESPONSES.post(SESSION)
    yield RESPONSES.post((("x-llmsim-session", "transcript"),))
    yield MESSAGES.send(b"no JSON", SESSION[0])
    yield _get(f"{own}&last=1")
    yield _get(f"{own}&limit=1")
    yield _get("/llmsim/requests?sesion=a")
    yield _get("/llmsim/requests?limit=many")
    yield _post("/llmsim/requests")


def _control_faults() -> Iterator[Step]:
    yield CHAT.post(SESSION, stream=True)
    yield _get("/llmsim/requests?session=transcript", until=b'"outcome":"server_error"')


CASES = (*_api_cases(), *_resource_cases(), *_llmsim_cases())


class Servers:
    """The servers of the module, each started when it is first asked for."""

    def __init__(self, directory: Path, stack: contextlib.ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self._running: dict[tuple[bool, bool], Server] = {}

    def port(self, *, direct: bool, has_faults: bool) -> int:
        """Give the port of a server that writes directly or through plain ASGI, and that fails or not."""
        key = (direct, has_faults)
        if key not in self._running:
            variables = {
                "LLMSIM_SERVER_MAX_BODY_BYTES": str(MAX_BODY),
                "LLMSIM_SERVER_DIRECT_WRITES": str(direct).lower(),
            }
            # The transcripts are those of a server of that name.
            variables["LLMSIM_ADMIN_HOSTS"] = "llmsim"
            if has_faults:
                variables |= {f"LLMSIM_ERRORS_{name}": value for name, value in RATES.items()}
            settings = ("--workers", "1", "--latency", "instant", "--seed", "7", "--target-tokens", "5")
            self._running[key] = self._stack.enter_context(serve(self._directory, *settings, **variables))
        return self._running[key].port


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with contextlib.ExitStack() as stack:
        yield Servers(tmp_path_factory.mktemp("transcripts"), stack)


@contextlib.contextmanager
def scripted(port: int, script: dict[str, Any] | None) -> Iterator[None]:
    """Let `script` be the only script of the server, with nothing played yet."""
    if script is not None:
        record_http(port, (_post("/llmsim/reset"), _post("/llmsim/scripts/played", script, method="PUT")))
    try:
        yield
    finally:
        if script is not None:
            record_http(port, (_delete("/llmsim/scripts/played"),))


def record(case: Case, port: int) -> bytes:
    with scripted(port, case.script):
        return record_http(port, case.steps, pipelined=case.pipelined)


def compare(file: str, recorded: bytes, *, update: bool) -> None:
    path = TRANSCRIPTS / file
    if update:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(recorded)
    assert recorded == path.read_bytes(), f"{path} differs; if it should, run pytest --update-golden"


@pytest.mark.parametrize("case", CASES, ids=[case.file for case in CASES])
def test_the_same_request_gets_the_same_bytes(case: Case, servers: Servers, update_golden: bool) -> None:
    """MAINT-4.9: Heads, bodies and chunks of answers, refusals, errors and faults are those of the transcripts."""
    recorded = record(case, servers.port(direct=True, has_faults=case.has_faults))

    compare(case.file, recorded, update=update_golden)


CLOSED = b"<closed by the server>"
BEGUN = (
    b"HTTP/1.1 200 OK\r\ndate: <date>\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
)
"""What plain ASGI sends of an unstreamed answer that is cut: a server that has not begun to answer cannot hang up."""

CUT = {
    f"{api.provider}/{api.name}_{name}.http"
    for api in APIS
    for name in ("script_disconnect", "script_disconnect_at_once")
}


@pytest.mark.parametrize("case", CASES, ids=[case.file for case in CASES])
def test_plain_asgi_sends_the_same(case: Case, servers: Servers, update_golden: bool) -> None:
    """MAINT-4.10: Through plain ASGI the same bytes are sent, however they are cut into chunks."""
    if update_golden:
        pytest.skip("written by the direct test")
    recorded = record(case, servers.port(direct=False, has_faults=case.has_faults))
    expected = unchunked((TRANSCRIPTS / case.file).read_bytes())
    if case.file in CUT:
        expected = expected.replace(CLOSED, BEGUN + CLOSED)

    assert unchunked(recorded) == expected


CREATE = {"type": "response.create", "model": "gpt-5", "input": "Hello"}


class Dialogue(NamedTuple):
    """One WebSocket transcript."""

    name: str
    messages: tuple[dict[str, Any] | str | bytes, ...]
    script: dict[str, Any] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    fault: int | None = None


DIALOGUES = (
    Dialogue("turn", (CREATE,)),
    Dialogue("nested_turn", ({"type": "response.create", "response": {"model": "gpt-5", "input": "Hello"}},)),
    Dialogue("two_turns", (CREATE, CREATE | {"input": "And?", "previous_response_id": "{id}"})),
    Dialogue(
        "warm_up", (CREATE | {"generate": False}, CREATE | {"input": "And?", "previous_response_id": "{id}"})
    ),
    Dialogue(
        "refusals_then_turn", (CREATE | {"temperature": 9}, {"type": "response.fly"}, "no JSON", "[]", CREATE)
    ),
    Dialogue("unknown_previous", (CREATE | {"previous_response_id": "resp_none"}, CREATE)),
    Dialogue("context_length", (CREATE | RESPONSES.long,)),
    Dialogue("binary_message", (b"\x00\xff", CREATE)),
    Dialogue("message_too_large", (CREATE | {"input": "x" * MAX_BODY}, CREATE)),
    Dialogue("message_far_too_large", (CREATE | {"input": "x" * 2 * MAX_BODY},)),
    Dialogue("bad_session_name", (), headers=(("x-llmsim-session", "s" * 201),)),
    Dialogue("script_answer", (CREATE, CREATE), ANSWER, SESSION),
    Dialogue("script_calls", (CREATE,), CALLS, SESSION),
    Dialogue("script_errors", (CREATE,) * 4, FAILURE, SESSION),
    Dialogue("script_error_in_stream", (CREATE, CREATE), _breaking(kind="error", after_tokens=2), SESSION),
    Dialogue("script_disconnect", (CREATE,), _breaking(kind="disconnect", after_tokens=2), SESSION),
    Dialogue("unknown_script", (CREATE,), headers=(("x-llmsim-script", "play"),)),
    *(Dialogue(f"fault_{name}", (CREATE,), fault=status) for name, status in FAULTS.items()),
)
SOCKETS = [(api, one) for api in (RESPONSES, OPENRESPONSES) for one in DIALOGUES]


def _file(api: Api, dialogue: Dialogue) -> str:
    return f"{api.provider}/{dialogue.name}.ws"


@pytest.mark.parametrize(("api", "dialogue"), SOCKETS, ids=[_file(*one) for one in SOCKETS])
def test_the_same_messages_get_the_same_events(
    api: Api, dialogue: Dialogue, servers: Servers, update_golden: bool
) -> None:
    """MAINT-4.9: Handshake, events and close code of a WebSocket connection are those of the transcripts."""
    port = servers.port(direct=True, has_faults=dialogue.fault is not None)
    with scripted(port, dialogue.script):
        recorded = record_websocket(
            port, api.path, dialogue.messages, dict(dialogue.headers), status=dialogue.fault
        )

    compare(_file(api, dialogue), recorded, update=update_golden)


def test_every_transcript_belongs_to_a_case() -> None:
    """MAINT-4.9: No transcript is left behind by a case that is gone or renamed."""
    names = [case.file for case in CASES] + [_file(*one) for one in SOCKETS]
    kept = [str(path.relative_to(TRANSCRIPTS)) for path in TRANSCRIPTS.rglob("*.*")]

    assert sorted(kept) == sorted(names)
