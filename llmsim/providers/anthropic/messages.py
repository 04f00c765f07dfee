"""`POST /v1/messages`: a request becomes a prompt.

Source: anthropic SDK 2.12, types/message_create_params.py, thinking_config_*_param.py, output_config_param.py.
"""

import msgspec

from llmsim.domain import Prompt
from llmsim.errors import UnsupportedError
from llmsim.providers.anthropic.conversation import read
from llmsim.providers.anthropic.kinds import PYTHON
from llmsim.providers.anthropic.messages_wire import CountRequest, MessageRequest
from llmsim.providers.anthropic.rules import check_conversation, check_generation
from llmsim.providers.anthropic.tools import chosen, offered, toolsets, wanted_form
from llmsim.providers.contract import EndpointContext, IncomingRequest, ParsedRequest, Reply, ResourceEndpoint
from llmsim.wire.codec import decoder, encode

_decode = decoder(MessageRequest)
_decode_count = decoder(CountRequest)


class MessageOptions(msgspec.Struct, frozen=True):
    """What only the renderers of this endpoint understand.

    Attributes:
        thinks: Whether thinking was asked for.
        manages_context: Whether the answer tells what was done to the context.
        geo: The region reported.
        speed: The speed reported.
        tier: The service tier reported.
        python: Whether code is run in Python; in a shell otherwise.
        toolsets: The toolset of each tool that is of one, by the tool's name.
    """

    thinks: bool = False
    manages_context: bool = False
    geo: str = "global"
    speed: str = "standard"
    tier: str = "standard"
    python: bool = False
    toolsets: dict[str, str] = {}


def parse(incoming: IncomingRequest) -> ParsedRequest[MessageOptions]:
    """Parse a request.

    Raises:
        InvalidJsonError: It is not JSON.
        InvalidFieldError: A field is missing, wrong, out of range or contradicts another.
        UnsupportedError: The conversation is to be kept as a thread.
    """
    request = _decode(incoming.body)
    if request.thread is not None:
        raise UnsupportedError(("thread",), "thread_unsupported_request")
    thinks = _thinks(request)
    check_conversation(request)
    check_generation(request, thinks=thinks)
    said = read(request, incoming.body)
    tools = offered(request)
    thinking = request.thinking
    prompt = Prompt(
        model=request.model,
        messages=said.messages,
        images=said.images,
        limit=request.max_tokens,
        stop=tuple(request.stop_sequences or ()),
        effort=_effort(request),
        reasoning_limit=thinking.budget_tokens if thinks and thinking is not None else None,
        summary="full" if thinks and thinking is not None and thinking.display != "omitted" else None,
        cache_marks=said.marks,
        stream=bool(request.stream),
        tools=tools,
        tool_choice=chosen(request, tools),
        form=wanted_form(request),
    )
    options = MessageOptions(
        thinks=thinks,
        manages_context=request.context_management is not None,
        geo=request.inference_geo or "global",
        speed=request.speed or "standard",
        python=any(tool.type == PYTHON for tool in request.tools or ()),
        toolsets=toolsets(request),
    )
    return ParsedRequest(prompt, options)


def _thinks(request: CountRequest) -> bool:
    return request.thinking is not None and request.thinking.type in ("enabled", "adaptive")


def _effort(request: CountRequest) -> str:
    """Tell how much a model thinks: as the effort says that was asked for, `medium` within a budget."""
    if request.thinking is None or not _thinks(request):
        return "none"
    default = "medium" if request.thinking.type == "enabled" else "high"
    return (request.output_config and request.output_config.effort) or default


async def count_tokens(desk: EndpointContext, call: IncomingRequest) -> Reply:
    """Return how many tokens a prompt has."""
    prompt, manages_context = await desk.compute(call, _parse_count, call.body)
    answer: dict[str, object] = {"input_tokens": await desk.count(call, prompt)}
    if manages_context:
        answer["context_management"] = {"original_input_tokens": answer["input_tokens"]}
    return Reply(200, encode(answer))


def _parse_count(body: bytes) -> tuple[Prompt, bool]:
    request = _decode_count(body)
    check_conversation(request)
    said = read(request, body)
    prompt = Prompt(model=request.model, messages=said.messages, images=said.images)
    return prompt, request.context_management is not None


COUNT_TOKENS = ResourceEndpoint(method="POST", path="/v1/messages/count_tokens", run=count_tokens)
