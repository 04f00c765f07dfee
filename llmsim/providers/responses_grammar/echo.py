"""What a response repeats of its request, as the API repeats it: defaults filled in, null where there is none.

Decisions:
* Tools, schemas and templates are repeated as they were sent, on one line: an event may hold no raw newline.

Source: recorded responses of the OpenAI API; openresponses/openresponses, schema/responses.tsp, `ResponseResource`.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from llmsim.errors import InvalidFieldError, InvalidJsonError
from llmsim.providers.responses_grammar.items import Path, moved
from llmsim.providers.responses_grammar.request import (
    AnyTool,
    FunctionTool,
    JsonSchema,
    PlainText,
    Reasoning,
    Request,
    TextConfig,
)
from llmsim.wire.codec import decoder


class FunctionChoice(Struct):
    """The one function to be called."""

    name: str


class AllowedTools(Struct):
    """The tools that may be called."""

    tools: Annotated[list[AnyTool], Meta(min_length=1, max_length=128)]
    mode: Literal["none", "auto", "required"] | None = None


_any_tool = decoder(AnyTool)
_function_tool = decoder(FunctionTool)
_function_choice = decoder(FunctionChoice)
_allowed_tools = decoder(AllowedTools)
_members = decoder(dict[str, Raw])


_NO_REASONING = Raw(b'{"effort":null,"summary":null}')
_ANY_TEXT = Raw(b'{"format":{"type":"text"},"verbosity":"medium"}')


def echoed(request: Request) -> bytes:
    """Give the members of the response object that repeat `request`, without braces.

    Raises:
        InvalidFieldError: A tool or the choice of tools is none.
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
        "tool_choice": _tool_choice(request.tool_choice),
        "tools": _tools(request.tools) if request.tools else (),
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


def _tool_choice(choice: str | Mapping[str, Raw] | None) -> Any:
    if choice is None or isinstance(choice, str):
        return choice or "auto"
    sent = msgspec.json.encode(choice)
    try:
        match _any_tool(sent).type:
            case "function":
                _function_choice(sent)
            case "allowed_tools":
                return {**choice, "mode": _allowed_tools(sent).mode or "auto"}
    except InvalidFieldError as error:
        moved(error, ("tool_choice",))
    return choice


def _tools(sent: Sequence[Raw]) -> list[Any]:
    return [_tool(bytes(tool), ("tools", index)) for index, tool in enumerate(sent)]


def _tool(sent: bytes, path: Path) -> Any:
    """Repeat a tool; a function has all its fields, whatever was left out."""
    try:
        if _any_tool(sent).type != "function":
            return Raw(sent)
        strict = _function_tool(sent).strict
    except InvalidFieldError as error:
        moved(error, path)
    # Source: openai SDK, function_tool.py: strict by default.
    return {"description": None, "parameters": None, **_members(sent), "strict": strict is not False}
