"""The official OpenAI client's embeddings, unchanged, against a real server."""

import asyncio
import math
import time
from pathlib import Path

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from support.servers import Server, serve

from llmsim.planning.tokens import load_tokenizer

SMALL, LARGE, ADA = "text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"


def test_the_sdks_default_format(client: OpenAI) -> None:
    """EMBD-2.1, EMBD-2.2: base64, which the SDK asks for by itself, gives the numbers that `float` gives."""
    packed = client.embeddings.create(model=SMALL, input="hello")
    plain = client.embeddings.create(model=SMALL, input="hello", encoding_format="float")

    assert packed.object == "list"
    assert packed.model == SMALL
    assert packed.data[0].embedding == plain.data[0].embedding
    assert len(plain.data[0].embedding) == 1536
    assert math.hypot(*plain.data[0].embedding) == pytest.approx(1, abs=1e-6)
    assert packed.usage == plain.usage
    assert (plain.usage.prompt_tokens, plain.usage.total_tokens) == (1, 1)


@pytest.mark.parametrize(("model", "size"), [(SMALL, 1536), (LARGE, 3072), (ADA, 1536), ("my-own", 1536)])
def test_models(client: OpenAI, model: str, size: int) -> None:
    """EMBD-4.1, EMBD-4.4: each model has its dimensions, and any name is taken."""
    answer = client.embeddings.create(model=model, input=["a", "b", "c"])

    assert [len(entry.embedding) for entry in answer.data] == [size] * 3
    assert [entry.index for entry in answer.data] == [0, 1, 2]
    assert answer.model == model


def test_token_ids(client: OpenAI) -> None:
    """EMBD-3.3: token ids, in one list or several, are embedded as their text."""
    ids = load_tokenizer("cl100k_base")._encoding.encode_ordinary("Grüße aus Köln")
    by_text = client.embeddings.create(model=LARGE, input="Grüße aus Köln", dimensions=256)
    by_ids = client.embeddings.create(model=LARGE, input=ids, dimensions=256)
    by_lists = client.embeddings.create(model=LARGE, input=[ids, ids], dimensions=256)

    assert by_ids.data == by_text.data
    assert [entry.embedding for entry in by_lists.data] == [by_text.data[0].embedding] * 2
    assert by_lists.usage.prompt_tokens == 2 * len(ids) == 2 * by_text.usage.prompt_tokens


async def test_all_workers_give_the_same(async_client: AsyncOpenAI) -> None:
    """EMBD-3.2: forty requests over four workers have one answer."""
    async with async_client:
        answers = await asyncio.gather(
            *(async_client.embeddings.create(model=SMALL, input="the same", dimensions=64) for _ in range(40))
        )

    assert len({tuple(answer.data[0].embedding) for answer in answers}) == 1


def test_retrieval(client: OpenAI) -> None:
    """EMBD-3.4: a question finds the document that answers it."""
    documents = [
        "Opening hours: the shop is open from nine to six on weekdays.",
        "Returns: goods can be returned within thirty days of delivery.",
        "Warranty: devices are repaired free of charge for two years.",
    ]
    stored = [entry.embedding for entry in client.embeddings.create(model=SMALL, input=documents).data]

    for question, wanted in (
        ("When does the shop open?", 0),
        ("How can I return goods?", 1),
        ("repair under warranty", 2),
    ):
        asked = client.embeddings.create(model=SMALL, input=question).data[0].embedding
        near = [sum(map(float.__mul__, asked, one)) for one in stored]
        assert near.index(max(near)) == wanted


def test_refusals_raise_the_sdks_errors(client: OpenAI) -> None:
    """EMBD-1.2, EMBD-1.3, EMBD-1.4, EMBD-1.5, EMBD-4.2, EMBD-4.3: each is the SDK's exception with the API's words."""
    with pytest.raises(openai.BadRequestError, match=r"'\$\.input' is invalid"):
        client.embeddings.create(model=SMALL, input=["a", ""])
    with pytest.raises(openai.BadRequestError, match=r"'input\[1\]': maximum context length is 8192 tokens"):
        client.embeddings.create(model=SMALL, input=["a", " a" * 9000])
    with pytest.raises(openai.BadRequestError, match="max 300000 tokens per request") as too_much:
        client.embeddings.create(model=SMALL, input=[" a" * 8000] * 38)
    with pytest.raises(openai.BadRequestError, match="does not support specifying dimensions"):
        client.embeddings.create(model=ADA, input="a", dimensions=256)
    with pytest.raises(openai.BadRequestError) as too_long:
        client.embeddings.create(model=SMALL, input="a", dimensions=1537)
    with pytest.raises(openai.PermissionDeniedError, match="not allowed to generate embeddings"):
        client.embeddings.create(model="gpt-4o", input="a")
    with pytest.raises(openai.NotFoundError, match="not a chat model"):
        client.chat.completions.create(model=SMALL, messages=[{"role": "user", "content": "Hello"}])
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model=SMALL, input="Hello")

    assert (too_much.value.type, too_much.value.code) == ("max_tokens_per_request", "max_tokens_per_request")
    assert too_long.value.param == "dimensions"


def test_a_large_batch(client: OpenAI) -> None:
    """EMBD-5.1: as many texts as a request may have are answered, in order."""
    texts = [f"text number {number}" for number in range(2048)]
    answer = client.embeddings.create(model=SMALL, input=texts, dimensions=32)

    assert [entry.index for entry in answer.data] == list(range(2048))
    last = client.embeddings.create(model=SMALL, input=texts[-1], dimensions=32)
    assert answer.data[-1].embedding == last.data[0].embedding


def test_models_are_listed(client: OpenAI, server: Server) -> None:
    """EMBD-4.1: the list of models has them."""
    assert {SMALL, LARGE, ADA} <= {model.id for model in client.models.list()}


def test_latency_and_counts(tmp_path: Path) -> None:
    """EMBD-2.4, EMBD-2.5: an answer waits for its time to first token, and is counted at its endpoint."""
    with (
        serve(
            tmp_path, "--workers", "1", LLMSIM_LATENCY_TTFT_MEAN_MS="80", LLMSIM_LATENCY_TTFT_STDDEV_MS="0"
        ) as server,
        OpenAI(base_url=server.openai, api_key="any", max_retries=0) as client,
    ):
        client.models.list()
        began = time.monotonic()
        client.embeddings.create(model=SMALL, input=["hello world", "hello"])
        seconds = time.monotonic() - began
        stats = server.settled(1)

    assert seconds >= 0.080
    assert stats["embeddings_requests"] == 1
    assert (stats["finished_requests"], stats["prompt_tokens"], stats["completion_tokens"]) == (1, 3, 0)
