"""Every generating endpoint: what is refused, what fails on purpose, and what fails by a bug."""

import asyncio
import json
import logging
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support.anthropic_request import MESSAGES
from support.asgi import Exchange, Simulator, broken, simulator
from support.endpoints import Endpoint, likeness, signed, timeout_status

from llmsim.domain import Fault, FaultKind
from llmsim.errors import BodyTooLargeError
from llmsim.providers.contract import Provider, Reply
from llmsim.server.channels import AsgiChannel
from llmsim.server.pacing import PacedStream

RATES = {
    "rate_limit_rate": {FaultKind.RATE_LIMIT},
    "server_error_rate": {FaultKind.SERVER_ERROR, FaultKind.OVERLOADED},
    "timeout_rate": {FaultKind.TIMEOUT},
    "invalid_request_rate": {FaultKind.INVALID_REQUEST},
    "authentication_rate": {FaultKind.AUTHENTICATION},
}


def is_reply(exchange: Exchange, provider: Provider, reply: Reply) -> bool:
    reply = signed(provider, reply, exchange.headers)
    return (exchange.status, exchange.body) == (reply.status, reply.body) and all(
        exchange.headers[name] == value for name, value in reply.headers
    )


class TestRefusals:
    """Requests that the provider would not take."""

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"null",
            b"[]",
            b'"x"',
            b"\xff\xfe{}",
            b"{}",
            b'{"model": 5}',
            b"[" * 10_000,
            b'{"a":' * 10_000,
            b"9" * 10_000,
            b'{"model":"x","x":"\xff"}',
        ],
        ids=lambda body: repr(body[:20]),
    )
    async def test_what_makes_no_sense_is_refused(self, endpoint: Endpoint, body: bytes) -> None:
        """ARCH-4.2: Any bytes get an error of the provider's own, are counted as refused, and the worker lives."""
        worker = simulator()
        exchange = await worker.ask("POST", endpoint.path, body)

        assert exchange.status == 400
        assert shape(exchange.json) == shape(likeness(endpoint.provider))
        assert (worker.stats().refused_requests, worker.stats().active_requests) == (1, 0)
        assert (await worker.ask("POST", endpoint.path, endpoint.body())).status == 200

    async def test_a_refusal_does_not_wait(self, endpoint: Endpoint) -> None:
        """CHAT-1.2: A refusal comes at once, whatever the latency of answers."""
        worker = simulator(latency={"profile": "instant", "ttft_mean_ms": 60_000})

        assert (await asyncio.wait_for(worker.ask("POST", endpoint.path, b"{}"), 10)).status == 400

    @pytest.mark.parametrize(
        ("path", "param", "fields"),
        [
            ("/openai/v1/chat/completions", "messages", {"messages": [{"role": "user", "content": "x"}]}),
            ("/openai/v1/responses", "input", {"input": "x"}),
            ("/openresponses/v1/responses", "input", {"input": "x"}),
        ],
    )
    async def test_an_endpoint_names_its_own_field(
        self, path: str, param: str, fields: dict[str, Any]
    ) -> None:
        """RESP-6.7: A prompt that is too long is refused by the name that it has at the endpoint."""
        body = json.dumps({"model": "gpt-4", **fields}).replace('"x"', json.dumps("word " * 10_000)).encode()
        exchange = await simulator().ask("POST", path, body)

        error = exchange.json["error"]
        assert (exchange.status, error["param"]) == (400, param)
        assert error["code"] == "context_length_exceeded"

    async def test_an_announced_body_over_the_limit_is_not_read(self, endpoint: Endpoint) -> None:
        """CHAT-1.3: A body that is announced as too large is refused with 413 before it comes."""
        worker = simulator(server={"max_body_bytes": 1000})
        headers = {"content-length": "1001"}
        call, exchange = worker.begin("POST", endpoint.path, [b"{"], headers=headers, complete=False)
        await asyncio.wait_for(call, 5)

        assert is_reply(
            exchange, endpoint.provider, endpoint.provider.render_refusal(BodyTooLargeError(1000))
        )
        assert exchange.status == 413
        assert worker.stats().refused_requests == 1

    async def test_an_unannounced_body_is_read_up_to_the_limit(self, endpoint: Endpoint) -> None:
        """ARCH-4.1: A body in chunks is refused with 413 as soon as it is over the limit, however much is to come."""
        worker = simulator(server={"max_body_bytes": 1000})
        call, exchange = worker.begin("POST", endpoint.path, [b" " * 300] * 4, complete=False)
        await asyncio.wait_for(call, 5)

        assert is_reply(
            exchange, endpoint.provider, endpoint.provider.render_refusal(BodyTooLargeError(1000))
        )

    async def test_a_short_body_of_a_client_that_is_there(self, endpoint: Endpoint) -> None:
        """TRAN-3.2: A body that ends before its announced length is refused with 400; never an empty 200."""
        worker = simulator()
        headers = {"content-length": "100000"}
        for parts in ([endpoint.body()], [b"{", b"}"], [b""]):
            call, exchange = worker.begin("POST", endpoint.path, parts, headers=headers)
            await asyncio.wait_for(call, 5)

            assert exchange.status == 400
            assert "100000 in content-length" in exchange.body.decode()

    async def test_a_short_body_of_a_client_that_is_gone(self, endpoint: Endpoint) -> None:
        """TRAN-3.2: A disconnect within the body is no refusal."""
        worker = simulator()
        call, exchange = worker.begin(
            "POST", endpoint.path, [b"{"], headers={"content-length": "100000"}, complete=False
        )
        exchange.hung_up.set()
        await asyncio.wait_for(call, 5)

        assert worker.stats().refused_requests == 0
        assert worker.stats().abandoned_requests == 1

    @pytest.mark.parametrize("announced", [True, False])
    async def test_a_body_of_just_the_limit_is_taken(self, endpoint: Endpoint, announced: bool) -> None:
        """ARCH-4.1: The limit itself is within it; in one part or many, announced or not."""
        worker = simulator(server={"max_body_bytes": 1000})
        body = endpoint.body().ljust(1000)
        headers = {"content-length": "1000"} if announced else {}
        parts = [body[start : start + 99] for start in range(0, 1000, 99)]
        call, exchange = worker.begin("POST", endpoint.path, parts, headers=headers)
        await asyncio.wait_for(call, 5)

        assert exchange.status == 200


