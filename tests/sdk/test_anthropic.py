"""The official Anthropic client against a server of four workers."""

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from support.servers import Server, serve

HELLO = [{"role": "user", "content": "Say hello."}]
MODEL = "claude-opus-4-8"


@pytest.fixture(scope="module")
def claude(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Four workers that answer at once, with 30 tokens."""
    arguments = ("--workers", "4", "--latency", "instant", "--target-tokens", "30")
    with serve(tmp_path_factory.mktemp("claude"), *arguments) as running:
        yield running


def connect(server: Server, **options: object) -> Anthropic:
    return Anthropic(base_url=f"{server.base}/anthropic", api_key="any", max_retries=0, **options)


@pytest.fixture
def client(claude: Server) -> Iterator[Anthropic]:
    with connect(claude) as opened:
        yield opened


def test_an_answer(client: Anthropic) -> None:
    """ANTH-2.1: An answer is a message of the SDK's."""
    message = client.messages.create(model=MODEL, max_tokens=100, messages=HELLO)

    assert (message.type, message.role, message.model) == ("message", "assistant", MODEL)
    assert message.id.startswith("msg_")
    assert message._request_id is not None
    assert message._request_id.startswith("req_")
    assert [block.type for block in message.content] == ["text"]
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 30)


def test_a_stream(client: Anthropic) -> None:
    """ANTH-3.5: Text comes in pieces; together they are the final message."""
    with client.messages.stream(model=MODEL, max_tokens=100, messages=HELLO) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()

    assert len(pieces) == 30
    assert "".join(pieces) == message.content[0].text
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 30)


def test_raw_events(client: Anthropic) -> None:
    """ANTH-3.2: Events come in the order of the real API; the SDK keeps pings to itself."""
    kinds = [
        event.type for event in client.messages.create(model=MODEL, max_tokens=2, messages=HELLO, stream=True)
    ]

    assert kinds == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


async def test_many_streams_at_once(claude: Server) -> None:
    """ANTH-3.5: An asynchronous client streams many answers side by side."""
    async with AsyncAnthropic(base_url=f"{claude.base}/anthropic", api_key="any", max_retries=0) as client:

        async def ask(number: int) -> int:
            async with client.messages.stream(
                model=MODEL, max_tokens=100, messages=[{"role": "user", "content": str(number)}]
            ) as stream:
                return (await stream.get_final_message()).usage.output_tokens

        assert await asyncio.gather(*map(ask, range(40))) == [30] * 40
        whole = await client.messages.create(model=MODEL, max_tokens=5, messages=HELLO)
    assert whole.stop_reason == "max_tokens"


def test_thinking(client: Anthropic) -> None:
    """ANTH-4.1: Thinking comes first, with a signature, and is counted."""
    asked = {
        "model": MODEL,
        "max_tokens": 2000,
        "messages": HELLO,
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "medium"},
    }
    with client.messages.stream(**asked) as stream:
        kinds = [event.type for event in stream if event.type in ("thinking", "signature", "text")]
        message = stream.get_final_message()
    whole = client.messages.create(**asked)

    assert kinds == ["thinking"] * 90 + ["signature"] + ["text"] * 30
    for one in (message, whole):
        assert [block.type for block in one.content] == ["thinking", "text"]
        assert one.content[0].signature
        assert one.content[0].thinking.strip()
        assert one.usage.output_tokens == 120
        assert one.usage.output_tokens_details.thinking_tokens == 90


def test_what_was_answered_can_be_sent_back(client: Anthropic) -> None:
    """ANTH-1.1: The content of an answer is taken as history, thinking and all."""
    first = client.messages.create(
        model=MODEL, max_tokens=2000, messages=HELLO, thinking={"type": "adaptive"}
    )
    messages = [*HELLO, {"role": "assistant", "content": first.content}, *HELLO]

    assert client.messages.create(model=MODEL, max_tokens=20, messages=messages).content


def test_tokens_are_counted_alike(client: Anthropic) -> None:
    """ANTH-5.1: `count_tokens` returns what the message will report."""
    asked = {
        "model": MODEL,
        "system": "Be kind.",
        "messages": HELLO,
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
    }
    counted = client.messages.count_tokens(**asked)
    message = client.messages.create(max_tokens=10, **asked)

    assert counted.input_tokens == message.usage.input_tokens > 8


def test_models(client: Anthropic) -> None:
    """ANTH-6.1: Models are listed page by page, Anthropic's only; aliases and snapshots lead to one."""
    models = list(client.models.list(limit=3))

    assert len(models) > 10
    assert all(model.id.startswith("claude-") and model.capabilities is not None for model in models)
    compacts = {
        model.id: model.capabilities.context_management.compact_20260112.supported for model in models
    }
    assert (compacts["claude-opus-4-8"], compacts["claude-haiku-4-5"]) == (True, False)
    for name in ("claude-opus-4-0", "claude-opus-4-20250514"):
        assert client.models.retrieve(name).id == "claude-opus-4-20250514"
    assert client.models.retrieve("claude-haiku-4-5-20251001").id == "claude-haiku-4-5"
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("claude-nothing-9")


