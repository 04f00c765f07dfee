"""The Responses API by the official client, each request of which any of four workers may take."""

import asyncio
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, BadRequestError, OpenAI
from openai.types.responses import Response, ResponseCompletedEvent
from pydantic import BaseModel
from support.servers import eventually, serve


@pytest.fixture(scope="module")
def paced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    """A client of four workers that take half a second to answer."""
    directory = tmp_path_factory.mktemp("paced")
    with (
        serve(
            directory,
            "--workers",
            "4",
            LLMSIM_LATENCY="instant",
            LLMSIM_LATENCY_TTFT_MEAN_MS="200",
            LLMSIM_LATENCY_TBT_MEAN_MS="3",
        ) as server,
        OpenAI(base_url=server.openai, api_key="any", max_retries=0) as client,
    ):
        yield client


def test_response(client: OpenAI) -> None:
    """RESP-2.1, RESP-2.7: a response parses into the SDK's type, is complete, and its usage is that of its text."""
    response = client.responses.create(model="gpt-4o", input="Hello")

    assert response.status == "completed"
    assert response.output_text
    assert response.usage is not None
    assert response.usage.output_tokens == 100
    assert response.usage.input_tokens == 3 + 4 + 1


def test_stream_is_gathered_by_the_sdk(client: OpenAI) -> None:
    """RESP-3.2, RESP-3.6: sequence numbers rise by one from 0, and the last event holds what the deltas added up to."""
    with client.responses.stream(
        model="gpt-5-mini", input="Hi", reasoning={"effort": "low", "summary": "auto"}
    ) as stream:
        events = list(stream)
        final = stream.get_final_response()

    numbers = [event.sequence_number for event in events]
    assert numbers == list(range(len(numbers)))
    assert isinstance(events[-1], ResponseCompletedEvent)
    assert events[-1].response.output_text == final.output_text
    assert (
        "".join(event.delta for event in events if event.type == "response.output_text.delta")
        == final.output_text
    )
    assert [item.type for item in final.output] == ["reasoning", "message"]


def test_any_worker_has_it_at_once(client: OpenAI) -> None:
    """KEEP-1.1: what one worker has answered, any other shows, lists, continues and deletes the moment after."""
    for _ in range(25):
        first = client.responses.create(model="gpt-4o", input="Hello")
        assert client.responses.retrieve(first.id).to_dict() == first.to_dict()
        second = client.responses.create(model="gpt-4o", input="And?", previous_response_id=first.id)
        assert [item.type for item in client.responses.input_items.list(second.id)] == ["message"] * 3
        client.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(first.id)
        # The later turn has its own copy of the conversation.
        assert (
            client.responses.create(model="gpt-4o", input="So?", previous_response_id=second.id).usage
            is not None
        )


def test_streamed_response_can_be_fetched_when_its_end_is_seen(client: OpenAI) -> None:
    """KEEP-1.1: the client that reads response.completed finds the response through any worker."""
    for _ in range(20):
        stream = client.responses.create(model="gpt-4o", input="Hello", stream=True)
        for event in stream:
            if event.type == "response.completed":
                assert client.responses.retrieve(event.response.id).output_text == event.response.output_text


def test_continuing_counts_what_was_spoken(client: OpenAI) -> None:
    """RESP-5.1: earlier input and output are prompt tokens of a continued response; instructions are not."""
    first = client.responses.create(model="gpt-4o", input="Hello", instructions="Be brief.")
    second = client.responses.create(model="gpt-4o", input="Hello", previous_response_id=first.id)

    assert second.usage is not None
    assert second.usage.input_tokens == 3 + (4 + 1) + (4 + 100) + (4 + 1)


def test_unknown_previous_response(client: OpenAI) -> None:
    """RESP-5.4: continuing what is not there is the dialect's error."""
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="gpt-4o", input="x", previous_response_id="resp_none")

    assert refused.value.code == "previous_response_not_found"
    assert refused.value.param == "previous_response_id"


def test_not_stored_is_nowhere(client: OpenAI) -> None:
    """KEEP-1.2: a response asked with store false is retrievable through no worker."""
    response = client.responses.create(model="gpt-4o", input="Hello", store=False)

    for _ in range(12):
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(response.id)


