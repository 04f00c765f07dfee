"""`/{version}/cachedContents`: contents that are sent once, and put before those of later requests.

Decisions:
* What is cached is the request's beginning: system instruction, tools, contents. A request that names it is parsed as one with both.
* The tokens of a cache are counted when it is made, and reported as cached in each response that uses it.
* It is kept for an hour unless `ttl` or `expireTime` say otherwise.

Source: google-genai SDK 3.6, caches.py, types.CachedContent; ai.google.dev/api/caching; messages of the API in
googleapis/python-genai#1174 (model), langchain-ai/langchain-google#1189 (tools), google-gemini/generative-ai-js#254 (size).
"""

from typing import Any

import msgspec

from llmsim.errors import ApiRuleError
from llmsim.providers.contract import EndpointContext, IncomingRequest, Reply, ResourceEndpoint
from llmsim.providers.gemini.messages import GenerateContentRequest, GenerationConfig
from llmsim.providers.gemini.pages import read_page
from llmsim.providers.gemini.prompts import parse_prompt
from llmsim.providers.gemini.proto_json import read_message
from llmsim.providers.gemini.resource_messages import CachedContent, CachedContentChange
from llmsim.providers.gemini.timestamps import parse_duration, parse_time, render_time
from llmsim.providers.storage import Document
from llmsim.wire.codec import encode

_KIND = "gemini.cached_content"
_PREFIX = "cachedContents/"
_DEFAULT_TTL_SECS = 3_600
_MIN_TOKENS = 1_024
_MAX_NAME = 128
_DEFAULT_PAGE, _LARGEST_PAGE = 50, 1_000

_ABSENT = "CachedContent not found (or permission denied)"


class _Cached(msgspec.Struct, frozen=True, kw_only=True):
    """A cache as it is stored; `body` is the request that made it."""

    id: str
    created: float
    updated: float
    expires: float
    model: str
    display_name: str
    tokens: int
    body: bytes

    def render(self) -> dict[str, Any]:
        """Render it as the API's resource."""
        found: dict[str, Any] = {"name": f"{_PREFIX}{self.id}", "model": f"models/{self.model}"}
        if self.display_name:
            found["displayName"] = self.display_name
        return found | {
            "createTime": render_time(self.created),
            "updateTime": render_time(self.updated),
            "expireTime": render_time(self.expires),
            "usageMetadata": {"totalTokenCount": self.tokens},
        }


_pack = msgspec.msgpack.encode
_read = msgspec.msgpack.Decoder(_Cached).decode


def _document(cached: _Cached) -> Document:
    return Document(id=cached.id, created=cached.created, data=_pack(cached))


