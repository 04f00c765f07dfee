"""Who may do what: the control API, API keys, and web pages."""

import hmac
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.asgi import Exchange, Simulator, simulator

from llmsim.config import Settings
from llmsim.errors import ConfigError
from llmsim.providers.registry import PROVIDERS
from llmsim.server.access.guard import Guard

PEERS = {
    "loopback": ("127.0.0.1", 5),
    "loopback_6": ("::1", 5),
    "mapped": ("::ffff:127.0.0.1", 5),
    "other_loopback": ("127.8.8.8", 5),
    "neighbour": ("192.168.0.7", 5),
    "neighbour_6": ("fe80::1", 5),
    "unknown": None,
}
LOCAL = ("loopback", "loopback_6", "mapped", "other_loopback")
GUARDED = (
    ("GET", "/llmsim/scripts"),
    ("GET", "/llmsim/sessions"),
    ("GET", "/llmsim/requests"),
    ("POST", "/llmsim/reset"),
    ("DELETE", "/llmsim/sessions/a"),
    ("POST", "/llmsim/sessions/a/reset"),
    ("GET", "//llmsim/requests"),
    ("POST", "///llmsim/reset"),
)
OPEN = (("GET", "/health"), ("GET", "/llmsim/stats"))
BEARER = {"authorization": "Bearer s3cret"}
EVIL = "https://evil.example"
CHAT = "/openai/v1/chat/completions"
HELLO = [{"role": "user", "content": "Hello"}]
APIS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, {"model": "gpt-4o", "messages": HELLO, "max_tokens": 3}),
    "responses": ("/openai/v1/responses", {"model": "gpt-4o", "input": "Hello"}),
    "embeddings": ("/openai/v1/embeddings", {"model": "text-embedding-3-small", "input": "Hello"}),
    "openresponses": ("/openresponses/v1/responses", {"model": "gpt-4o", "input": "Hello"}),
    "messages": (
        "/anthropic/v1/messages",
        {"model": "claude-sonnet-4-5", "max_tokens": 3, "messages": HELLO},
    ),
}
OPT_IN = {"anthropic-dangerous-direct-browser-access": "true"}
ALLOW = "access-control-allow-origin"


async def ask(worker: Simulator, method: str, path: str, **options: Any) -> Exchange:
    """Send a request without a body."""
    return await worker.ask(method, path, **options)


async def post(worker: Simulator, api: str, headers: dict[str, str], **fields: Any) -> Exchange:
    """Send a request that generates."""
    path, body = APIS[api]
    return await worker.ask("POST", path, json.dumps(body | fields).encode(), headers=headers)


