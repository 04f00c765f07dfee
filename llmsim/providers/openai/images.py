"""Images: generations, rendered whole or as partial pictures, and the pictures at their addresses.

Decisions:
* The address of a picture holds its description, so any worker draws it, also after a restart, and nothing is stored. It needs no key, as
  those of the API do not; its text is bounded and its size one that the API has.
* Partial pictures exist after equal parts of the tokens of a picture.

Source of fields and order: openai SDK 3.54, types/images_response.py, image_gen_partial_image_event.py and image_gen_completed_event.py.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from llmsim.domain import Fault, Turn, Usage
from llmsim.errors import UnknownRouteError
from llmsim.media.pictures import CONTENT_TYPES, Picture, draw, shown_text
from llmsim.providers.contents import content_headers
from llmsim.providers.contract import (
    ChannelFormat,
    EndpointContext,
    GenerationEndpoint,
    IncomingRequest,
    ParsedRequest,
    Reply,
    ResourceEndpoint,
)
from llmsim.providers.openai.errors import render_fault, render_refusal
from llmsim.providers.openai.image_request import GenerationFields, ImageOptions, build_request
from llmsim.wire.codec import decoder, encode
from llmsim.wire.frames import SSE_HEADERS, FrameBatch, sse

PICTURES = "/v1/images/pictures"
"""Where pictures are served."""

_LONGEST_ADDRESS = 3_000
_MOST_EDGE = 3840
_COARSE = 48
"""Pixels of the squares of the first of a picture's partial ones."""

_decode = decoder(GenerationFields)
_encode_picture = msgspec.msgpack.Encoder().encode
_decode_picture = msgspec.msgpack.Decoder(Picture).decode


def parse(incoming: IncomingRequest) -> ParsedRequest[ImageOptions]:
    """Parse a request body.

    Raises:
        InvalidJsonError: It is not JSON.
        InvalidFieldError: A field is missing, wrong, out of range or contradicts another.
        ApiRuleError: The model does not take a parameter or value.
    """
    fields = _decode(incoming.body)
    prompt, options = build_request(fields, "image_generation", incoming.base_url + PICTURES)
    return ParsedRequest(prompt, options)


def render_response(turn: Turn, options: ImageOptions) -> bytes:
    """Render the pictures, or their addresses."""
    data = [_build_image(options, number) for number in range(len(turn.choices))]
    response: dict[str, Any] = {"created": turn.created}
    if options.has_usage:
        response |= _chosen(options)
    response["data"] = data
    if options.has_usage:
        response["usage"] = _build_usage(turn.usage, options)
    if options.svg_model:
        response["svg_usage"] = {
            "input_tokens": turn.usage.prompt,
            "model": options.svg_model,
            "output_tokens": 0,
            "reasoning_tokens": 0,
            "total_tokens": turn.usage.prompt,
        }
    if options.identifier and options.has_usage:
        response["safety_identifier"] = options.identifier
    return encode(response)


def _chosen(options: ImageOptions) -> dict[str, Any]:
    return {
        "background": options.background,
        "output_format": options.picture.image_format,
        "quality": options.quality,
        "size": options.size,
    }


def _build_image(options: ImageOptions, number: int) -> dict[str, Any]:
    picture = replace(options.picture, number=number)
    if options.address:
        image = {"url": f"{options.address}/{encode_address(picture)}"}
    else:
        image = {"b64_json": base64.b64encode(draw(picture)).decode()}
    if options.revises:
        image["revised_prompt"] = f"A picture with the text: {picture.text}"
    return image


def _build_usage(usage: Usage, options: ImageOptions) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {
            "image_tokens": options.image_tokens,
            "text_tokens": usage.prompt - options.image_tokens,
        },
        "output_tokens": usage.completion,
        "output_tokens_details": {"image_tokens": usage.completion, "text_tokens": 0},
        "total_tokens": usage.total,
    }