def shape(value: Any) -> Any:
    """Reduce JSON to its keys, but for the details of Google's errors, which some have."""
    if not isinstance(value, dict):
        return None
    return {name: shape(item) for name, item in value.items() if name != "details"}


class TestFaults:
    """Failures on purpose."""

    @pytest.mark.parametrize("rate", RATES)
    @pytest.mark.parametrize("streamed", [True, False])
    async def test_each_rate_fails_as_the_provider_fails(
        self, endpoint: Endpoint, rate: str, streamed: bool
    ) -> None:
        """CHAT-4.1: At a rate of 1 every accepted request fails, in the provider's words, and is counted as such."""
        worker = simulator(errors={rate: 1.0, "timeout_after_ms": 1, "retry_after_ms": 250})
        exchanges = [
            await worker.ask("POST", endpoint.path, endpoint.body(stream=streamed)) for _ in range(8)
        ]

        retries = (FaultKind.RATE_LIMIT, FaultKind.OVERLOADED)
        wanted = [
            endpoint.provider.render_fault(Fault(kind, retry_after=0.25 if kind in retries else None))
            for kind in RATES[rate]
        ]
        assert all(
            any(is_reply(exchange, endpoint.provider, reply) for reply in wanted) for exchange in exchanges
        )
        stats = worker.stats()
        counts = stats.endpoints[endpoint.generation.label]
        assert sum(counts[kind.value] for kind in RATES[rate]) == 8
        assert (stats.total_errors, stats.active_requests, stats.completion_tokens) == (8, 0, 0)

    async def test_a_refused_request_is_no_fault(self, endpoint: Endpoint) -> None:
        """CHAT-4.1: However many faults are asked for, a request that is wrong is refused."""
        worker = simulator(errors={"server_error_rate": 1.0})

        assert (await worker.ask("POST", endpoint.path, b"{}")).status == 400
        assert (worker.stats().refused_requests, worker.stats().total_errors) == (1, 0)

    async def test_a_timeout_hangs_for_its_time(self, endpoint: Endpoint) -> None:
        """CHAT-4.2: A timeout is answered no sooner than after `timeout_after_ms`."""
        worker = simulator(errors={"timeout_rate": 1.0, "timeout_after_ms": 20})
        began = time.monotonic()
        exchange = await worker.ask("POST", endpoint.path, endpoint.body())

        assert exchange.status == timeout_status(endpoint.provider)
        assert exchange.started - began >= 0.020

    async def test_a_hang_up_during_a_timeout_is_noticed(self, endpoint: Endpoint) -> None:
        """CHAT-4.2: A client that does not wait for its timeout has abandoned the request."""
        worker = simulator(errors={"timeout_rate": 1.0, "timeout_after_ms": 60_000})
        call, exchange = worker.begin("POST", endpoint.path, [endpoint.body()])
        await asyncio.sleep(0.005)
        exchange.hung_up.set()
        await asyncio.wait_for(call, 5)

        stats = worker.stats()
        assert (stats.abandoned_requests, stats.timeout_errors, stats.active_requests) == (1, 0, 0)

    async def test_faults_repeat_under_a_server_seed(self, endpoint: Endpoint) -> None:
        """CHAT-4.4: The k-th request of a run has the same outcome in every run."""
        runs = []
        for _ in range(2):
            worker = simulator(seed=3, errors={"rate_limit_rate": 0.3, "server_error_rate": 0.3})
            worker.application.state.counters.restart()
            runs.append(
                [(await worker.ask("POST", endpoint.path, endpoint.body())).status for _ in range(20)]
            )

        assert runs[0] == runs[1]
        assert {200, 429} < set(runs[0])


