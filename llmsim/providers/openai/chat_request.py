"""The types of a chat completion request.

Decisions:
* Only what is obeyed or checked is declared; every other field is ignored, as the API ignores it.
* Optional fields take `null`: the SDKs' types say so, and clients send it.

Source: openai SDK 3.54, types/chat/completion_create_params.py and chat_completion_*_param.py; the bounds
are those of openai/openai-openapi `CreateChatCompletionRequest`.
"""

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

from llmsim.providers.openai.chat_audio import AudioOutput
from llmsim.providers.openai_family import request_fields as fields
from llmsim.providers.openai_family.moderation import Moderation

Count = Annotated[int, Meta(ge=1)]


class TextPart(Struct, tag_field="type", tag="text"):
    """Text."""

    text: str


class ImageUrl(Struct):
    """An image's address or data URL; it is never fetched."""

    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(Struct, tag_field="type", tag="image_url"):
    """An image."""

    image_url: ImageUrl


class InputAudio(Struct):
    """Base64 audio."""

    data: str
    format: Literal["wav", "mp3"]


class AudioPart(Struct, tag_field="type", tag="input_audio"):
    """A recording."""

    input_audio: InputAudio


class FileSource(Struct):
    """A file by content or by id."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class FilePart(Struct, tag_field="type", tag="file"):
    """A file."""

    file: FileSource


class RefusalPart(Struct, tag_field="type", tag="refusal"):
    """The model's refusal, sent back as history."""

    refusal: str


UserPart = TextPart | ImagePart | AudioPart | FilePart
AssistantPart = TextPart | RefusalPart


class FunctionCall(Struct):
    """Name and JSON arguments of a call."""

    name: str
    arguments: str


class CustomCall(Struct):
    """Name and free-text input of a call."""

    name: str
    input: str


CallId = Annotated[str, Meta(max_length=64)]


class ToolCallParam(Struct):
    """A call of the model, sent back as history."""

    id: CallId
    type: Literal["function", "custom"] = "function"
    function: FunctionCall | None = None
    custom: CustomCall | None = None


class SystemMessage(Struct, tag_field="role", tag="system"):
    """Instructions, under the older name."""

    content: str | Annotated[list[TextPart], Meta(min_length=1)]
    name: str | None = None


class DeveloperMessage(Struct, tag_field="role", tag="developer"):
    """Instructions, under the newer name."""

    content: str | Annotated[list[TextPart], Meta(min_length=1)]
    name: str | None = None


class UserMessage(Struct, tag_field="role", tag="user"):
    """A message of the user."""

    content: str | Annotated[list[UserPart], Meta(min_length=1)]
    name: str | None = None


class PriorAudio(Struct):
    """An earlier sound of the model, by its id."""

    id: str


class AssistantMessage(Struct, tag_field="role", tag="assistant"):
    """An earlier message of the model, with its calls."""

    content: str | Annotated[list[AssistantPart], Meta(min_length=1)] | None = None
    audio: PriorAudio | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallParam] | None = None
    function_call: FunctionCall | None = None


class ToolMessage(Struct, tag_field="role", tag="tool"):
    """The result of a tool call."""

    content: str | Annotated[list[TextPart], Meta(min_length=1)]
    tool_call_id: CallId


class FunctionMessage(Struct, tag_field="role", tag="function"):
    """The result of a function call; deprecated, but still accepted."""

    name: str
    content: str | None


AnyMessage = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage


class StreamOptions(Struct):
    """How to stream. `null` for a flag is its default."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class FunctionTool(Struct, tag_field="type", tag="function"):
    """A function that may be called."""

    function: fields.Function


class Grammar(Struct):
    """The grammar of a custom tool's input."""

    definition: str
    syntax: Literal["lark", "regex"]


class GrammarFormat(Struct, tag_field="type", tag="grammar"):
    """Text of a grammar."""

    grammar: Grammar


class CustomDefinition(Struct):
    """A tool that takes free text."""

    name: fields.Name
    description: str | None = None
    format: fields.TextFormat | GrammarFormat | None = None


class CustomTool(Struct, tag_field="type", tag="custom"):
    """A custom tool that may be called."""

    custom: CustomDefinition


AnyTool = FunctionTool | CustomTool


class Named(Struct):
    """A tool by its name."""

    name: str


class NamedFunction(Struct, tag_field="type", tag="function"):
    """The one function to call, or an allowed one."""

    function: Named


class NamedCustom(Struct, tag_field="type", tag="custom"):
    """The one custom tool to call, or an allowed one."""

    custom: Named


class AllowedTools(Struct):
    """The tools that may be called."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedFunction | NamedCustom], Meta(min_length=1)]


class AllowedChoice(Struct, tag_field="type", tag="allowed_tools"):
    """A choice among allowed tools."""

    allowed_tools: AllowedTools


AnyChoice = NamedFunction | NamedCustom | AllowedChoice


class NamedSchema(Struct):
    """A schema and its name."""

    name: fields.Name
    description: str | None = None
    schema: Raw = Raw()
    strict: bool | None = None


class SchemaFormat(Struct, tag_field="type", tag="json_schema"):
    """JSON that fits a schema."""

    json_schema: NamedSchema


class ApproximateLocation(Struct):
    """Where the user is, roughly."""

    city: str | None = None
    country: str | None = None
    region: str | None = None
    timezone: str | None = None


class UserLocation(Struct, tag_field="type", tag="approximate"):
    """Where the user is."""

    approximate: ApproximateLocation


class WebSearchOptions(Struct):
    """How to search the web; what is found is cited."""

    search_context_size: Literal["low", "medium", "high"] | None = None
    user_location: UserLocation | None = None


class Prediction(Struct, tag_field="type", tag="content"):
    """What the client expects the text to be."""

    content: str | list[TextPart]

    @property
    def text(self) -> str:
        """All of it."""
        return (
            self.content if isinstance(self.content, str) else "".join([part.text for part in self.content])
        )


class ChatRequest(Struct):
    """The body of `POST /v1/chat/completions`."""

    model: fields.ModelId
    messages: Annotated[list[AnyMessage], Meta(min_length=1)]
    audio: AudioOutput | None = None
    frequency_penalty: fields.Penalty | None = None
    function_call: Literal["none", "auto"] | Named | None = None
    functions: Annotated[list[fields.Function], Meta(min_length=1, max_length=128)] | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    logprobs: bool | None = None
    max_completion_tokens: Count | None = None
    max_tokens: Count | None = None
    metadata: fields.Metadata | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    moderation: Moderation | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    prediction: Prediction | None = None
    parallel_tool_calls: bool | None = None
    presence_penalty: fields.Penalty | None = None
    prompt_cache_key: fields.CacheKey | None = None
    prompt_cache_options: fields.CacheOptions | None = None
    prompt_cache_retention: fields.CacheRetention | None = None
    reasoning_effort: fields.Effort | None = None
    response_format: fields.TextFormat | fields.JsonFormat | SchemaFormat | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: fields.Temperature | None = None
    tool_choice: Literal["none", "auto", "required"] | AnyChoice | None = None
    tools: Annotated[list[AnyTool], Meta(min_length=1, max_length=128)] | None = None
    top_logprobs: fields.TopLogprobs | None = None
    top_p: fields.TopP | None = None
    user: str | None = None
    verbosity: fields.Verbosity | None = None
    web_search_options: WebSearchOptions | None = None
