"""The official OpenAI client, unchanged, against a real server."""

import asyncio
import time
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from support.servers import Server, serve

from llmsim.planning.tokens import load_tokenizer

HELLO: Any = [{"role": "user", "content": "Hello"}]


def test_answer(client: OpenAI) -> None:
    """CHAT-2.6, CHAT-2.7: an answer parses into the SDK's types, and its usage is that of its text."""
    answer = client.chat.completions.create(model="gpt-4o", messages=HELLO)

    text = answer.choices[0].message.content
    assert text
    assert answer.object == "chat.completion"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 100
    assert answer.usage.prompt_tokens == 3 + 4 + 1
    assert answer.usage.total_tokens == 108
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 0
    assert answer._request_id is not None
    assert answer._request_id.startswith("req_")


def test_stream(client: OpenAI) -> None:
    """CHAT-3.2: a stream is role, text, finish; without stream_options no chunk carries usage."""
    with client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True) as stream:
        chunks = list(stream)

    assert len({chunk.id for chunk in chunks}) == len({chunk.created for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "stop"]
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)
    assert all(chunk.obfuscation is not None for chunk in chunks)
    assert sum(bool(chunk.choices[0].delta.content) for chunk in chunks) == 100


def test_stream_options(client: OpenAI) -> None:
    """CHAT-3.3, CHAT-3.4: include_usage adds a last chunk with the usage; include_obfuscation false leaves padding out."""
    stream = client.chat.completions.create(
        model="gpt-4o",
        messages=HELLO,
        stream=True,
        max_tokens=7,
        stream_options={"include_usage": True, "include_obfuscation": False},
    )
    *chunks, last = stream

    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 7
    assert all(chunk.usage is None and "usage" in chunk.model_fields_set for chunk in chunks)
    assert all("obfuscation" not in chunk.model_fields_set for chunk in (*chunks, last))
    assert chunks[-1].choices[0].finish_reason == "length"


def test_stream_helper_gathers_the_answer(client: OpenAI) -> None:
    """CHAT-3.2: the SDK's own stream helper accumulates a whole completion."""
    with client.chat.completions.stream(
        model="gpt-4o", messages=HELLO, seed=5, stream_options={"include_usage": True}
    ) as stream:
        for _ in stream:
            pass
        gathered = stream.get_final_completion()
    whole = client.chat.completions.create(model="gpt-4o", messages=HELLO, seed=5)

    assert gathered.choices[0].message.content == whole.choices[0].message.content
    assert gathered.usage == whole.usage


async def test_async_streams_side_by_side(async_client: AsyncOpenAI) -> None:
    """CHAT-2.4: fifty async streams of one seed over all workers say the same."""

    async def say() -> str:
        stream = await async_client.chat.completions.create(
            model="gpt-5-mini", messages=HELLO, stream=True, seed=1
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async with async_client:
        spoken = await asyncio.gather(*(say() for _ in range(50)))

    assert len(set(spoken)) == 1
    assert load_tokenizer("o200k_base").count(spoken[0]) == 100


def test_choices_interleave(client: OpenAI) -> None:
    """CHAT-2.3: n choices come side by side, each with role and finish."""
    chunks = list(
        client.chat.completions.create(model="gpt-4o", messages=HELLO, n=3, stream=True, max_tokens=5)
    )

    order = [chunk.choices[0].index for chunk in chunks if chunk.choices[0].delta.content]
    assert order == [0, 1, 2] * 5
    assert [chunk.choices[0].index for chunk in chunks if chunk.choices[0].delta.role] == [0, 1, 2]
    assert [chunk.choices[0].index for chunk in chunks if chunk.choices[0].finish_reason] == [0, 1, 2]


def test_reasoning_is_counted(client: OpenAI) -> None:
    """CHAT-2.5: effort decides the reasoning tokens, which are part of the completion's."""
    for model, effort, factor in (
        ("gpt-5.2", "none", 0),
        ("gpt-5", "minimal", 0.5),
        ("gpt-5", "low", 1.5),
        ("gpt-5", "medium", 3),
        ("gpt-5", "high", 6),
        ("gpt-5.2", "xhigh", 10),
    ):
        usage = client.chat.completions.create(
            model=model,
            messages=HELLO,
            reasoning_effort=effort,  # type: ignore[arg-type]
        ).usage
        assert usage is not None
        assert usage.completion_tokens_details is not None
        assert usage.completion_tokens_details.reasoning_tokens == 100 * factor
        assert usage.completion_tokens == 100 + 100 * factor


def test_refusals_raise_the_sdks_errors(client: OpenAI) -> None:
    """CHAT-1.2, API-1.3: a refusal is the SDK's exception with message, param and code."""
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="gpt-4o", messages=[*HELLO, {"role": "robot", "content": "x"}])
    with pytest.raises(openai.NotFoundError) as missing:
        client.models.retrieve("no-such-model")

    assert refused.value.param == "messages[1].role"
    assert refused.value.code == "invalid_value"
    assert missing.value.code == "model_not_found"
    assert refused.value.request_id is not None


