"""Responses that have nothing to wait for: rendered, booked and sent without an `await`.

Decisions:
* Only simple requests are answered so: their response is one text, from no script or store, and without faults.
* Whatever turns out to wait (for an instant, for a slow reader, for the report on clients) is left to the general way, with
  nothing done.
* PERF: CPU time, without sockets: 1 us less for a chat completion and 9 us (of 56) for a stream of 100 tokens than by the general way, which
  looks for what such a response has not, books frame by frame, and awaits what need not wait.
"""

import time
from typing import Generic, TypeVar

from llmsim.domain import Turn
from llmsim.providers.contract import ChannelFormat, GenerationEndpoint
from llmsim.server.active_request import ActiveRequest
from llmsim.server.channels import Channel
from llmsim.server.pacing import MOST_FRAMES
from llmsim.server.planned_responses import PlannedResponse
from llmsim.server.replies import EncodedReply, ReplyBuilder
from llmsim.stats import Outcome
from llmsim.wire.frames import join_frames

O = TypeVar("O")  # noqa: E741 - the options of an endpoint

SENT = EncodedReply(0, b"")
"""Stands for a response that has been sent."""


class ImmediateResponses(Generic[O]):
    """Answers simple requests to one endpoint on one kind of channel."""

    def __init__(
        self, endpoint: GenerationEndpoint[O], channel_format: ChannelFormat[O], replies: ReplyBuilder
    ) -> None:
        """Prepare to answer.

        Args:
            endpoint: The endpoint.
            channel_format: How it writes on the kind of channel.
            replies: Builds the heads.
        """
        self._endpoint = endpoint
        self._format = channel_format
        self._replies = replies

    def answer(self, planned: PlannedResponse[O], channel: Channel) -> EncodedReply | None:
        """Answer a simple request at once.

        Returns:
            `SENT`; a whole response that is booked, but has to wait for the client; None, with nothing done, for one that has to wait.
        """
        if planned.request.prompt.stream:
            return SENT if self._stream(planned, channel) else None
        reply = self._render(planned, channel)
        return SENT if reply is not None and channel.reply_at_once(reply) else reply

    def _render(self, planned: PlannedResponse[O], channel: Channel) -> EncodedReply | None:
        """Render and book a whole response; return None, with nothing done, if it has to wait."""
        turn, active, request = planned.outcome, channel.active, planned.request
        assert isinstance(turn, Turn), "a simple request is answered a turn"
        due = active.arrival + turn.due
        if due > time.monotonic() or active.attempt is not None or channel.disconnected:
            return None
        body = self._endpoint.render_response(turn, request.options)
        now, usage = time.monotonic(), turn.usage
        active.replied(turn.model, usage.prompt, usage.completion, now - due, now)
        active.outcome = Outcome.FINISHED
        return build_reply(self._endpoint, self._replies, planned, body, active)

    def _stream(self, planned: PlannedResponse[O], channel: Channel) -> bool:
        """Send and book a stream in one write; return False, with nothing done, if it has to wait."""
        turn, active, options = planned.outcome, channel.active, planned.request.options
        assert isinstance(turn, Turn), "a simple request is answered a turn"
        schedule, usage = turn.schedule, turn.usage
        due = active.arrival + schedule.ttft
        if (
            not schedule.at_once
            or usage.completion > MOST_FRAMES
            or due > time.monotonic()
            or active.attempt is not None
            or not channel.is_writable
        ):
            return False
        render = self._format.render_stream
        assert render is not None, "the endpoint does not stream"
        parts, events = join_frames(render(turn, options))
        now = time.monotonic()
        active.streamed(turn.model, usage.prompt, usage.completion, events, now - due, now)
        active.outcome = Outcome.FINISHED
        channel.stream_at_once(parts, self._replies.build_stream(self._format.headers_of(options), active))
        return True


def build_reply(
    endpoint: GenerationEndpoint[O],
    replies: ReplyBuilder,
    planned: PlannedResponse[O],
    body: bytes,
    active: ActiveRequest,
) -> EncodedReply:
    """Build a whole response, which is JSON unless the endpoint says otherwise."""
    own = endpoint.response_headers
    if own is None:
        return replies.build(body, active)
    return replies.build_stream(own(planned.request.options), active, body)
