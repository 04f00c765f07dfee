"""What fields of a request ask of each other, as the API checks it.

Source: what the API answers; Anthropic docs, agents-and-tools/tool-use and build-with-claude/extended-thinking.
"""

from collections.abc import Sequence

from llmsim.errors import InvalidFieldError
from llmsim.providers.anthropic.kinds import KINDS, kind_of
from llmsim.providers.anthropic.messages_wire import (
    CountRequest,
    MessageParam,
    MessageRequest,
    Tool,
    ToolResultBlock,
    ToolUseBlock,
    sent,
)
from llmsim.providers.anthropic.schemas import format_problem, tool_problem
from llmsim.providers.anthropic.tools import wanted_format

_ROLES = ("user", "assistant", "system")

_SEE = (
    "Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
)


def check_conversation(request: CountRequest) -> None:
    """Check tools, the form of the answer, and messages.

    Raises:
        InvalidFieldError: They contradict each other, or a schema is none.
    """
    _check_tools(request)
    _check_format(request)
    _check_order(request.messages)


def check_generation(request: MessageRequest, *, thinks: bool) -> None:
    """Check what is asked of the answer.

    Raises:
        InvalidFieldError: It contradicts itself.
    """
    if thinks:
        _check_thinking(request)
    for index, stop in enumerate(request.stop_sequences or ()):
        if not stop.strip():
            raise _conflict(
                ("stop_sequences", index),
                f"stop_sequences.{index}: each stop sequence must contain non-whitespace",
            )


def _check_thinking(request: MessageRequest) -> None:
    thinking = request.thinking
    assert thinking is not None
    if thinking.type == "enabled":
        if thinking.budget_tokens is None:
            raise InvalidFieldError(("thinking", "enabled", "budget_tokens"), "missing", None)
        if thinking.budget_tokens >= request.max_tokens:
            raise _conflict(
                ("max_tokens",),
                f"`max_tokens` must be greater than `thinking.budget_tokens`. {_SEE}",
            )
    if request.temperature not in (None, 1):
        raise _conflict(
            ("temperature",),
            f"`temperature` may only be set to 1 when thinking is enabled or in adaptive mode. {_SEE}",
        )
    if request.top_k is not None:
        raise _conflict(
            ("top_k",),
            f"`top_k` must be unset when thinking is enabled or in adaptive mode. {_SEE}",
        )
    if request.tool_choice is not None and request.tool_choice.type in ("any", "tool"):
        raise _conflict(("tool_choice",), "Thinking may not be enabled when tool_choice forces tool use.")


def _check_tools(request: CountRequest) -> None:
    names: set[str] = set()
    for index, tool in enumerate(request.tools or ()):
        if tool.type in (None, "custom"):
            _check_custom(tool, index)
            own = {tool.name} if tool.name is not None else set()
        else:
            own = _check_own(tool, index)
        if own & names:
            raise _conflict(("tools",), "tools: Tool names must be unique.")
        names |= own
    choice = request.tool_choice
    if choice is None:
        return
    if choice.type != "none" and not request.tools:
        raise _conflict(("tool_choice",), "tool_choice may only be specified while providing tools.")
    if choice.type == "tool":
        if choice.name is None:
            raise InvalidFieldError(("tool_choice", "tool", "name"), "missing", None)
        if choice.name not in names:
            raise _conflict(("tool_choice",), f"Tool '{choice.name[:128]}' not found in provided tools")


def _check_custom(tool: Tool, index: int) -> None:
    """Check a tool of the client's own."""
    if tool.name is None:
        raise InvalidFieldError(("tools", index, "name"), "missing", None)
    schema = tool.schema()
    if not schema:
        raise InvalidFieldError(("tools", index, "input_schema"), "missing", None)
    problem = tool_problem(schema, f"tools.{index}.custom", strict=bool(tool.strict))
    if problem is not None:
        raise _conflict(("tools", index, "input_schema"), problem)


def _check_own(tool: Tool, index: int) -> set[str]:
    """Check a tool of the API's own; give the names by which it may be chosen."""
    type_ = tool.type or ""
    kind = KINDS.get(kind_of(type_))
    if kind is None:
        raise InvalidFieldError(("tools", index, "type"), "choice", ("custom", *KINDS), type_)
    if not kind.names:
        return {inner.name for inner in kind.tools}
    path = ("tools", index, type_, "name")
    if tool.name is None:
        raise InvalidFieldError(path, "missing", None)
    if tool.name not in kind.names:
        raise InvalidFieldError(path, "choice", kind.names, tool.name)
    return {tool.name}


def _check_format(request: CountRequest) -> None:
    if request.output_format is not None and request.output_config and request.output_config.format:
        raise _conflict(
            ("output_format",),
            "output_format: `output_format` and `output_config.format` cannot both be specified. `output_format` is "
            "deprecated; use `output_config.format`.",
        )
    wanted = wanted_format(request)
    if wanted is None:
        return
    output, path = wanted
    schema = sent(output.schema)
    if not schema:
        raise InvalidFieldError((*path, "schema"), "missing", None)
    problem = format_problem(schema, ".".join(path))
    if problem is not None:
        raise _conflict((*path, "schema"), problem)


def _check_order(messages: Sequence[MessageParam]) -> None:
    """See that every call has its result in the next message, and every result its call in the one before."""
    if not messages:
        raise _conflict(("messages",), "messages: at least one message is required")
    called: set[str] = set()
    for index, message in enumerate(messages):
        if message.role not in _ROLES:
            raise InvalidFieldError(("messages", index, "role"), "choice", _ROLES, message.role)
        last = index == len(messages) - 1
        if not message.content and not (last and message.role == "assistant"):
            raise _conflict(
                ("messages", index),
                f"messages.{index}: all messages must have non-empty content except for the optional final assistant "
                "message",
            )
        blocks = message.content if isinstance(message.content, list) else []
        results = [block.tool_use_id for block in blocks if isinstance(block, ToolResultBlock)]
        if results and message.role != "user":
            raise _conflict(
                ("messages", index),
                f"messages.{index}: `tool_result` blocks can only be in `user` messages",
            )
        if stray := next((result for result in results if result not in called), None):
            raise _conflict(
                ("messages", index),
                f"messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {stray[:100]}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message.",
            )
        if unanswered := sorted(called - set(results)):
            raise _conflict(
                ("messages", index),
                f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{unanswered[0][:100]}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                "next message.",
            )
        called = {block.id for block in blocks if isinstance(block, ToolUseBlock)}
        if called and message.role != "assistant":
            raise _conflict(
                ("messages", index),
                f"messages.{index}: `tool_use` blocks can only be in `assistant` messages",
            )
    final = messages[-1]
    if (
        final.role == "assistant"
        and isinstance(final.content, str)
        and final.content != final.content.rstrip()
    ):
        raise _conflict(
            ("messages",),
            "messages: final assistant content cannot end with trailing whitespace",
        )


def _conflict(path: tuple[str | int, ...], sentence: str) -> InvalidFieldError:
    return InvalidFieldError(path, "conflict", sentence)
