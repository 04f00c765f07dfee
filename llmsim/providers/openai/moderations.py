"""Moderations: texts and pictures are parsed to a prompt without an answer, and get scores by category.

Decisions:
* Parts are one input together, texts are an input each.

Source of fields: openai SDK 3.54, types/moderation_create_params.py, moderation.py and moderation_create_response.py.
"""

import msgspec

from llmsim.domain import MediaRequest, Message, Prompt, Turn
from llmsim.errors import InputError, InvalidFieldError
from llmsim.providers.contract import ChannelFormat, GenerationEndpoint, IncomingRequest, ParsedRequest
from llmsim.providers.openai.chat_request import ImagePart, TextPart
from llmsim.providers.openai.errors import render_fault, render_refusal
from llmsim.providers.openai_family.moderation import ModerationInput, build_result
from llmsim.providers.openai_family.request_fields import ModelId
from llmsim.wire.codec import decoder, encode

_DEFAULT_MODEL = "omni-moderation-latest"
_MOST_TEXTS = 2048
_MOST_PICTURES = 1


class ModerationRequest(msgspec.Struct):
    """The body of `POST /v1/moderations`."""

    input: str | list[str | TextPart | ImagePart]
    model: ModelId | None = None


class ModerationOptions(msgspec.Struct, frozen=True):
    """Options for the renderer of moderations.

    Attributes:
        inputs: What is moderated.
    """

    inputs: tuple[ModerationInput, ...]


_decode = decoder(ModerationRequest)


def parse(incoming: IncomingRequest) -> ParsedRequest[ModerationOptions]:
    """Parse a request body.

    Raises:
        InvalidJsonError: It is not JSON.
        InvalidFieldError: A field is missing or wrong.
        InputError: The input is empty, of a wrong kind, or too many texts or pictures.
    """
    try:
        request = _decode(incoming.body)
    except InvalidFieldError as error:
        if error.path[:1] == ("input",) and error.rule != "missing":
            raise InputError(str(error)) from None
        raise
    inputs = _parse_input(request.input)
    prompt = Prompt(
        model=request.model or _DEFAULT_MODEL,
        messages=tuple([Message("input", one.texts) for one in inputs]),
        silent=True,
        media=MediaRequest("moderation"),
    )
    return ParsedRequest(prompt, ModerationOptions(inputs))


def _parse_input(given: str | list[str | TextPart | ImagePart]) -> tuple[ModerationInput, ...]:
    if isinstance(given, str):
        given = [given]
    if not given or len(given) > _MOST_TEXTS:
        raise InputError(f"{len(given)} entries where 1 to {_MOST_TEXTS} are taken")
    texts = [text for text in given if isinstance(text, str)]
    if len(texts) == len(given):
        return tuple([ModerationInput((text,)) for text in texts])
    if texts:
        raise InputError("texts and parts in one list")
    pictures = sum(isinstance(part, ImagePart) for part in given)
    if pictures > _MOST_PICTURES:
        raise InputError(f"{pictures} pictures where {_MOST_PICTURES} is taken")
    return (
        ModerationInput(
            tuple([part.text for part in given if isinstance(part, TextPart)]), has_picture=pictures > 0
        ),
    )


def render_response(turn: Turn, options: ModerationOptions) -> bytes:
    """Render the results."""
    results = b",".join([encode(build_result(one)) for one in options.inputs])
    return b'{"id":"modr-%b","model":%b,"results":[%b]}' % (turn.id.encode(), encode(turn.model), results)


MODERATIONS: GenerationEndpoint[ModerationOptions] = GenerationEndpoint(
    path="/v1/moderations",
    label="moderations",
    http=ChannelFormat(parse=parse, render_refusal=render_refusal, render_fault=render_fault),
    render_response=render_response,
)
