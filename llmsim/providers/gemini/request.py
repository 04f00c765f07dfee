"""Parsing of `generateContent`, `streamGenerateContent` and `countTokens`, and what they refer to.

Decisions:
* A request that names cached contents is parsed twice: alone, so that what is wrong with it is refused first, and with what is cached.

Source: google-genai SDK 3.6, types.GenerateContentConfig; ai.google.dev/api/generate-content.
"""

import functools
from typing import Any

import msgspec

from llmsim.domain import Prompt, ToolKind
from llmsim.errors import ApiRuleError
from llmsim.media.pictures import Picture
from llmsim.providers.contract import EndpointContext, IncomingRequest, ParsedRequest, Reply
from llmsim.providers.gemini.cached_contents import check_cached_use, with_cached
from llmsim.providers.gemini.files import find_file, used_files
from llmsim.providers.gemini.media_output import default_config, picture_of
from llmsim.providers.gemini.messages import CountTokensRequest, GenerateContentRequest
from llmsim.providers.gemini.prompts import parse_prompt
from llmsim.providers.gemini.proto_json import read_message
from llmsim.providers.gemini.schemas import RuleError
from llmsim.providers.storage import FileUse
from llmsim.wire.codec import encode

MAX_MODEL_CHARS = 256
"""A name is repeated in the response: a response must not be larger than its request."""


class GenerateOptions(msgspec.Struct, frozen=True, gc=False):
    """Options of a request that its renderers need besides the turn.

    Attributes:
        is_sse: Whether a stream has server-sent events; one JSON array otherwise.
        is_enum: Whether the text is a bare value of an enumeration, not JSON.
        has_tools: Whether functions are offered.
        service_tier: As requested; empty if it was not.
        is_grounded: Whether tools are offered that the API runs.
        unread: The request, if what it has cached is still to be read; None otherwise.
        cached_tokens: Tokens of what it has cached.
        picture: The picture that is to be made; None for none.
    """

    is_sse: bool = False
    is_enum: bool = False
    has_tools: bool = False
    service_tier: str = ""
    is_grounded: bool = False
    unread: GenerateContentRequest | None = None
    cached_tokens: int = 0
    picture: Picture | None = None


def model_of(request: IncomingRequest) -> str:
    """Return the model that the path names.

    Raises:
        ApiRuleError: It is no name of a model.
    """
    model = request.path_params.get("model", "")
    if not model or len(model) > MAX_MODEL_CHARS:
        raise RuleError(("model", "unexpected model name format"))
    return model


def parse(request: IncomingRequest, *, checks_models: bool = True) -> ParsedRequest[GenerateOptions]:
    """Parse a request; the verb in its path says whether the response is streamed.

    Args:
        request: The request.
        checks_models: Whether parameters that a model does not take are refused.

    Raises:
        InvalidJsonError: The body is not JSON.
        ApiRuleError: A field is unknown or wrong, or breaks a rule.
    """
    model = model_of(request)
    stream = request.path.endswith(":streamGenerateContent")
    body = read_message(request.body, GenerateContentRequest)
    prompt = parse_prompt(body, model, stream=stream, checks_models=checks_models)
    config = body.generation_config
    options = GenerateOptions(
        is_sse=stream and request.query.get("alt", "").lower() == "sse",
        is_enum=config is not None and config.response_mime_type == "text/x.enum",
        service_tier=(body.service_tier or "")[:64],
        unread=body if body.cached_content else None,
        **_prompt_options(prompt, body),
    )
    files: tuple[FileUse, ...] = ()
    if body.cached_content:
        check_cached_use(body)
        files = (FileUse(("cached_content",), body.cached_content),)
    if b"/files/" in request.body:
        files = (*files, *used_files(body.contents))
    return ParsedRequest(prompt, options, files=files)


async def load_files(
    context: EndpointContext, parsed: ParsedRequest[GenerateOptions], *, checks_models: bool
) -> ParsedRequest[GenerateOptions]:
    """Return a request with what it has cached, whose files exist.

    Raises:
        ApiRuleError: A file or a cache does not exist, or the contents do not follow each other.
    """
    for use in parsed.files:
        if use.path[0] == "contents":
            await find_file(context, use.id)
    options, prompt = parsed.options, parsed.prompt
    if options.unread is None:
        return parsed
    body, tokens = await with_cached(context, options.unread, prompt.model)
    prompt = parse_prompt(body, prompt.model, stream=prompt.stream, checks_models=checks_models)
    options = msgspec.structs.replace(
        options, unread=None, cached_tokens=tokens, **_prompt_options(prompt, body)
    )
    return msgspec.structs.replace(parsed, prompt=prompt, options=options)


def _prompt_options(prompt: Prompt, body: GenerateContentRequest) -> dict[str, Any]:
    kinds = {tool.kind for tool in prompt.tools}
    return {
        "has_tools": ToolKind.FUNCTION in kinds,
        "is_grounded": ToolKind.HOSTED in kinds,
        "picture": picture_of(prompt, body.generation_config),
    }


def _read_count(raw: bytes) -> GenerateContentRequest:
    """Read a request to count the tokens of a prompt.

    Raises:
        InvalidJsonError: The body is not JSON.
        ApiRuleError: A field is unknown or wrong, or breaks a rule.
    """
    body = read_message(raw, CountTokensRequest)
    counted = body.generate_content_request
    if counted is not None and body.contents:
        raise ApiRuleError("Only one of contents and generate_content_request may be set.")
    if counted is None:
        counted = GenerateContentRequest(contents=body.contents)
    return counted


async def count_tokens(context: EndpointContext, request: IncomingRequest, *, checks_models: bool) -> Reply:
    """Count the tokens of a prompt."""
    model = model_of(request)
    body, cached = await context.compute(request, _read_count, request.body), 0
    if body.cached_content:
        check_cached_use(body)
        body, cached = await with_cached(context, body, model)
    if body.generation_config is None:
        body = msgspec.structs.replace(body, generation_config=default_config(model))
    parse_one = functools.partial(parse_prompt, stream=False, checks_models=checks_models)
    tokens = await context.count(request, await context.compute(request, parse_one, body, model))
    details = [{"modality": "TEXT", "tokenCount": tokens}]
    counts: dict[str, object] = {"totalTokens": tokens}
    if cached:
        counts["cachedContentTokenCount"] = cached
    return Reply(200, encode(counts | {"promptTokensDetails": details}))
