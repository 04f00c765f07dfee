"""What a response repeats of its request, as the API repeats it: defaults filled in, null where there is none.

Decisions:
* Tools, schemas and templates are repeated as they were sent, on one line: an event may hold no raw newline.

Source: recorded responses of the OpenAI API; openresponses/openresponses, schema/responses.tsp, `ResponseResource`.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from llmsim.errors import InvalidJsonError
from llmsim.providers.openai_family.responses.request import (
    JsonSchema,
    PlainText,
    Reasoning,
    Request,
    TextConfig,
)

_NO_REASONING = Raw(b'{"effort":null,"summary":null}')
_ANY_TEXT = Raw(b'{"format":{"type":"text"},"verbosity":"medium"}')


def echoed(request: Request, *, tools: Sequence[Any], tool_choice: Any) -> bytes:
    """Give the members of the response object that repeat `request`, without braces.

    Args:
        request: What was asked.
        tools: How its tools are repeated.
        tool_choice: How the choice of them is repeated.

    Raises:
        InvalidJsonError: A value is too deep.
    """
    members = {
        "background": request.background is True,
        "frequency_penalty": _or(request.frequency_penalty, 0.0),
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": request.max_tool_calls,
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "presence_penalty": _or(request.presence_penalty, 0.0),
        "previous_response_id": request.previous_response_id,
        "prompt_cache_key": request.prompt_cache_key,
        "prompt_cache_retention": request.prompt_cache_retention,
        "reasoning": _NO_REASONING if request.reasoning is None else _reasoning(request.reasoning),
        "safety_identifier": request.safety_identifier,
        "store": request.store is not False,
        "temperature": _or(request.temperature, 1.0),
        "text": _ANY_TEXT if request.text is None else _text(request.text),
        "tool_choice": tool_choice,
        "tools": tools,
        "top_logprobs": request.top_logprobs or 0,
        "top_p": _or(request.top_p, 1.0),
        "truncation": request.truncation or "disabled",
        "user": request.user,
        "metadata": request.metadata or {},
    }
    # A conversation and a template are there only for those who ask for them.
    if request.conversation is not None:
        conversation = request.conversation
        members["conversation"] = {"id": conversation} if isinstance(conversation, str) else conversation
    if request.prompt is not None:
        members["prompt"] = request.prompt
    shown = msgspec.json.encode(members)
    if b"\n" in shown or b"\r" in shown:
        try:
            shown = msgspec.json.format(shown, indent=-1)
        except RecursionError as error:
            raise InvalidJsonError(str(error)) from None
    return shown[1:-1]


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _reasoning(asked: Reasoning) -> dict[str, Any]:
    told = {"effort": asked.effort, "summary": asked.summary or asked.generate_summary}
    extra = {"context": asked.context, "mode": asked.mode}
    return told | {name: value for name, value in extra.items() if value is not None}


def _text(asked: TextConfig) -> dict[str, Any]:
    form = asked.format or PlainText()
    shown: Any = form
    if isinstance(form, JsonSchema):
        shown = {
            "type": "json_schema",
            "description": form.description,
            "name": form.name,
            "schema": form.schema,
            "strict": form.strict is True,
        }
    return {"format": shown, "verbosity": asked.verbosity or "medium"}
