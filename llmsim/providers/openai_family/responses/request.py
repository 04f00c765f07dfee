"""The types of a request to create a response, and its echo in the response object.

Decisions:
* Only what is obeyed, checked or echoed is declared; every other field is ignored, as the API ignores it.
* Optional fields take `null`: the SDKs' types say so, and clients send it.
* What is only echoed stays as it was sent (`Raw`); an absent one is empty, because a `Raw` cannot be in a union.
* The echo has defaults filled in, and null where there is no default.
* Tools, schemas and templates are echoed as they were sent, on one line: an event must not hold a raw newline.

Source: openai SDK 3.54, types/responses/response_create_params.py and responses_client_event_param.py; the bounds
are those of openresponses/openresponses, schema/responses.tsp, and of the API's own refusals (`max_output_tokens`:
"Expected a value >= 16"). The echo: recorded responses of the OpenAI API; openresponses/openresponses,
schema/responses.tsp, `ResponseResource`.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from llmsim.errors import InvalidJsonError
from llmsim.providers.openai_family import request_fields as fields
from llmsim.providers.openai_family.moderation import Moderation

Includable = Literal[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]
Level = Literal["auto", "concise", "detailed"]


class Reasoning(Struct, omit_defaults=True):
    """How to reason, and how much of it to show. `generate_summary` is the old name of `summary`."""

    effort: fields.Effort | None = None
    summary: Level | None = None
    generate_summary: Level | None = None
    context: Literal["auto", "current_turn", "all_turns"] | None = None
    mode: str | None = None


class JsonSchema(Struct, tag_field="type", tag="json_schema"):
    """JSON that fits a schema."""

    name: fields.Name
    schema: Raw
    description: str | None = None
    strict: bool | None = None


class TextConfig(Struct):
    """The format of the text."""

    format: fields.TextFormat | fields.JsonFormat | JsonSchema | None = None
    verbosity: fields.Verbosity | None = None


class StreamOptions(Struct):
    """How to stream. `null` for a flag is its default."""

    include_obfuscation: bool | None = None


class ContextManagement(Struct):
    """When to compact the conversation: when it has as many tokens as the threshold."""

    type: Literal["compaction"]
    compact_threshold: Annotated[int, Meta(ge=1)] | None = None


class Conversation(Struct):
    """A conversation that the provider stores."""

    id: str


class Template(Struct):
    """A prompt that the provider stores."""

    id: str
    variables: dict[str, Raw] | None = None
    version: str | None = None


class Request(Struct):
    """The body of `POST /v1/responses`."""

    model: fields.ModelId | None = None
    input: str | list[Raw] | None = None
    background: bool | None = None
    context_management: list[ContextManagement] | None = None
    conversation: str | Conversation | None = None
    frequency_penalty: fields.Penalty | None = None
    include: list[Includable] | None = None
    instructions: str | None = None
    max_output_tokens: Annotated[int, Meta(ge=16)] | None = None
    max_tool_calls: Annotated[int, Meta(ge=1)] | None = None
    metadata: fields.Metadata | None = None
    moderation: Moderation | None = None
    parallel_tool_calls: bool | None = None
    presence_penalty: fields.Penalty | None = None
    previous_response_id: str | None = None
    prompt: Template | None = None
    prompt_cache_key: fields.CacheKey | None = None
    prompt_cache_options: fields.CacheOptions | None = None
    prompt_cache_retention: fields.CacheRetention | None = None
    reasoning: Reasoning | None = None
    safety_identifier: Annotated[str, Meta(max_length=128)] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"] | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: fields.Temperature | None = None
    text: TextConfig | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Raw] | None = None
    tools: list[Raw] | None = None
    top_logprobs: fields.TopLogprobs | None = None
    top_p: fields.TopP | None = None
    truncation: Literal["auto", "disabled"] | None = None
    user: str | None = None
    # Names of chat completions, which are refused.
    max_completion_tokens: Raw = Raw()
    max_tokens: Raw = Raw()
    messages: Raw = Raw()
    reasoning_effort: Raw = Raw()
    response_format: Raw = Raw()
    verbosity: Raw = Raw()


class ClientEvent(Struct):
    """A client's WebSocket message: the fields of a request beside its own, or in `response`."""

    type: Literal["response.create"]
    response: Raw = Raw()


class Generate(Struct):
    """Whether to generate anything: a field of WebSocket requests only."""

    generate: bool | None = None


_DEFAULT_REASONING = Raw(b'{"effort":null,"summary":null}')
_DEFAULT_TEXT = Raw(b'{"format":{"type":"text"},"verbosity":"medium"}')


def render_echo(request: Request, *, tools: Sequence[Any], tool_choice: Any) -> bytes:
    """Render the members of the response object that repeat `request`, without braces.

    Args:
        request: The request.
        tools: The echo of its tools.
        tool_choice: The echo of its tool choice.

    Raises:
        InvalidJsonError: A value is nested too deeply.
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
        "reasoning": _DEFAULT_REASONING if request.reasoning is None else _echo_reasoning(request.reasoning),
        "safety_identifier": request.safety_identifier,
        "store": request.store is not False,
        "temperature": _or(request.temperature, 1.0),
        "text": _DEFAULT_TEXT if request.text is None else _echo_text(request.text),
        "tool_choice": tool_choice,
        "tools": tools,
        "top_logprobs": request.top_logprobs or 0,
        "top_p": _or(request.top_p, 1.0),
        "truncation": request.truncation or "disabled",
        "user": request.user,
        "metadata": request.metadata or {},
    }
    # A conversation and a template are echoed only if the request has one.
    if request.conversation is not None:
        conversation = request.conversation
        members["conversation"] = {"id": conversation} if isinstance(conversation, str) else conversation
    if request.prompt is not None:
        members["prompt"] = request.prompt
    echo = msgspec.json.encode(members)
    if b"\n" in echo or b"\r" in echo:
        try:
            echo = msgspec.json.format(echo, indent=-1)
        except RecursionError as error:
            raise InvalidJsonError(str(error)) from None
    return echo[1:-1]


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _echo_reasoning(reasoning: Reasoning) -> dict[str, Any]:
    members = {"effort": reasoning.effort, "summary": reasoning.summary or reasoning.generate_summary}
    optional = {"context": reasoning.context, "mode": reasoning.mode}
    return members | {name: value for name, value in optional.items() if value is not None}


def _echo_text(text: TextConfig) -> dict[str, Any]:
    text_format: Any = text.format or fields.TextFormat()
    if isinstance(text_format, JsonSchema):
        text_format = {
            "type": "json_schema",
            "description": text_format.description,
            "name": text_format.name,
            "schema": text_format.schema,
            "strict": text_format.strict is True,
        }
    return {"format": text_format, "verbosity": text.verbosity or "medium"}
