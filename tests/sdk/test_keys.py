"""The official clients against a server that needs keys."""

from collections.abc import Iterator

import anthropic
import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI
from support.servers import Server, serve


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
    client = OpenAI(base_url=keyed.openai, api_key=key, max_retries=0)
    other = client.with_options(api_key="sk-two" if key != "sk-two" else "sk-one")

    made = client.responses.create(model="gpt-4o", input="Hello")
    client.responses.create(model="gpt-4o", input="On", previous_response_id=made.id)
    assert client.responses.retrieve(made.id).id == made.id
    with pytest.raises(openai.NotFoundError):
        other.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError, match="Previous response with id .* not found"):
        other.responses.create(model="gpt-4o", input="On", previous_response_id=made.id)
    with client.responses.stream(model="gpt-4o", input="Hello") as stream:
        assert stream.get_final_response().output_text
    assert client.models.retrieve("gpt-4o").id == "gpt-4o"


def test_openai_with_a_wrong_key(keyed: Server) -> None:
    """ACC-2.1: The SDK raises what it raises for a wrong key."""
    client = OpenAI(base_url=keyed.openai, api_key="sk-wrong", max_retries=0)

    with pytest.raises(openai.AuthenticationError) as caught:
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hello"}])

    assert caught.value.code == "invalid_api_key"
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id is not None


@pytest.mark.parametrize("field", ["api_key", "auth_token"])
def test_anthropic(keyed: Server, field: str) -> None:
    """ACC-2.1: Anthropic's SDK may send the key either way."""
    base = f"{keyed.base}/anthropic"
    fields = {"api_key": None, "auth_token": None}
    client = Anthropic(base_url=base, max_retries=0, **(fields | {field: "sk-one"}))
    wrong = Anthropic(base_url=base, max_retries=0, **(fields | {field: "sk-wrong"}))

    assert client.messages.create(
        model="claude-opus-4-8", max_tokens=5, messages=[{"role": "user", "content": "Hello"}]
    ).content
    with pytest.raises(anthropic.AuthenticationError) as caught:
        wrong.models.list()

    assert caught.value.body == {
        "type": "error",
        "error": {
            "type": "authentication_error",
            "message": "invalid x-api-key" if field == "api_key" else "Invalid bearer token",
        },
        "request_id": caught.value.request_id,
    }
