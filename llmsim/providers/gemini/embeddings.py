"""`embedContent` and `batchEmbedContents`: contents are parsed to texts, and a turn's vectors are rendered as lists.

Source: google-genai SDK 3.6, types.EmbedContentConfig, EmbedContentResponse; ai.google.dev/api/embeddings.
"""

import sys
from array import array

import msgspec

from llmsim.domain import Embedding, Message, Prompt, Turn
from llmsim.errors import ApiRuleError
from llmsim.providers.contract import IncomingRequest, ParsedRequest
from llmsim.providers.gemini.messages import (
    BatchEmbedContentsRequest,
    Content,
    EmbedContentRequest,
)
from llmsim.providers.gemini.proto_json import read_message
from llmsim.providers.gemini.request import model_of
from llmsim.wire.codec import encode

_MOST_REQUESTS = 100
"""Source: the API's message, `at most 100 requests can be in one batch`."""


class EmbedOptions(msgspec.Struct, frozen=True, gc=False):
    """Options for the renderer of embeddings.

    Attributes:
        is_batch: Whether several contents were sent.
    """

    is_batch: bool = False


def parse_single(request: IncomingRequest) -> ParsedRequest[EmbedOptions]:
    """Parse a request for one vector.

    Raises:
        InvalidJsonError: The body is not JSON.
        ApiRuleError: A field is unknown, wrong or missing.
    """
    return _parsed(model_of(request), [read_message(request.body, EmbedContentRequest)], is_batch=False)


def parse_batch(request: IncomingRequest) -> ParsedRequest[EmbedOptions]:
    """Parse a request for several vectors.

    Raises:
        InvalidJsonError: The body is not JSON.
        ApiRuleError: A field is unknown, wrong or missing, or the requests differ in what they ask.
    """
    requests = read_message(request.body, BatchEmbedContentsRequest).requests
    if not requests:
        raise ApiRuleError("* BatchEmbedContentsRequest.requests: requests is not specified\n")
    if len(requests) > _MOST_REQUESTS:
        raise ApiRuleError(
            f"* BatchEmbedContentsRequest.requests: at most {_MOST_REQUESTS} requests can be in one batch\n"
        )
    return _parsed(model_of(request), requests, is_batch=True)


def _parsed(
    model: str, requests: list[EmbedContentRequest], *, is_batch: bool
) -> ParsedRequest[EmbedOptions]:
    name = "BatchEmbedContentsRequest.requests[{}]" if is_batch else "EmbedContentRequest"
    sizes = {request.output_dimensionality for request in requests}
    messages = []
    for index, request in enumerate(requests):
        place = name.format(index)
        if request.model and request.model.removeprefix("models/") != model.removeprefix("models/"):
            raise ApiRuleError(f"* {place}.model: must be the model of the batch\n")
        if request.output_dimensionality is not None and request.output_dimensionality < 1:
            raise ApiRuleError(f"* {place}.output_dimensionality: must be positive\n")
        messages.append(Message("input", _texts(request.content, place)))
    if len(sizes) > 1:
        raise ApiRuleError(
            "* BatchEmbedContentsRequest.requests: output_dimensionality must be the same in all\n"
        )
    prompt = Prompt(model=model, messages=tuple(messages), silent=True, embedding=Embedding(sizes.pop()))
    return ParsedRequest(prompt, EmbedOptions(is_batch=is_batch))


def _texts(content: Content | None, place: str) -> tuple[str, ...]:
    if content is None or not content.parts:
        raise ApiRuleError(f"* {place}.content: contents is not specified\n")
    texts = tuple(part.text for part in content.parts if part.text)
    if not texts:
        raise ApiRuleError(f"* {place}.content: content is empty\n")
    return texts


def render_response(turn: Turn, options: EmbedOptions) -> bytes:
    """Render the whole response."""
    # NOTE: one vector at a time, and one join at the end: an encoder or a copy holds the interpreter lock throughout.
    usage = encode(
        {
            "promptTokenCount": turn.usage.prompt,
            "promptTokenDetails": [{"modality": "TEXT", "tokenCount": turn.usage.prompt}],
        }
    )
    vectors = [b'{"values":%b}' % _numbers(vector) for vector in turn.vectors]
    if not options.is_batch:
        return b'{"embedding":%b,"usageMetadata":%b}' % (vectors[0], usage)
    return b"".join((b'{"embeddings":[', b",".join(vectors), b'],"usageMetadata":', usage, b"}"))


def render_batched(turn: Turn, options: EmbedOptions) -> bytes:  # noqa: ARG001 - the signature of all endpoints
    """Render the response to a request of a batch."""
    return b'{"embedding":{"values":%b},"tokenCount":%d}' % (_numbers(turn.vectors[0]), turn.usage.prompt)


def _numbers(vector: bytes) -> bytes:
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return encode(numbers.tolist())
