"""Parsing of `contents`: messages, and the rules by which calls and their results follow each other.

Decisions:
* A call has no id where a model or client knows none; its result then refers to it by the name of the function.
* Thoughts of earlier turns are left out of the prompt, as the API does. Source: ai.google.dev/gemini-api/docs/thinking.

Source: messages of the API in google-gemini/gemini-cli#16984 (results), boldsoftware/sketch#68 (parts), nearai/ironclaw#1510
(signatures).
"""

from collections.abc import Sequence

import msgspec

from llmsim.domain import Attachment, Image, Message, PriorToolCall, ToolResult
from llmsim.errors import ApiRuleError
from llmsim.providers.gemini.messages import Blob, Content, FunctionCall, FunctionResponse, Part
from llmsim.providers.gemini.model_rules import refused_by
from llmsim.providers.gemini.schemas import RuleError
from llmsim.providers.gemini.signatures import verifies
from llmsim.providers.media import Media

_encode = msgspec.json.encode

_ROLES = {"user": "user", "model": "assistant", "function": "user", "tool": "user", "": "user"}

_DOCUMENT_TOKENS = 258
"""Tokens of a file of which only the address is known, or that is neither text nor image: a page of a document.

Source: ai.google.dev/gemini-api/docs/document-processing.
"""
_AUDIO_TOKENS = 32 * 10
"""Tokens of a recording or video, whose length is not looked at: ten seconds. Source: ai.google.dev/gemini-api/docs/tokens."""

_SEE_SIGNATURES = (
    "This is required for tools to work correctly, and missing thought_signature may lead to degraded model performance. "
    "Additional data, function call `default_api:{}` , position {}. Please refer to "
    "https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
)


class Conversation(msgspec.Struct, frozen=True):
    """The conversation of a request.

    Attributes:
        messages: System instruction and contents.
        images: All images.
        attachments: Images and files in their order.
    """

    messages: tuple[Message, ...]
    images: tuple[Image, ...]
    attachments: tuple[Attachment, ...]


def parse_conversation(
    contents: Sequence[Content], system: Content | None, model: str, *, checks_models: bool
) -> Conversation:
    """Parse the conversation of a request.

    Args:
        contents: The messages.
        system: The system instruction.
        model: The requested model.
        checks_models: Whether what the model does not take is refused.

    Raises:
        ApiRuleError: A part is invalid in its place.
    """
    if not contents:
        raise RuleError(("contents", "contents is not specified"))
    parser = _Parser(media=Media(), messages=[])
    if system is not None:
        parser.add(system, "system", "system_instruction")
    for index, content in enumerate(contents):
        role = _ROLES.get(content.role)
        if role is None:
            raise ApiRuleError("Please use a valid role: user, model.")
        parser.add(content, role, f"contents[{index}]")
    turns = _turns(contents)
    _check_order(turns)
    if checks_models and "unsigned_calls" in refused_by(model):
        _check_signatures(turns)
    media = parser.media
    return Conversation(tuple(parser.messages), tuple(media.images), tuple(media.attachments))


class _Parser(msgspec.Struct):
    """Parses contents.

    Attributes:
        media: Images and files so far.
        messages: Messages so far.
    """

    media: Media
    messages: list[Message]

    def add(self, content: Content, role: str, path: str) -> None:
        """Add a content."""
        if not content.parts:
            raise RuleError((f"{path}.parts", "contents.parts must not be empty."))
        self.media.message = len(self.messages)
        builder = _MessageBuilder([], [], [], [])
        for index, part in enumerate(content.parts):
            builder.add(part, f"{path}.parts[{index}]", self.media)
        self.messages.append(
            Message(
                role,
                tuple(builder.texts),
                notes=tuple(builder.notes),
                extra_tokens=builder.extra_tokens,
                calls=tuple(builder.calls),
                results=tuple(builder.results),
            )
        )


