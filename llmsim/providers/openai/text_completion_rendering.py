r"""Text completions: a turn rendered whole, and as a stream of chunks.

Decisions:
* An echoed text is a chunk of its own, which leaves with the first token; its tokens are counted as those of the prompt.
* Offsets of tokens count from the beginning of the prompt, whether it is echoed or not. The first token of an echoed text has no
  probability: nothing comes before it.
* Tokens that are not whole UTF-8 are named by their bytes, as in `bytes:\xf0\x9f`.
* The chunks of several choices interleave by token: all choices are generated side by side.
* Reasoning and calls, which only a script has here, are not shown.

Source of fields and order: openai SDK 3.54, types/completion.py, completion_choice.py; recorded responses of the API.
"""

from collections.abc import Iterator, Sequence

from llmsim.domain import (
    Choice,
    EchoedText,
    Fault,
    FinishReason,
    RefusalSegment,
    TextSegment,
    TokenLogprob,
    Turn,
    Usage,
)
from llmsim.providers.contract import ChannelFormat, GenerationEndpoint
from llmsim.providers.openai.chat_completion import fingerprint
from llmsim.providers.openai.errors import render_fault, render_refusal
from llmsim.providers.openai.text_completions import TextCompletionOptions, parse
from llmsim.providers.openai_family.obfuscation import padding
from llmsim.wire.codec import encode, escaped_pieces, escaped_text, piece_tokens
from llmsim.wire.frames import SSE_DONE, SSE_HEADERS, FrameBatch, interleave, single, sse

_FINISH_REASONS = {
    FinishReason.STOP: b"stop",
    FinishReason.LENGTH: b"length",
    FinishReason.TOOL_CALLS: b"stop",
    FinishReason.CONTENT_FILTER: b"content_filter",
    FinishReason.WINDOW: b"length",
    FinishReason.PAUSE: b"stop",
}

_TAIL = b"}\n\n"

_Texts = list[tuple[TextSegment | RefusalSegment, int]]
"""The visible segments of a choice, each with the number of tokens that exist before it."""


def render_response(turn: Turn, options: TextCompletionOptions) -> bytes:
    """Render the whole completion."""
    choices = b",".join(
        [_render_choice(turn, choice, index, options) for index, choice in enumerate(turn.choices)]
    )
    return (
        b'{"id":"cmpl-%b","object":"text_completion","created":%d,"model":%b,"choices":[%b],"usage":%b,'
        b'"system_fingerprint":"%b"}'
    ) % (
        turn.id.encode(),
        turn.created,
        encode(turn.model),
        choices,
        _render_usage(turn.usage),
        fingerprint(turn.model),
    )


def _render_usage(usage: Usage) -> bytes:
    return b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}' % (
        usage.prompt,
        usage.completion,
        usage.total,
    )


def _render_choice(turn: Turn, choice: Choice, index: int, options: TextCompletionOptions) -> bytes:
    echo, texts = _echo_of(turn, index, options), _texts(choice)
    logprobs = _Logprobs(alternatives=options.alternatives)
    text = b"".join([escaped_text(segment.text) for segment, _ in texts])
    rendered = b"null"
    if echo is not None:
        text = escaped_text(echo.text) + text
        logprobs.add(echo.logprobs, is_beginning=True)
    if any(segment.logprobs for segment, _ in texts) or (echo is not None and echo.logprobs):
        for segment, _ in texts:
            logprobs.add(segment.logprobs)
        rendered = logprobs.render()
    return b'{"text":"%b","index":%d,"logprobs":%b,"finish_reason":"%b"}' % (
        text,
        index,
        rendered,
        _FINISH_REASONS[choice.finish],
    )


def _echo_of(turn: Turn, index: int, options: TextCompletionOptions) -> EchoedText | None:
    """Return the text that a choice continues, if it is echoed."""
    return turn.echoes[index * options.prompts // len(turn.choices)] if turn.echoes else None


def _texts(choice: Choice) -> _Texts:
    found: _Texts = []
    start = 0
    for segment in choice.segments:
        if isinstance(segment, TextSegment | RefusalSegment):
            found.append((segment, start))
        start += segment.tokens
    return found


class _Logprobs:
    """The log probabilities of consecutive tokens of a choice, as this API renders them."""

    def __init__(self, *, alternatives: bool) -> None:
        self._alternatives = alternatives
        self._offset = 0
        self._clear()

    def _clear(self) -> None:
        self._tokens: list[str] = []
        self._logprobs: list[float | None] = []
        self._top: list[dict[str, float] | None] = []
        self._offsets: list[int] = []

    def add(self, pieces: Sequence[Sequence[TokenLogprob]], *, is_beginning: bool = False) -> None:
        """Add the tokens of pieces; the first of all tokens has no probability."""
        for piece in pieces:
            for token in piece:
                self._tokens.append(_name(token.token))
                self._offsets.append(self._offset)
                self._logprobs.append(None if is_beginning else token.logprob)
                named = {_name(text): logprob for text, logprob in token.top} | {
                    _name(token.token): token.logprob
                }
                self._top.append(None if is_beginning else named)
                is_beginning = False
            self._offset += len(b"".join(token.token for token in piece).decode(errors="replace"))

    def render(self) -> bytes:
        """Render what was added since the last time."""
        rendered = encode(
            {
                "tokens": self._tokens,
                "token_logprobs": self._logprobs,
                "top_logprobs": self._top if self._alternatives else None,
                "text_offset": self._offsets,
            }
        )
        self._clear()
        return rendered


def _name(token: bytes) -> str:
    try:
        return token.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token)