def test_unknown_names_generate(client: Anthropic) -> None:
    """ANTH-6.3: Any model name is answered."""
    message = client.messages.create(model="claude-nothing-9", max_tokens=10, messages=HELLO)

    assert message.model == "claude-nothing-9"


def test_a_cached_prefix_is_read_by_every_worker(claude: Server) -> None:
    """ANTH-7.1: What one worker has written to the cache, each of them reads."""
    system = [
        {
            "type": "text",
            "text": f"{time.time()} " + "All work and no play. " * 400,
            "cache_control": {"type": "ephemeral"},
        }
    ]
    usages = []
    for _ in range(24):
        with connect(claude) as client:
            message = client.messages.create(model=MODEL, max_tokens=5, system=system, messages=HELLO)
            usages.append(message.usage)

    first, *others = usages
    written = first.cache_creation_input_tokens
    assert written > 2000
    assert first.cache_creation.ephemeral_5m_input_tokens == written
    assert first.cache_read_input_tokens == 0
    assert {usage.cache_read_input_tokens for usage in others} == {written}
    assert {usage.cache_creation_input_tokens for usage in others} == {0}
    assert {usage.input_tokens for usage in usages} == {first.input_tokens}


def test_a_batch(client: Anthropic) -> None:
    """ANTH-8.1: A batch is worked on, ends within seconds, and has a result for each request."""
    batch = client.messages.batches.create(
        requests=[
            {"custom_id": "good", "params": {"model": MODEL, "max_tokens": 10, "messages": HELLO}},
            {"custom_id": "bad", "params": {"model": MODEL, "max_tokens": -1, "messages": HELLO}},
        ]
    )
    assert (batch.processing_status, batch.request_counts.processing) == ("in_progress", 2)
    with pytest.raises(anthropic.AnthropicError):
        client.messages.batches.results(batch.id)
    deadline = time.monotonic() + 20
    while batch.processing_status != "ended" and time.monotonic() < deadline:
        batch = client.messages.batches.retrieve(batch.id)
    results = {line.custom_id: line.result for line in client.messages.batches.results(batch.id)}

    assert (batch.request_counts.succeeded, batch.request_counts.errored) == (1, 1)
    assert results["good"].message.usage.service_tier == "batch"
    assert results["bad"].error.error.type == "invalid_request_error"
    assert batch.id in [one.id for one in client.messages.batches.list(limit=2)]
    assert client.messages.batches.delete(batch.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve(batch.id)


def test_a_batch_is_cancelled(client: Anthropic) -> None:
    """ANTH-8.4: What is not done when a batch is cancelled is canceled."""
    params = {"model": MODEL, "max_tokens": 10, "messages": HELLO}
    batch = client.messages.batches.create(requests=[{"custom_id": "one", "params": params}])
    cancelled = client.messages.batches.cancel(batch.id)
    ended = client.messages.batches.retrieve(batch.id)

    assert cancelled.processing_status == "canceling"
    assert (ended.processing_status, ended.request_counts.canceled) == ("ended", 1)
    assert [line.result.type for line in client.messages.batches.results(batch.id)] == ["canceled"]


def test_beta(client: Anthropic) -> None:
    """ANTH-1.3: The beta client, which asks with `?beta=true`, gets the same."""
    asked = {"model": MODEL, "max_tokens": 10, "messages": HELLO, "betas": ["context-management-2025-06-27"]}
    message = client.beta.messages.create(**asked, context_management={"edits": []})
    with client.beta.messages.stream(**asked) as stream:
        final = stream.get_final_message()

    assert message.context_management.applied_edits == []
    assert final.usage.output_tokens == 10
    assert client.beta.messages.count_tokens(model=MODEL, messages=HELLO).input_tokens > 0
    assert client.beta.models.retrieve(MODEL).id == MODEL


def test_context_edits(client: Anthropic) -> None:
    """ANTH-12.2: Edits are reported by a message, by its stream, and by a count of tokens; what is left is counted."""
    call = {"type": "tool_use", "name": "lookup", "input": {"query": "a"}}
    messages = [*HELLO]
    for number in ("toolu_1", "toolu_2"):
        found = {"type": "tool_result", "tool_use_id": number, "content": "word " * 200}
        messages.append({"role": "assistant", "content": [call | {"id": number}]})
        messages.append({"role": "user", "content": [found]})
    edit = {
        "type": "clear_tool_uses_20250919",
        "trigger": {"type": "tool_uses", "value": 1},
        "keep": {"type": "tool_uses", "value": 1},
    }
    asked = {
        "model": MODEL,
        "messages": messages,
        "context_management": {"edits": [edit]},
        "betas": ["context-management-2025-06-27"],
    }
    message = client.beta.messages.create(max_tokens=50, **asked)
    with client.beta.messages.stream(max_tokens=50, **asked) as stream:
        final = stream.get_final_message()
    counted = client.beta.messages.count_tokens(**asked)

    (applied,) = message.context_management.applied_edits
    assert (applied.cleared_tool_uses, applied.cleared_input_tokens) == (1, 201)
    assert final.context_management == message.context_management
    assert counted.input_tokens == message.usage.input_tokens == final.usage.input_tokens
    assert counted.context_management.original_input_tokens == counted.input_tokens + 201


def test_a_compaction(client: Anthropic) -> None:
    """ANTH-12.5: The block comes first, whole or streamed, and stands for the conversation when it is sent back."""
    edit = {"type": "compact_20260112", "trigger": {"type": "input_tokens", "value": 50_000}}
    asked = {
        "model": MODEL,
        "max_tokens": 50,
        "context_management": {"edits": [edit]},
        "betas": ["compact-2026-01-12"],
    }
    story = [{"role": "user", "content": "word " * 50_000}]
    message = client.beta.messages.create(messages=story, **asked)
    with client.beta.messages.stream(messages=story, **asked) as stream:
        final = stream.get_final_message()
    more = [*story, {"role": "assistant", "content": final.content}, *HELLO]
    again = client.beta.messages.create(messages=more, **asked)

    assert [block.type for block in message.content] == ["compaction", "text"]
    assert (final.content[0], final.usage.iterations) == (message.content[0], message.usage.iterations)
    assert message.usage.iterations[0].input_tokens > 50_000 > 200 > again.usage.input_tokens


def test_citations(client: Anthropic) -> None:
    """ANTH-14.2: The SDK collects the citations of a stream, and can send them back."""
    facts = "The sky is blue. The grass is green."
    document = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": facts},
        "citations": {"enabled": True},
    }
    question = {"type": "text", "text": "Which colour has the grass?"}
    messages = [{"role": "user", "content": [document, question]}]
    with client.messages.stream(model=MODEL, max_tokens=50, messages=messages) as stream:
        final = stream.get_final_message()
    (cited,) = final.content[-1].citations

    assert facts[cited.start_char_index : cited.end_char_index] == cited.cited_text == "The grass is green."
    messages += [{"role": "assistant", "content": final.content}, *HELLO]
    assert client.messages.create(model=MODEL, max_tokens=50, messages=messages).stop_reason == "end_turn"