class TestBugs:
    """Failures that nobody meant."""

    async def _crash(
        self, worker: Simulator, endpoint: Endpoint, caplog: pytest.LogCaptureFixture, **fields: Any
    ) -> None:
        with caplog.at_level(logging.ERROR):
            exchange = await worker.ask("POST", endpoint.path, endpoint.body(**fields))

        assert is_reply(exchange, endpoint.provider, endpoint.provider.render_crash())
        assert exchange.status == 500
        assert any("boom" in str(record.exc_info) for record in caplog.records)
        stats = worker.stats()
        assert (stats.failed_requests, stats.total_errors, stats.active_requests) == (1, 1, 0)
        assert stats.completion_tokens == 0, "tokens that were never sent"

    @pytest.mark.parametrize("is_whole", [False, True], ids=["by-falcon", "whole"])
    @pytest.mark.parametrize("name", ["parse", "render_response"])
    async def test_a_bug_of_the_endpoint_costs_its_request(
        self,
        text_endpoint: Endpoint,
        name: str,
        is_whole: bool,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """ARCH-1.5: A bug is answered 500 in the provider's envelope, logged with its traceback and counted."""
        worker = simulator()
        if is_whole:
            body = text_endpoint.body()
            monkeypatch.setattr(AsgiChannel, "take_body", lambda *_: body)
        owner = text_endpoint.generation.http if name == "parse" else text_endpoint.generation
        with broken(owner, name, RuntimeError("boom")):
            await self._crash(worker, text_endpoint, caplog)

        assert (await worker.ask("POST", text_endpoint.path, text_endpoint.body())).status == 200

    async def test_a_bug_of_a_stream_costs_its_request(
        self, streamer: Endpoint, caplog: pytest.LogCaptureFixture
    ) -> None:
        """ARCH-1.5: So is one in rendering a stream."""
        worker = simulator()
        with broken(streamer.generation.http, "render_stream", RuntimeError("boom")):
            await self._crash(worker, streamer, caplog, stream=True)

        assert (await worker.ask("POST", streamer.path, streamer.body(stream=True))).status == 200

    async def test_a_bug_of_the_planner_costs_its_request(
        self, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
    ) -> None:
        """ARCH-1.5: So is one in planning, on the loop or off it."""
        for filler in ("", "x" * 100_000):
            worker = simulator()
            with broken(worker.planner, "plan", RuntimeError("boom")):
                await self._crash(worker, endpoint, caplog, filler=filler)

    async def test_a_bug_in_mid_stream_breaks_the_stream_off(
        self, streamer: Endpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """ARCH-1.5: A bug after the head left is handed to the server, and counted as failed, once."""
        take = PacedStream.take

        def fail_later(stream: PacedStream, now: float) -> bytes:
            if stream._index:
                raise RuntimeError("boom")
            return take(stream, now)

        monkeypatch.setattr(PacedStream, "take", fail_later)
        worker = simulator(latency={"profile": "instant", "tbt_mean_ms": 20})
        call, exchange = worker.begin("POST", streamer.path, [streamer.body(stream=True)])
        with pytest.raises(RuntimeError, match="boom"):
            await asyncio.wait_for(call, 5)

        stats = worker.stats()
        assert exchange.parts
        assert not exchange.whole
        assert (stats.failed_requests, stats.active_requests) == (1, 0)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
    | st.sampled_from(
        ["user", "text", "image_url", "assistant", "function", "tool", "low", "gpt-5", "o3", "\0", "🦜"]
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "name", "image_url", "url", "id", "stop"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """List every place of JSON in which something stands: its container and its key."""
    inside = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list)
        else []
    )
    return [(value, key) for key, _ in inside] + [place for _, item in inside for place in places(item)]


GENERATE_CONTENT: dict[str, Any] = {
    "model": "acme-1",
    "stream": True,
    "systemInstruction": {"parts": {"text": "Be kind."}},
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "Look"},
                {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
                {"inline_data": {"mime_type": "audio/wav", "data": "AAAA"}},
                {"fileData": {"mimeType": "application/pdf", "fileUri": "https://x/y"}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"text": "I think", "thought": True},
                {"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}, "thoughtSignature": "AAAA"},
                {"functionCall": {"name": "g"}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "c", "name": "f", "response": {"result": 42}}},
                {"functionResponse": {"name": "g", "response": {}, "parts": []}},
            ],
        },
    ],
    "tools": [
        {
            "functionDeclarations": [
                {
                    "name": "f",
                    "description": "d",
                    "parameters": {
                        "type": "OBJECT",
                        "properties": {
                            "a": {"type": "string", "enum": ["x", "y"], "nullable": True},
                            "b": {"type": "ARRAY", "items": {"type": "NUMBER", "minimum": 1}, "maxItems": 2},
                            "c": {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]},
                        },
                        "required": ["a"],
                        "propertyOrdering": ["b", "a"],
                    },
                },
                {"name": "g", "parametersJsonSchema": {"type": "object"}},
            ]
        },
        {"googleSearch": {}},
        {"codeExecution": {}},
    ],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "generationConfig": {
        "candidateCount": 2,
        "maxOutputTokens": 50,
        "stopSequences": ["x"],
        "temperature": 1.0,
        "topP": 0.5,
        "topK": 40,
        "seed": 1,
        "presencePenalty": 0.5,
        "frequencyPenalty": 0.5,
        "responseLogprobs": True,
        "logprobs": 2,
        "responseMimeType": "application/json",
        "responseSchema": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}},
        "responseModalities": ["TEXT"],
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
        "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 100},
    },
    "labels": {"a": "b"},
    "serviceTier": "flex",
}