def render_stream(turn: Turn, options: TextCompletionOptions) -> tuple[FrameBatch, ...]:
    """Render the streamed completion: texts, finish reasons and, if requested, usage; then `[DONE]`."""
    chunks = _ChunkRenderer(turn, options)
    end = single(chunks.render_usage() + SSE_DONE if options.include_usage else SSE_DONE, turn.length)
    if len(turn.choices) == 1:
        return (*chunks.render_choice(0), end)
    return (interleave([chunks.render_choice(index) for index in range(len(turn.choices))]), end)


def render_stream_fault(turn: Turn, options: TextCompletionOptions, fault: Fault, frames: int) -> bytes:  # noqa: ARG001 - the signature of all endpoints
    """Render the end of a failing stream: the error as an event, and no `[DONE]`."""
    return sse(render_fault(fault).body)


class _ChunkRenderer:
    """Renders the chunks of one turn; what they have in common is rendered once."""

    def __init__(self, turn: Turn, options: TextCompletionOptions) -> None:
        self._turn = turn
        self._options = options
        self._envelope = b'data: {"id":"cmpl-%b","object":"text_completion","created":%d,"choices":[' % (
            turn.id.encode(),
            turn.created,
        )
        self._head = self._envelope + b'{"text":"'
        self._model = b'],"model":%b,"system_fingerprint":"%b"' % (
            encode(turn.model),
            fingerprint(turn.model),
        )
        self._tail = self._model + (b',"usage":null' if options.include_usage else b"")

    def render_choice(self, index: int) -> tuple[FrameBatch, ...]:
        """Render the chunks of one choice."""
        choice = self._turn.choices[index]
        logprobs = _Logprobs(alternatives=self._options.alternatives)
        batches = [*self._render_echo(index, logprobs)]
        carried = 0
        for segment, start in _texts(choice):
            if segment.text.pieces:
                batches.append(self._render_text(index, segment, start, carried, logprobs))
                carried = start + segment.text.tokens
        finish = b'"%b"' % _FINISH_REASONS[choice.finish]
        body = self._rest(index, b"null", finish, padding(0, 0))
        return (*batches, FrameBatch(self._head, (body,), _TAIL, (choice.tokens,)))

    def _render_echo(self, index: int, logprobs: _Logprobs) -> Iterator[FrameBatch]:
        echo = _echo_of(self._turn, index, self._options)
        if echo is None:
            return
        logprobs.add(echo.logprobs, is_beginning=True)
        rendered = logprobs.render() if echo.logprobs else b"null"
        text = escaped_text(echo.text)
        body = text + self._rest(index, rendered, b"null", padding(len(text), 0))
        yield FrameBatch(self._head, (body,), _TAIL, (min(1, self._turn.choices[index].tokens),))

    def _render_text(
        self,
        index: int,
        segment: TextSegment | RefusalSegment,
        start: int,
        carried: int,
        logprobs: _Logprobs,
    ) -> FrameBatch:
        """Render the pieces of a text that begins after `start` tokens, `carried` of which earlier chunks carry."""
        text = segment.text
        pieces, required, tokens = escaped_pieces(text), text.cumulative_tokens, piece_tokens(text)
        if start:
            required = tuple([start + end for end in required])
            tokens = (start - carried + tokens[0], *tokens[1:])
        if not (segment.logprobs or self._options.include_obfuscation):
            return FrameBatch(
                self._head, pieces, self._rest(index, b"null", b"null", b"") + _TAIL, required, tokens
            )
        bodies = []
        for position, piece in enumerate(pieces):
            rendered = b"null"
            if segment.logprobs:
                logprobs.add((segment.logprobs[position],))
                rendered = logprobs.render()
            bodies.append(piece + self._rest(index, rendered, b"null", padding(len(piece), position + 1)))
        return FrameBatch(self._head, bodies, _TAIL, required, tokens)

    def _rest(self, index: int, logprobs: bytes, finish: bytes, noise: bytes) -> bytes:
        rest = b'","index":%d,"logprobs":%b,"finish_reason":%b}%b' % (index, logprobs, finish, self._tail)
        return b'%b,"obfuscation":"%b"' % (rest, noise) if self._options.include_obfuscation else rest

    def render_usage(self) -> bytes:
        """Render the chunk that carries the usage."""
        return self._envelope + self._model + b',"usage":%b}\n\n' % _render_usage(self._turn.usage)


TEXT_COMPLETIONS: GenerationEndpoint[TextCompletionOptions] = GenerationEndpoint(
    path="/v1/completions",
    label="text_completions",
    http=ChannelFormat(
        parse=parse,
        render_refusal=render_refusal,
        render_fault=render_fault,
        render_stream=render_stream,
        render_stream_fault=render_stream_fault,
        stream_headers=SSE_HEADERS,
    ),
    render_response=render_response,
)
