"""The official clients against a server that needs keys."""

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI
from support.servers import Server, serve

HELLO: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers that need a key."""
    directory = tmp_path_factory.mktemp("keys")
    file = directory / "team.txt"
    file.write_text("# the team's\nsk-file\n")
    with serve(
        directory,
        "--workers",
        "2",
        "--latency",
        "instant",
        LLMSIM_AUTH_KEYS="sk-one,sk-two",
        LLMSIM_AUTH_KEYS_FILE=str(file),
    ) as running:
        yield running


@pytest.mark.parametrize("key", ["sk-one", "sk-two", "sk-file"])
def test_openai(keyed: Server, key: str) -> None:
    """ACC-2.1, ACC-2.3: With a configured key everything works, and what another has stored is not found."""
    with OpenAI(base_url=keyed.openai, api_key=key, max_retries=0) as client:
        other = client.with_options(api_key="sk-two" if key != "sk-two" else "sk-one")
        made = client.responses.create(model="gpt-4o", input="Hello")
        client.responses.create(model="gpt-4o", input="On", previous_response_id=made.id)
        with client.responses.stream(model="gpt-4o", input="Hello") as stream:
            assert stream.get_final_response().output_text
        assert client.responses.retrieve(made.id).id == made.id
        assert client.models.retrieve("gpt-4o").id == "gpt-4o"
        with pytest.raises(openai.NotFoundError):
            other.responses.retrieve(made.id)
        with pytest.raises(openai.BadRequestError, match=r"Previous response with id .* not found"):
            other.responses.create(model="gpt-4o", input="On", previous_response_id=made.id)


def test_openai_with_a_wrong_key(keyed: Server) -> None:
    """ACC-2.1: The SDK raises what it raises for a wrong key."""
    with (
        OpenAI(base_url=keyed.openai, api_key="sk-wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.chat.completions.create(model="gpt-4o", messages=HELLO)

    assert caught.value.code == "invalid_api_key"
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id is not None


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
def test_anthropic(keyed: Server, header: str) -> None:
    """ACC-2.1: Anthropic's SDK may send the key either way, and raises what it raises for a wrong key."""
    field = "api_key" if header == "x-api-key" else "auth_token"
    base = f"{keyed.base}/anthropic"
    options: dict[str, Any] = {"base_url": base, "max_retries": 0}
    with (
        Anthropic(**options | {field: "sk-one"}) as client,
        Anthropic(**options | {field: "sk-wrong"}) as wrong,
    ):
        message = client.messages.create(model="claude-opus-4-8", max_tokens=5, messages=HELLO)
        with pytest.raises(anthropic.AuthenticationError) as caught:
            wrong.messages.create(model="claude-opus-4-8", max_tokens=5, messages=HELLO)

    assert message.content
    body: Any = caught.value.body
    assert body["error"]["type"] == "authentication_error"
    assert body["error"]["message"] in ("invalid x-api-key", "Invalid bearer token")
    assert body["request_id"] == caught.value.request_id
