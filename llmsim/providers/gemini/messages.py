"""The messages of requests, as types: what `proto_json.read_message` reads a body into.

Decisions:
* All fields that the API knows are declared: any other is refused. What has no effect here is any JSON object.
* A struct has the name of the API's message, which its error messages show.

Source: google-genai SDK 3.6, types.py and the `_to_mldev` converters of models.py; ai.google.dev/api/generate-content.
"""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct

Object = dict[str, Any]

Base64 = Annotated[str, Meta(extra={"base64": True})]
"""A text that stands for bytes."""


class Blob(Struct, rename="camel"):
    """Bytes in the request."""

    mime_type: str = ""
    data: Base64 = ""
    display_name: str | None = None


class FileData(Struct, rename="camel"):
    """A file at an address; nothing is fetched."""

    mime_type: str = ""
    file_uri: str = ""
    display_name: str | None = None


class FunctionCall(Struct, rename="camel"):
    """A call of an earlier turn."""

    id: str = ""
    name: str = ""
    args: Object = {}


class FunctionResponsePart(Struct, rename="camel"):
    """Media of a result."""

    inline_data: Blob | None = None
    file_data: FileData | None = None


class FunctionResponse(Struct, rename="camel"):
    """The result of a call."""

    id: str = ""
    name: str = ""
    response: Object = {}
    parts: list[FunctionResponsePart] = []
    will_continue: bool = False
    scheduling: str | None = None


class ExecutableCode(Struct, rename="camel"):
    """Code that the API ran in an earlier turn."""

    language: str = ""
    code: str = ""
    id: str = ""


class CodeExecutionResult(Struct, rename="camel"):
    """What such code has put out."""

    outcome: str = ""
    output: str = ""
    id: str = ""


class Part(Struct, rename="camel"):
    """A part of a content; it has one kind of data."""

    ONEOF: ClassVar[frozenset[str]] = frozenset(
        """
        text inlineData inline_data functionCall function_call functionResponse function_response fileData file_data
        executableCode executable_code codeExecutionResult code_execution_result
        """.split()
    )

    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    executable_code: ExecutableCode | None = None
    code_execution_result: CodeExecutionResult | None = None
    thought: bool = False
    thought_signature: Base64 = ""
    tool_call: Object | None = None
    tool_response: Object | None = None
    video_metadata: Object | None = None
    media_resolution: Object | None = None
    part_metadata: Object | None = None
    audio_transcription: Object | None = None
    media_processing: Object | None = None
    speech_metadata: Object | None = None
    document_metadata: Object | None = None
    spreadsheet_metadata: Object | None = None
    audio_metadata: Object | None = None


class Content(Struct, rename="camel"):
    """A message of the conversation."""

    parts: list[Part] = []
    role: str = ""


SchemaType = Annotated[
    Literal["TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"],
    Meta(extra={"enum": "Type"}),
]


class Schema(Struct, rename="camel"):
    """A schema in the API's own form, a part of OpenAPI 3.0."""

    type: SchemaType | None = None
    format: str | None = None
    title: str | None = None
    description: str | None = None
    nullable: bool | None = None
    enum: list[str] | None = None
    items: "Schema | None" = None
    max_items: int | None = None
    min_items: int | None = None
    properties: "dict[str, Schema] | None" = None
    required: list[str] | None = None
    min_properties: int | None = None
    max_properties: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    example: Any = None
    any_of: "list[Schema] | None" = None
    property_ordering: list[str] | None = None
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    additional_properties: Any = None
    defs: "dict[str, Schema] | None" = None
    ref: str | None = None


class FunctionDeclaration(Struct, rename="camel"):
    """A function that the client runs."""

    name: str = ""
    description: str = ""
    parameters: Schema | None = None
    parameters_json_schema: Any = None
    response: Schema | None = None
    response_json_schema: Any = None
    behavior: str | None = None


class Tool(Struct, rename="camel"):
    """Functions, or a tool that the API runs."""

    function_declarations: list[FunctionDeclaration] | None = None
    google_search: Object | None = None
    google_search_retrieval: Object | None = None
    google_maps: Object | None = None
    url_context: Object | None = None
    code_execution: Object | None = None
    computer_use: Object | None = None
    file_search: Object | None = None
    mcp_servers: list[Object] | None = None


CallingMode = Annotated[
    Literal["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"],
    Meta(extra={"enum": "FunctionCallingConfig.Mode"}),
]


class FunctionCallingConfig(Struct, rename="camel"):
    """Whether functions are called, and which."""

    mode: CallingMode = "MODE_UNSPECIFIED"
    allowed_function_names: list[str] = []


class ToolConfig(Struct, rename="camel"):
    """How tools are used."""

    function_calling_config: FunctionCallingConfig | None = None
    retrieval_config: Object | None = None
    include_server_side_tool_invocations: bool = False


