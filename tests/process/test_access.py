"""Keys and the control API, on real servers."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from openai import OpenAI
from support.servers import Server, eventually, serve
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from llmsim.testing import ControlError, Session, say

KEY = "sk-planted-5f0c"
ADMIN_KEY = "admin-planted-77"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers that need keys, behind what looks like a proxy to them."""
    with serve(
        tmp_path_factory.mktemp("access"),
        "--workers",
        "2",
        "--latency",
        "instant",
        LLMSIM_AUTH_KEYS=f"{KEY},sk-other",
        LLMSIM_ADMIN_KEY=ADMIN_KEY,
        LLMSIM_SERVER_CORS="http://localhost:5173",
        LLMSIM_LOG_LEVEL="debug",
    ) as running:
        yield running


async def handshake(server: Server, **headers: str) -> int:
    """Open a WebSocket; return the status of the answer."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        async with connect(
            f"ws://127.0.0.1:{server.port}/openai/v1/responses", additional_headers=names
        ) as opened:
            assert opened.response is not None
            return opened.response.status_code
    except InvalidStatus as error:
        return error.response.status_code


async def test_handshakes(server: Server) -> None:
    """ACC-2.2, ACC-3.5: Without a key 401, from a page that is not named 403, before the connection is accepted."""
    key = f"Bearer {KEY}"

    assert await handshake(server) == 401
    assert await handshake(server, authorization="Bearer any") == 401
    assert await handshake(server, authorization=key, Origin="https://evil.example") == 403
    assert await handshake(server, authorization=key, Origin="http://localhost:5173") == 101
    assert await handshake(server, authorization=key) == 101


def test_one_connection_for_all(server: Server) -> None:
    """ACC-2.1, ACC-3.1: After a refusal and a preflight the connection goes on."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
    with httpx.Client(base_url=server.base) as client:
        path = "/openai/v1/chat/completions"
        page = {"origin": "http://localhost:5173", "access-control-request-method": "POST"}
        statuses = [
            client.post(path, json=body).status_code,
            client.options(path, headers=page).status_code,
            client.post(path, json=body, headers={"authorization": f"Bearer {KEY}"}).status_code,
            client.post(path, json=body, headers={"authorization": "Bearer any"}).status_code,
            client.get("/health").status_code,
        ]

    assert statuses == [401, 200, 200, 401, 200]


def test_the_key_of_the_control_api(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """ACC-1.7: `llmsim.testing` sends the key, wherever the server takes its requests to come from."""
    monkeypatch.setattr(
        "http.client.HTTPConnection.connect", _forwarded(httpx.URL(server.base).port or 0), raising=True
    )
    monkeypatch.delenv("LLMSIM_ADMIN_KEY", raising=False)
    remote = f"http://llm.staging:{server.port}"
    with pytest.raises(ControlError) as caught:
        Session(remote, script=[say("Hello")])
    assert caught.value.status == 401
    monkeypatch.setenv("LLMSIM_ADMIN_KEY", ADMIN_KEY)

    session = Session(remote, script=[say("Hello")])

    assert session.requests == []


def _forwarded(port: int):  # type: ignore[no-untyped-def]
    """Return a `connect` that reaches the server whatever the host is called."""
    import http.client
    import socket

    def connect(self: http.client.HTTPConnection) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=30)

    return connect


def test_no_key_is_kept(server: Server) -> None:
    """ACC-2.4: No key is in the log or in a file of the state, whether it was accepted or not."""
    headers = {"x-llmsim-session": "s"}
    with OpenAI(base_url=server.openai, api_key=KEY, max_retries=0, default_headers=headers) as client:
        client.responses.create(model="gpt-4o", input="Hello")
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="sk-wrong-planted").responses.create(model="gpt-4o", input="Hello")
    httpx.get(f"{server.base}/llmsim/requests", headers={"authorization": f"Bearer {ADMIN_KEY}"})

    for file in server.log.parent.rglob("*"):
        if file.is_file():
            assert b"planted" not in file.read_bytes(), file


def test_keys_are_read_anew(tmp_path: Path) -> None:
    """ACC-2.5: After a reload the keys are those of the file as it is then; a file without keys changes nothing."""
    file = tmp_path / "keys"
    file.write_text("old\n")
    with serve(tmp_path, "--workers", "1", LLMSIM_AUTH_KEYS_FILE=str(file)) as server:

        def status(key: str) -> int:
            models = httpx.get(f"{server.openai}/models", headers={"authorization": f"Bearer {key}"})
            return models.status_code

        assert (status("old"), status("new")) == (200, 401)
        file.write_text("new\n")
        server.signal(signal.SIGHUP)
        eventually(lambda: (status("old"), status("new")) == (401, 200))
        file.write_text("# none\n")
        server.signal(signal.SIGHUP)
        eventually(lambda: "holds no key" in server.logged())
        assert (status("old"), status("new")) == (401, 200)