RESPONSES: dict[str, Any] = {
    # No rules of a model are known for it, so it takes all fields.
    "model": "acme-1",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look"},
                {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"},
            ],
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "a", "annotations": []}],
        },
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "42"},
    ],
    "instructions": "Be kind.",
    "max_output_tokens": 50,
    "metadata": {"a": "b"},
    "parallel_tool_calls": True,
    "reasoning": {"effort": "low", "summary": "auto"},
    "service_tier": "flex",
    "store": True,
    "stream": True,
    "temperature": 1.0,
    "text": {
        "format": {"type": "json_schema", "name": "s", "strict": False, "schema": {"type": "object"}},
        "verbosity": "low",
    },
    "tool_choice": {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "function", "name": "f"}, {"type": "mcp", "server_label": "s"}],
    },
    "tools": [
        {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False},
        {"type": "custom", "name": "g", "description": "d"},
        {"type": "namespace", "name": "n", "description": "d", "tools": [{"type": "custom", "name": "h"}]},
        {
            "type": "mcp",
            "server_label": "s",
            "server_url": "https://example.com/mcp",
            "allowed_tools": {"tool_names": ["t"]},
        },
        {"type": "image_generation", "partial_images": 1},
        {"type": "web_search"},
    ],
    "top_logprobs": 2,
    "max_tool_calls": 2,
    "top_p": 0.5,
    "truncation": "disabled",
    "include": ["message.output_text.logprobs"],
    "user": "u",
}

