"""OpenAI: addresses of images."""

import json
from typing import Any

import pytest
from support.incoming import incoming
from support.responses_api import ask

from llmsim.errors import RefusedError
from llmsim.providers.openai.chat import parse
from llmsim.providers.openai.errors import render_refusal
from llmsim.providers.openai.responses import RESPONSES

PNG = "data:image/png;base64,"


def chat(url: str) -> None:
    content = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": url}}]
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": content}]}
    parse(incoming(json.dumps(body).encode()))


def responses(url: str) -> None:
    ask(RESPONSES, input=[{"role": "user", "content": [{"type": "input_image", "image_url": url}]}])


def refusal(read: Any, url: str) -> dict[str, Any]:
    with pytest.raises(RefusedError) as refused:
        read(url)
    found: dict[str, Any] = json.loads(render_refusal(refused.value).body)["error"]
    return found


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.png",
        "HTTP://10.0.0.1",
        PNG + "iVBOR",
        "data:image/jpg;base64,/9j/",
        "data:IMAGE/WebP;charset=utf-8;base64,UklG==",
        PNG + "QUJD" * 100,
        PNG + "QUJD\n" * 100,
    ],
)
@pytest.mark.parametrize("read", [chat, responses])
def test_addresses_that_are_accepted(read: Any, url: str) -> None:
    """CHAT-1.13: Addresses of the web, and data in base64, also with broken lines."""
    read(url)


@pytest.mark.parametrize(
    "url", ["", "x", "cat.png", "file:///a.png", "https://", "filesystem-v2", "data:image/png"]
)
def test_what_is_no_address(url: str) -> None:
    """CHAT-1.13: It is refused by its place."""
    for read, place in (
        (chat, "messages[0].content[1].image_url.url"),
        (responses, "input[0].content[0].image_url"),
    ):
        error = refusal(read, url)
        assert (
            error["message"]
            == f"Invalid '{place}'. Expected a valid URL, but got a value with an invalid format."
        )
        assert (error["param"], error["code"]) == (place, "invalid_value")


@pytest.mark.parametrize("read", [chat, responses])
def test_data_that_are_no_image(read: Any) -> None:
    """CHAT-1.13: Other types, and what is no base64, are refused in the API's words."""
    for kind in ("application/pdf", "image/avif", "image/bmp", ""):
        error = refusal(read, f"data:{kind};base64,AAAA")
        assert (error["param"], error["code"]) == (None, "invalid_image_format")
        assert error["message"].endswith("one the following formats: ['png', 'jpeg', 'gif', 'webp'].")
    for url in (PNG, PNG + "!!", PNG + "A" * 100 + "!", "data:image/png,AAAA", PNG + PNG + "AAAA"):
        assert refusal(read, url)["message"] == "Invalid base64 image_url."