class TestControl:
    """The table of peer, headers, key and route."""

    @pytest.mark.parametrize("peer", PEERS)
    @pytest.mark.parametrize(("method", "path"), GUARDED)
    async def test_local_peers(self, peer: str, method: str, path: str) -> None:
        """ACC-1.1: By default a loopback peer is served, any other refused, however many slashes the path begins with."""
        answer = await ask(simulator(), method, path, client=PEERS[peer])

        assert answer.status == (200 if peer in LOCAL else 403)
        if peer not in LOCAL:
            assert answer.json["error"]["type"] == "forbidden"
            assert "admin.key" in answer.json["error"]["message"]

    @pytest.mark.parametrize(
        "header",
        [
            "forwarded",
            "x-forwarded-for",
            "x-real-ip",
            "x-forwarded-host",
            "x-forwarded-proto",
            "via",
            "cf-connecting-ip",
        ],
    )
    async def test_a_proxy_on_this_machine(self, header: str) -> None:
        """ACC-1.1: What a proxy forwards is not local, whatever its header says."""
        answer = await ask(simulator(), "GET", "/llmsim/requests", headers={header: "127.0.0.1"})

        assert answer.status == 403

    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("127.0.0.1:8080", 200),
            ("[::1]:8080", 200),
            ("192.168.0.7", 200),
            ("localhost:9000", 200),
            ("LOCALHOST.", 200),
            ("llm.staging:8080", 200),
            ("LLM.Staging", 200),
            ("rebind.evil.example", 403),
            ("rebind.evil.example:8080", 403),
            ("127.0.0.1.evil.example", 403),
            ("localhost.evil.example", 403),
            ("[::1].evil.example", 403),
            ("evil.example:127.0.0.1", 403),
            ("", 403),
        ],
    )
    async def test_host(self, host: str, status: int) -> None:
        """ACC-1.2: A page whose name was rebound to this machine (DNS rebinding) does not reach it."""
        worker = simulator(admin={"hosts": ("llm.staging",)})

        answer = await ask(worker, "GET", "/llmsim/requests", headers={"host": host})

        assert answer.status == status

    @pytest.mark.parametrize(("enabled", "status"), [(True, 200), (False, 404)])
    @pytest.mark.parametrize("peer", ["loopback", "neighbour"])
    async def test_open_and_closed(self, enabled: bool, status: int, peer: str) -> None:
        """ACC-1.3: `true` serves all, by whatever host name and proxy; `false` none."""
        worker = simulator(admin={"enabled": enabled})
        headers = {"host": "llm.staging", "x-forwarded-for": "10.0.0.1"}

        answer = await ask(worker, "GET", "/llmsim/scripts", client=PEERS[peer], headers=headers)

        assert answer.status == status

    async def test_bound_by_hosts(self) -> None:
        """ACC-1.3: With `hosts`, no other name is served to anyone."""
        worker = simulator(admin={"enabled": True, "hosts": ("llm.staging",)})
        peer = PEERS["neighbour"]

        named = await ask(worker, "GET", "/llmsim/scripts", client=peer, headers={"host": "llm.staging:80"})
        rebound = await ask(worker, "GET", "/llmsim/scripts", client=peer, headers={"host": "evil.example"})

        assert (named.status, rebound.status) == (200, 403)

    @pytest.mark.parametrize("enabled", ["local", True])
    @pytest.mark.parametrize("peer", PEERS)
    @pytest.mark.parametrize(
        ("key", "opens"), [("Bearer s3cret", True), ("bearer s3cret", True), ("Bearer s3cre", False)]
    )
    async def test_key(self, enabled: bool | str, peer: str, key: str, opens: bool) -> None:
        """ACC-1.4: The key opens it from anywhere; without it only this machine is served."""
        worker = simulator(admin={"enabled": enabled, "key": "s3cret"})
        foreign = {"host": "llm.staging", "x-forwarded-for": "10.0.0.1"}

        for headers in ({}, foreign):
            answer = await ask(
                worker,
                "GET",
                "/llmsim/requests",
                client=PEERS[peer],
                headers={"authorization": key} | headers,
            )
            is_local = peer in LOCAL and not headers
            assert answer.status == (200 if opens or is_local else 401)

        bare = await ask(worker, "GET", "/llmsim/requests", client=PEERS[peer])
        assert bare.status == (200 if peer in LOCAL else 401)
        if bare.status == 401:
            assert bare.headers["www-authenticate"] == "Bearer"
            assert bare.json["error"]["type"] == "unauthorized"

    async def test_an_empty_key_opens_nothing(self) -> None:
        """ACC-1.4: Without a configured key no bearer token opens it."""
        for token in ("Bearer ", "Bearer", "Bearer any"):
            answer = await ask(
                simulator(),
                "GET",
                "/llmsim/requests",
                client=PEERS["neighbour"],
                headers={"authorization": token},
            )
            assert answer.status == 403

    @pytest.mark.parametrize(
        "headers",
        [
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"origin": EVIL},
            {"origin": "null"},
            {"origin": "http://localhost:3000"},
            {"origin": "http://127.0.0.1:8080", "sec-fetch-site": "cross-site"},
            {"origin": EVIL, "sec-fetch-site": "same-origin"},
        ],
    )
    @pytest.mark.parametrize("admin", [{}, {"enabled": True}, {"key": "s3cret"}])
    async def test_pages_of_other_origins(self, headers: dict[str, str], admin: dict[str, Any]) -> None:
        """ACC-1.5: A page of another site never reaches it, with whatever key and content type."""
        worker = simulator(admin=admin)
        kinds: tuple[dict[str, str], ...] = (
            {},
            {"content-type": "text/plain"},
            {"content-type": "application/json"},
        )
        for (method, path), more in product([*GUARDED, ("PUT", "/llmsim/scripts/a")], kinds):
            answer = await ask(worker, method, path, headers=headers | more | BEARER)

            assert answer.status == 403, (method, path, more)
            assert "another origin" in answer.json["error"]["message"]
            assert ALLOW not in answer.headers

    @pytest.mark.parametrize(
        "headers",
        [
            {"sec-fetch-site": "none"},
            {"sec-fetch-site": "same-origin"},
            {"origin": "http://127.0.0.1:8080"},
            {"origin": "HTTPS://127.0.0.1:8080", "sec-fetch-site": "same-origin"},
        ],
    )
    async def test_its_own_pages(self, headers: dict[str, str]) -> None:
        """ACC-1.5: An address that is typed, and a page of the same origin, are served."""
        assert (await ask(simulator(), "GET", "/llmsim/requests", headers=headers)).status == 200

    async def test_pages_of_named_origins(self) -> None:
        """ACC-1.5: A page of an origin that the settings name is served, and its preflight answered."""
        worker = simulator(server={"cors": ("https://board.example",)})
        page = {"origin": "https://board.example", "sec-fetch-site": "cross-site"}
        wish = {"access-control-request-method": "DELETE"}

        answer = await ask(worker, "GET", "/llmsim/scripts", headers=page)
        preflight = await ask(worker, "OPTIONS", "/llmsim/scripts/a", headers=page | wish)
        remote = await ask(worker, "GET", "/llmsim/scripts", headers=page, client=PEERS["neighbour"])

        assert answer.status == 200
        assert answer.headers[ALLOW] == "https://board.example"
        assert preflight.status == 200
        assert preflight.headers["access-control-allow-methods"] == "DELETE"
        assert remote.status == 403
        assert remote.headers[ALLOW] == "https://board.example"

    @pytest.mark.parametrize(("method", "path"), OPEN)
    @pytest.mark.parametrize("peer", PEERS)
    async def test_open_paths(self, method: str, path: str, peer: str) -> None:
        """ACC-1.6: Health and counters are open to all, with API keys, too."""
        headers = {"host": "llm.staging", "x-forwarded-for": "10.0.0.1", "sec-fetch-site": "cross-site"}
        for auth in ({}, {"keys": ("k1",)}):
            answer = await ask(simulator(auth=auth), method, path, client=PEERS[peer], headers=headers)
            assert answer.status == 200

    @pytest.mark.parametrize("path", ["/llmsim/later", "/llmsim//", "//llmsim/stats/x"])
    async def test_later_paths_are_guarded(self, path: str) -> None:
        """ACC-1.6: A path under `/llmsim` that is not known to be open is guarded, whether it exists or not."""
        local, remote = [
            await ask(simulator(), "GET", path, client=PEERS[peer]) for peer in ("loopback", "neighbour")
        ]

        assert (local.status, remote.status) == (404, 403)