RICH: dict[str, dict[str, Any]] = {
    "completions": {
        "model": "acme-1",
        "messages": [
            {"role": "system", "content": "Be kind.", "name": "s"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look"},
                    {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                    {
                        "type": "file",
                        "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}],
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "d", "type": "custom", "custom": {"name": "g", "input": "i"}},
                ],
            },
            {"role": "tool", "content": "42", "tool_call_id": "c"},
            {"role": "tool", "content": [{"type": "text", "text": "43"}], "tool_call_id": "d"},
            {"role": "function", "name": "f", "content": None},
        ],
        "n": 2,
        "seed": 1,
        "stop": ["x", "y"],
        "stream": True,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
        "max_completion_tokens": 5,
        "temperature": 1.0,
        "top_p": 0.5,
        "logit_bias": {"1": 2},
        "metadata": {"a": "b"},
        "modalities": ["text"],
        "reasoning_effort": "low",
        "service_tier": "flex",
        "verbosity": "low",
        "user": "u",
        "logprobs": True,
        "top_logprobs": 2,
        "parallel_tool_calls": True,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "s", "strict": False, "schema": {"type": "object"}},
        },
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
            {
                "type": "custom",
                "custom": {
                    "name": "g",
                    "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}},
                },
            },
        ],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
        },
    },
    "text_completions": {
        "model": "acme-1",
        "prompt": ["One", "Two"],
        "best_of": 2,
        "echo": True,
        "frequency_penalty": 0.5,
        "logit_bias": {"1": 2},
        "logprobs": 2,
        "max_tokens": 5,
        "n": 2,
        "presence_penalty": 0.5,
        "seed": 1,
        "stop": ["x", "y"],
        "stream": True,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
        "suffix": "end",
        "temperature": 1.0,
        "top_p": 0.5,
        "user": "u",
    },
    "moderations": {
        "model": "omni-moderation-latest",
        "input": [
            {"type": "text", "text": "kill"},
            {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
        ],
    },
    "images": {
        "model": "gpt-image-2.5-flare",
        "prompt": "Cat",
        "background": "opaque",
        "complexity": "low",
        "moderation": "low",
        "n": 2,
        "output_compression": 50,
        "output_format": "webp",
        "partial_images": 1,
        "quality": "low",
        "safety_identifier": "s",
        "size": "64x64",
        "stream": True,
        "user": "u",
    },
    "speech": {
        "model": "gpt-4o-mini-tts",
        "voice": {"id": "voice_1"},
        "input": "Hi",
        "instructions": "Be glad.",
        "response_format": "mp3",
        "speed": 2.0,
        "stream_format": "sse",
    },
    "responses": RESPONSES,
    "openresponses": RESPONSES,
    "messages": MESSAGES,
    "generate_content": GENERATE_CONTENT,
    "embed_content": {
        "model": "gemini-embedding-001",
        "content": {"role": "user", "parts": [{"text": "Look"}, {"text": "there"}]},
        "taskType": "RETRIEVAL_DOCUMENT",
        "title": "t",
        "output_dimensionality": 256,
    },
    "embeddings": {
        "input": [[15339, 1917], [9906]],
        "dimensions": 256,
        "encoding_format": "base64",
        "user": "u",
    },
}
"""Requests with all the fields that there are, by endpoint, to be spoiled in one place or another."""


async def test_a_request_with_all_fields_is_answered(endpoint: Endpoint) -> None:
    """CHAT-1.1: The request that is spoiled below is one that is answered."""
    body = endpoint.body(**RICH[endpoint.generation.label.removeprefix("azure_")])
    exchange = await simulator().ask("POST", endpoint.path, body)

    assert (exchange.status, exchange.body[:500]) == (200, exchange.body[:500])
    is_streamed = exchange.headers["content-type"].startswith("text/event-stream")
    assert is_streamed == (endpoint.generation.http.render_stream is not None)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_spoiled_requests_are_taken_or_refused(endpoint: Endpoint, data: st.DataObject) -> None:
    """ARCH-4.2: A request spoiled in any places is answered 200 or 4xx in the envelope; never is it a bug."""
    request = json.loads(endpoint.body(**RICH[endpoint.generation.label.removeprefix("azure_")]))
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places(request)))
        if data.draw(st.booleans()):
            container[key] = data.draw(JSON)
        else:
            del container[key]
        if not request:
            break
    # A path without its model is no path of the endpoint.
    assume("{model}" not in endpoint.generation.path or request.get("model", "x") != "")
    worker = simulator(target_tokens=3)
    exchange = await worker.post(endpoint.path, request)

    assert exchange.whole
    assert exchange.status == 200 or shape(exchange.json) == shape(likeness(endpoint.provider))
    assert exchange.status == 200 or 400 <= exchange.status < 500
    stats = worker.stats()
    assert stats.finished_requests + stats.refused_requests == 1
    assert stats.active_requests == 0


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_spoiled_bytes_are_taken_or_refused(endpoint: Endpoint, data: st.DataObject) -> None:
    """ARCH-4.2: So is a body of which some bytes are others, or missing, or there twice."""
    body = bytearray(endpoint.body(**RICH[endpoint.generation.label.removeprefix("azure_")]))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        stop = data.draw(st.integers(start, min(len(body), start + 8)))
        body[start:stop] = data.draw(
            st.binary(max_size=4)
            | st.sampled_from(
                [
                    b'"',
                    b"\\ud800",
                    b"\\u0000",
                    b"{",
                    b"]",
                    b"1e999",
                    b"9" * 400,
                    bytes(body[start : start + 40]),
                ]
            )
        )
    worker = simulator(target_tokens=3)
    exchange = await worker.ask("POST", endpoint.path, bytes(body))

    assert exchange.whole
    assert exchange.status == 200 or 400 <= exchange.status < 500
    assert worker.stats().failed_requests == 0
