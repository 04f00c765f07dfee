"""The addresses of Azure OpenAI, made from the endpoints of the OpenAI API.

Decisions:
* An endpoint is the OpenAI API's own, called by another address: what it parses and renders is what that parses and renders, so an
  endpoint that is added there is served here.
* With `api-version` in its query, a request names its deployment in the path, or is about something stored. `/openai/v1` is the OpenAI
  API's paths as they are. A deployment is the model, unless the body names one.
* Addresses of one endpoint share its row in the stats.

Source: Azure OpenAI REST API reference, "Data plane inference", 2024-10-21; "API lifecycle", v1; openai SDK 3.57, lib/azure.py
(`_deployments_endpoints`); `@ai-sdk/azure` sends `api-version=v1`.
"""

import re
from collections.abc import Callable, Sequence, Set
from typing import Any

import msgspec
from msgspec.structs import replace

from llmsim.domain import Fault, Turn
from llmsim.errors import (
    ApiRuleError,
    InvalidFieldError,
    InvalidJsonError,
    UnknownModelError,
    UnknownRouteError,
)
from llmsim.providers.azure.content_filters import (
    annotate_choices,
    annotate_chunks,
    annotate_events,
    annotate_response,
)
from llmsim.providers.azure.errors import fault_renderer, refusal_renderer
from llmsim.providers.contract import (
    ChannelFormat,
    Download,
    EndpointContext,
    GenerationEndpoint,
    IncomingRequest,
    ParsedRequest,
    Replay,
    Reply,
    ResourceEndpoint,
)
from llmsim.wire.codec import decoder
from llmsim.wire.frames import FrameBatch, sse

_ROOT = "/openai"
_V1 = f"{_ROOT}/v1"
_DEPLOYMENT = f"{_ROOT}/deployments/{{deployment}}"

_DEPLOYED = re.compile(r"/v1(/(?:chat/completions|completions|embeddings|images/\w+|audio/\w+))")
"""Paths of the OpenAI API that a deployment serves."""

_DATED = re.compile(r"/v1(/(?:responses|models|files|uploads|batches|vector_stores)(?:/.*)?)")
"""Paths that are served with an `api-version`, but without a deployment."""

_MISSING = re.compile(r"/v1/(?:moderations|conversations)\b.*")
"""Paths that Azure does not have."""

_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?|v1|preview|latest")

_NO_VERSION = ". The query needs an api-version, e.g. api-version=2024-10-21 (llmsim)"


class _Additions(msgspec.Struct, frozen=True):
    """What Azure adds to what an endpoint renders.

    Attributes:
        whole: Adds to a whole response.
        stream: Adds to a streamed one.
        has_own_fault: Whether a failing stream ends with Azure's error as an event.
    """

    whole: Callable[[bytes], bytes]
    stream: Callable[[Sequence[FrameBatch]], Sequence[FrameBatch]]
    has_own_fault: bool = True


_CHOICES = _Additions(annotate_choices, annotate_chunks)
_RESPONSES = _Additions(annotate_response, annotate_events, has_own_fault=False)

_ADDITIONS = {
    "/v1/chat/completions": _CHOICES,
    "/v1/completions": _CHOICES,
    "/v1/responses": _RESPONSES,
}


def generation_endpoints(
    openai: Sequence[GenerationEndpoint[Any]], deployments: Set[str]
) -> tuple[GenerationEndpoint[Any], ...]:
    """Return the generating endpoints.

    Args:
        openai: Those of the OpenAI API.
        deployments: The names of the deployments; any name will do if there are none.
    """
    served = [endpoint for endpoint in openai if not _MISSING.fullmatch(endpoint.path)]
    return tuple(
        _address(endpoint, path, deployments) for endpoint in served for path in _addresses(endpoint.path)
    )


def resource_endpoints(openai: Sequence[ResourceEndpoint]) -> tuple[ResourceEndpoint, ...]:
    """Return the other endpoints.

    Args:
        openai: Those of the OpenAI API.
    """
    return tuple(
        _resource(endpoint, path)
        for endpoint in openai
        if not _MISSING.fullmatch(endpoint.path)
        for path in _addresses(endpoint.path)
        # A deployment generates; what is stored of it is found without naming it.
        if endpoint.method == "POST" or not path.startswith(_DEPLOYMENT)
    )


def _addresses(path: str) -> list[str]:
    """Return the addresses of a path of the OpenAI API."""
    found = [_ROOT + path]
    if (deployed := _DEPLOYED.fullmatch(path)) is not None:
        found.append(_DEPLOYMENT + deployed[1])
    elif (dated := _DATED.fullmatch(path)) is not None:
        found.append(_ROOT + dated[1])
    return found