WRONG: dict[str, list[tuple[dict[str, str], str, dict[str, Any]]]] = {
    "openai": [
        ({}, "You didn't provide an API key.", {"type": "invalid_request_error", "code": "invalid_api_key"}),
        (
            {"authorization": "Bearer k3"},
            "Incorrect API key provided.",
            {"type": "invalid_request_error", "code": "invalid_api_key", "param": None},
        ),
        ({"authorization": "Basic k1"}, "Incorrect API key provided.", {"code": "invalid_api_key"}),
        ({"x-api-key": "k1"}, "You didn't provide an API key.", {"code": "invalid_api_key"}),
    ],
    "openresponses": [
        ({}, "You didn't provide an API key.", {"type": "invalid_request", "code": "invalid_api_key"}),
        ({"authorization": "Bearer "}, "Incorrect API key provided.", {"type": "invalid_request"}),
    ],
    "anthropic": [
        ({}, "x-api-key header is required", {"type": "authentication_error"}),
        ({"x-api-key": "k3"}, "invalid x-api-key", {"type": "authentication_error"}),
        ({"authorization": "Bearer k3"}, "Invalid bearer token", {"type": "authentication_error"}),
        ({"x-api-key": "k3", "authorization": "Bearer k1"}, "invalid x-api-key", {}),
    ],
}
PATHS = {
    "openai": [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/embeddings"),
        ("GET", "/v1/models"),
        ("GET", "/v1/chat/completions"),
        ("DELETE", "/v1/responses/resp_1"),
        ("GET", "/v1/none"),
        ("PATCH", "/v1/responses"),
    ],
    "openresponses": [("POST", "/v1/responses")],
    "anthropic": [
        ("POST", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens"),
        ("GET", "/v1/messages/batches"),
        ("GET", "/v1/models"),
    ],
}


def _wrong() -> Iterator[Any]:
    for provider, rows in WRONG.items():
        for method, path in PATHS[provider]:
            for number, row in enumerate(rows):
                yield pytest.param(provider, method, path, *row, id=f"{provider}-{method}{path}-{number}")


class TestKeys:
    """API keys."""

    @pytest.mark.parametrize(("provider", "method", "path", "headers", "message", "members"), tuple(_wrong()))
    async def test_refused(
        self,
        provider: str,
        method: str,
        path: str,
        headers: dict[str, str],
        message: str,
        members: dict[str, Any],
    ) -> None:
        """ACC-2.1: A request without a right key gets 401 in the provider's words, on every path, before its body."""
        worker = simulator(auth={"keys": ("k1", "k2")})

        for prefix in (f"/{provider}", f"//{provider}"):
            answer = await ask(worker, method, prefix + path, headers=headers | {"content-length": "5"})

            assert answer.status == 401
            assert answer.json["error"]["message"].startswith(message)
            assert answer.json["error"].items() >= members.items()
            assert "x-request-id" in answer.headers or "request-id" in answer.headers
        if method == "POST" and path == "/v1/chat/completions":
            assert worker.stats().total_requests == 2
            assert worker.stats().active_requests == 0

    @pytest.mark.parametrize("path", ["/v1/models", "/", "/anything"])
    async def test_other_paths(self, path: str) -> None:
        """ACC-2.1: Paths without a provider's prefix need a key, too; the headers decide whose words they get."""
        worker = simulator(auth={"keys": ("k1",)})

        openai = await ask(worker, "POST", path, headers={"anthropic-version": ""})
        anthropic = await ask(worker, "POST", path)

        assert (openai.status, anthropic.status) == (401, 401)
        assert openai.json["error"]["code"] == "invalid_api_key"
        assert anthropic.json["error"]["type"] == "authentication_error"

    async def test_paths_of_one_api(self) -> None:
        """ACC-2.1: A path that only one API has gets its words, whatever the headers are."""
        worker = simulator(auth={"keys": ("k1",)})

        openai = await ask(worker, "POST", "/v1/chat/completions")
        anthropic = await ask(worker, "POST", "/v1/messages", headers={"anthropic-version": ""})

        assert (openai.status, anthropic.status) == (401, 401)
        assert openai.json["error"]["code"] == "invalid_api_key"
        assert anthropic.json["error"]["type"] == "authentication_error"

    @pytest.mark.parametrize("api", APIS)
    async def test_accepted(self, api: str, tmp_path: Path) -> None:
        """ACC-2.1, ACC-2.5: Every configured key is accepted, those of the file too, in any of the provider's headers."""
        file = tmp_path / "keys"
        file.write_text("# team a\nk2\n\n  k3  \n#k4\n")
        worker = simulator(auth={"keys": ("k1",), "keys_file": str(file)})
        header = "x-api-key" if api == "messages" else "authorization"

        for key in ("k1", "k2", "k3"):
            own = {header: key if header == "x-api-key" else f"Bearer {key}"}
            assert (await post(worker, api, own)).status == 200
            assert (await post(worker, api, {"authorization": f"Bearer {key}"})).status == 200
        for key in ("k4", "#k4", "# team a", "K1"):
            assert (await post(worker, api, {"authorization": f"Bearer {key}"})).status == 401

    @pytest.mark.parametrize("api", APIS)
    async def test_off(self, api: str) -> None:
        """ACC-2.1: By default any key is accepted, or none."""
        for headers in ({}, {"authorization": "Bearer any"}, {"x-api-key": "any"}):
            assert (await post(simulator(), api, headers)).status == 200

    async def test_stored_responses(self) -> None:
        """ACC-2.3: A response is found, continued, cancelled and deleted with its own key only."""
        worker = simulator(auth={"keys": ("k1", "k2")})
        mine, other = {"authorization": "Bearer k1"}, {"authorization": "Bearer k2"}
        made = (await post(worker, "responses", mine)).json["id"]
        base, path = "/openai/v1/responses", f"/openai/v1/responses/{made}"

        for method, below in (("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")):
            answer = await ask(worker, method, path + below, headers=other)
            assert answer.status == 404
            assert answer.json["error"]["message"] == f"Response with id '{made}' not found."
        for below in ("", "/compact", "/input_tokens"):
            body = json.dumps({"model": "gpt-4o", "input": "x", "previous_response_id": made}).encode()
            refused = await worker.ask("POST", base + below, body, headers=other)
            assert refused.status == 400
            assert refused.json["error"]["code"] == "previous_response_not_found"
            assert (await worker.ask("POST", base + below, body, headers=mine)).status == 200
        assert (await ask(worker, "GET", path, headers=mine)).status == 200
        assert (await ask(worker, "DELETE", path, headers=mine)).status == 200

    async def test_stored_completions(self) -> None:
        """ACC-2.3: Completions are listed, relabelled and deleted with their own key only."""
        worker = simulator(auth={"keys": ("k1", "k2")})
        mine, other = {"authorization": "Bearer k1"}, {"authorization": "Bearer k2"}
        made = (await post(worker, "chat", mine, store=True)).json["id"]

        listed, hidden = [(await ask(worker, "GET", CHAT, headers=one)).json["data"] for one in (mine, other)]
        after = await ask(worker, "GET", CHAT, headers=other, query=f"after={made}")
        changed = await worker.ask("POST", f"{CHAT}/{made}", b'{"metadata": {"a": "b"}}', headers=other)
        deleted = await ask(worker, "DELETE", f"{CHAT}/{made}", headers=other)

        assert made in [one["id"] for one in listed]
        assert made not in [one["id"] for one in hidden]
        assert (after.status, changed.status, deleted.status) == (400, 404, 404)
        assert (await ask(worker, "DELETE", f"{CHAT}/{made}", headers=mine)).status == 200

    async def test_batches(self) -> None:
        """ACC-2.3: So are batches."""
        worker = simulator(auth={"keys": ("k1", "k2")})
        base = "/anthropic/v1/messages/batches"
        body = json.dumps({"requests": [{"custom_id": "a", "params": APIS["messages"][1]}]}).encode()
        made = (await worker.ask("POST", base, body, headers={"x-api-key": "k1"})).json["id"]

        for method, below in (("GET", ""), ("GET", "/results"), ("POST", "/cancel"), ("DELETE", "")):
            answer = await ask(worker, method, f"{base}/{made}{below}", headers={"x-api-key": "k2"})
            assert answer.status == 404
        listed = await ask(worker, "GET", base, headers={"x-api-key": "k2"})
        assert made not in [one["id"] for one in listed.json["data"]]
        # The same key in the other header is the same owner.
        own = await ask(worker, "GET", f"{base}/{made}", headers={"authorization": "Bearer k1"})
        assert own.status == 200

    async def test_compared_in_constant_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """ACC-2.4: Right and wrong keys of both kinds are compared with `hmac.compare_digest`."""
        worker = simulator(auth={"keys": ("k1",)}, admin={"key": "s3cret"})
        compared: list[bool] = []

        def compare(one: bytes, other: bytes) -> bool:
            compared.append(one == other)
            return one == other

        monkeypatch.setattr(hmac, "compare_digest", compare)
        for key, path in (
            ("k1", CHAT),
            ("k2", CHAT),
            ("s3cret", "/llmsim/scripts"),
            ("x", "/llmsim/scripts"),
        ):
            await ask(worker, "GET", path, headers={"authorization": f"Bearer {key}"})

        assert compared[0]
        assert compared[-2:] == [True, False]
        assert not any(compared[1:-2])

    @pytest.mark.parametrize(
        ("tables", "message"),
        [
            ({"auth": {"keys_file": "/none"}}, "auth.keys_file: cannot read"),
            ({"auth": {"keys_file": "/dev/null"}}, "holds no key"),
            ({"auth": {"keys": ("a b",)}}, "auth.keys: wanted printable ASCII"),
            ({"admin": {"key": "schlüssel"}}, "admin.key: wanted printable ASCII"),
            ({"server": {"cors": ("localhost:5173",)}}, "server.cors: wanted origins"),
            ({"server": {"cors": ("http://a.example/path",)}}, "server.cors: wanted origins"),
        ],
    )
    def test_settings_that_cannot_be_carried_out(self, tables: dict[str, Any], message: str) -> None:
        """ACC-2.5, ACC-3.6: They stop the start, with a message that shows no key."""
        with pytest.raises(ConfigError, match=message) as caught:
            simulator(**tables)

        assert "a b" not in str(caught.value)
        assert "schlüssel" not in str(caught.value)


PAGE = {"origin": "http://localhost:5173"}
WISH = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,x-stainless-lang",
}
STORED = (
    ("GET", CHAT),
    ("GET", f"{CHAT}/chatcmpl-1"),
    ("POST", f"{CHAT}/chatcmpl-1"),
    ("DELETE", f"{CHAT}/chatcmpl-1"),
    ("GET", f"{CHAT}/chatcmpl-1/messages"),
    ("GET", "/openai/v1/responses/resp_1"),
    ("DELETE", "/openai/v1/responses/resp_1"),
    ("POST", "/openai/v1/responses/resp_1/cancel"),
    ("GET", "/openai/v1/responses/resp_1/input_items"),
    ("POST", "/openai/v1/responses/compact"),
    ("GET", "/anthropic/v1/messages/batches"),
    ("GET", "/anthropic/v1/messages/batches/msgbatch_1/results"),
    ("GET", "//openai/v1/responses/resp_1"),
    ("GET", "/v1/responses/resp_1"),
    ("GET", "/llmsim/stats"),
    ("GET", "/metrics"),
)


