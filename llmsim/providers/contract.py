"""What a provider offers: routes with the functions behind them, and its way to say no.

Decisions:
* A provider is a value, not a class to inherit: two providers share nothing but this shape.
* `parse` may refuse; everything that renders is total and pure: ids, time and dice come with
  the turn, so golden files are byte-exact.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from llmsim.catalogue import Model
from llmsim.domain import Fault, Prompt, Turn
from llmsim.errors import RefusedError
from llmsim.providers.storage import Document, ResponseStorage, StoredResponse
from llmsim.wire.frames import FrameBatch


class Reply(msgspec.Struct, frozen=True):
    """A whole HTTP response.

    Attributes:
        status: HTTP status code.
        body: JSON, unless `headers` names another content type.
        headers: Names in lower case, beside those of `Provider.headers`.
    """

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class ParsedRequest(msgspec.Struct, frozen=True):
    """A request as parsed.

    Attributes:
        prompt: What every provider's requests have in common.
        options: What only this endpoint's renderers understand.
    """

    prompt: Prompt
    options: Any


class Replay(msgspec.Struct, frozen=True):
    """A kept turn to be streamed anew, at the pace at which it came about.

    Attributes:
        stored: The turn.
        runs: What is to be streamed of it.
    """

    stored: StoredResponse
    runs: tuple[FrameBatch, ...]


class Socket(msgspec.Struct, frozen=True, kw_only=True):
    """How a generating endpoint speaks over WebSocket: GET on its path, with an upgrade.

    Attributes:
        parse: From a message; raises `RefusedError`.
        is_warm_up: Whether a request asks for nothing but a turn to continue.
        render_stream: The frames of a turn: events as JSON, one a line.
        render_broken: The events with which a turn ends that goes wrong, likewise; see `GenerationEndpoint`.
        render_refusal: The event for a refused message.
        render_fault: The event for a simulated failure.
        render_limit: The event that says why no further turn is answered.
    """

    parse: Callable[[bytes], ParsedRequest]
    is_warm_up: Callable[[ParsedRequest], bool]
    render_stream: Callable[[Turn, Any], tuple[FrameBatch, ...]]
    render_broken: Callable[[Turn, Any, Fault, int], bytes]
    render_refusal: Callable[[RefusedError], bytes]
    render_fault: Callable[[Fault], bytes]
    render_limit: Callable[[str], bytes]


class GenerationEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that plans a turn for each request: POST, streamed or not.

    Attributes:
        path: The API's original path, e.g. `/v1/chat/completions`.
        label: The endpoint's name in the stats, where it counts as `<label>_requests`.
        parse: From the body; raises `RefusedError`.
        render_answer: The body of the whole answer.
        render_stream: The frames of the streamed answer; None if it does not stream.
        render_broken: What a stream ends with that goes wrong: from the turn, the options, what goes wrong, and how many
            frames have left; None if it does not stream.
        is_heavy: Whether a request is much work although its body is small; None if none is.
        storage: How its turns are kept; None if they are not.
        socket: How it speaks over WebSocket; None if it does not.
        render_refusal: A refused request, where the endpoint has words of its own; None for its provider's.
    """

    path: str
    label: str
    parse: Callable[[bytes], ParsedRequest]
    render_answer: Callable[[Turn, Any], bytes]
    render_stream: Callable[[Turn, Any], tuple[FrameBatch, ...]] | None = None
    render_broken: Callable[[Turn, Any, Fault, int], bytes] | None = None
    is_heavy: Callable[[Prompt], bool] | None = None
    storage: ResponseStorage | None = None
    socket: Socket | None = None
    render_refusal: Callable[[RefusedError], Reply] | None = None


class ResourceRequest(msgspec.Struct, frozen=True):
    """A request to an operation.

    Attributes:
        params: Variables of query and path.
        body: As sent; empty if there is none.
        base: Address of the provider as the client reached it, e.g. `http://localhost:8080/openai`.
    """

    params: Mapping[str, str]
    body: bytes = b""
    base: str = ""


