"""Responses with a fault on the wire, of one endpoint on one kind of channel: rendered into writes, and sent.

Decisions:
* A body that is not streamed is sent in chunks, so that it can end anywhere and its writes can be seen.
* A response that breaks off counts as the simulated failure that its fault has; any other was sent whole and is finished.
"""

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from llmsim.domain import BREAKING, StreamFault, Turn, WireFault, WireFaultKind
from llmsim.providers.contract import ChannelFormat, GenerationEndpoint, ParsedRequest
from llmsim.server.channels import Channel
from llmsim.server.paced_writes import PacedWrites
from llmsim.server.replies import EncodedReply, ReplyBuilder
from llmsim.server.worker_context import compute_in_thread
from llmsim.stats import Outcome
from llmsim.wire.faulty_writes import Write, apply_wire_fault
from llmsim.wire.frames import single

_PLANNED = (
    WireFaultKind.DISCONNECT,
    WireFaultKind.STALL,
    WireFaultKind.ERROR,
    WireFaultKind.TRUNCATED_ARGUMENTS,
)

O = TypeVar("O")  # noqa: E741 - the options of an endpoint


class FaultyResponses(Generic[O]):
    """Renders and sends the responses with a fault of one endpoint on one kind of channel."""

    def __init__(
        self,
        endpoint: GenerationEndpoint[O],
        channel_format: ChannelFormat[O],
        replies: ReplyBuilder,
    ) -> None:
        self._endpoint = endpoint
        self._format = channel_format
        self._replies = replies
        websocket = endpoint.websocket
        self._sends_messages = websocket is not None and channel_format is websocket.messages

    async def respond(
        self,
        request: ParsedRequest[O],
        turn: Turn,
        fault: WireFault,
        channel: Channel,
        respond_plainly: Callable[[], Awaitable[None]],
        *,
        in_thread: bool,
    ) -> bool:
        """Answer a request, and count the fault if it has an effect.

        Args:
            request: The request.
            turn: What is answered.
            fault: Its fault.
            channel: The way to the client.
            respond_plainly: Answers it without the fault, but for what is part of the turn.
            in_thread: Whether rendering is laborious.

        Returns:
            Whether a stream was sent to its end here.
        """
        active, writes = channel.active, None
        applies = fault.applies(streams=request.prompt.stream, messages=self._sends_messages)
        if applies and fault.kind not in _PLANNED:
            if in_thread:
                writes = await compute_in_thread(self._render, request, turn, fault)
            else:
                writes = self._render(request, turn, fault)
            applies = writes is not None
        if writes is None:
            await respond_plainly()
        else:
            await self._send(writes, request, turn, fault, channel)
        if applies and active.outcome is not Outcome.ABANDONED:
            active.recorder.count(f"wire_fault_{fault.kind.value}")
        return writes is not None and request.prompt.stream and active.outcome is Outcome.FINISHED

    def _render(self, request: ParsedRequest[O], turn: Turn, fault: WireFault) -> tuple[Write, ...] | None:
        """Render the writes of a response; None if there is nothing in it that the fault could damage."""
        streams = request.prompt.stream
        if streams:
            assert self._format.render_stream is not None, "the endpoint does not stream"
            frames = self._format.render_stream(turn, request.options)
        else:
            frames = (single(self._endpoint.render_response(turn, request.options), turn.length or 1),)
        return apply_wire_fault(frames, fault, is_stream=streams)

    async def _send(
        self,
        writes: Sequence[Write],
        request: ParsedRequest[O],
        turn: Turn,
        fault: WireFault,
        channel: Channel,
    ) -> None:
        """Send the writes of a response as they fall due, and note how it ended."""
        active, streams = channel.active, request.prompt.stream
        breaks = fault.kind in BREAKING
        stream = PacedWrites(
            turn,
            writes,
            arrival=active.arrival,
            recorder=active.recorder,
            row=active.accepted(turn.model, streaming=streams, prompt_tokens=turn.usage.prompt),
            tokens=_tokens_before(turn, fault) if breaks and streams else turn.usage.completion,
            ending=fault.kind if breaks else None,
        )
        active.is_damaged = fault.kind is not WireFaultKind.SLOW_DRIP
        if streams:
            active.open_stream()
        if not await channel.wait_until(stream.due):
            active.outcome = Outcome.ABANDONED
            return
        own = self._format.headers_of if streams else self._endpoint.response_headers
        if own is not None:
            head = self._replies.build_stream(own(request.options), active)
        else:
            head = self._replies.build(b"", active)
        if fault.kind is WireFaultKind.WRONG_CONTENT_TYPE:
            head = _as_html(head)
        await channel.stream(stream, head)
        if not stream.done:
            active.outcome = Outcome.ABANDONED
            return
        active.sent_at = time.monotonic()
        active.outcome = Outcome.of(fault.error.kind) if breaks else Outcome.FINISHED


def _tokens_before(turn: Turn, fault: WireFault) -> int:
    """Return the completion tokens that are generated before a stream breaks off."""
    return sum(min(fault.after or 0, choice.tokens) for choice in turn.choices)


def _as_html(head: EncodedReply) -> EncodedReply:
    lines = re.sub(rb"content-type: [^\r]*", b"content-type: text/html; charset=utf-8", head.head)
    return EncodedReply(head.status, lines, head.body)


async def abort_at(instant: float, turn: Turn, fault: StreamFault, channel: Channel) -> None:
    """Disconnect the client of an unstreamed response at an instant, without a byte of it."""
    active = channel.active
    row = active.accepted(turn.model, streaming=False, prompt_tokens=turn.usage.prompt)
    if not await channel.wait_until(instant):
        active.outcome = Outcome.ABANDONED
        return
    active.recorder.sent(row, turn.generated_tokens, time.monotonic())
    active.outcome = Outcome.of(fault.fault.kind)
    await channel.abort()
