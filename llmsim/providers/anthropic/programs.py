"""Tools that code calls: the code before their calls, and its output once the client has sent their results.

Decisions:
* A tool that only code may call is called by code: the calls of a turn follow one block of it, and name that block as their caller.
* The code makes these calls and prints what they return; it is never run. Its output is what the client has sent, and comes first in the
  turn that goes on with the results.
* Without a tool for code execution, such a tool is called like any other.

Source: anthropic SDK 2.14, types/tool_param.py (`allowed_callers`), server_tool_caller.py, server_tool_caller_20260120.py,
code_execution_tool_result_block.py; Anthropic docs, agents-and-tools/tool-use/programmatic-tool-calling.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from llmsim.domain import Segment, ToolCallSegment
from llmsim.providers.anthropic.messages_request import (
    CodeExecutionResultBlock,
    CountRequest,
    MessageParam,
    ServerToolUseBlock,
    TextBlock,
    ToolResultBlock,
)
from llmsim.wire.codec import encode

CODE = "code_execution"
_DIRECT = "direct"
_CALLERS = ("code_execution_20250825", "code_execution_20260120")
"""Types of callers in responses; later versions of code execution have the last one."""

_MOST_OUTPUT = 10_000
"""Characters of results that code prints."""


class Programs(msgspec.Struct, frozen=True):
    """What a request says of tools that code calls.

    Attributes:
        callers: For each tool that only code may call, the type of its caller.
        running: Id of the code whose calls have their results; empty if none runs.
        output: What it prints.
    """

    callers: dict[str, str] = {}
    running: str = ""
    output: str = ""


NO_PROGRAMS = Programs()


def parse_programs(request: CountRequest) -> Programs:
    """Return what a request says of tools that code calls."""
    tools = request.tools or ()
    callers = {
        tool.name: tool.allowed_callers[0]
        for tool in tools
        if tool.name is not None and tool.allowed_callers and _DIRECT not in tool.allowed_callers
    }
    if not callers or not any(tool.name == CODE for tool in tools):
        return NO_PROGRAMS
    running, output = _running(request.messages)
    return Programs(callers, running, output)


def _running(messages: Sequence[MessageParam]) -> tuple[str, str]:
    """Return the id of the code that waits for the results of the last message, and these results."""
    if len(messages) < 2 or not isinstance(results := messages[-1].content, list):
        return "", ""
    calls = messages[-2].content
    texts = [_text(block) for block in results if isinstance(block, ToolResultBlock)]
    if not texts or not isinstance(calls, list):
        return "", ""
    started = [block.id for block in calls if isinstance(block, ServerToolUseBlock) and block.name == CODE]
    ended = {block.tool_use_id for block in calls if isinstance(block, CodeExecutionResultBlock)}
    running = next((one for one in reversed(started) if one is not None and one not in ended), "")
    return running, "\n".join(texts)[:_MOST_OUTPUT]


def _text(block: ToolResultBlock) -> str:
    if isinstance(block.content, list):
        return "\n".join(part.text for part in block.content if isinstance(part, TextBlock))
    return block.content or ""


def called_by_code(segments: Sequence[Segment], programs: Programs) -> list[ToolCallSegment]:
    """Return the calls of a turn that code makes."""
    return [one for one in segments if isinstance(one, ToolCallSegment) and one.call.name in programs.callers]


def code_id(calls: Sequence[ToolCallSegment]) -> str:
    """Return the id of the code that makes calls."""
    return f"srvtoolu_{calls[0].call.id}"


def render_code(calls: Sequence[ToolCallSegment]) -> str:
    """Return the code that makes calls."""
    return "".join(f"print(await {one.call.name}({one.arguments.text}))\n" for one in calls)


def render_caller(name: str, programs: Programs, code: str) -> dict[str, Any]:
    """Render the caller of a tool."""
    kind = programs.callers[name]
    return {"type": kind if kind in _CALLERS else _CALLERS[-1], "tool_id": code}


def render_output(programs: Programs) -> dict[str, Any]:
    """Render the output of the code whose calls have their results."""
    content = {
        "type": "code_execution_result",
        "stdout": f"{programs.output}\n",
        "stderr": "",
        "return_code": 0,
        "content": [],
    }
    return {"type": "code_execution_tool_result", "tool_use_id": programs.running, "content": content}


def code_deltas(code: str) -> tuple[dict[str, Any], ...]:
    """Render the deltas of a block of code in a stream."""
    whole = encode({"code": code}).decode()
    return tuple({"type": "input_json_delta", "partial_json": part} for part in ("", whole))
