"""What tools, formats and images cost in prompt tokens."""

import json
from typing import Any

import pytest
from support.planning import CATALOGUE, count_prompt

from llmsim.domain import (
    Image,
    Message,
    Prompt,
    ResponseFormat,
    Tool,
    ToolChoice,
    ToolKind,
    ToolMode,
)
from llmsim.planning.definition_tokens import tool_tokens
from llmsim.planning.image_tokens import image_tokens
from llmsim.planning.tokens import load_tokenizer

WORDS = load_tokenizer("o200k_base")


def function(properties: dict[str, Any], description: str = "", name: str = "f") -> Tool:
    schema = {"type": "object", "properties": properties} if properties else {}
    return Tool(name, ToolKind.FUNCTION, description, json.dumps(schema).encode())


WEATHER = function(
    {
        "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
        "unit": {
            "type": "string",
            "description": "The unit of temperature to return",
            "enum": ["celsius", "fahrenheit"],
        },
    },
    "Get the current weather in a given location",
    "get_current_weather",
)


def tokens_of(model: str, **fields: Any) -> int:
    """Count the definitions of a prompt."""
    messages = (Message("user", ("Hi",)),)
    words = load_tokenizer(CATALOGUE.facts(model).tokenizer)
    bare = count_prompt(Prompt(model=model, messages=messages), words)
    return count_prompt(Prompt(model=model, messages=messages, **fields), words) - bare


@pytest.mark.parametrize(("model", "tokens"), [("gpt-4o", 101), ("gpt-4", 105), ("gpt-3.5-turbo", 105)])
def test_functions_count_as_the_api_counts(model: str, tokens: int) -> None:
    """COST-1.1: The example of OpenAI's cookbook, whose count the API confirmed."""
    system = "You are a helpful assistant that can answer to questions about the weather."
    messages = (Message("system", (system,)), Message("user", ("What's the weather like in San Francisco?",)))
    prompt = Prompt(model=model, messages=messages, tools=(WEATHER,))

    assert count_prompt(prompt, load_tokenizer(CATALOGUE.facts(model).tokenizer)) == tokens


def test_nested_schemas_count() -> None:
    """COST-1.1: Descriptions cost their tokens wherever in a schema they are."""
    model = CATALOGUE.facts("gpt-4o")
    text = {"type": "string", "description": " word" * 50}
    shallow = tool_tokens(function({"a": {"type": "string"}}), model)
    for nested in (
        {"a": {"type": "object", "properties": {"b": text}}},
        {"a": {"type": "array", "items": text}},
        {"a": {"anyOf": [text, {"type": "null"}]}},
        {"a": {"type": ["string", "null"], "description": " word" * 50}},
        {"a": {"enum": [" word" * 50, 7, None]}},
        {"a": {"const": " word" * 50}},
        {"a": True, "b": text},
    ):
        assert 45 < tool_tokens(function(nested), model) - shallow < 75


