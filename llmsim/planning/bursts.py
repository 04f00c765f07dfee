"""Bursts: several tokens of a turn leave in one event, as engines that accept several tokens a step send them.

Decisions:
* The pieces of a text are joined, so every renderer, the usage and the lateness are as for any piece of several tokens. A burst
  leaves when its last token exists: tokens a second stay the same.
* The first token of a text leaves alone. Reading the prompt yields one token, so bursts leave the time to first token as it is.
"""

from itertools import pairwise

import msgspec
from msgspec.structs import replace

from llmsim.domain import (
    Choice,
    MediaSegment,
    ReasoningSegment,
    Segment,
    TokenizedText,
    ToolCallSegment,
    Turn,
)
from llmsim.planning.rng import Random


class Bursts(msgspec.Struct, frozen=True):
    """How many tokens an event carries.

    Attributes:
        tokens: At most; more only where a single piece has more.
        acceptance: Probability with which each further token joins.
    """

    tokens: int
    acceptance: float = 1.0

    def join(self, turn: Turn, rng: Random) -> Turn:
        """Return a turn with its tokens in bursts."""
        choices = tuple(
            [
                Choice(
                    tuple([self._segment(one, rng) for one in choice.segments]),
                    choice.finish,
                    choice.stopped_by,
                )
                for choice in turn.choices
            ]
        )
        return replace(turn, choices=choices)

    def _segment(self, segment: Segment, rng: Random) -> Segment:
        if isinstance(segment, MediaSegment):
            return segment
        text = segment.arguments if isinstance(segment, ToolCallSegment) else segment.text
        if text is None or len(text.pieces) < 3:
            return segment
        ends = self._ends(text, rng)
        joined = TokenizedText(
            tuple(["".join(text.pieces[start:end]) for start, end in pairwise([0, *ends])]),
            tuple([text.cumulative_tokens[end - 1] for end in ends]),
        )
        if isinstance(segment, ToolCallSegment):
            return replace(segment, arguments=joined)
        if isinstance(segment, ReasoningSegment) or not segment.logprobs:
            return replace(segment, text=joined)
        logprobs = [
            sum(segment.logprobs[start + 1 : end], segment.logprobs[start])
            for start, end in pairwise([0, *ends])
        ]
        return replace(segment, text=joined, logprobs=tuple(logprobs))

    def _ends(self, text: TokenizedText, rng: Random) -> list[int]:
        """Draw behind which pieces the bursts of a text end."""
        cumulative = text.cumulative_tokens
        ends, end, last = [1], 1, len(cumulative)
        while end < last:
            size = 1
            while size < self.tokens and (self.acceptance >= 1.0 or rng.random() < self.acceptance):
                size += 1
            most = cumulative[end - 1] + size
            end += 1
            while end < last and cumulative[end] <= most:
                end += 1
            ends.append(end)
        return ends
