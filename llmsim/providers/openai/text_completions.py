"""Text completions, the API before chat: texts are parsed to a prompt that is continued.

Decisions:
* Any model that generates text continues texts: load tools ask this endpoint first, with the first model of the list.
* Continuations do not reason: no model of this endpoint does.
* A request is bounded by the completions that it asks for, for each may be streamed in events of its own.

Source of fields: openai SDK 3.54, types/completion_create_params.py; bounds and defaults are those of openai/openai-openapi
`CreateCompletionRequest`.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from llmsim.domain import Continuation, Message, Prompt
from llmsim.errors import ApiRuleError, InvalidFieldError
from llmsim.providers.contract import IncomingRequest, ParsedRequest
from llmsim.providers.openai.chat_request import StreamOptions
from llmsim.providers.openai_family import request_fields as fields
from llmsim.wire.codec import decoder

_DEFAULT_LIMIT = 16
_MOST_COMPLETIONS = 512
"""Candidates of all prompts together."""

_Tokens = list[int]


class TextCompletionRequest(msgspec.Struct):
    """The body of `POST /v1/completions`."""

    model: fields.ModelId
    prompt: str | list[str | int | _Tokens] | None = None
    best_of: Annotated[int, Meta(ge=0, le=20)] | None = None
    echo: bool | None = None
    frequency_penalty: fields.Penalty | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    max_tokens: Annotated[int, Meta(ge=0)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    presence_penalty: fields.Penalty | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    suffix: str | None = None
    temperature: fields.Temperature | None = None
    top_p: fields.TopP | None = None
    user: str | None = None


class TextCompletionOptions(msgspec.Struct, frozen=True, gc=False):
    """Options for the renderers of text completions.

    Attributes:
        include_usage: Whether the last chunk carries the usage.
        include_obfuscation: Whether chunks carry padding.
        prompts: Number of texts; each has as many of the choices.
        alternatives: Whether alternatives are listed with log probabilities.
    """

    include_usage: bool = False
    include_obfuscation: bool = True
    prompts: int = 1
    alternatives: bool = False


_decode = decoder(TextCompletionRequest)


def parse(incoming: IncomingRequest) -> ParsedRequest[TextCompletionOptions]:
    """Parse a request body.

    Raises:
        InvalidJsonError: It is not JSON.
        InvalidFieldError: A field is missing, wrong, out of range or contradicts another.
        ApiRuleError: The prompt is of mixed kinds, or too many completions are requested.
    """
    request = _decode(incoming.body)
    if request.stream_options is not None and not request.stream:
        raise InvalidFieldError(
            ("stream_options",),
            "conflict",
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        )
    messages = _parse_prompt(request.prompt, request.suffix)
    n = request.n or 1
    _check_candidates(request, n, len(messages))
    prompt = Prompt(
        model=request.model,
        messages=messages,
        limit=_DEFAULT_LIMIT if request.max_tokens is None else request.max_tokens,
        stop=(request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ()),
        choices=n * len(messages),
        seed=request.seed,
        effort="none",
        stream=bool(request.stream),
        logprobs=request.logprobs,
        continuation=Continuation(echo=bool(request.echo), best_of=request.best_of or None),
    )
    streaming = request.stream_options
    options = TextCompletionOptions(
        include_usage=streaming is not None and streaming.include_usage is True,
        include_obfuscation=streaming is None or streaming.include_obfuscation is not False,
        prompts=len(messages),
        alternatives=bool(request.logprobs),
    )
    return ParsedRequest(prompt, options)


def _parse_prompt(given: str | list[str | int | _Tokens] | None, suffix: str | None) -> tuple[Message, ...]:
    notes = (suffix,) if suffix else ()
    if not isinstance(given, list):
        return (Message("user", (given or "",), notes=notes),)
    texts = [text for text in given if isinstance(text, str)]
    lists = [ids for ids in given if isinstance(ids, list)]
    ids = [token for token in given if isinstance(token, int)]
    if len(given) not in (len(texts), len(lists), len(ids)):
        raise _invalid_prompt()
    if ids:
        lists = [ids]
    if not (texts or lists) or not all(lists):
        raise _invalid_prompt()
    return tuple(Message("user", (text,), notes=notes) for text in texts) + tuple(
        Message("user", (), notes=notes, token_ids=tuple(one)) for one in lists
    )


def _invalid_prompt() -> ApiRuleError:
    return ApiRuleError(
        "'$.prompt' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
    )


def _check_candidates(request: TextCompletionRequest, n: int, prompts: int) -> None:
    """Check `best_of`, and how many candidates are requested.

    Source: error bodies in openai/openai-python#44 and EleutherAI/lm-evaluation-harness#1180.
    """
    best_of = request.best_of or None  # 0 is what the SDK sends for none
    if best_of is not None and best_of < n:
        raise InvalidFieldError(
            ("best_of",),
            "conflict",
            f"You requested that the server return more choices than it will generate (HINT: you must "
            f"set 'n' (currently {n}) to be at most 'best_of' (currently {best_of}), or omit either parameter if you don't "
            "specifically want to use them.)",
        )
    if best_of is not None and best_of > n and request.stream:
        raise InvalidFieldError(
            ("best_of",), "conflict", "Results cannot be streamed when 'best_of' is greater than 'n'."
        )
    if (best_of or n) * prompts > _MOST_COMPLETIONS:
        raise ApiRuleError(
            f"You requested {(best_of or n) * prompts} completions: {best_of or n} for each of {prompts} prompts. At most "
            f"{_MOST_COMPLETIONS} are generated for one request.",
            "prompt",
        )