def test_models(client: OpenAI) -> None:
    """API-1.2: models list and retrieve, with llmsim's window and maximum beside the API's fields."""
    listed = {model.id: model for model in client.models.list()}
    one = client.models.retrieve("gpt-5-mini")

    assert one.to_dict() == listed["gpt-5-mini"].to_dict()
    assert one.owned_by == "openai"
    assert one.to_dict()["context_window"] == 400_000


def test_raw_headers(client: OpenAI) -> None:
    """API-2.3: the headers that OpenAI sends stand on answers and streams."""
    for stream in (False, True):
        raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO, stream=stream)
        raw.parse()

        assert raw.headers["x-request-id"].startswith("req_")
        assert int(raw.headers["openai-processing-ms"]) >= 0
        assert raw.headers["openai-version"] == "2020-10-01"
        assert raw.headers["openai-organization"]


def test_retries_obey_retry_after(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """CHAT-4.3: the SDK retries a simulated rate limit as its headers ask, and gets through."""
    with (
        caplog.at_level("INFO", "openai"),
        serve(
            tmp_path,
            "--workers",
            "1",
            "--latency",
            "instant",
            "--seed",
            "2",
            LLMSIM_ERRORS_RATE_LIMIT_RATE="0.5",
            LLMSIM_ERRORS_RETRY_AFTER_MS="5",
        ) as server,
        OpenAI(base_url=server.openai, api_key="any", max_retries=12) as client,
    ):
        for _ in range(10):
            assert client.chat.completions.create(model="gpt-4o", messages=HELLO).choices
        stats = server.settled(10 + server.stats()["rate_limit_errors"])

    assert stats["finished_requests"] == 10
    assert stats["rate_limit_errors"] > 0
    waits = [record.args[0] for record in caplog.records if "Retrying request in" in record.msg]  # type: ignore[index]
    # The SDK's own backoff starts at half a second for each retry; the server asked for 5 ms.
    assert waits == [0.005] * stats["rate_limit_errors"]


def test_faults_raise_the_sdks_errors(tmp_path: Path) -> None:
    """CHAT-4.1: each simulated failure is the exception the SDK has for it."""
    for rate, error in {
        "RATE_LIMIT": openai.RateLimitError,
        "SERVER_ERROR": openai.InternalServerError,
        "INVALID_REQUEST": openai.BadRequestError,
        "AUTHENTICATION": openai.AuthenticationError,
    }.items():
        directory = tmp_path / rate
        directory.mkdir()
        with (
            serve(directory, "--workers", "1", **{f"LLMSIM_ERRORS_{rate}_RATE": "1"}) as server,
            OpenAI(base_url=server.openai, api_key="any", max_retries=0) as client,
        ):
            with pytest.raises(error):
                client.chat.completions.create(model="gpt-4o", messages=HELLO)
            with pytest.raises(error):
                client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True)


def test_paced_stream_takes_its_time(server: Server, tmp_path: Path) -> None:
    """LAT-2.3, LAT-3.1, CHAT-3.6: nothing is early as the client sees it, and an unstreamed answer takes as long as its stream."""
    with (
        serve(
            tmp_path,
            "--workers",
            "1",
            LLMSIM_LATENCY="instant",
            LLMSIM_LATENCY_TTFT_MEAN_MS="150",
            LLMSIM_LATENCY_TBT_MEAN_MS="10",
        ) as paced,
        OpenAI(base_url=paced.openai, api_key="any", max_retries=0) as client,
    ):
        began = time.monotonic()
        stream = client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True, max_tokens=20)
        head = time.monotonic() - began
        instants = [time.monotonic() - began for chunk in stream if chunk.choices[0].delta.content]
        began = time.monotonic()
        client.chat.completions.create(model="gpt-4o", messages=HELLO, max_tokens=20)
        whole = time.monotonic() - began

    assert head >= 0.150
    assert all(instant >= 0.150 + 0.010 * token for token, instant in enumerate(instants))
    assert whole >= 0.150 + 0.010 * 19