def render_stream(turn: Turn, options: ImageOptions) -> Sequence[FrameBatch]:
    """Render the partial pictures of each picture, and the whole one."""
    tokens = turn.choices[0].tokens
    steps = options.partial + 1
    bodies, required, carried = [], [], []
    for step in range(1, steps + 1):
        due = tokens * step // steps
        for number in range(len(turn.choices)):
            bodies.append(
                _render_partial(turn, options, number, step - 1)
                if step < steps
                else _render_completed(turn, options, number)
            )
            required.append(due)
            carried.append(due - tokens * (step - 1) // steps)
    return (FrameBatch(b"", bodies, b"", required, carried),)


def _render_partial(turn: Turn, options: ImageOptions, number: int, index: int) -> bytes:
    square = _COARSE * (options.partial - index) // options.partial
    picture = replace(options.picture, number=number, square=max(2, square))
    return _event(turn, options, f"{options.event}.partial_image", picture, {"partial_image_index": index})


def _render_completed(turn: Turn, options: ImageOptions, number: int) -> bytes:
    more: dict[str, Any] = {"usage": _build_usage(turn.usage, options)}
    if options.identifier:
        more["safety_identifier"] = options.identifier
    return _event(turn, options, f"{options.event}.completed", replace(options.picture, number=number), more)


def _event(turn: Turn, options: ImageOptions, kind: str, picture: Picture, more: dict[str, Any]) -> bytes:
    members = {
        "type": kind,
        "b64_json": base64.b64encode(draw(picture)).decode(),
        "created_at": turn.created,
        "size": options.size,
        "quality": options.quality,
        "background": options.background,
        "output_format": picture.image_format,
    }
    return sse(encode(members | more), kind)


def render_stream_fault(turn: Turn, options: ImageOptions, fault: Fault, frames: int) -> bytes:  # noqa: ARG001 - the signature of all endpoints
    """Render the end of a failing stream: the error as an event."""
    return sse(render_fault(fault).body, "error")


def encode_address(picture: Picture) -> str:
    """Return the last part of the address of a picture."""
    described = base64.urlsafe_b64encode(_encode_picture(picture)).rstrip(b"=").decode()
    return f"{described}.{picture.image_format}"


def decode_address(name: str) -> Picture | None:
    """Return the picture at an address; None if there is none."""
    described, _, image_format = name.partition(".")
    if len(described) > _LONGEST_ADDRESS:
        return None
    try:
        picture = _decode_picture(base64.urlsafe_b64decode(described + "=" * (-len(described) % 4)))
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None
    is_possible = (
        picture.image_format == image_format
        and image_format in CONTENT_TYPES
        and 0 < picture.width <= _MOST_EDGE
        and 0 < picture.height <= _MOST_EDGE
        and 0 <= picture.number < 10
        and 0 <= picture.quality <= 100
        and (picture.square, picture.frames) == (1, 1)
        and picture.text == shown_text(picture.text)
    )
    return picture if is_possible else None


async def _show(context: EndpointContext, request: IncomingRequest) -> Reply:
    picture = decode_address(request.path_params["picture"])
    if picture is None:
        raise UnknownRouteError(request.method, request.path)
    body = await context.compute(request, draw, picture, in_thread=True)
    return Reply(200, body, content_headers(CONTENT_TYPES[picture.image_format]))


IMAGES: GenerationEndpoint[ImageOptions] = GenerationEndpoint(
    path="/v1/images/generations",
    label="images",
    http=ChannelFormat(
        parse=parse,
        render_refusal=render_refusal,
        render_fault=render_fault,
        render_stream=render_stream,
        render_stream_fault=render_stream_fault,
        stream_headers=SSE_HEADERS,
        reads_address=True,
    ),
    render_response=render_response,
)

SHOW_PICTURE = ResourceEndpoint(
    method="GET", label="pictures", path=f"{PICTURES}/{{picture}}", run=_show, is_public=True, is_open=True
)
