"""Configuration of a conversation: the settings that items of the input change for all responses after them.

Decisions:
* An update counts from its place on, with `previous_response_id`, in a conversation, and where the whole input is sent again. It wins over the
  request's own parameters: clients leave these as they were, so that the prompt stays cached. The response echoes the request's.
* Each setting holds until the next update of it; an effort of null changes nothing.

Source: openai SDK 3.57, types/responses/response_configuration_update_item_param.py and helpers.md, "parse_as"; reports of its users:
router-for-me/CLIProxyAPI#5714, langchain-ai/langchain#40201.
"""

from collections.abc import Sequence

from msgspec import Struct, structs

from llmsim.domain import Message, ResponseFormat
from llmsim.errors import ApiRuleError, InvalidFieldError
from llmsim.providers.contract import ParsedRequest
from llmsim.providers.openai_family.request_fields import Effort, JsonFormat, TextFormat
from llmsim.providers.openai_family.responses.conversation import Head
from llmsim.providers.openai_family.responses.input_items import Path, raise_below
from llmsim.providers.openai_family.responses.model_rules import check_effort
from llmsim.providers.openai_family.responses.options import ResponseOptions
from llmsim.providers.openai_family.responses.request import JsonSchema
from llmsim.providers.openai_family.strict_schemas import parse_schema
from llmsim.wire.codec import decoder

KIND = "configuration_update"


class ReasoningUpdate(Struct):
    """How to reason from now on."""

    effort: Effort | None = None


class TextUpdate(Struct):
    """The format of texts from now on."""

    format: TextFormat | JsonSchema


class ConfigurationUpdate(Struct):
    """A change of the configuration."""

    reasoning: ReasoningUpdate | None = None
    text: TextUpdate | None = None


_decode = decoder(ConfigurationUpdate)


def check_json_word(
    text_format: TextFormat | JsonFormat | JsonSchema | None, messages: Sequence[Message]
) -> None:
    """Check that the input asks for JSON if its format is any JSON; instructions do not count.

    Raises:
        ApiRuleError: No message has the word.
    """
    if not isinstance(text_format, JsonFormat):
        return
    if not any("json" in text.lower() for message in messages for text in message.texts):
        raise ApiRuleError(
            "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'.",
            "input",
        )


def parse_format(
    text_format: TextFormat | JsonFormat | JsonSchema | None, path: Path
) -> ResponseFormat | None:
    """Parse the format of texts; None for prose.

    Args:
        text_format: The format.
        path: Its place in the request.

    Raises:
        InvalidFieldError: It has no schema.
        InvalidSchemaError: Its schema is not valid.
    """
    match text_format:
        case JsonFormat():
            return ResponseFormat()
        case JsonSchema(name=name, schema=schema, strict=strict, description=description):
            if bytes(schema) == b"null":
                raise InvalidFieldError((*path, "schema"), "type", "object", None)
            return ResponseFormat(
                parse_schema(schema, (*path, "schema"), "response_format", name, strict=strict is True),
                name,
                description or "",
            )
        case _:
            return None


def check_updates(items: Sequence[bytes], heads: Sequence[Head], model: str, *, checks_models: bool) -> None:
    """Check the updates among the items that a request sends.

    Args:
        items: The items.
        heads: Their heads.
        model: The model that is asked for.
        checks_models: Whether an effort that the model does not have is refused.

    Raises:
        InvalidFieldError: An update is invalid, or changes nothing.
        InvalidSchemaError: Its schema is not valid.
        ApiRuleError: The model does not take the effort.
    """
    for index, (item, head) in enumerate(zip(items, heads, strict=True)):
        if head.kind != KIND:
            continue
        try:
            update = _decode(item)
        except InvalidFieldError as error:
            raise_below(error, ("input", index))
        if update.reasoning is None and update.text is None:
            raise InvalidFieldError(("input", index, "reasoning"), "missing", None)
        if update.text is not None:
            parse_format(update.text.format, ("input", index, "text", "format"))
        if checks_models and update.reasoning is not None:
            check_effort(model, update.reasoning.effort, f"input[{index}].reasoning.effort")


def with_configuration(
    request: ParsedRequest[ResponseOptions], items: Sequence[bytes], heads: Sequence[Head]
) -> ParsedRequest[ResponseOptions]:
    """Return a request with the configuration of its conversation.

    Args:
        request: The request.
        items: All items of its conversation, the oldest first.
        heads: Their heads.
    """
    prompt = request.prompt
    for item, head in zip(items, heads, strict=True):
        if head.kind != KIND:
            continue
        update = _decode(item)
        if update.reasoning is not None and update.reasoning.effort is not None:
            prompt = structs.replace(prompt, effort=update.reasoning.effort)
        if update.text is not None:
            prompt = structs.replace(prompt, form=parse_format(update.text.format, ("text", "format")))
    return request if prompt is request.prompt else structs.replace(request, prompt=prompt)
