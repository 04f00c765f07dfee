"""Embeddings: texts are parsed to a prompt without an answer, and a turn's vectors are rendered as a list.

Decisions:
* Every problem of `input` is refused with the API's one sentence for it, which does not name the problem.
  Source: embeddings-benchmark/mteb#1200 (over 2,048 texts), openai/openai-python#576 (an empty one).
* A list has elements of one kind: texts, token ids, or lists of token ids.

Source of fields: openai SDK 3.54, types/embedding_create_params.py and create_embedding_response.py; the bounds of
lists are those of openai/openai-openapi `CreateEmbeddingRequest`.
"""

import base64
import sys
from array import array
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from llmsim.domain import Embedding, Message, Prompt, Turn
from llmsim.errors import InputError, InvalidFieldError
from llmsim.providers.contract import ChannelFormat, GenerationEndpoint, IncomingRequest, ParsedRequest
from llmsim.providers.openai.errors import render_fault, render_refusal
from llmsim.wire.codec import decoder, encode

_MOST_TEXTS = 2048
_MOST_TOKENS = 300_000
"""Tokens of all texts of a request. Source: openai SDK 3.54, types/embedding_create_params.py."""

_Tokens = list[int]


class EmbeddingsRequest(msgspec.Struct):
    """The body of `POST /v1/embeddings`."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    input: str | list[str | int | _Tokens]
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


class EmbeddingOptions(msgspec.Struct, frozen=True, gc=False):
    """Options for the renderer of embeddings.

    Attributes:
        base64: Whether vectors are rendered in base64, and not as lists of numbers.
    """

    base64: bool = False


_decode = decoder(EmbeddingsRequest)


def parse(incoming: IncomingRequest) -> ParsedRequest[EmbeddingOptions]:
    """Parse a request body.

    Raises:
        InvalidJsonError: It is not JSON.
        InvalidFieldError: A field is missing, wrong or out of range.
        InputError: The input is empty, of a wrong kind, or too many texts.
    """
    try:
        request = _decode(incoming.body)
    except InvalidFieldError as error:
        if error.path[:1] == ("input",) and error.rule != "missing":
            raise InputError(str(error)) from None
        raise
    prompt = Prompt(
        model=request.model,
        messages=_parse_input(request.input),
        silent=True,
        embedding=Embedding(request.dimensions, _MOST_TOKENS),
    )
    return ParsedRequest(prompt, EmbeddingOptions(base64=request.encoding_format == "base64"))


def _parse_input(given: str | list[str | int | _Tokens]) -> tuple[Message, ...]:
    if isinstance(given, str):
        given = [given]
    if len(given) > _MOST_TEXTS:
        raise InputError(f"{len(given)} entries where {_MOST_TEXTS} are taken")
    texts = [text for text in given if isinstance(text, str)]
    lists = [ids for ids in given if isinstance(ids, list)]
    ids = [token for token in given if isinstance(token, int)]
    if len(given) not in (len(texts), len(lists), len(ids)):
        raise InputError("texts, token ids and lists of them in one list")
    if ids:
        lists = [ids]
    if not (texts or lists) or not all((*texts, *lists)):
        raise InputError("nothing to be embedded")
    return tuple(Message("input", (text,)) for text in texts) + tuple(
        Message("input", (), token_ids=tuple(one)) for one in lists
    )


def render_response(turn: Turn, options: EmbeddingOptions) -> bytes:
    """Render the whole answer."""
    render = _as_base64 if options.base64 else _as_numbers
    # NOTE: one vector at a time, and one join at the end: an encoder or a copy holds the interpreter lock throughout.
    parts = [b'{"object":"list","data":[']
    for index, vector in enumerate(turn.vectors):
        head = b'%b{"object":"embedding","index":%d,"embedding":' % (b"," if index else b"", index)
        parts += (head, render(vector), b"}")
    usage = {"prompt_tokens": turn.usage.prompt, "total_tokens": turn.usage.total}
    parts.append(b'],"model":%b,"usage":%b}' % (encode(turn.model), encode(usage)))
    return b"".join(parts)


def _as_base64(vector: bytes) -> bytes:
    return b'"%b"' % base64.b64encode(vector)


def _as_numbers(vector: bytes) -> bytes:
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return encode(numbers.tolist())


EMBEDDINGS = GenerationEndpoint(
    path="/v1/embeddings",
    label="embeddings",
    http=ChannelFormat(parse=parse, render_refusal=render_refusal, render_fault=render_fault),
    render_response=render_response,
)
