"""What is checked before a request is routed: API keys, the origin of web pages, and who may use the control API.

Decisions:
* The path is read as the router reads it, which ignores slashes at its beginning. What is not known to be open is guarded: all of
  `/llmsim` but `_OPEN`, and with API keys every path but `_OPEN`. So routes that are added later are guarded without being listed.
* Local means a direct connection of this machine. A proxy on this machine has one, too, for clients from anywhere: it is known by
  the headers that proxies add. A page whose host name was rebound to this machine (DNS rebinding) is known by its `host`.
* A browser marks with `sec-fetch-site` and `origin` that a page of another site sends a request. It reaches no guarded route, with
  whatever key and content type: a simple POST has its effect even if the page cannot read the answer.
* PERF: to look for `origin` takes 0.4 us, and an API key 0.6 us more, where the path is that of a generating endpoint and the key
  comes in the provider's first header; all else is checked at leisure, in 2 us.
"""

import functools
import hmac
import re
from collections.abc import Awaitable, Callable
from typing import Any

from llmsim.config import AdminSettings, Settings
from llmsim.errors import AuthenticationError
from llmsim.providers.contract import Provider
from llmsim.providers.registry import find_provider
from llmsim.server.access.api_keys import (
    ApiKeys,
    RawHeaders,
    bearer_token,
    check_key,
    find_key,
    load_api_keys,
    with_param_key,
)
from llmsim.server.access.cors import CorsPolicy
from llmsim.server.access.peers import is_direct, parse_address
from llmsim.server.active_request import ActiveRequest
from llmsim.server.replies import EncodedReply, ReplyBuilder
from llmsim.stats import Outcome
from llmsim.text import printable
from llmsim.wire.codec import encode

OWNER = "llmsim.owner"
"""Where the scope of a WebSocket carries the owner of its API key."""

_OPEN = frozenset({"health", "ready", "metrics", "llmsim", "llmsim/", "llmsim/stats"})
"""Paths that need no key, and are not part of the control API; a provider's prefix may stand before them."""

_FOREIGN_PAGE = "a web page of another origin may not use the control API"
_KEY_NEEDED = "the control API needs its key: authorization: Bearer KEY, with the server's setting admin.key"
_NOT_LOCAL = (
    "the control API is open to clients on the server's machine only; the settings admin.key and admin.enabled open it to "
    "others"
)

Send = Callable[[Any], Awaitable[None]]


class _Api:
    """What the guard knows of a provider."""

    def __init__(self, provider: Provider, new_id: Callable[[], str], keys: ApiKeys | None) -> None:
        self.provider = provider
        self.replies = ReplyBuilder(provider, new_id)
        self.key_headers = tuple(name.encode() for name in provider.key_headers)
        self.key_param = provider.key_param
        first = self.key_header = self.key_headers[0]
        self.keys = keys if keys is None or first != b"authorization" else keys.after(b"Bearer ")
        opt_in = provider.browser_header
        self.browser_header = opt_in.encode() if opt_in is not None else None

    @functools.cached_property
    def stored(self) -> list[tuple[str, re.Pattern[str]]]:
        """Methods and paths of what is stored. PERF: 15 ms of each start, for all APIs, if they were compiled then."""
        resources = self.provider.resource_endpoints
        return [(one.method, _pattern(one.path)) for one in resources if not one.is_public]


