"""The Azure clients of the openai SDK against a running server, unchanged but for their endpoint."""

from collections.abc import Iterator

import openai
import pytest
from openai import AsyncAzureOpenAI, AzureOpenAI, OpenAI
from support.servers import Server

VERSION = "2024-10-21"
MODEL = "gpt-4o"


@pytest.fixture
def azure(server: Server) -> Iterator[AzureOpenAI]:
    endpoint = f"{server.base}/azure"
    with AzureOpenAI(azure_endpoint=endpoint, api_key="any", api_version=VERSION, max_retries=0) as opened:
        yield opened


def test_chat(azure: AzureOpenAI) -> None:
    """AZR-1.1, AZR-2.1: A completion has a text, usage that adds up, and findings of the filters."""
    answer = azure.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello"}])

    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.model_extra is not None
    assert answer.model_extra["prompt_filter_results"]


def test_a_stream(azure: AzureOpenAI) -> None:
    """AZR-2.2: The chunk without choices breaks no helper of the SDK."""
    with azure.chat.completions.stream(
        model=MODEL, messages=[{"role": "user", "content": "Hello"}]
    ) as stream:
        final = stream.get_final_completion()

    assert final.choices[0].message.content


def test_a_deployment_of_the_client(server: Server) -> None:
    """AZR-1.4: A client of one deployment calls nothing else."""
    with AzureOpenAI(
        azure_endpoint=f"{server.base}/azure", azure_deployment=MODEL, api_key="any", api_version=VERSION
    ) as client:
        answer = client.chat.completions.create(model="", messages=[{"role": "user", "content": "Hello"}])

    assert answer.choices[0].message.content


def test_embeddings_and_models(azure: AzureOpenAI) -> None:
    """AZR-1.1, AZR-1.7: A deployment embeds; models are listed."""
    answer = azure.embeddings.create(model="text-embedding-3-small", input=["a", "b"])

    assert [len(one.embedding) for one in answer.data] == [1536, 1536]
    assert MODEL in {model.id for model in azure.models.list()}


def test_responses(azure: AzureOpenAI) -> None:
    """AZR-1.2, AZR-2.3: Responses are created, streamed, continued and found."""
    first = azure.responses.create(model=MODEL, input="Hello")
    second = azure.responses.create(model=MODEL, input="More", previous_response_id=first.id)
    with azure.responses.stream(model=MODEL, input="Hello") as stream:
        streamed = stream.get_final_response()

    assert azure.responses.retrieve(second.id).output_text == second.output_text
    assert streamed.output_text
    assert streamed.model_extra is not None
    assert len(streamed.model_extra["content_filters"]) == 2


async def test_async_with_a_token(server: Server) -> None:
    """AZR-3.2: A token of Entra is as good as a key."""
    async with AsyncAzureOpenAI(
        azure_endpoint=f"{server.base}/azure", azure_ad_token="any", api_version=VERSION
    ) as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        texts = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]

    assert "".join(text or "" for text in texts)


def test_v1(server: Server) -> None:
    """AZR-1.3: The plain client speaks to /openai/v1."""
    with OpenAI(base_url=f"{server.base}/azure/openai/v1", api_key="any") as client:
        answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello"}])

    assert answer.choices[0].message.content


def test_a_refusal(azure: AzureOpenAI) -> None:
    """AZR-3.1: What the model refuses is a bad request with its parameter."""
    with pytest.raises(openai.BadRequestError) as caught:
        azure.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Hello"}], temperature=9
        )

    assert caught.value.param == "temperature"