def test_a_refusal(client: Anthropic) -> None:
    """ANTH-9.1: An error has its type, words in the API's form, and the request id in body and header."""
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(model=MODEL, max_tokens=10, messages=[{"role": "robot", "content": "x"}])

    error = caught.value
    assert error.body["type"] == "error"
    assert error.body["error"]["type"] == "invalid_request_error"
    assert error.body["error"]["message"].startswith("messages.0.role: Input should be 'user'")
    assert error.body["request_id"] == error.request_id is not None


def test_a_version_is_wanted(claude: Server) -> None:
    """ANTH-1.2: Without `anthropic-version` everything is refused; any version will do, and any key."""
    url = f"{claude.base}/anthropic/v1/models"

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url)
    with caught.value as refused:
        assert refused.code == 400
    for headers in ({}, {"x-api-key": "k"}, {"authorization": "Bearer k"}):
        request = urllib.request.Request(url, headers=headers | {"anthropic-version": "1999-01-01"})
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    ("rate", "errors"),
    [
        ("RATE_LIMIT_RATE", {anthropic.RateLimitError}),
        ("SERVER_ERROR_RATE", {anthropic.InternalServerError, anthropic._exceptions.OverloadedError}),
        ("AUTHENTICATION_RATE", {anthropic.AuthenticationError}),
    ],
)
def test_faults(tmp_path_factory: pytest.TempPathFactory, rate: str, errors: set[type]) -> None:
    """ANTH-9.3: Failures on purpose are the SDK's own errors; overload is 529."""
    variables = {f"LLMSIM_ERRORS_{rate}": "1"}
    directory = tmp_path_factory.mktemp("faults")
    with (
        serve(directory, "--workers", "1", "--latency", "instant", **variables) as server,
        connect(server) as client,
    ):
        met = set()
        for _ in range(30):
            with pytest.raises(anthropic.APIStatusError) as caught:
                client.messages.create(model=MODEL, max_tokens=10, messages=HELLO)
            met.add(type(caught.value))

    assert met == errors


def test_a_client_that_leaves_is_noticed(tmp_path_factory: pytest.TempPathFactory) -> None:
    """ANTH-3.8: A stream that its client closes ends at once, and is counted as abandoned."""
    directory = tmp_path_factory.mktemp("leaving")
    with (
        # So long that it has not ended when the client leaves, however busy the machine is.
        serve(directory, "--workers", "1", "--latency", "claude-sonnet", "--target-tokens", "5000") as server,
        connect(server) as client,
    ):
        with client.messages.stream(model=MODEL, max_tokens=8000, messages=HELLO) as stream:
            next(iter(stream.text_stream))
        stats = server.settled(1)

    assert (stats["abandoned_requests"], stats["messages_requests"]) == (1, 1)
