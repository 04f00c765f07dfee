"""What a choice says: calls, JSON by a schema, a refusal, or a text; within its limits.

Decisions:
* Refusals are dealt before anything else, then calls, then forms: a model that refuses calls nothing, and one that
  calls says nothing until it knows more.
* A hosted call is followed by the text of the same turn, because its provider has run it by then.
* What a generator was told to say (`fixed`, `echo`, `sequence`) stands where it has the form that is asked for.
"""

import json
from collections.abc import Sequence
from typing import assert_never

import msgspec

from llmsim.config import Settings
from llmsim.domain import (
    FinishReason,
    Prompt,
    ReasoningSegment,
    RefusalSegment,
    ResponseFormat,
    Segment,
    TextSegment,
    TokenizedText,
    Tool,
    ToolCall,
    ToolCallSegment,
    ToolKind,
)
from llmsim.json_instances.making import json_instance
from llmsim.json_schema.document import read
from llmsim.json_schema.validation import conforms
from llmsim.planning.endings import EMPTY, limited, stopped
from llmsim.planning.generators import GENERATED, Generator, LineNumbers
from llmsim.planning.logprobs import odds
from llmsim.planning.rng import Random
from llmsim.planning.tokens import Tokenizer
from llmsim.planning.told_forms import told_schema
from llmsim.planning.tools import Calls, ConversationState, conduct

_ID_DIGITS = 20
"""Digits of a turn's id that are in the ids of its calls; with two each for choice and place they make 24.

Source: recorded ids of the OpenAI API: `call_` and 24 characters.
"""


class Content(msgspec.Struct, frozen=True):
    """What a choice says.

    Attributes:
        segments: In the order in which their tokens come into being.
        finish: Why it ends.
        stopped_by: The stop text before which it ends; None if it ends otherwise.
    """

    segments: tuple[Segment, ...]
    finish: FinishReason = FinishReason.STOP
    stopped_by: str | None = None

    @property
    def tokens(self) -> int:
        """Tokens of all that is said."""
        # PERF: 0.1 us against 0.4 us for the sum of a generator.
        tokens = 0
        for segment in self.segments:
            tokens += segment.tokens
        return tokens


class ContentPlanner:
    """Decides what choices say. Safe to call from several threads."""

    def __init__(self, settings: Settings, generate: Generator) -> None:
        response = settings.response
        self._generate = generate
        self._keeps_text = response.generator.partition(":")[0] not in GENERATED
        self._refusal_rate = response.refusal_rate
        self._filter_rate = response.content_filter_rate
        self._refusal = response.refusal_text
        self._deals = bool(self._refusal_rate or self._filter_rate)
        self._calls = Calls(settings.tools)

    def __call__(
        self, prompt: Prompt, words: Tokenizer, dice: Random, deal: Random, call_id: str, lines: LineNumbers
    ) -> Content:
        """Decide what one choice says.

        Args:
            prompt: What was asked.
            words: The model's vocabulary.
            dice: Choose the words.
            deal: Deal refusals.
            call_id: What the ids of its calls begin with; empty where there is nothing to call.
            lines: Numbers of the lines that it takes.
        """
        # PERF: most requests ask for a text and nothing else; all they need is the next four lines.
        if not prompt.tools and prompt.form is None and not self._deals:
            passage, stop = stopped(self._generate(prompt, words, dice, lines), prompt.stop)
            return Content((text(passage),), FinishReason.STOP, stop)
        throw = deal.random() if self._deals else 1.0
        if throw < self._refusal_rate:
            said = words.passage(self._refusal)
            return Content((RefusalSegment(said.tokens, said),))
        speech = self._answer(prompt, words, dice, call_id, lines)
        if self._deals and deal.random() < self._filter_rate:
            return within(speech, 1 + int(deal.random() * speech.tokens / 2), FinishReason.CONTENT_FILTER)
        return speech

    def _answer(
        self, prompt: Prompt, words: Tokenizer, dice: Random, call_id: str, lines: LineNumbers
    ) -> Content:
        now = conduct(prompt)
        tools = self._calls.pick(prompt, now, dice) if prompt.tools else ()
        calls = tuple(
            _call(tool, now, words, dice, f"{call_id}{place:02x}") for place, tool in enumerate(tools)
        )
        if tools and tools[-1].kind is not ToolKind.HOSTED:
            return Content(calls, FinishReason.TOOL_CALLS)
        passage = self._generate(prompt, words, dice, lines)
        if prompt.form is not None and not (self._keeps_text and _has(prompt.form, passage)):
            schema = prompt.form.schema or told_schema(prompt.messages)
            passage = words.passage(json_instance(schema, now.said, dice))
        passage, stop = stopped(passage, prompt.stop)
        return Content((*calls, text(passage)), FinishReason.STOP, stop)


