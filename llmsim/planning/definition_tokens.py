"""What the definitions in a prompt cost in tokens: its tools and the format of its text.

Decisions:
* Functions are counted by the formula that OpenAI's cookbook shows to be exact, which knows flat schemas only; what is nested is
  counted likewise. A reference costs nothing, what it refers to is counted once.
* Agents send the same tools with every request, so what a tool costs is cached. PERF: 1 us a tool against 40.

Source: OpenAI cookbook, "How to count tokens with tiktoken", num_tokens_for_tools.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from llmsim.budgets import remembered
from llmsim.catalogue import Model
from llmsim.domain import Prompt, ResponseFormat, Tool, ToolMode
from llmsim.planning.tokens import load_tokenizer

_MOST_CACHED = 16_384
"""Characters of a definition whose tokens are cached; 256 of them bound the memory."""

TOOLS_TOKENS = 12
"""What the tools of a prompt cost together, besides each."""

_PROPERTIES_TOKENS = 3
_PROPERTY_TOKENS = 3
_ENUM_TOKENS = -3
_VALUE_TOKENS = 3

_FORMAT_TOKENS = 10
"""The headings around a schema in the prompt. Estimated: no vendor publishes them."""

_NESTED = ("items", "additionalProperties", "not", "contains")
_NESTED_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_NESTED_MAPS = ("$defs", "definitions", "patternProperties")

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder().decode


def definition_tokens(prompt: Prompt, model: Model) -> int:
    """Count the definitions of a prompt."""
    tokens = 0
    if prompt.tools:
        is_forced = prompt.tool_choice.mode is ToolMode.REQUIRED
        tokens = model.forced_tool_prompt if is_forced else model.tool_prompt
        if not prompt.has_tool_message:
            tokens += TOOLS_TOKENS + sum([tool_tokens(tool, model) for tool in prompt.tools])
    return tokens + format_tokens(prompt.form, model)


def tool_tokens(tool: Tool, model: Model) -> int:
    """Count the definition of a tool."""
    return model.tool_tokens + _tool_tokens(
        model.tokenizer, tool.name, tool.description, tool.schema, tool.grammar
    )


def format_tokens(form: ResponseFormat | None, model: Model) -> int:
    """Count the format of the text; JSON without a schema, which the prompt itself asks for, costs nothing."""
    if form is None or not form.schema:
        return 0
    return _FORMAT_TOKENS + _format_tokens(model.tokenizer, form.name, form.description, form.schema)


@remembered(256, _MOST_CACHED)
def _tool_tokens(tokenizer: str, name: str, description: str, schema: bytes, grammar: str) -> int:
    count = load_tokenizer(tokenizer).count
    tokens = count(f"{name}:{description.removesuffix('.')}")
    if grammar:
        return tokens + count(grammar)
    return tokens + _schema_tokens(_decode(schema), count) if schema else tokens


@remembered(256, _MOST_CACHED)
def _format_tokens(tokenizer: str, name: str, description: str, schema: bytes) -> int:
    count = load_tokenizer(tokenizer).count
    return count(name) + count(description) + count(msgspec.json.format(schema, indent=-1).decode())


def _schema_tokens(schema: Any, count: Callable[[str], int]) -> int:
    tokens = 0
    waiting: list[tuple[str | None, Any]] = [(None, schema)]
    while waiting:
        name, node = waiting.pop()
        if not isinstance(node, dict):
            # A property that may be anything.
            tokens += count(f"{name}:") if name is not None else 0
            continue
        description = node.get("description")
        text = description.removesuffix(".") if isinstance(description, str) else ""
        if name is not None:
            tokens += count(f"{name}:{_type(node)}:{text}")
        elif text:
            tokens += count(text)
        values = node.get("enum")
        if isinstance(values, list):
            tokens += _ENUM_TOKENS + sum([_VALUE_TOKENS + count(_shown(value)) for value in values])
        elif "const" in node:
            tokens += count(_shown(node["const"]))
        properties = node.get("properties")
        if isinstance(properties, dict) and properties:
            tokens += _PROPERTIES_TOKENS + _PROPERTY_TOKENS * len(properties)
            waiting += properties.items()
        waiting += _nested(node)
    return tokens


def _nested(node: dict[str, Any]) -> list[tuple[None, Any]]:
    """Return the schemas inside a schema that are not properties."""
    found = [node[key] for key in _NESTED if key in node]
    for key in _NESTED_LISTS:
        if isinstance(nodes := node.get(key), list):
            found += nodes
    for key in _NESTED_MAPS:
        if isinstance(named := node.get(key), dict):
            found += named.values()
    return [(None, one) for one in found]


def _type(node: dict[str, Any]) -> str:
    kind = node.get("type")
    if isinstance(kind, list):
        return "|".join(map(_shown, kind))
    return kind if isinstance(kind, str) else ""


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else _encode(value).decode()