def test_background_is_polled_to_its_end(paced: OpenAI) -> None:
    """KEEP-2.1: queued, in_progress, completed as time goes by, whichever worker is asked."""
    order = ["queued", "in_progress", "completed"]

    def poll() -> list[str | None]:
        began = time.monotonic()
        response = paced.responses.create(model="gpt-4o", input="Hello", background=True)
        seen = [response.status]
        while response.status in ("queued", "in_progress"):
            time.sleep(0.01)
            response = paced.responses.retrieve(response.id)
            if response.status != seen[-1]:
                seen.append(response.status)
        assert time.monotonic() - began >= 0.2 + 99 * 0.003
        assert seen == [status for status in order if status in seen]
        assert seen[-1] == "completed"
        assert response.output_text
        return seen

    # A client that is held up may poll too late to see one of the states.
    eventually(lambda: poll() == order)


def test_background_is_cancelled(paced: OpenAI) -> None:
    """KEEP-2.2: a cancelled response stays cancelled through any worker; one that is done is not cancelled any more."""
    running = paced.responses.create(model="gpt-4o", input="Hello", background=True)
    cancelled = paced.responses.cancel(running.id)
    # A response like the first, created after it: when it is done, the first would be.
    like = paced.responses.create(model="gpt-4o", input="Hello", background=True)
    late = paced.responses.create(model="gpt-4o", input="Hello", background=True, max_output_tokens=16)
    for one, status in ((like, "completed"), (late, "incomplete")):
        eventually(lambda one=one, status=status: paced.responses.retrieve(one.id).status == status)

    assert cancelled.status == "cancelled"
    assert {paced.responses.retrieve(running.id).status for _ in range(8)} == {"cancelled"}
    assert paced.responses.cancel(late.id).status == "incomplete"
    with pytest.raises(openai.BadRequestError):
        paced.responses.cancel(paced.responses.create(model="gpt-4o", input="x", max_output_tokens=16).id)


def test_background_stream_is_resumed(paced: OpenAI) -> None:
    """KEEP-2.3: a stream that was left goes on behind the last event seen, through any worker, at its own pace."""
    stream = paced.responses.create(model="gpt-4o", input="Hello", background=True, stream=True)
    seen = []
    for event in stream:
        seen.append(event)
        if event.type == "response.created":
            response_id = event.response.id
        if len(seen) == 40:
            break
    stream.close()
    rest = list(paced.responses.retrieve(response_id, stream=True, starting_after=seen[-1].sequence_number))

    numbers = [event.sequence_number for event in (*seen, *rest)]
    assert numbers == list(range(len(numbers)))
    assert rest[-1].type == "response.completed"
    spoken = "".join(event.delta for event in (*seen, *rest) if event.type == "response.output_text.delta")
    assert spoken == paced.responses.retrieve(response_id).output_text


def test_abandoned_response_is_not_kept(paced: OpenAI) -> None:
    """KEEP-1.3: a response whose client hung up before its end is not kept, unless it is in the background."""
    stream = paced.responses.create(model="gpt-4o", input="Hello", stream=True)
    response_id = next(event.response.id for event in stream if event.type == "response.created")
    stream.close()

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            paced.responses.retrieve(response_id)
        except openai.NotFoundError:
            return
        time.sleep(0.01)
    pytest.fail("still kept")


def test_parse(client: OpenAI) -> None:
    """RESP-2.1: `.parse` gives an instance where a form is asked for, and text where none is."""

    class Answer(BaseModel):
        text: str

    parsed = client.responses.parse(model="gpt-4o", input="Hello", text_format=Answer)

    assert isinstance(parsed.output_parsed, Answer)
    assert client.responses.parse(model="gpt-4o", input="Hello").output_text


def test_count_and_compact(client: OpenAI) -> None:
    """RESP-5.6: counting says what a response would cost to read; compacting gives items to go on with."""
    counted = client.responses.input_tokens.count(model="gpt-4o", input="Hello")
    compacted = client.responses.compact(model="gpt-4o", input="Hello")
    raw = client.responses.with_raw_response.compact(model="gpt-4o", input="Hello").http_response.json()
    created = client.responses.create(model="gpt-4o", input=raw["output"])

    assert counted.input_tokens == 8
    assert compacted.object == "response.compaction"
    assert created.status == "completed"


