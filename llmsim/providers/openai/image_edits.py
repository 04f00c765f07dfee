"""Images made of images: edits and variations, sent as forms.

Decisions:
* A picture that is sent is measured by its first bytes, and never decoded.
* The rest is as in generations; so edits stream, too.

Source: openai SDK 3.54, types/image_edit_params.py and image_create_variation_params.py; tokens of pictures in a request, OpenAI,
guides/images-vision, "GPT Image 1": 65 and 129 for each tile of 512 pixels, whose shortest side is scaled to 512.
"""

import base64
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from llmsim.catalogue import shipped_catalogue
from llmsim.errors import ApiRuleError, InvalidFieldError
from llmsim.providers.contract import ChannelFormat, GenerationEndpoint, IncomingRequest, ParsedRequest
from llmsim.providers.forms import FormFile
from llmsim.providers.media import measure_base64
from llmsim.providers.openai.errors import render_fault, render_refusal
from llmsim.providers.openai.form_fields import form_json, require_form
from llmsim.providers.openai.image_request import ImageFields, ImageOptions, build_request
from llmsim.providers.openai.images import (
    PICTURES,
    render_response,
    render_stream,
    render_stream_fault,
)
from llmsim.providers.openai_family.field_messages import listed, quote
from llmsim.providers.openai_family.request_fields import ModelId
from llmsim.wire.codec import decoder
from llmsim.wire.frames import SSE_HEADERS

_MOST_PICTURES = 16
_MOST_BYTES = 50_000_000
_MOST_VARIED_BYTES = 4_000_000
_HEAD = 65_536
"""Bytes of a picture in which its size is looked for."""

_TYPES = ("image/jpeg", "image/png", "image/webp")
_PNG = ("image/png",)
_UNKNOWN = ("application/octet-stream",)
"""What a client sends that does not know the type; the real API refuses it, too, and bare bytes with it."""

_BASE_TOKENS = 65
_TILE_TOKENS = 129
_TILE = 512
_VARIED = "Variation"

_NUMBERS = frozenset({"n", "output_compression", "partial_images", "frame_count", "frame_duration_ms"})
_FLAGS = frozenset({"stream"})


class EditFields(ImageFields, kw_only=True):
    """The fields of `POST /v1/images/edits` but its pictures."""

    input_fidelity: Literal["high", "low"] | None = None


class VariationFields(msgspec.Struct):
    """The fields of `POST /v1/images/variations` but its picture."""

    model: ModelId | None = None
    n: Annotated[int, Meta(ge=1, le=10)] | None = None
    response_format: Literal["url", "b64_json"] | None = None
    size: Literal["256x256", "512x512", "1024x1024"] | None = None
    user: str | None = None


_decode_edit = decoder(EditFields)
_decode_variation = decoder(VariationFields)


def parse_edit(incoming: IncomingRequest) -> ParsedRequest[ImageOptions]:
    """Parse the form of an edit.

    Raises:
        FormError: It is no form.
        InvalidFieldError: A field is missing, wrong, out of range or contradicts another.
        ApiRuleError: The model does not take a parameter or value, or a picture is too large.
    """
    form = require_form(incoming)
    fields = _decode_edit(form_json(form, numbers=_NUMBERS, flags=_FLAGS))
    pictures = form.find_files("image")
    if not pictures:
        raise InvalidFieldError(("image",), "missing", None)
    if len(pictures) > _MOST_PICTURES:
        raise InvalidFieldError(("image",), "too_long", _MOST_PICTURES, [None] * len(pictures))
    masks = (*form.find_files("mask"), *form.find_files("markup"))
    types = _PNG if shipped_catalogue().media_rules(fields.model or "").has_urls else _TYPES
    for index, picture in enumerate((*pictures, *masks)):
        name = f"image[{index}]" if 1 < len(pictures) > index else picture.field.removesuffix("[]")
        _check_type(picture, name, types)
        if picture.size > _MOST_BYTES:
            raise _too_large(picture, _MOST_BYTES)
    tokens = sum([_picture_tokens(picture) for picture in pictures])
    prompt, options = build_request(fields, "image_edit", incoming.base_url + PICTURES, tokens)
    return ParsedRequest(prompt, options)


