"""Pictures: drawn with the prompt on them, in any format and size that the API has.

Decisions:
* A picture depends on its description alone, so it is cached by it, and any worker draws the same one for an address.
* Pictures are flat: a colour, some bands, and the text. So they are small, however many pixels they have.
* A partial picture is the whole one in larger squares, the more of it exists the smaller.
* Drawing takes some 10 to 100 ms: callers do it in a thread. Pillow is imported when the first picture is drawn.
"""

import functools
import hashlib
import io
import textwrap
import unicodedata
from html import escape
from typing import Any

import msgspec

_SIGNS = str.maketrans("\u2014\u2013\u201c\u201d\u2018\u2019\u2026", "--\"\"''.")
"""Signs that the font does not have."""

_MOST_TEXT = 300
"""Characters that are drawn."""

_CACHED = 64
"""Pictures; one of 3840 by 2160 pixels takes 150 KB."""

CONTENT_TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "svg": "image/svg+xml",
}
"""The formats, each with its content type."""

_BANDS = 6
_GIF_COLOURS = 32


class Picture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The description of a picture.

    Attributes:
        text: What is written on it.
        width: In pixels.
        height: In pixels.
        image_format: A key of `CONTENT_TYPES`.
        number: Distinguishes pictures of one text.
        is_transparent: Whether its background is.
        quality: Of JPEG and WebP, in percent.
        square: Length of the squares that a partial picture is drawn in, in pixels; 1 for a whole one.
        frames: Frames of an animation.
        frame_ms: Duration of a frame, in milliseconds.
    """

    text: str
    width: int
    height: int
    image_format: str = "png"
    number: int = 0
    is_transparent: bool = False
    quality: int = 100
    square: int = 1
    frames: int = 1
    frame_ms: int = 200


def shown_text(prompt: str) -> str:
    """Return the part of a prompt that is drawn."""
    text = " ".join(prompt.split())
    return text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT]


@functools.lru_cache(maxsize=_CACHED)
def draw(picture: Picture) -> bytes:
    """Return a picture in its format."""
    if picture.image_format == "svg":
        return _draw_svg(picture)
    frames = [_draw_frame(picture, frame) for frame in range(picture.frames)]
    output = io.BytesIO()
    first = frames[0]
    match picture.image_format:
        case "jpeg":
            first.convert("RGB").save(output, "JPEG", quality=max(1, picture.quality))
        case "webp":
            first.save(output, "WEBP", quality=picture.quality, method=0)
        case "gif":
            palettes = [frame.quantize(_GIF_COLOURS, dither=0) for frame in frames]
            palettes[0].save(
                output, "GIF", save_all=True, append_images=palettes[1:], duration=picture.frame_ms, loop=0
            )
        case _:
            first.save(output, "PNG", compress_level=6)
    return output.getvalue()


def _colours(picture: Picture) -> list[tuple[int, int, int]]:
    """Return the colours of the bands, dark enough for white text."""
    digest = hashlib.blake2b(f"{picture.number} {picture.text}".encode("utf-8", "surrogatepass")).digest()
    base = [48 + digest[channel] // 2 for channel in range(3)]
    return [
        (base[0] * (10 - band) // 10, base[1] * (10 - band) // 10, base[2] * (10 - band) // 10)
        for band in range(_BANDS)
    ]


def _draw_frame(picture: Picture, frame: int) -> Any:
    from PIL import Image, ImageDraw, ImageFont

    size, (width, height) = (picture.width, picture.height), (picture.width, picture.height)
    colours = _colours(picture)
    image = Image.new("RGBA", size, (0, 0, 0, 0) if picture.is_transparent else (*colours[0], 255))
    pen = ImageDraw.Draw(image)
    if not picture.is_transparent:
        for band, colour in enumerate(colours):
            top = height * band // _BANDS
            pen.rectangle((0, top, width, height * (band + 1) // _BANDS), fill=(*colour, 255))
    points = max(10, min(width, height) // 18)
    font = ImageFont.load_default(points)
    lines = textwrap.wrap(picture.text, max(8, int(width * 0.9 / (points * 0.55)))) or [""]
    text = "\n".join(lines[: max(1, int(height * 0.8 / (points * 1.3)))])
    ink = (32, 32, 32, 255) if picture.is_transparent else (255, 255, 255, 255)
    pen.multiline_text(
        (width / 2, height / 2),
        _drawable(text),
        font=font,
        fill=ink,
        anchor="mm",
        align="center",
        spacing=points // 4,
    )
    small = ImageFont.load_default(max(8, points // 2))
    pen.text(
        (points // 2, height - points), f"llmsim {width}x{height} #{picture.number + 1}", font=small, fill=ink
    )
    if picture.frames > 1:
        pen.rectangle((0, 0, width * (frame + 1) // picture.frames, max(4, height // 60)), fill=ink)
    if picture.square > 1:
        coarse = image.resize((max(1, width // picture.square), max(1, height // picture.square)))
        image = coarse.resize(size, Image.Resampling.NEAREST)
    return image if picture.is_transparent else image.convert("RGB")


def _drawable(text: str) -> str:
    """Return a text in the letters of the font, which has no accents, as far as it can be."""
    decomposed = unicodedata.normalize("NFKD", text.encode("utf-8", "replace").decode())
    return "".join(letter for letter in decomposed.translate(_SIGNS) if not unicodedata.combining(letter))


def _draw_svg(picture: Picture) -> bytes:
    red, green, blue = _colours(picture)[0]
    fill = "none" if picture.is_transparent else f"rgb({red},{green},{blue})"
    text = picture.text.encode("utf-8", "replace").decode()
    printable = "".join(letter for letter in text if letter.isprintable())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{picture.width}" height="{picture.height}">'
        f'<rect width="100%" height="100%" fill="{fill}"/>'
        f'<text x="50%" y="50%" text-anchor="middle" fill="white">{escape(printable)}</text></svg>'
    ).encode()