class TestPages:
    """Cross-origin requests of web pages."""

    def test_a_method_of_any_bytes(self) -> None:
        """ACC-3.1: A preflight for a method that is no UTF-8 is answered, too."""
        names = ((b"origin", b"http://x"), (b"access-control-request-method", b"\xff"))
        guard = Guard(Settings(), PROVIDERS, str)
        active: Any = SimpleNamespace(arrival=0.0, extra_headers=b"", request_id="", outcome=None)
        scope = {"path": "/openai/v1/files", "method": "OPTIONS", "headers": names, "query_string": b""}

        reply = guard.check(scope, active)

        assert reply is not None
        assert reply.status == 200

    @pytest.mark.parametrize("api", APIS)
    async def test_preflight(self, api: str) -> None:
        """ACC-3.1: A preflight is answered with the methods and headers that it asks for."""
        wanted = WISH["access-control-request-headers"]
        if api == "messages":
            wanted = f"Anthropic-Dangerous-Direct-Browser-Access,{wanted}"
        answer = await ask(
            simulator(auth={"keys": ("k1",)}),
            "OPTIONS",
            APIS[api][0],
            headers={"anthropic-version": ""} | PAGE | WISH | {"access-control-request-headers": wanted},
        )

        assert answer.status == 200
        assert answer.body == b""
        assert answer.headers[ALLOW] == "*"
        assert answer.headers["access-control-allow-methods"] == "POST"
        assert answer.headers["access-control-allow-headers"] == wanted

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("api", APIS)
    async def test_answers_and_errors(self, api: str, stream: bool) -> None:
        """ACC-3.1: Answers, streams and errors carry the headers for a page; without an origin there are none."""
        if stream and api == "embeddings":
            return
        fields = {"stream": True} if stream else {}
        worker = simulator()
        good = await post(worker, api, PAGE | OPT_IN, **fields)
        bad = await post(worker, api, PAGE | OPT_IN, model=5)
        plain = await post(worker, api, {}, **fields)

        assert (good.status, bad.status, plain.status) == (200, 400, 200)
        for answer in (good, bad):
            assert answer.headers[ALLOW] == "*"
            exposed = answer.headers["access-control-expose-headers"].split(", ")
            assert {"x-request-id", "request-id", "retry-after", "x-ratelimit-limit-tokens"} < set(exposed)
        assert not [name for name in plain.headers if name.startswith("access-control")]

    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_other_errors(self, method: str) -> None:
        """ACC-3.1: So do refusals of keys, and paths that do not exist."""
        worker = simulator(auth={"keys": ("k1",)})

        refused = await ask(worker, method, CHAT, headers=PAGE)
        missing = await ask(worker, method, "/openai/v1/none", headers=PAGE | {"authorization": "Bearer k1"})

        assert (refused.status, missing.status) == (401, 404)
        assert refused.headers[ALLOW] == missing.headers[ALLOW] == "*"

    async def test_list_of_origins(self) -> None:
        """ACC-3.2: Only listed origins are allowed; `vary` names the origin for caches."""
        worker = simulator(server={"cors": ("http://localhost:5173", "https://B.example/")})

        named = await post(worker, "chat", PAGE)
        other_case = await post(worker, "chat", {"origin": "https://b.example"})
        foreign = await post(worker, "chat", {"origin": EVIL})
        preflight = await ask(worker, "OPTIONS", CHAT, headers={"origin": EVIL} | WISH)

        assert (named.headers[ALLOW], named.headers["vary"]) == ("http://localhost:5173", "origin")
        assert other_case.headers[ALLOW] == "https://b.example"
        assert ALLOW not in foreign.headers
        assert ALLOW not in preflight.headers

    async def test_off(self) -> None:
        """ACC-3.2: With `off` no page may call, and a preflight is a method that is not allowed."""
        worker = simulator(server={"cors": "off"})

        answer = await post(worker, "chat", PAGE)
        preflight = await ask(worker, "OPTIONS", CHAT, headers=PAGE | WISH)

        assert ALLOW not in answer.headers
        assert preflight.status == 405
        assert ALLOW not in preflight.headers

    @pytest.mark.parametrize("headers", [{}, PAGE, {"access-control-request-method": "POST"}])
    async def test_options_without_a_preflight(self, headers: dict[str, str]) -> None:
        """ACC-3.2: OPTIONS that is no preflight is refused as before."""
        assert (await ask(simulator(), "OPTIONS", CHAT, headers=headers)).status == 405

    @pytest.mark.parametrize(("method", "path"), STORED)
    async def test_stored_objects(self, method: str, path: str) -> None:
        """ACC-3.3: What is stored, and counters, are not readable for pages of any origin, unless keys are needed."""
        headers = PAGE | OPT_IN
        wish = {"access-control-request-method": method, "access-control-request-headers": ",".join(OPT_IN)}
        keyed = {"authorization": "Bearer k1"}

        for tables, allowed in (
            ({}, False),
            ({"auth": {"keys": ("k1",)}}, True),
            ({"server": {"cors": ("http://localhost:5173",)}}, True),
            ({"server": {"cors": ("http://localhost:9",)}}, False),
        ):
            worker = simulator(**tables)
            answer = await ask(worker, method, path, headers=headers | keyed)
            preflight = await ask(worker, "OPTIONS", path, headers=PAGE | wish)

            assert (ALLOW in answer.headers) == allowed
            assert (ALLOW in preflight.headers) == allowed
            if not path.endswith(("stats", "metrics")):
                assert preflight.headers["access-control-allow-methods"] == method

    async def test_opt_in(self) -> None:
        """ACC-3.4: Anthropic's API refuses pages that do not opt in, and their preflights."""
        worker = simulator()
        answer = await post(worker, "messages", PAGE)
        preflight = await ask(worker, "OPTIONS", APIS["messages"][0], headers=PAGE | WISH)

        assert answer.status == 401
        assert answer.json["error"] == {
            "type": "authentication_error",
            "message": "CORS requests must set 'anthropic-dangerous-direct-browser-access' header",
        }
        assert ALLOW not in answer.headers
        assert ALLOW not in preflight.headers
        assert (await post(worker, "messages", {"origin": "http://127.0.0.1:8080"})).status == 200


