"""What a provider offers: its endpoints, the functions behind them, and its error bodies and headers.

Decisions:
* A provider is a value, not a class to inherit from: two providers share only this shape.
* `parse` gets the whole request, so that a model in the path or a version in a header needs no special case. It may refuse.
* Everything that renders is total and pure: ids, time and random numbers come with the turn, so golden files are byte-exact.
* How an endpoint reads and writes depends on the channel: HTTP and WebSocket have a format each, and both run by the same code.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from llmsim.catalogue import Model
from llmsim.domain import Fault, Prompt, Turn
from llmsim.domain.quota import Limits, QuotaStatus
from llmsim.errors import RefusedError
from llmsim.providers.forms import Form
from llmsim.providers.storage import (
    ContentCollection,
    DocumentCollection,
    FileUse,
    ResponseStorage,
    StoredResponse,
)
from llmsim.wire.frames import FrameBatch

O = TypeVar("O")  # noqa: E741 - the options of an endpoint
R = TypeVar("R")

Headers = tuple[tuple[str, str], ...]
"""Response headers in order; names in lower case."""


class IncomingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it arrived, by whatever channel.

    Attributes:
        method: HTTP method; of a message over WebSocket that of its handshake.
        path: Path below the provider's prefix.
        path_params: Variables of the path.
        query: Variables of the query; of repeated ones the last, and of arrays (`ids[]`) all values, with commas.
        headers: By name in lower case.
        body: As sent, or the message over WebSocket; empty if there is none.
        scheme: `http` or `https`.
        server: Host and port of the server, for clients that send no `host`; None if unknown.
        prefix: The provider's prefix, behind that of a proxy if there is one.
        arrival: Instant of arrival on the monotonic clock, in seconds.
        form: The body as a form, where the endpoint takes forms and one was sent; `body` then names the files by their digests.
    """

    method: str = "POST"
    path: str = ""
    path_params: Mapping[str, str] = MappingProxyType({})  # PERF: a dict for each is 64 bytes
    query: Mapping[str, str] = MappingProxyType({})
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""
    scheme: str = "http"
    server: tuple[str, int | None] | None = None
    prefix: str = ""
    arrival: float = 0.0
    form: Form | None = None

    @property
    def params(self) -> dict[str, str]:
        """Variables of query and path; those of the path win."""
        return {**self.query, **self.path_params}

    @property
    def base_url(self) -> str:
        """Address of the provider as the client reached it, e.g. `http://localhost:8080/openai`."""
        host = self.headers.get("host")
        if host is None:
            name, port = self.server or ("localhost", None)
            host = name if port is None else f"{name}:{port}"
        return f"{self.scheme}://{host}{self.prefix}"


class ParsedRequest(msgspec.Struct, Generic[O], frozen=True, gc=False):
    """A request as parsed.

    Attributes:
        prompt: What the requests of all providers have in common.
        options: What only the renderers of this endpoint understand.
        is_warm_up: Whether it asks for an empty turn to continue, as the WebSocket of Responses has it.
        files: Uploaded files that it names; whether they exist is still to be checked.
        depends_on_headers: Whether parsing read more headers than `ChannelFormat.parsed_headers`; it is not remembered then.
        is_texts: Whether it is known to be texts, answered by one and neither stored nor continued; any other may be all that, too.
    """

    prompt: Prompt
    options: O
    is_warm_up: bool = False
    files: tuple[FileUse, ...] = ()
    depends_on_headers: bool = False
    is_texts: bool = False


class Reply(msgspec.Struct, frozen=True):
    """A whole response.

    Attributes:
        status: HTTP status code.
        body: JSON, unless `headers` names another content type.
        headers: Besides those of `Provider.response_headers`.
    """

    status: int
    body: bytes
    headers: Headers = ()


class Download(msgspec.Struct, frozen=True):
    """An uploaded content as the response. Whatever is in it, no browser runs it.

    Attributes:
        content_id: The content.
        size: Its bytes.
        content_type: Its type, or `application/octet-stream`.
        filename: Under which it is saved.
    """

    content_id: str
    size: int
    content_type: str = "application/octet-stream"
    filename: str = ""


class Replay(msgspec.Struct, frozen=True):
    """A stored response to be streamed again, at the pace at which it was generated.

    Attributes:
        stored: The response.
        frames: What is to be streamed of it.
        headers: Besides those of `Provider.response_headers`.
    """

    stored: StoredResponse[Any]
    frames: Sequence[FrameBatch]
    headers: Headers