async def test_two_hundred_chains_side_by_side(async_client: AsyncOpenAI) -> None:
    """KEEP-1.1: chains of three turns over all workers keep their order and their counts."""

    async def chain() -> list[int]:
        counts: list[int] = []
        previous: Response | None = None
        for _ in range(3):
            previous = await async_client.responses.create(
                model="gpt-4o", input="Hello", previous_response_id=previous.id if previous else openai.omit
            )
            assert previous.usage is not None
            counts.append(previous.usage.input_tokens)
        return counts

    async with async_client:
        gate = asyncio.Semaphore(40)

        async def gated() -> list[int]:
            async with gate:
                return await chain()

        chains = await asyncio.gather(*(gated() for _ in range(200)))

    assert all(later - earlier == 4 + 100 + 4 + 1 for counts in chains for earlier, later in pairwise(counts))


def test_stored_chat_completions(client: OpenAI) -> None:
    """KEEP-3.1: chat completions asked with store true are listed, paged, filtered, labelled and deleted."""
    model = "gpt-4o-2024-08-06"
    kept = [
        client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": f"question {number}"}],
            store=True,
            metadata={"parity": str(number % 2)},
        )
        for number in range(7)
    ]
    ids = [completion.id for completion in kept]

    assert [completion.id for completion in client.chat.completions.list(model=model, limit=3)] == ids
    assert [
        completion.id for completion in client.chat.completions.list(model=model, order="desc", limit=2)
    ] == ids[::-1]
    odd = client.chat.completions.list(model=model, metadata={"parity": "1"})
    assert [completion.id for completion in odd] == ids[1::2]
    first = client.chat.completions.retrieve(ids[0])
    assert first.choices == kept[0].choices
    assert [message.content for message in client.chat.completions.messages.list(ids[0])] == ["question 0"]
    assert client.chat.completions.update(ids[0], metadata={"label": "x"}).metadata == {"label": "x"}
    assert [completion.id for completion in client.chat.completions.list(metadata={"label": "x"})] == ids[:1]
    for completion_id in ids:
        assert client.chat.completions.delete(completion_id).deleted
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(ids[0])
    assert list(client.chat.completions.list(model=model)) == []


def test_evictions_are_counted(tmp_path: Path) -> None:
    """KEEP-1.4, STATS-3.8: the store is bounded; what leaves it to make room is counted."""
    with (
        serve(tmp_path, "--workers", "2", LLMSIM_LATENCY="instant", LLMSIM_STORE_MAX_RECORDS="10") as server,
        OpenAI(base_url=server.openai, api_key="any", max_retries=0) as client,
    ):
        ids = [client.responses.create(model="gpt-4o", input="Hello").id for _ in range(40)]
        kept = 0
        for response_id in ids:
            try:
                client.responses.retrieve(response_id)
                kept += 1
            except openai.NotFoundError:
                assert kept == 0, "the oldest go first"
        stats = server.stats()

    assert 0 < kept <= 10
    assert stats["evicted_records"] == 40 - kept


def test_a_call_that_is_approved(client: OpenAI) -> None:
    """RESP-6.10: A call on an MCP server is asked for, and runs once approved, streamed or in a conversation alike."""
    given: Any = {
        "model": "gpt-5",
        "tools": [{"type": "mcp", "server_label": "wiki", "server_url": "https://example.com/mcp"}],
    }

    def decide(requests: list[Any], *, approve: bool) -> Any:
        (one,) = [item for item in requests if item.type == "mcp_approval_request"]
        return [{"type": "mcp_approval_response", "approval_request_id": one.id, "approve": approve}]

    first = client.responses.create(input="Look it up", **given)
    with client.responses.stream(
        input=decide(first.output, approve=True), previous_response_id=first.id, **given
    ) as events:
        kinds = [event.type for event in events]
        second = events.get_final_response()
    conversation = client.conversations.create()
    asked = client.responses.create(input="Look it up", conversation=conversation.id, **given)
    denied = client.responses.create(
        input=decide(asked.output, approve=False), conversation=conversation.id, **given
    )

    assert [item.type for item in first.output] == ["mcp_list_tools", "reasoning", "mcp_approval_request"]
    assert [item.type for item in second.output] == ["reasoning", "mcp_call", "message"]
    assert {"response.mcp_call_arguments.done", "response.mcp_call.completed"} <= set(kinds)
    assert [item.type for item in denied.output] == ["reasoning", "message"]
    with pytest.raises(BadRequestError, match="do not have an approval"):
        client.responses.create(input="And?", previous_response_id=first.id, **given)