def test_definitions_count_once_and_end() -> None:
    """COST-1.1: A schema that refers to itself counts what it defines, once."""
    schema = {"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"next": {"$ref": "#/$defs/n"}}}}}
    tool = Tool("f", schema=json.dumps(schema).encode())

    assert 10 < tool_tokens(tool, CATALOGUE.facts("gpt-4o")) < 30


def test_a_custom_tool_counts_its_grammar() -> None:
    """COST-1.1: So does one whose grammar became a schema."""
    bare = tokens_of("gpt-4o", tools=(Tool("f", ToolKind.CUSTOM),))
    pattern = b'{"type":"string","pattern":"(a)+"}'
    full = tokens_of("gpt-4o", tools=(Tool("f", ToolKind.CUSTOM, "", pattern, " word" * 50),))

    assert full == bare + 50


def test_a_format_counts_its_schema() -> None:
    """COST-1.2: Blanks in the schema do not count; JSON without a schema is free."""
    schema = {"type": "object", "properties": {"a": {"type": "string", "description": " word" * 50}}}
    dense = tokens_of("gpt-4o", form=ResponseFormat(json.dumps(schema, separators=(",", ":")).encode(), "n"))

    assert 60 < dense < 100
    assert tokens_of("gpt-4o", form=ResponseFormat(json.dumps(schema, indent=4).encode(), "n")) == dense
    assert tokens_of("gpt-4o", form=ResponseFormat()) == 0


@pytest.mark.parametrize(
    ("model", "mode", "tokens"),
    [
        ("claude-opus-5", ToolMode.AUTO, 286),
        ("claude-opus-5", ToolMode.NONE, 286),
        ("claude-opus-5", ToolMode.REQUIRED, 406),
        ("claude-sonnet-4-5", ToolMode.AUTO, 496),
        ("claude-3-5-haiku-20241022", ToolMode.REQUIRED, 355),
        ("claude-sonnet-9", ToolMode.AUTO, 354),
    ],
)
def test_the_system_prompt_for_tools_counts(model: str, mode: ToolMode, tokens: int) -> None:
    """COST-1.3: Its length is the model's, and differs where a call is forced; the tools are in a message."""
    choice = ToolChoice(mode)

    assert tokens_of(model, tools=(WEATHER,), has_tool_message=True, tool_choice=choice) == tokens
    assert tokens_of(model, has_tool_message=True) == 0


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        # OpenAI, guides/images-vision, "Calculating costs".
        ("gpt-4o", (1024, 1024), "high", 765),
        ("gpt-4o", (2048, 4096), "high", 1105),
        ("gpt-4o", (4096, 8192), "low", 85),
        ("gpt-4o", (500, 500), "auto", 255),
        ("gpt-4o", (0, 0), "auto", 765),
        ("gpt-4o-mini", (1024, 1024), "high", 2833 + 4 * 5667),
        ("gpt-5", (1024, 1024), "auto", 70 + 4 * 140),
        ("o1", (10, 10), "low", 75),
        ("gpt-5.4", (1024, 1024), "high", 1229),
        ("gpt-5.4", (2048, 2048), "high", 3000),
        ("gpt-5.4-mini", (2048, 2048), "low", 4916),
        ("gpt-5-mini", (1800, 2400), "auto", 1743),
        ("o4-mini", (1024, 1024), "auto", 1762),
        ("gpt-5.5", (2048, 2048), "auto", 4916),
        ("gpt-5.5", (2048, 2048), "low", 308),
        ("gpt-6-sol", (2048, 2048), "original", 4916),
        # Anthropic, build-with-claude/vision: patches of 28 pixels.
        ("claude-sonnet-4-5", (1000, 1000), "auto", 36 * 36),
        ("claude-sonnet-4-5", (200, 200), "auto", 64),
        ("claude-opus-4-8", (1920, 1080), "auto", 69 * 39),
    ],
)
def test_images_count_by_model_size_and_detail(
    model: str, size: tuple[int, int], detail: str, tokens: int
) -> None:
    """COST-1.4: The vendors' own examples, and sizes that follow from their rules."""
    rule = CATALOGUE.image_rules[CATALOGUE.facts(model).image_rule]

    assert image_tokens(Image((), detail, *size), rule) == tokens


@pytest.mark.parametrize("rule", CATALOGUE.image_rules.values(), ids=lambda rule: rule.name)
@pytest.mark.parametrize("size", [(1, 1), (1, 65_535), (65_535, 1), (2**31, 2**31), (9000, 7000)])
@pytest.mark.parametrize("detail", ["low", "high", "auto", "original", "other"])
def test_images_of_any_size_count_within_the_limits(rule: Any, size: tuple[int, int], detail: str) -> None:
    """COST-1.4: An image of any shape counts something, and no more than its limit allows."""
    tokens = image_tokens(Image((), detail, *size), rule)

    assert tokens >= 1
    limit = rule.limits.get(detail) or rule.limits.get("auto")
    if limit is not None and limit.patches:
        assert tokens <= limit.patches * rule.multiplier + 1