class Guard:
    """Checks the requests of one worker before they are routed."""

    def __init__(
        self, settings: Settings, providers: tuple[Provider, ...], new_id: Callable[[], str]
    ) -> None:
        """Prepare to check requests.

        Args:
            settings: Keys, origins, and who may use the control API.
            providers: All APIs.
            new_id: Returns a new request id.

        Raises:
            ConfigError: A setting cannot be carried out.
        """
        self._keys = load_api_keys(settings.auth)
        self._cors = CorsPolicy(settings, has_keys=self._keys is not None)
        self._control = _ControlGuard(settings.admin) if settings.admin.enabled else None
        apis = [_Api(provider, new_id, self._keys) for provider in providers]
        self._apis = {api.provider.prefix.strip("/"): api for api in apis}
        self._generating = {
            api.provider.prefix + endpoint.path: api
            for api in apis
            for endpoint in api.provider.generation_endpoints
        }
        self._anthropic = next((api for api in apis if api.browser_header), apis[0])
        self._openai = apis[0]
        self._open = [
            _pattern(path)
            for provider in providers
            for endpoint in provider.resource_endpoints
            if endpoint.is_open
            for path in (endpoint.path, provider.prefix + endpoint.path)
        ]

    def check(self, scope: dict[str, Any], active: ActiveRequest) -> EncodedReply | None:
        """Check an HTTP request; note the owner of its key, and the headers that a page needs, on the active request.

        Returns:
            The response if it is not to be routed; None if it is.
        """
        headers: RawHeaders = scope["headers"]
        api = self._generating.get(scope["path"])
        if api is not None:
            keys = api.keys
            if keys is None:
                for name, _ in headers:
                    if name == b"origin":
                        break
                else:
                    return None
            else:
                key_header, sent = api.key_header, b""
                for name, value in headers:
                    if name == b"origin":
                        break
                    if name == key_header:
                        sent = value
                else:
                    active.owner = keys.owner(sent)
                    if active.owner:
                        return None
        path = scope["path"].lstrip("/")
        origin = _header(headers, b"origin") or None
        if path == "llmsim" or path.startswith("llmsim/"):
            reply = self._check_own(scope, path, origin, active)
        else:
            reply = self._check_api(scope, path, origin, active)
        if reply is not None:
            active.outcome = Outcome.REFUSED
        return reply

    def _check_own(
        self, scope: dict[str, Any], path: str, origin: bytes | None, active: ActiveRequest
    ) -> EncodedReply | None:
        """Check a request to llmsim's own paths."""
        headers = scope["headers"]
        may_read = origin is not None and self._cors.allows(origin, is_protected=True)
        guarded = self._control is not None and path not in _OPEN
        if guarded and self._is_foreign(headers, origin):
            return _deny(403, _FOREIGN_PAGE)
        if origin is not None and may_read:
            method = _header(headers, b"access-control-request-method")
            if scope["method"] == "OPTIONS" and method:
                lines = self._cors.preflight_lines(
                    origin, method, _header(headers, b"access-control-request-headers")
                )
                return EncodedReply(200, lines)
            active.extra_headers = self._cors.response_lines(origin)
        if guarded and self._control is not None and (denial := self._control.find_denial(scope)):
            reply = _deny(*denial)
            return EncodedReply(reply.status, reply.head + active.extra_headers, reply.body)
        return None

    def _is_foreign(self, headers: RawHeaders, origin: bytes | None) -> bool:
        """Return whether a web page of another origin sends a request, unless the settings name its origin."""
        if origin is not None and self._cors.names(origin):
            return False
        if origin is not None and not _is_same_origin(headers, origin):
            return True
        return _header(headers, b"sec-fetch-site").lower() not in (b"", b"none", b"same-origin")

    def _check_api(
        self, scope: dict[str, Any], path: str, origin: bytes | None, active: ActiveRequest
    ) -> EncodedReply | None:
        headers = scope["headers"]
        api = self._find_api(path, headers)
        if origin is not None:
            reply = self._check_origin(scope, path, api, origin, active)
            if reply is not None:
                return reply
        if self._keys is None or self._is_open(path):
            return None
        sent = with_param_key(headers, scope["query_string"], api.key_param, api.key_header.decode())
        header, key = find_key(sent, api.key_headers)
        active.owner = self._keys.owner(key)
        return None if active.owner else _refuse(api, header, active)

    def _check_origin(
        self, scope: dict[str, Any], path: str, api: _Api, origin: bytes, active: ActiveRequest
    ) -> EncodedReply | None:
        headers = scope["headers"]
        method: bytes = scope["method"].encode()
        opt_in = api.browser_header
        wanted = _header(headers, b"access-control-request-method")
        if method == b"OPTIONS" and wanted and not self._cors.is_off:
            wanted_headers = _header(headers, b"access-control-request-headers")
            may_send = self._cors.allows(origin, is_protected=self._is_protected(wanted, path))
            if opt_in is not None and opt_in not in wanted_headers.lower():
                may_send = False
            active.extra_headers = self._cors.preflight_lines(
                origin if may_send else None, wanted, wanted_headers
            )
            return api.replies.build(b"", active)
        if opt_in is not None and _header(headers, opt_in).lower() != b"true":
            if not _is_same_origin(headers, origin):
                return _refuse(api, opt_in.decode(), active)
        elif self._cors.allows(origin, is_protected=self._is_protected(method, path)):
            active.extra_headers = self._cors.response_lines(origin)
        return None

    def check_websocket(self, scope: dict[str, Any]) -> EncodedReply | None:
        """Check the handshake of a WebSocket; note the owner of its key in the scope.

        Returns:
            The response if it is not to be accepted; None if it is.
        """
        headers: RawHeaders = scope["headers"]
        path = scope["path"].lstrip("/")
        is_own = path == "llmsim" or path.startswith("llmsim/")
        origin = _header(headers, b"origin")
        if origin and not (
            self._cors.allows(origin, is_protected=is_own) or _is_same_origin(headers, origin)
        ):
            return _deny(403, "a web page of this origin may not connect; see the setting server.cors")
        if is_own:
            if self._control is None or path in _OPEN:
                return None
            if self._is_foreign(headers, origin or None):
                return _deny(403, _FOREIGN_PAGE)
            denial = self._control.find_denial(scope)
            return _deny(*denial) if denial else None
        if self._keys is None:
            return None
        api = self._find_api(path, headers)
        header, key = find_key(headers, api.key_headers)
        owner = scope[OWNER] = self._keys.owner(key)
        if owner:
            return None
        reply = api.provider.render_refusal(AuthenticationError(header))
        return EncodedReply(reply.status, b"content-type: application/json\r\n", reply.body)

    def _find_api(self, path: str, headers: RawHeaders) -> _Api:
        """Return the API of a path; one without a prefix is that of the API whose headers were sent."""
        api = self._apis.get(path.partition("/")[0])
        if api is None:
            provider = find_provider(f"/{path}", {name.decode("latin-1") for name, _ in headers})
            api = self._apis.get(provider.prefix.strip("/")) if provider is not None else None
        if api is not None:
            return api
        return self._anthropic if _header(headers, b"anthropic-version") else self._openai

    def _is_open(self, path: str) -> bool:
        prefix, _, rest = path.partition("/")
        if (rest if prefix in self._apis else path) in _OPEN:
            return True
        return any(pattern.fullmatch(f"/{path}") for pattern in self._open)

    def _is_protected(self, method: bytes, path: str) -> bool:
        """Return whether a request reads, lists or deletes what is stored, or reads counters."""
        prefix, _, rest = path.partition("/")
        api = self._apis.get(prefix)
        route = "/" + (rest if api is not None else path)
        if route.rpartition("/")[2] == "metrics":
            return True
        apis = self._apis.values() if api is None else (api,)
        wanted = method.decode("latin-1")
        return any(one == wanted and path.fullmatch(route) for api in apis for one, path in api.stored)