async def create(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Cache contents.

    Raises:
        ApiRuleError: A field is wrong, or the contents are too short.
    """
    body = await context.compute(request, read_message, request.body, CachedContent)
    model = body.model.removeprefix("models/")
    if not model:
        raise ApiRuleError("* CreateCachedContentRequest.cached_content.model: model is not specified\n")
    prompt = await context.compute(request, _parse, body, model)
    tokens = await context.count(request, prompt)
    if tokens < _MIN_TOKENS:
        raise ApiRuleError(
            f"Cached content is too small. total_token_count={tokens}, min_total_token_count={_MIN_TOKENS}"
        )
    now = context.now()
    cached = _Cached(
        id=context.new_id(),
        created=now,
        updated=now,
        expires=_expiry(body.ttl, body.expire_time, now, now + _DEFAULT_TTL_SECS),
        model=model[:256],
        display_name=body.display_name[:_MAX_NAME],
        tokens=tokens,
        body=request.body,
    )
    await context.objects(_KIND).put(_document(cached))
    return Reply(200, encode(cached.render()))


def _parse(body: CachedContent, model: str) -> Any:
    return parse_prompt(_merged(body, GenerateContentRequest()), model, stream=False, checks_models=False)


def _expiry(ttl: str | None, expire_time: str | None, now: float, default: float) -> float:
    if ttl is not None and expire_time is not None:
        raise ApiRuleError("oneof field 'expiration' is already set. Cannot set 'expireTime'")
    if ttl is not None:
        return now + parse_duration(ttl, "cached_content.ttl")
    if expire_time is None:
        return default
    expires = parse_time(expire_time, "cached_content.expire_time")
    if expires <= now:
        raise ApiRuleError("expire_time must be in the future.")
    return expires


async def _find(context: EndpointContext, name: str) -> _Cached:
    document = await context.objects(_KIND).get(name)
    cached = None if document is None else _read(document.data)
    if cached is None or context.now() >= cached.expires:
        raise ApiRuleError(_ABSENT, status=403)
    return cached


async def retrieve(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return the metadata of a cache."""
    return Reply(200, encode((await _find(context, request.path_params["cached"])).render()))


async def list_caches(context: EndpointContext, request: IncomingRequest) -> Reply:
    """List caches, the newest first, in pages."""
    found, token = await read_page(context, _KIND, request, default=_DEFAULT_PAGE, most=_LARGEST_PAGE)
    caches = [_read(document.data) for document in found]
    page: dict[str, Any] = {"cachedContents": [one.render() for one in caches if context.now() < one.expires]}
    if token:
        page["nextPageToken"] = token
    return Reply(200, encode(page))


async def update(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Change how long a cache is kept, which is all that can be changed."""
    change = read_message(request.body, CachedContentChange)
    cached = await _find(context, request.path_params["cached"])
    now = context.now()
    expires = _expiry(change.ttl, change.expire_time, now, cached.expires)
    cached = msgspec.structs.replace(cached, updated=now, expires=expires)
    await context.objects(_KIND).put(_document(cached))
    return Reply(200, encode(cached.render()))


async def delete(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Delete a cache."""
    cached = await _find(context, request.path_params["cached"])
    await context.objects(_KIND).delete(cached.id)
    return Reply(200, b"{}")


def check_cached_use(body: GenerateContentRequest) -> None:
    """Check that a request that names a cache leaves out what the cache has.

    Raises:
        ApiRuleError: It does not.
    """
    if body.system_instruction is not None or body.tools or body.tool_config is not None:
        raise ApiRuleError(
            "CachedContent can not be used with GenerateContent request setting system_instruction, tools or tool_config.\n\n"
            "Proposed fix: move those values to CachedContent from GenerateContent request."
        )


async def with_cached(
    context: EndpointContext, body: GenerateContentRequest, model: str
) -> tuple[GenerateContentRequest, int]:
    """Return a request with what it has cached before it, and the tokens of that.

    Raises:
        ApiRuleError: There is no such cache, or it is of another model.
    """
    cached = await _find(context, (body.cached_content or "").removeprefix(_PREFIX))
    if cached.model != model:
        raise ApiRuleError(
            f"Model used by GenerateContent request (models/{model[:256]}) and CachedContent (models/{cached.model}) has to be the "
            "same."
        )
    return _merged(read_message(cached.body, CachedContent), body), cached.tokens


def _merged(cached: CachedContent, body: GenerateContentRequest) -> GenerateContentRequest:
    return msgspec.structs.replace(
        body,
        contents=[*cached.contents, *body.contents],
        system_instruction=cached.system_instruction,
        tools=cached.tools,
        tool_config=cached.tool_config,
        generation_config=body.generation_config or GenerationConfig(),
        cached_content=None,
    )


def cache_endpoints(version: str) -> tuple[ResourceEndpoint, ...]:
    """Return the endpoints of caches under a version of the API."""
    every, one = f"/{version}/cachedContents", f"/{version}/cachedContents/{{cached}}"
    return (
        ResourceEndpoint(label="cached_contents", method="POST", path=every, run=create),
        ResourceEndpoint(label="cached_contents", method="GET", path=every, run=list_caches),
        ResourceEndpoint(label="cached_contents", method="GET", path=one, run=retrieve),
        ResourceEndpoint(label="cached_contents", method="PATCH", path=one, run=update),
        ResourceEndpoint(label="cached_contents", method="DELETE", path=one, run=delete),
    )