class _MessageBuilder(msgspec.Struct):
    """Builds a message part by part."""

    texts: list[str]
    notes: list[str]
    calls: list[PriorToolCall]
    results: list[ToolResult]
    extra_tokens: int = 0

    def add(self, part: Part, path: str, media: Media) -> None:
        """Add a part.

        Raises:
            ApiRuleError: It holds nothing, or a signature that is not its own.
        """
        if part.text is not None:
            if not part.thought:
                self.texts.append(part.text)
        elif part.function_call is not None:
            self._add_call(part.function_call, part.thought_signature, path)
        elif part.function_response is not None:
            self._add_result(part.function_response, path, media)
        elif part.inline_data is not None:
            self._add_blob(part.inline_data, path, media)
        elif part.file_data is not None:
            self.extra_tokens += _DOCUMENT_TOKENS
            media.add_file(part.file_data.file_uri, texts=len(self.texts))
        elif part.executable_code is not None:
            self.notes.append(part.executable_code.code)
        elif part.code_execution_result is not None:
            self.notes.append(part.code_execution_result.output)
        elif (found := part.tool_call or part.tool_response) is not None:
            self.notes.append(_encode(found).decode())
        elif not part.thought_signature:
            raise RuleError((f"{path}.data", "required oneof field 'data' must have one initialized field"))

    def _add_call(self, call: FunctionCall, signature: str, path: str) -> None:
        if not call.name:
            raise RuleError((f"{path}.function_call.name", "Name cannot be empty."))
        if signature and not verifies(signature, call.name, call.args):
            raise ApiRuleError("Thought signature is not valid.")
        self.calls.append(PriorToolCall(call.id or call.name, call.name, _encode(call.args).decode()))

    def _add_result(self, result: FunctionResponse, path: str, media: Media) -> None:
        if not result.name:
            raise RuleError((f"{path}.function_response.name", "Name cannot be empty."))
        self.results.append(ToolResult(result.id or result.name, _encode(result.response).decode()))
        for index, part in enumerate(result.parts):
            if part.inline_data is not None:
                self._add_blob(part.inline_data, f"{path}.function_response.parts[{index}]", media)

    def _add_blob(self, blob: Blob, path: str, media: Media) -> None:
        kind = blob.mime_type.partition("/")[0].lower()
        if not kind:
            raise RuleError((f"{path}.inline_data.mime_type", "mime_type must be specified."))
        if kind == "image":
            url = f"data:{blob.mime_type[:100]};base64,{blob.data}"
            media.add_image((path,), url, None, texts=len(self.texts))
            return
        self.extra_tokens += _AUDIO_TOKENS if kind in ("audio", "video") else _DOCUMENT_TOKENS
        media.add_file(blob.mime_type, blob.data, texts=len(self.texts))


class _Turn(msgspec.Struct):
    """Consecutive contents of one side: clients that stream send each event back as a content.

    Attributes:
        is_model: Whether the model has written them.
        position: Number of the last of them, from 1.
        calls: The parts with calls.
        results: How many results they hold.
    """

    is_model: bool
    position: int = 0
    calls: list[Part] = []
    results: int = 0


def _turns(contents: Sequence[Content]) -> list[_Turn]:
    turns: list[_Turn] = []
    for position, content in enumerate(contents, 1):
        is_model = content.role == "model"
        if not turns or turns[-1].is_model != is_model:
            turns.append(_Turn(is_model))
        turn = turns[-1]
        turn.position = position
        for part in content.parts:
            if part.function_call is not None:
                turn.calls.append(part)
            elif part.function_response is not None:
                turn.results += 1
    return turns


def _check_order(turns: Sequence[_Turn]) -> None:
    """Check that each turn with calls follows one of the user, and is followed by as many results.

    Raises:
        ApiRuleError: One does not.
    """
    expected = 0
    for place, turn in enumerate(turns):
        if turn.results and not expected:
            raise ApiRuleError(
                "Please ensure that function response turn comes immediately after a function call turn."
            )
        if turn.results != expected:
            raise ApiRuleError(
                "Please ensure that the number of function response parts is equal to the number of function call parts of "
                "the function call turn."
            )
        if turn.calls and (place == 0 or not turn.is_model):
            raise ApiRuleError(
                "Please ensure that function call turn comes immediately after a user turn or after a function response turn."
            )
        expected = len(turn.calls)


def _check_signatures(turns: Sequence[_Turn]) -> None:
    """Check that the first call of each step since the last question has a signature.

    Raises:
        ApiRuleError: One has none.
    """
    asked = max((place for place, one in enumerate(turns) if not one.is_model and not one.results), default=0)
    for turn in turns[asked:]:
        first = turn.calls[0] if turn.calls else None
        if first is not None and first.function_call is not None and not first.thought_signature:
            raise ApiRuleError(
                "Function call is missing a thought_signature in functionCall parts. "
                + _SEE_SIGNATURES.format(first.function_call.name[:200], turn.position)
            )
