"""Image requests: what may be asked of a picture, checked against its model, and the options for the renderers.

Decisions:
* Models differ in what they take; the facts are the catalogue's.
* `auto` is decided here: the quality and size that the model has first, an opaque background.

Source: openai SDK 3.54, types/image_generate_params.py, image_edit_params.py and image_create_variation_params.py.
"""

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from llmsim.catalogue import shipped_catalogue
from llmsim.domain import MediaRequest, Message, Prompt
from llmsim.errors import ApiRuleError, InvalidFieldError
from llmsim.media.pictures import Picture, shown_text
from llmsim.media_rules import MediaRules
from llmsim.providers.openai_family.field_messages import listed
from llmsim.providers.openai_family.model_rules import UNSUPPORTED_PARAMETER
from llmsim.providers.openai_family.request_fields import Effort, ModelId

DEFAULT_MODEL = "gpt-image-2.5-flare"
"""The SDK asks to name a model; this is the one that it recommends."""

PARTIAL_TOKENS = 100
"""Tokens of each partial picture. Source: OpenAI, guides/image-generation, "Partial images cost"."""

_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
_STEP = 16
_MOST_PIXELS = 3840 * 2160
_LONGEST_EDGE = 3840
_SQUARE = 1024 * 1024

_ANIMATED = {"frame_count": 9, "frame_duration_ms": 200}


class SvgReasoning(msgspec.Struct):
    """How much the author of an SVG reasons."""

    effort: Effort | None = None


class SvgAuthor(msgspec.Struct):
    """The model that writes an SVG."""

    model: ModelId | None = None
    reasoning: SvgReasoning | None = None


class ImageFields(msgspec.Struct, kw_only=True):
    """The fields that generations and edits have in common."""

    prompt: Annotated[str, Meta(min_length=1)]
    model: ModelId | None = None
    background: Literal["transparent", "opaque", "auto"] | None = None
    complexity: Literal["low", "medium", "high"] | None = None
    frame_count: Annotated[int, Meta(ge=2, le=16)] | None = None
    frame_duration_ms: Annotated[int, Meta(ge=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=10)] | None = None
    output_compression: Annotated[int, Meta(ge=0, le=100)] | None = None
    output_format: Literal["png", "webp", "jpeg", "gif", "svg"] | None = None
    partial_images: Annotated[int, Meta(ge=0, le=3)] | None = None
    quality: Literal["low", "medium", "high", "xhigh", "max", "auto", "standard", "hd"] | None = None
    response_format: Literal["url", "b64_json"] | None = None
    safety_identifier: str | None = None
    size: Annotated[str, Meta(max_length=20)] | None = None
    stream: bool | None = None
    svg: SvgAuthor | None = None
    user: str | None = None


class GenerationFields(ImageFields, kw_only=True):
    """The body of `POST /v1/images/generations`."""

    moderation: Literal["low", "auto"] | None = None
    style: Literal["vivid", "natural"] | None = None


class ImageOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options for the renderers of images.

    Attributes:
        event: First word of the names of events: `image_generation` or `image_edit`.
        picture: The first of the pictures.
        background: As it is reported.
        quality: As it is reported.
        image_tokens: Tokens of the pictures of the request.
        has_usage: Whether usage and the choices of the model are reported.
        address: Where the server serves pictures; empty if they are in the response.
        revises: Whether the prompt is revised.
        partial: Number of partial pictures.
        identifier: Safety identifier to be reported; empty for none.
        svg_model: The author of an SVG; empty for none.
    """

    event: str
    picture: Picture
    background: str = "opaque"
    quality: str = "medium"
    image_tokens: int = 0
    has_usage: bool = True
    address: str = ""
    revises: bool = False
    partial: int = 0
    identifier: str = ""
    svg_model: str = ""

    @property
    def size(self) -> str:
        """The size as it is reported."""
        return f"{self.picture.width}x{self.picture.height}"


def build_request(
    fields: ImageFields, event: str, address: str, image_tokens: int = 0
) -> tuple[Prompt, ImageOptions]:
    """Build prompt and options of a request.

    Args:
        fields: Its fields.
        event: First word of the names of events.
        address: Where the server serves pictures.
        image_tokens: Tokens of the pictures of the request.

    Raises:
        ApiRuleError: The model does not take a parameter or value.
        InvalidFieldError: Fields contradict each other.
    """
    model = fields.model or DEFAULT_MODEL
    rules = shipped_catalogue().media_rules(model)
    _check_fields(fields, rules)
    count, partial = fields.n or 1, fields.partial_images or 0
    quality = fields.quality if fields.quality not in (None, "auto") else next(iter(rules.qualities))
    assert quality is not None
    width, height = _parse_size(fields.size, rules)
    image_format = fields.output_format or "png"
    is_transparent = fields.background == "transparent"
    picture = Picture(
        shown_text(fields.prompt),
        width,
        height,
        image_format,
        is_transparent=is_transparent,
        quality=100 if fields.output_compression is None else fields.output_compression,
        frames=(fields.frame_count or _ANIMATED["frame_count"]) if image_format == "gif" else 1,
        frame_ms=fields.frame_duration_ms or _ANIMATED["frame_duration_ms"],
    )
    tokens = picture_tokens(rules, quality, width, height) + PARTIAL_TOKENS * partial
    prompt = Prompt(
        model=model,
        messages=(Message("input", (fields.prompt,), extra_tokens=image_tokens),),
        choices=count,
        silent=True,
        stream=bool(fields.stream),
        media=MediaRequest("image", tokens),
    )
    has_urls = fields.response_format == "url" or (rules.has_urls and fields.response_format is None)
    options = ImageOptions(
        event=event,
        picture=picture,
        background="transparent" if is_transparent else "opaque",
        quality=quality,
        image_tokens=image_tokens,
        has_usage=rules.has_usage,
        address=address if has_urls else "",
        revises=rules.has_urls and rules.pictures == 1,
        partial=partial,
        identifier=fields.safety_identifier or fields.user or "",
        svg_model=(fields.svg.model or "") if fields.svg is not None else "",
    )
    return prompt, options


def picture_tokens(rules: MediaRules, quality: str, width: int, height: int) -> int:
    """Return the tokens of a picture."""
    listed_tokens = rules.tokens.get(quality, {}).get(f"{width}x{height}")
    if listed_tokens is not None:
        return listed_tokens
    return -(-rules.qualities[quality] * width * height // _SQUARE)


def _check_fields(fields: ImageFields, rules: MediaRules) -> None:
    for name in rules.refused:
        if getattr(fields, name, None) not in (None, False):
            raise ApiRuleError(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    if rules.characters and len(fields.prompt) > rules.characters:
        raise InvalidFieldError(("prompt",), "too_long", rules.characters, fields.prompt)
    if (fields.n or 1) > rules.pictures:
        raise InvalidFieldError(("n",), "maximum", rules.pictures, fields.n)
    if fields.quality not in (None, "auto", *rules.qualities):
        raise _unsupported("quality", fields.quality, tuple(rules.qualities))
    if fields.partial_images and not fields.stream:
        raise InvalidFieldError(
            ("partial_images",),
            "conflict",
            "The 'partial_images' parameter is only allowed when 'stream' is enabled.",
        )
    image_format = fields.output_format or "png"
    if fields.background == "transparent" and image_format == "jpeg":
        raise InvalidFieldError(
            ("background",), "conflict", "Transparent background is not supported for JPEG output format."
        )
    if fields.output_compression not in (None, 100) and image_format not in ("jpeg", "webp"):
        raise InvalidFieldError(
            ("output_compression",),
            "conflict",
            f"Compression less than 100 is not supported for {image_format.upper()} output format.",
        )
    for name in ("frame_count", "frame_duration_ms"):
        if getattr(fields, name) is not None and image_format != "gif":
            raise _only_with(name, "gif")
    if fields.svg is not None and image_format != "svg":
        raise _only_with("svg", "svg")
    if fields.stream and image_format in ("gif", "svg"):
        raise ApiRuleError(
            f"Streaming is not supported with output_format '{image_format}'.", "stream", "invalid_value"
        )
    if image_format == "svg" and (fields.n or 1) > 1:
        raise InvalidFieldError(("n",), "maximum", 1, fields.n)


def _only_with(name: str, image_format: str) -> ApiRuleError:
    return ApiRuleError(
        f"The '{name}' parameter is only supported with output_format '{image_format}'.",
        name,
        UNSUPPORTED_PARAMETER,
    )


def _unsupported(name: str, value: object, supported: tuple[str, ...]) -> ApiRuleError:
    return ApiRuleError(
        f"Invalid value: '{value}'. Supported values are: {listed(supported)}.", name, "invalid_value"
    )


def _parse_size(size: str | None, rules: MediaRules) -> tuple[int, int]:
    if size in (None, "auto"):
        size = rules.sizes[0]
    match = _SIZE.fullmatch(size or "")
    if match is None or not (size in rules.sizes or rules.takes_any_size):
        raise _unsupported("size", size, (*rules.sizes, "auto"))
    width, height = int(match[1]), int(match[2])
    if size not in rules.sizes and not _is_possible(width, height):
        raise ApiRuleError(
            f"Invalid size '{size}': width and height must be divisible by {_STEP}, their ratio between 1:3 and 3:1, and the "
            "picture no larger than 3840x2160.",
            "size",
            "invalid_value",
        )
    return width, height


def _is_possible(width: int, height: int) -> bool:
    return (
        not (width % _STEP or height % _STEP)
        and max(width, height) <= min(_LONGEST_EDGE, 3 * min(width, height))
        and width * height <= _MOST_PIXELS
    )