def _address(endpoint: GenerationEndpoint[Any], path: str, deployments: Set[str]) -> GenerationEndpoint[Any]:
    """Return a generating endpoint of the OpenAI API at an address."""
    http, additions = endpoint.http, _ADDITIONS.get(endpoint.path)
    render_fault = fault_renderer(http.render_fault)
    render_response = endpoint.render_response
    http = replace(
        http,
        parse=_parser(http.parse, endpoint.path, is_dated=_is_dated(path), deployments=deployments),
        render_refusal=refusal_renderer(http.render_refusal),
        render_fault=render_fault,
    )
    if additions is not None:
        http, render_response = _add(additions, http, render_response)
    return replace(
        endpoint,
        path=path,
        label=f"azure_{endpoint.label}",
        http=http,
        render_response=render_response,
        websocket=None,
    )


def _add(
    additions: _Additions, http: ChannelFormat[Any], render_response: Callable[[Turn, Any], bytes]
) -> tuple[ChannelFormat[Any], Callable[[Turn, Any], bytes]]:
    """Return a format and a renderer of whole responses with what Azure adds."""
    render_stream = http.render_stream
    assert render_stream is not None, "what has choices or events can be streamed"

    def render_whole(turn: Turn, options: Any) -> bytes:
        return additions.whole(render_response(turn, options))

    def render_frames(turn: Turn, options: Any) -> Sequence[FrameBatch]:
        return additions.stream(render_stream(turn, options))

    def render_stream_fault(turn: Turn, options: Any, fault: Fault, frames: int) -> bytes:  # noqa: ARG001 - the signature of all endpoints
        return sse(http.render_fault(fault).body)

    added = replace(http, render_stream=render_frames)
    if additions.has_own_fault:
        added = replace(added, render_stream_fault=render_stream_fault)
    return added, render_whole


def _parser(
    parse: Callable[[IncomingRequest], ParsedRequest[Any]],
    path: str,
    *,
    is_dated: bool,
    deployments: Set[str],
) -> Callable[[IncomingRequest], ParsedRequest[Any]]:
    def parse_request(request: IncomingRequest) -> ParsedRequest[Any]:
        parsed = parse(_as_openai(request, path, is_dated=is_dated))
        if deployments and parsed.prompt.model not in deployments:
            raise UnknownModelError(parsed.prompt.model)
        return parsed

    return parse_request


def _resource(endpoint: ResourceEndpoint, path: str) -> ResourceEndpoint:
    """Return another endpoint of the OpenAI API at an address."""
    run, additions = endpoint.run, _ADDITIONS.get("/".join(endpoint.path.split("/")[:3]))

    async def run_there(context: EndpointContext, request: IncomingRequest) -> Reply | Replay | Download:
        own_path = request.path.removeprefix(_ROOT)
        own_path = own_path if own_path.startswith("/v1/") else f"/v1{own_path}"
        answer = await run(context, _as_openai(request, own_path, is_dated=_is_dated(path)))
        if additions is None or endpoint.method == "DELETE" or isinstance(answer, Download):
            return answer
        if isinstance(answer, Replay):
            return replace(answer, frames=additions.stream(answer.frames))
        return replace(answer, body=additions.whole(answer.body))

    return replace(endpoint, path=path, run=run_there)


def _is_dated(path: str) -> bool:
    """Return whether an address needs an `api-version`."""
    return not path.startswith(f"{_V1}/")


def _as_openai(request: IncomingRequest, path: str, *, is_dated: bool) -> IncomingRequest:
    """Return a request as the OpenAI API gets it.

    Args:
        request: The request.
        path: The path of the OpenAI API.
        is_dated: Whether it needs an `api-version`.

    Raises:
        UnknownRouteError: It needs an `api-version`.
        ApiRuleError: Its `api-version` is no version.
    """
    version = request.query.get("api-version")
    if version is None or not _VERSION.fullmatch(version):
        if is_dated:
            raise UnknownRouteError(request.method, request.path, _NO_VERSION)
        if version is not None:
            raise ApiRuleError("API version not supported", code="BadRequest")
    deployment = request.path_params.get("deployment")
    body, form = request.body, request.form
    if deployment is not None and form is not None:
        if not form.get("model"):
            own = tuple([field for field in form.fields if field[0] != "model"])
            form = replace(form, fields=(*own, ("model", deployment)))
            body = form.as_body()
    elif deployment is not None:
        body = _with_model(body, deployment)
    return replace(request, path=path, prefix=request.prefix + _ROOT, body=body, form=form)


_decode_members = decoder(dict[str, msgspec.Raw])
_NO_MODEL = (b"null", b'""')


def _with_model(body: bytes, deployment: str) -> bytes:
    """Return a request with its deployment as the model, unless it names one."""
    try:
        members = _decode_members(body)
    except (InvalidJsonError, InvalidFieldError):
        # It is refused in the words of the OpenAI API.
        return body
    if "model" in members and bytes(members["model"]) not in _NO_MODEL:
        return body
    return msgspec.json.encode(members | {"model": msgspec.Raw(msgspec.json.encode(deployment))})
