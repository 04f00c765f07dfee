"""Images in requests: their size is read from a few bytes."""

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.providers.media import Media, measure_base64, measure_url


def png(width: int, height: int) -> bytes:
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x06" + bytes(1000)
    )


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(100)


def webp(chunk: bytes, data: bytes) -> bytes:
    return b"RIFF" + bytes(4) + b"WEBP" + chunk + bytes(4) + data + bytes(100)


def jpeg(width: int, height: int, *, segments: int = 1, size: int = 1000, frame: int = 0xC0) -> bytes:
    profile = b"\xff\xe2" + struct.pack(">H", size) + bytes(size - 2)
    tables = b"\xff\xc4" + struct.pack(">H", 10) + bytes(8) + b"\xff\xff"
    shape = struct.pack(">HBHH", 17, 8, height, width)
    return b"\xff\xd8" + profile * segments + tables + bytes((frame,)) + shape + bytes(100)


IMAGES = [
    png(1920, 1080),
    gif(1920, 1080),
    webp(b"VP8 ", bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", 1920, 1080)),
    webp(b"VP8L", b"\x2f" + struct.pack("<I", 1919 | 1079 << 14)),
    webp(b"VP8X", bytes(4) + (1919).to_bytes(3, "little") + (1079).to_bytes(3, "little")),
    jpeg(1920, 1080),
    jpeg(1920, 1080, frame=0xC2),
    # Behind a colour profile of 16 MB.
    jpeg(1920, 1080, segments=255, size=65_535),
]


@pytest.mark.parametrize("image", IMAGES)
def test_the_size_is_read(image: bytes) -> None:
    """COST-1.5: Width and height are those of the image, in a data URL of any media type."""
    text = base64.b64encode(image).decode()

    assert measure_base64(text) == (1920, 1080)
    assert measure_url(f"data:image/png;base64,{text}") == (1920, 1080)


@pytest.mark.parametrize(
    "image",
    [b"", b"\xff\xd8", b"\xff\xd8\xff\xe2\x00\x00" * 9, b"<svg>", webp(b"ICCP", b""), jpeg(1, 1)[:20]],
)
def test_other_images_have_no_size(image: bytes) -> None:
    """COST-1.5: What is damaged, cut off or of another format has none."""
    assert measure_base64(base64.b64encode(image).decode()) == (0, 0)


@pytest.mark.parametrize(
    "url", ["https://example.com/a.png", "data:", "data:,", "data:image/png;base64,é", ""]
)
def test_addresses_have_no_size(url: str) -> None:
    """COST-1.5: Nothing is fetched, and what is not base64 is no error."""
    assert measure_url(url) == (0, 0)


def test_a_jpeg_without_end_is_given_up() -> None:
    """COST-1.5: A bounded number of segments is looked at."""
    assert measure_base64(base64.b64encode(jpeg(5, 5, segments=600, size=4)).decode()) == (0, 0)


@given(st.sampled_from(IMAGES[:-1]), st.integers(0, 200), st.binary(max_size=40))
def test_any_bytes_have_a_size_or_none(image: bytes, at: int, noise: bytes) -> None:
    """COST-1.5: Whatever is in an image, no error comes of it."""
    width, height = measure_base64(base64.b64encode(image[:at] + noise + image[at + len(noise) :]).decode())

    assert width >= 0
    assert height >= 0


def test_attachments_differ() -> None:
    """COST-2.3: Another image, another detail or another file is another attachment, at its place."""
    media = Media()
    for url, detail in (("a", "low"), ("b", "low"), ("a", "high"), ("a", "low")):
        media.add_image((), url, detail, texts=1)
    media.message = 1
    media.add_file(None, "file-1", texts=0)

    digests = [one.digest for one in media.attachments]
    assert len(set(digests)) == 4
    assert digests[0] == digests[3]
    assert [(one.message, one.texts, one.image) for one in media.attachments][-2:] == [
        (0, 1, 3),
        (1, 0, None),
    ]