async def upgrade(worker: Simulator, path: str, headers: dict[str, str]) -> int:
    """Send the handshake of a WebSocket; return its status, 101 if it is accepted."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"} if not sent else {"type": "websocket.disconnect", "code": 1000}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (name.encode(), value.encode()) for name, value in ({"host": "127.0.0.1:8080"} | headers).items()
        ],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 8080),
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }
    await worker.application(scope, receive, send)
    first = sent[0]
    if first["type"] == "websocket.accept":
        return 101
    if first["type"] == "websocket.close":
        return 403
    assert json.loads(sent[1]["body"])["error"]["message"]
    return int(first["status"])


SOCKETS = ("/openai/v1/responses", "/openresponses/v1/responses", "//openai/v1/responses")


class TestSockets:
    """Handshakes of WebSockets."""

    @pytest.mark.parametrize("path", SOCKETS)
    @pytest.mark.parametrize(
        ("cors", "origin", "status"),
        [
            ("*", EVIL, 101),
            ("*", "", 101),
            ("off", EVIL, 403),
            ("off", "", 101),
            ("off", "http://127.0.0.1:8080", 101),
            (("http://localhost:5173",), "http://localhost:5173", 101),
            (("http://localhost:5173",), EVIL, 403),
            (("http://localhost:5173",), "null", 403),
        ],
    )
    async def test_origin(self, path: str, cors: Any, origin: str, status: int) -> None:
        """ACC-3.5: A page whose origin is not allowed is refused before the connection is accepted."""
        headers = {"origin": origin} if origin else {}

        assert await upgrade(simulator(server={"cors": cors}), path, headers) == status

    @pytest.mark.parametrize("path", SOCKETS)
    async def test_key(self, path: str) -> None:
        """ACC-2.2: A handshake without a key is refused before it is accepted."""
        worker = simulator(auth={"keys": ("k1",)})

        assert await upgrade(worker, path, {}) == 401
        assert await upgrade(worker, path, {"authorization": "Bearer k2"}) == 401
        assert await upgrade(worker, path, {"authorization": "Bearer k1"}) == 101
