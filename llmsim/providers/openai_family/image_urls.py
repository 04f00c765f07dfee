"""Addresses of images in prompts, which are checked and never fetched.

Decisions:
* A data URL is checked by what it says of itself and by both ends of its base64: an image may be megabytes, and is not decoded.

Source: reports of refusals, 2024 to 2026: n8n and Codex (`Expected a valid URL`), `invalid_image_format` of chat completions, and
`Invalid base64 image_url.`; OpenAI, guides/images-vision, "Image input requirements".
"""

import re

from llmsim.errors import ApiRuleError
from llmsim.providers.openai_family.field_messages import format_path

_WEB = re.compile(r"https?://[^\s/?#]", re.IGNORECASE)
_DATA = re.compile(r"data:([^;,]{0,100})((?:;[^;,]{0,100}){0,4}),", re.IGNORECASE)
_TYPES = frozenset({"image/png", "image/jpeg", "image/jpg", "image/gif", "image/webp"})
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
_END = 64
"""Characters at each end of base64 that are looked at."""


def check_image_url(url: str, path: tuple[str | int, ...]) -> None:
    """Check the address of an image.

    Args:
        url: The address, or a data URL.
        path: Its place in the request.

    Raises:
        ApiRuleError: It is no address, or its data are no image that the API reads.
    """
    data = _DATA.match(url)
    if data is None:
        if _WEB.match(url) is None:
            place = format_path(path)
            raise ApiRuleError(
                f"Invalid '{place}'. Expected a valid URL, but got a value with an invalid format.",
                place,
                "invalid_value",
            )
        return
    if data[1].lower() not in _TYPES:
        raise ApiRuleError(
            "You uploaded an unsupported image. Please make sure your image has of one the following formats: "
            "['png', 'jpeg', 'gif', 'webp'].",
            code="invalid_image_format",
        )
    if not data[2].lower().endswith(";base64") or not _is_base64(url, data.end()):
        raise ApiRuleError("Invalid base64 image_url.")


def _is_base64(text: str, start: int) -> bool:
    """Return whether a text is base64 from `start` on, by its ends; padding may be missing, and lines may be broken."""
    if len(text) - start <= _END:
        return _BASE64.fullmatch(text, start) is not None
    return bool(_BASE64.fullmatch(text, start, start + _END) and _BASE64.fullmatch(text, len(text) - _END))
