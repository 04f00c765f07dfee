"""Types of request fields that chat completions and Responses have in common.

Source: openai/openai-openapi, `CreateChatCompletionRequest`; openresponses/openresponses, schema/responses.tsp.
"""

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

# NOTE: bounded because it is repeated in a stream, in chat in every chunk: a request must not cost more than itself.
ModelId = Annotated[str, Meta(min_length=1, max_length=256)]
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[a-zA-Z0-9_-]+$")]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
TopLogprobs = Annotated[int, Meta(ge=0, le=20)]
TopP = Annotated[float, Meta(ge=0, le=1)]
Verbosity = Literal["low", "medium", "high"]


class Function(Struct):
    """A function of the client. `parameters` is a JSON schema, kept as it was sent."""

    name: Name
    description: str | None = None
    parameters: Raw = Raw()
    strict: bool | None = None


class TextFormat(Struct, tag_field="type", tag="text"):
    """Any text."""


class JsonFormat(Struct, tag_field="type", tag="json_object"):
    """Any JSON object."""