def call_ids(turn_id: str, choice: int) -> str:
    """Give what the ids of the calls of a choice begin with."""
    return f"{turn_id[-_ID_DIGITS:]}{choice:02x}"


def text(passage: TokenizedText) -> Segment:
    """Say a text."""
    return TextSegment(passage.tokens, passage)


def _call(tool: Tool, now: ConversationState, words: Tokenizer, dice: Random, call_id: str) -> Segment:
    """ToolCall a tool with arguments that fit: JSON by its schema, or free text."""
    match tool.kind:
        case ToolKind.FUNCTION:
            # Source: openai SDK, function_definition.py: without parameters it is a function without arguments.
            arguments = json_instance(tool.schema, now.said, dice) if tool.schema else "{}"
        case ToolKind.CUSTOM if tool.schema:
            arguments = json.loads(json_instance(tool.schema, now.said, dice))
        case _:
            arguments = now.said or tool.name
    return called(ToolCall(call_id, tool.name, tool.kind), arguments, words)


def called(call: ToolCall, arguments: str, words: Tokenizer) -> Segment:
    """Make a call of its arguments as text."""
    passage = words.passage(arguments)
    lead = words.count(call.name)
    return ToolCallSegment(lead + passage.tokens, passage, lead, call)


def _has(form: ResponseFormat, passage: TokenizedText) -> bool:
    """Tell whether a text has the form that is asked for."""
    try:
        value = json.loads(passage.text)
    except ValueError:
        return False
    return conforms(value, read(form.schema)) if form.schema else isinstance(value, dict)


def within(speech: Content, limit: int, reason: FinishReason = FinishReason.LENGTH) -> Content:
    """Cut off what is beyond `limit` tokens; if anything is, the choice ends for `reason`."""
    if speech.tokens <= limit:
        return speech
    kept: list[Segment] = []
    left = limit
    for segment in speech.segments:
        if segment.tokens <= left:
            kept.append(segment)
            left -= segment.tokens
            continue
        if left or not isinstance(segment, ToolCallSegment):
            kept.append(_cut(segment, left))
        break
    if kept and isinstance(kept[-1], ReasoningSegment):
        kept.append(text(EMPTY))
    return Content(tuple(kept), reason)


def _cut(segment: Segment, left: int) -> Segment:
    match segment:
        case ReasoningSegment(text=text):
            return ReasoningSegment(left, limited(text, left)[0] if text else None)
        case ToolCallSegment(arguments=arguments, call=call):
            header = min(segment.header_tokens, left)
            arguments = limited(arguments, left - header)[0]
            return ToolCallSegment(header + arguments.tokens, arguments, header, call)
        case TextSegment() | RefusalSegment():
            kept = limited(segment.text, left)[0]
            return msgspec.structs.replace(segment, tokens=kept.tokens, text=kept)
        case _:
            assert_never(segment)


def with_odds(segments: Sequence[Segment], top: int, words: Tokenizer, dice: Random) -> tuple[Segment, ...]:
    """Tell of all that is said how probable its tokens were."""
    return tuple(
        msgspec.structs.replace(segment, logprobs=odds(segment.text, top, words, dice))
        if isinstance(segment, TextSegment | RefusalSegment)
        else segment
        for segment in segments
    )