class DocumentCollection(Protocol):
    """Documents of one kind that are kept, the same ones for all workers."""

    def put(self, document: Document) -> None:
        """Keep a document, in place of the one of that id if there is any."""
        ...

    def get(self, document_id: str) -> Document | None:
        """Look a document up."""
        ...

    def edit(self, document_id: str, change: Callable[[Document], Document]) -> Document | None:
        """Change a document, over all workers at once; None if it is not kept."""
        ...

    def delete(self, document_id: str) -> bool:
        """Delete a document; tell whether it was kept."""
        ...

    def page(self, *, limit: int, after: str | None, before: str | None) -> tuple[list[Document], bool]:
        """List documents, the newest first; tell whether more follow.

        Raises:
            KeyError: `after` or `before` is not kept.
        """
        ...


class EndpointContext(Protocol):
    """What an operation may look up, and have done.

    Attributes:
        models: The models that are listed, by id.
    """

    models: Mapping[str, Model]

    def now(self) -> float:
        """Give the moment on the monotonic clock, in seconds."""
        ...

    def unix(self) -> int:
        """Give the Unix time, in seconds."""
        ...

    def new_id(self) -> str:
        """Give an id that was never given before."""
        ...

    def model(self, name: str) -> Model | None:
        """Give the listed model of that id, alias or snapshot; None if there is none."""
        ...

    def count(self, prompt: Prompt) -> int:
        """Count the tokens of a prompt."""
        ...

    def plan(self, prompt: Prompt) -> Turn | Fault:
        """Decide what a prompt is answered.

        Raises:
            RefusedError: The model would not take it.
        """
        ...

    def shelf(self, kind: str) -> DocumentCollection:
        """Give the documents of a kind."""
        ...

    def find(self, storage: ResponseStorage, public_id: str) -> StoredResponse | None:
        """Look a kept turn up."""
        ...

    def change(
        self, storage: ResponseStorage, public_id: str, change: Callable[[StoredResponse], StoredResponse]
    ) -> StoredResponse | None:
        """Change a kept turn; None if it is not kept."""
        ...

    def forget(self, storage: ResponseStorage, public_id: str) -> bool:
        """Delete a kept turn; tell whether it was kept."""
        ...

    def page(
        self,
        storage: ResponseStorage,
        *,
        limit: int,
        after: str | None,
        ascending: bool,
        model: str | None,
        metadata: Mapping[str, str],
    ) -> tuple[list[StoredResponse], bool]:
        """List kept turns; tell whether more follow.

        Raises:
            KeyError: `after` is not kept.
        """
        ...


class ResourceEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that does not generate, and is answered at once.

    Attributes:
        method: HTTP method.
        path: The API's original path, with `{name}` for a variable part.
        run: Answers a call; raises `RefusedError`.
    """

    method: str
    path: str
    run: Callable[[EndpointContext, ResourceRequest], Reply | Replay]


def _unsigned(reply: Reply, request_id: str) -> Reply:  # noqa: ARG001 - the shape of `Provider.sign`
    """Leave a reply as it is."""
    return reply


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One API.

    Attributes:
        name: The folder's name.
        prefix: What stands before the API's original paths, e.g. `/openai`.
        generations: Its generating endpoints.
        operations: Its other endpoints.
        render_refusal: A refused request in the provider's envelope and words.
        render_fault: A simulated failure likewise.
        render_crash: A bug of llmsim's own likewise: status 500.
        headers: Headers of every response, from the request id and the seconds since its arrival.
        admit: Looks at the headers of a request, by name in lower case, before all else; raises `RefusedError`.
            None where any will do.
        sign: Puts the request id into a refusal, fault or crash, where the API's errors carry it in their body.
    """

    name: str
    prefix: str
    generations: tuple[GenerationEndpoint, ...]
    operations: tuple[ResourceEndpoint, ...]
    render_refusal: Callable[[RefusedError], Reply]
    render_fault: Callable[[Fault], Reply]
    render_crash: Callable[[], Reply]
    headers: Callable[[str, float], tuple[tuple[str, str], ...]]
    admit: Callable[[Mapping[str, str]], None] | None = None
    sign: Callable[[Reply, str], Reply] = _unsigned
