"""What a request to create a response may look like, as types.

Decisions:
* Only what is obeyed, checked or echoed is declared; every other field is ignored, as the API ignores it.
* Optional fields take `null`: the SDKs' types say so, and clients send it.
* What is only echoed stays as it was sent (`Raw`); an absent one is empty, because a `Raw` cannot be in a union.

Source: openai SDK 3.54, types/responses/response_create_params.py and responses_client_event_param.py; the bounds
are those of openresponses/openresponses, schema/responses.tsp, and of the API's own refusals (`max_output_tokens`:
"Expected a value >= 16").
"""

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

Penalty = Annotated[float, Meta(ge=-2, le=2)]
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[a-zA-Z0-9_-]+$")]
# NOTE: bounded because they come back three times in a stream: a request must not cost more than itself.
ModelId = Annotated[str, Meta(min_length=1, max_length=256)]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
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
    """How to think, and how much to tell of it. `generate_summary` is the old name of `summary`."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Level | None = None
    generate_summary: Level | None = None
    context: Literal["auto", "current_turn", "all_turns"] | None = None
    mode: str | None = None


class PlainText(Struct, tag_field="type", tag="text"):
    """Prose."""


class JsonObject(Struct, tag_field="type", tag="json_object"):
    """Any JSON object."""


class JsonSchema(Struct, tag_field="type", tag="json_schema"):
    """JSON of a given shape."""

    name: Name
    schema: Raw
    description: str | None = None
    strict: bool | None = None


class TextConfig(Struct):
    """What the text is to look like."""

    format: PlainText | JsonObject | JsonSchema | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class StreamOptions(Struct):
    """How to stream. `null` for a flag is its default."""

    include_obfuscation: bool | None = None


class Conversation(Struct):
    """A conversation that the provider keeps."""

    id: str


class Template(Struct):
    """A prompt that the provider keeps."""

    id: str
    variables: dict[str, Raw] | None = None
    version: str | None = None


class Request(Struct):
    """The body of `POST /v1/responses`."""

    model: ModelId | None = None
    input: str | list[Raw] | None = None
    background: bool | None = None
    conversation: str | Conversation | None = None
    frequency_penalty: Penalty | None = None
    include: list[Includable] | None = None
    instructions: str | None = None
    max_output_tokens: Annotated[int, Meta(ge=16)] | None = None
    max_tool_calls: Annotated[int, Meta(ge=1)] | None = None
    metadata: Metadata | None = None
    parallel_tool_calls: bool | None = None
    presence_penalty: Penalty | None = None
    previous_response_id: str | None = None
    prompt: Template | None = None
    prompt_cache_key: Annotated[str, Meta(max_length=64)] | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    reasoning: Reasoning | None = None
    safety_identifier: Annotated[str, Meta(max_length=128)] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"] | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    text: TextConfig | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Raw] | None = None
    tools: list[Raw] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    user: str | None = None


class ClientEvent(Struct):
    """What a client sends over a WebSocket: the fields of a request beside its own, or in `response`."""

    type: Literal["response.create"]
    response: Raw = Raw()


class Generate(Struct):
    """Whether anything is to be said: a field of requests over a WebSocket only."""

    generate: bool | None = None