class _ControlGuard:
    """Who may use the control API."""

    def __init__(self, settings: AdminSettings) -> None:
        self._key = check_key("admin.key", settings.key).encode() if settings.key else b""
        self._is_open = settings.enabled is True and not self._key
        self._hosts = frozenset(host.lower().removesuffix(".") for host in settings.hosts)

    def find_denial(self, scope: dict[str, Any]) -> tuple[int, str] | None:
        """Return status and message if a request may not use the control API; None if it may."""
        headers: RawHeaders = scope["headers"]
        if self._key:
            for name, value in headers:
                if name == b"authorization" and hmac.compare_digest(bearer_token(value), self._key):
                    return None
        hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
        is_local = self._is_open or is_direct(scope)
        is_host = (self._is_open and not self._hosts) or (hosts and all(map(self._is_host, hosts)))
        if is_local and is_host:
            return None
        if self._key:
            return 401, _KEY_NEEDED
        if not is_local:
            return 403, _NOT_LOCAL
        shown = printable(", ".join(hosts)[:100]) or "none"
        return (
            403,
            f"the control API is not served for the host {shown}; the setting admin.hosts names further ones",
        )

    def _is_host(self, host: str) -> bool:
        whole = host.strip().lower()
        name = re.sub(r":[0-9]*$", "", whole).removesuffix(".")
        if name == "localhost" or name in self._hosts or whole in self._hosts:
            return True
        return parse_address(name[1:-1] if name.startswith("[") and name.endswith("]") else name) is not None


def _is_same_origin(headers: RawHeaders, origin: bytes) -> bool:
    """Return whether a page comes from the host that it calls; the scheme may be that of a proxy."""
    return origin.partition(b"://")[2].lower() == (_header(headers, b"host").lower() or None)


def _header(headers: RawHeaders, wanted: bytes) -> bytes:
    """Return the first header of that name; empty if there is none."""
    for name, value in headers:
        if name == wanted:
            return value
    return b""


def _pattern(template: str) -> re.Pattern[str]:
    """Return what matches the paths of a route as the router does."""
    parts = re.split(r"(\{.*?\})", template)
    return re.compile(
        "".join(
            (".*" if part.endswith(":path}") else "[^/]*") if part.startswith("{") else re.escape(part)
            for part in parts
        )
    )


def _refuse(api: _Api, header: str | None, active: ActiveRequest) -> EncodedReply:
    """Return the refusal of a request for what is in a header, or not in it; None for no API key."""
    return api.replies.build_error(api.provider.render_refusal(AuthenticationError(header)), active)


def _deny(status: int, message: str) -> EncodedReply:
    """Return a refusal in the envelope of the control API."""
    kind = "unauthorized" if status == 401 else "forbidden"
    head = b"content-type: application/json\r\ncache-control: no-store\r\n"
    if status == 401:
        head += b"www-authenticate: Bearer\r\n"
    return EncodedReply(
        status, head, encode({"error": {"message": message, "type": kind, "problems": [message]}})
    )


def add_header_lines(send: Send, lines: bytes) -> Send:
    """Return a `send` that adds header lines to the response; for responses of Falcon's."""
    headers = [tuple(line.split(b": ", 1)) for line in lines.split(b"\r\n")[:-1]]

    async def send_with_headers(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *headers]}
        await send(message)

    return send_with_headers


async def deny_websocket(scope: dict[str, Any], send: Send, reply: EncodedReply) -> None:
    """Refuse the handshake of a WebSocket with an HTTP response; with 403 where the server cannot send one."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [tuple(line.split(b": ", 1)) for line in reply.head.split(b"\r\n")[:-1]]
    await send({"type": "websocket.http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": reply.body})