def parse_variation(incoming: IncomingRequest) -> ParsedRequest[ImageOptions]:
    """Parse the form of a variation.

    Raises:
        FormError: It is no form.
        InvalidFieldError: A field is missing, wrong or out of range.
        ApiRuleError: The model makes no variations, or the picture is too large or not square.
    """
    form = require_form(incoming)
    given = _decode_variation(form_json(form, numbers=_NUMBERS))
    picture = form.file("image")
    _check_type(picture, "image", _PNG)
    if picture.size > _MOST_VARIED_BYTES:
        raise _too_large(picture, _MOST_VARIED_BYTES)
    width, height = _measure(picture)
    if width != height:
        raise ApiRuleError("Uploaded image must be a square image.", "image")
    model = given.model or "dall-e-2"
    if not shipped_catalogue().media_rules(model).has_urls:
        raise ApiRuleError(f"Value must be 'dall-e-2', but got '{model[:100]}'.", "model", "invalid_value")
    fields = ImageFields(
        prompt=f"{_VARIED} of {picture.sha256[:8]}",
        model=model,
        n=given.n,
        response_format=given.response_format,
        size=given.size,
        user=given.user,
    )
    prompt, options = build_request(fields, "image_variation", incoming.base_url + PICTURES)
    return ParsedRequest(prompt, options)


def _check_type(picture: FormFile, name: str, types: Sequence[str]) -> None:
    """Refuse a file whose declared type is no picture that the model takes.

    Source: DataDog/dd-trace-js, test of the openai plugin (PNG alone); recorded refusals of 2026 (`image[0]`, `code`).
    """
    given = picture.content_type.partition(";")[0].strip().lower()
    if given and given not in (*types, *_UNKNOWN):
        raise ApiRuleError(
            f"Invalid file '{name}': unsupported mimetype ('{quote(given)}'). Supported file formats are {listed(types)}.",
            name,
            "unsupported_file_mimetype",
        )


def _too_large(picture: FormFile, limit: int) -> ApiRuleError:
    return ApiRuleError(
        f"Uploaded image must be less than {limit // 1_000_000} MB.", picture.field, "image_file_too_large"
    )


def _measure(picture: FormFile) -> tuple[int, int]:
    """Return width and height of a picture; zeros if they cannot be read."""
    picture.source.seek(0)
    return measure_base64(base64.b64encode(picture.source.read(_HEAD)).decode())


def _picture_tokens(picture: FormFile) -> int:
    """Return the tokens of a picture of a request; those of one tile if its size cannot be read."""
    width, height = _measure(picture)
    shortest = min(width, height)
    if not shortest:
        return _BASE_TOKENS + _TILE_TOKENS
    tiles = -(-max(width, height) // shortest)  # of the shortest side, which one tile covers
    return _BASE_TOKENS + _TILE_TOKENS * min(tiles, 16)


IMAGE_EDITS: GenerationEndpoint[ImageOptions] = GenerationEndpoint(
    path="/v1/images/edits",
    label="image_edits",
    http=ChannelFormat(
        parse=parse_edit,
        render_refusal=render_refusal,
        render_fault=render_fault,
        render_stream=render_stream,
        render_stream_fault=render_stream_fault,
        stream_headers=SSE_HEADERS,
        reads_address=True,
    ),
    render_response=render_response,
    takes_forms=True,
)

IMAGE_VARIATIONS: GenerationEndpoint[ImageOptions] = GenerationEndpoint(
    path="/v1/images/variations",
    label="image_variations",
    http=ChannelFormat(
        parse=parse_variation, render_refusal=render_refusal, render_fault=render_fault, reads_address=True
    ),
    render_response=render_response,
    takes_forms=True,
)