class ChannelFormat(msgspec.Struct, Generic[O], frozen=True, kw_only=True):
    """How a generating endpoint reads requests and writes responses on one kind of channel.

    Attributes:
        parse: Parses a request; raises `RefusedError`. What it returns depends on the endpoint, body, query, path parameters and the
            headers of `parsed_headers` alone: it may be remembered for the next request of the same bytes.
        parsed_headers: Names of the headers that `parse` reads.
        render_refusal: Renders a refused request.
        render_fault: Renders a simulated failure.
        render_stream: Renders the frames of a streamed response, over WebSocket events as JSON, one a line; None if it does not stream.
        render_stream_fault: Renders the final bytes of a failing stream, given turn, options, fault and frames already sent.
        stream_headers: HTTP headers of a streamed response, besides those of `Provider.response_headers`.
        choose_stream_headers: Chooses them by the options, where they differ; None if `stream_headers` are those of all streams.
        reads_address: Whether `parse` reads the address at which the client reached the server.
    """

    parse: Callable[[IncomingRequest], ParsedRequest[O]]
    render_refusal: Callable[[RefusedError], Reply]
    render_fault: Callable[[Fault], Reply]
    parsed_headers: tuple[str, ...] = ()
    render_stream: Callable[[Turn, O], Sequence[FrameBatch]] | None = None
    render_stream_fault: Callable[[Turn, O, Fault, int], bytes] | None = None
    stream_headers: Headers = ()
    choose_stream_headers: Callable[[O], Headers] | None = None
    reads_address: bool = False

    def headers_of(self, options: O) -> Headers:
        """Return the HTTP headers of a streamed response."""
        choose = self.choose_stream_headers
        return self.stream_headers if choose is None else choose(options)


class WebSocketFormat(msgspec.Struct, Generic[O], frozen=True, kw_only=True):
    """How a generating endpoint speaks over WebSocket: GET on its path, with an upgrade.

    Attributes:
        messages: How messages are read and written.
        render_limit: Renders the event that says why no further message is answered.
        previous_id: Returns the id of the response that a message, whatever is wrong with it, means to continue; None for none.
    """

    messages: ChannelFormat[O]
    render_limit: Callable[[str], Reply]
    previous_id: Callable[[bytes], str | None] = lambda _: None


class GenerationEndpoint(msgspec.Struct, Generic[O], frozen=True, kw_only=True):
    """An endpoint that generates a turn for each request: POST, streamed or not.

    Attributes:
        path: The API's original path, e.g. `/v1/chat/completions`.
        label: The endpoint's name in the stats, where it counts as `<label>_requests`; endpoints of one label are counted together.
        http: How requests are read and responses written over HTTP.
        render_response: Renders the body of the whole response.
        response_headers: Returns the headers of the whole response, the content type first; None if it is JSON.
        storage: How its responses are stored; None if they are not.
        websocket: How it speaks over WebSocket; None if it does not.
        splits_turns: Whether clients send a turn back as several items, not as one message.
        shows_reasoning: Whether the reasoning of a scenario is shown though no request can ask for it.
        takes_forms: Whether a body may be a form (`multipart/form-data`).
        load_files: Reads the uploaded files that a request names into the request, or raises `RefusedError`; None to take any ids.
    """

    path: str
    label: str
    http: ChannelFormat[O]
    render_response: Callable[[Turn, O], bytes]
    response_headers: Callable[[O], Headers] | None = None
    storage: ResponseStorage[O] | None = None
    websocket: WebSocketFormat[O] | None = None
    splits_turns: bool = False
    shows_reasoning: bool = False
    takes_forms: bool = False
    load_files: "Callable[[EndpointContext, ParsedRequest[O]], Awaitable[ParsedRequest[O]]] | None" = None


class EndpointContext(Protocol):
    """The services of a worker that resource endpoints use.

    Attributes:
        models: The listed models by id.
    """

    models: Mapping[str, Model]

    def now(self) -> float:
        """Return the Unix time, in seconds."""
        ...

    def new_id(self) -> str:
        """Return a new unique id."""
        ...

    def model(self, name: str) -> Model | None:
        """Return the listed model of that id, alias or snapshot; None if there is no such model."""
        ...

    async def compute(
        self, request: IncomingRequest, work: Callable[..., R], *args: Any, in_thread: bool = False
    ) -> R:
        """Return `work(*args)`, computed in a thread if the request is large or if asked to, so that other requests go on."""
        ...

    async def count(self, request: IncomingRequest, prompt: Prompt) -> int:
        """Count the tokens of a prompt that comes with a request."""
        ...

    async def plan(self, request: IncomingRequest, prompt: Prompt, body: bytes) -> Turn | Fault:
        """Plan the response to a prompt that comes with a request, such as a line of a batch.

        Args:
            request: The request that brings it.
            prompt: The prompt.
            body: The body that the prompt was parsed from.

        Raises:
            RefusedError: The model would not accept it.
        """
        ...

    def documents(self, kind: str) -> DocumentCollection:
        """Return the stored documents of a kind."""
        ...

    def objects(self, kind: str) -> DocumentCollection:
        """Return the objects of a kind that clients create and delete; responses do not evict them."""
        ...

    @property
    def contents(self) -> ContentCollection:
        """The contents of uploaded files."""
        ...

    async def find(self, storage: ResponseStorage[O], public_id: str) -> StoredResponse[O] | None:
        """Return a stored response, or None if there is no such response."""
        ...

    async def change(
        self,
        storage: ResponseStorage[O],
        public_id: str,
        change: Callable[[StoredResponse[O]], StoredResponse[O]],
    ) -> StoredResponse[O] | None:
        """Change a stored response atomically over all workers; None if there is no such response."""
        ...

    async def delete(self, storage: ResponseStorage[Any], public_id: str) -> bool:
        """Delete a stored response; return whether there was one."""
        ...

    async def page(
        self,
        storage: ResponseStorage[O],
        *,
        limit: int,
        after: str | None,
        ascending: bool,
        model: str | None,
        metadata: Mapping[str, str],
    ) -> tuple[list[StoredResponse[O]], bool]:
        """List stored responses; return them and whether more follow.

        Raises:
            KeyError: There is no response `after`.
        """
        ...


class ResourceEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that does not generate and is answered at once.

    Attributes:
        method: HTTP method.
        path: The API's original path, with `{name}` for a variable part.
        run: Answers a request; raises `RefusedError`.
        is_open: Whether it needs no API key.
        is_public: Whether it neither shows nor changes what is stored, so that web pages of any origin may call it.
        takes_forms: Whether a body may be a form (`multipart/form-data`).
        passes_controls: Whether the `x-llmsim-*` headers of a request are for what it has generated, as in a batch.
        label: Its name in the stats, those of one label are counted together; empty for the first part of its path.
    """

    method: str
    path: str
    run: Callable[[EndpointContext, IncomingRequest], Awaitable[Reply | Replay | Download]]
    is_public: bool = False
    is_open: bool = False
    takes_forms: bool = False
    passes_controls: bool = False
    label: str = ""


RenderLimits = Callable[[QuotaStatus], bytes]
"""Renders the header lines that say what is left of certain limits."""


class LimitHeaders(msgspec.Struct, frozen=True, kw_only=True):
    """The headers that say what is left of an account's limits: on every response of a generating endpoint.

    Attributes:
        nominal: Where no limits are set. `{now}` in a value stands for the time in seconds, as RFC 3339 has it.
        prepare: Returns what renders the header lines of a request with certain limits.
    """

    nominal: Headers
    prepare: Callable[[Limits], RenderLimits]


def _unchanged(reply: Reply, request_id: str) -> Reply:  # noqa: ARG001 - the shape of `Provider.add_request_id`
    return reply


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One API.

    Attributes:
        name: The folder's name.
        prefix: What is put before the API's original paths, e.g. `/openai`.
        base_path: What the vendor's own SDKs take as their base URL, behind host and port: `/openai/v1`, but `/anthropic`.
        generation_endpoints: Endpoints that generate.
        resource_endpoints: Its other endpoints.
        render_refusal: Renders a refused request in the provider's envelope and words.
        render_fault: Renders a simulated failure likewise.
        render_crash: Renders a bug of llmsim likewise: status 500.
        response_headers: The headers that every response has. `{request_id}` and `{elapsed_ms}` in a value stand for its facts.
        limit_headers: The headers that say what is left of an account's limits.
        check_headers: Checks the headers of a request, by name in lower case, before all else; raises `RefusedError`.
            None if any headers will do.
        is_bare: Whether its paths are served without the prefix, too.
        own_header: A header that distinguishes its requests from those of other APIs, where several serve a path without prefix.
        add_request_id: Adds the request id to a refusal, fault or crash, where the API's errors carry it in their body.
        key_headers: Headers that may hold the API key, the first that was sent counts; `authorization` holds it as a bearer token.
        key_param: Variable of the query that may hold the API key, if no header does; None if no variable may.
        browser_header: Header that must be `true` in requests of web pages; None if pages may call without one.
        books_output_as_generated: Whether tokens of the output count against limits when they are generated, not their maximum when
            the request is admitted.
    """

    name: str
    prefix: str
    base_path: str
    generation_endpoints: tuple[GenerationEndpoint[Any], ...]
    resource_endpoints: tuple[ResourceEndpoint, ...]
    render_refusal: Callable[[RefusedError], Reply]
    render_fault: Callable[[Fault], Reply]
    render_crash: Callable[[], Reply]
    response_headers: Headers
    limit_headers: LimitHeaders
    check_headers: Callable[[Mapping[str, str]], None] | None = None
    is_bare: bool = False
    own_header: str | None = None
    add_request_id: Callable[[Reply, str], Reply] = _unchanged
    key_headers: tuple[str, ...] = ("authorization",)
    key_param: str | None = None
    browser_header: str | None = None
    books_output_as_generated: bool = False