HarmCategory = Annotated[
    Literal[
        "HARM_CATEGORY_UNSPECIFIED",
        "HARM_CATEGORY_DEROGATORY",
        "HARM_CATEGORY_TOXICITY",
        "HARM_CATEGORY_VIOLENCE",
        "HARM_CATEGORY_SEXUAL",
        "HARM_CATEGORY_MEDICAL",
        "HARM_CATEGORY_DANGEROUS",
        "HARM_CATEGORY_HARASSMENT",
        "HARM_CATEGORY_HATE_SPEECH",
        "HARM_CATEGORY_SEXUALLY_EXPLICIT",
        "HARM_CATEGORY_DANGEROUS_CONTENT",
        "HARM_CATEGORY_CIVIC_INTEGRITY",
    ],
    Meta(extra={"enum": "HarmCategory"}),
]
HarmBlockThreshold = Annotated[
    Literal[
        "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
        "BLOCK_LOW_AND_ABOVE",
        "BLOCK_MEDIUM_AND_ABOVE",
        "BLOCK_ONLY_HIGH",
        "BLOCK_NONE",
        "OFF",
    ],
    Meta(extra={"enum": "SafetySetting.HarmBlockThreshold"}),
]


class SafetySetting(Struct, rename="camel"):
    """From which probability a kind of harm is blocked."""

    category: HarmCategory = "HARM_CATEGORY_UNSPECIFIED"
    threshold: HarmBlockThreshold = "HARM_BLOCK_THRESHOLD_UNSPECIFIED"


ThinkingLevel = Annotated[
    Literal["THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"],
    Meta(extra={"enum": "ThinkingConfig.ThinkingLevel"}),
]
MediaResolution = Annotated[
    Literal[
        "MEDIA_RESOLUTION_UNSPECIFIED",
        "MEDIA_RESOLUTION_LOW",
        "MEDIA_RESOLUTION_MEDIUM",
        "MEDIA_RESOLUTION_HIGH",
    ],
    Meta(extra={"enum": "GenerationConfig.MediaResolution"}),
]
Modality = Annotated[
    Literal["MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO"],
    Meta(extra={"enum": "GenerationConfig.Modality"}),
]


class ThinkingConfig(Struct, rename="camel"):
    """How much the model thinks, and whether thoughts are shown."""

    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: ThinkingLevel | None = None


class PrebuiltVoiceConfig(Struct, rename="camel"):
    """A voice of the API's own."""

    voice_name: str = ""


class VoiceConfig(Struct, rename="camel"):
    """A voice."""

    prebuilt_voice_config: PrebuiltVoiceConfig | None = None
    replicated_voice_config: Object | None = None
    voice: str | None = None


class SpeakerVoiceConfig(Struct, rename="camel"):
    """The voice of a speaker."""

    speaker: str = ""
    voice_config: VoiceConfig | None = None


class MultiSpeakerVoiceConfig(Struct, rename="camel"):
    """The voices of several speakers."""

    speaker_voice_configs: list[SpeakerVoiceConfig] = []


class SpeechConfig(Struct, rename="camel"):
    """How a text is spoken."""

    voice_config: VoiceConfig | None = None
    multi_speaker_voice_config: MultiSpeakerVoiceConfig | None = None
    language_code: str | None = None


class ImageConfig(Struct, rename="camel"):
    """What a picture is like."""

    aspect_ratio: str | None = None
    image_size: str | None = None


class GenerationConfig(Struct, rename="camel"):
    """Parameters of the response."""

    candidate_count: int | None = None
    stop_sequences: list[str] = []
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    seed: int | None = None
    response_mime_type: str | None = None
    response_schema: Schema | None = None
    response_json_schema: Any = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_logprobs: bool | None = None
    logprobs: int | None = None
    enable_enhanced_civic_answers: bool | None = None
    response_modalities: list[Modality] = []
    speech_config: SpeechConfig | None = None
    thinking_config: ThinkingConfig | None = None
    image_config: ImageConfig | None = None
    media_resolution: MediaResolution | None = None
    audio_transcription_config: Object | None = None


class GenerateContentRequest(Struct, rename="camel"):
    """The body of `generateContent` and `streamGenerateContent`."""

    model: str | None = None
    contents: list[Content] = []
    system_instruction: Content | None = None
    tools: list[Tool] = []
    tool_config: ToolConfig | None = None
    safety_settings: list[SafetySetting] = []
    generation_config: GenerationConfig | None = None
    cached_content: str | None = None
    labels: dict[str, str] = {}
    service_tier: str | None = None
    store: bool | None = None
    continuation_token: str | None = None


class CountTokensRequest(Struct, rename="camel"):
    """The body of `countTokens`."""

    model: str | None = None
    contents: list[Content] = []
    generate_content_request: GenerateContentRequest | None = None


TaskType = Annotated[
    Literal[
        "TASK_TYPE_UNSPECIFIED",
        "RETRIEVAL_QUERY",
        "RETRIEVAL_DOCUMENT",
        "SEMANTIC_SIMILARITY",
        "CLASSIFICATION",
        "CLUSTERING",
        "QUESTION_ANSWERING",
        "FACT_VERIFICATION",
        "CODE_RETRIEVAL_QUERY",
    ],
    Meta(extra={"enum": "TaskType"}),
]


class EmbedContentRequest(Struct, rename="camel"):
    """The body of `embedContent`, and one request of `batchEmbedContents`."""

    model: str | None = None
    content: Content | None = None
    task_type: TaskType | None = None
    title: str | None = None
    output_dimensionality: int | None = None


class BatchEmbedContentsRequest(Struct, rename="camel"):
    """The body of `batchEmbedContents`."""

    requests: list[EmbedContentRequest] = []
    model: str | None = None
