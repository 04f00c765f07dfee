"""What models do not take, and the words in which it is refused."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from llmsim.catalogue import shipped_catalogue
from llmsim.config import Settings
from llmsim.config.server_settings import ServerSettings
from llmsim.errors import RefusedError
from llmsim.providers.contract import GenerationEndpoint, IncomingRequest
from llmsim.providers.registry import providers

HELLO = [{"role": "user", "content": "Hello"}]
BODIES: dict[str, dict[str, Any]] = {
    "completions": {"messages": HELLO},
    "responses": {"input": "Hello"},
    "openresponses": {"input": "Hello"},
    "messages": {"messages": HELLO, "max_tokens": 5000},
}
WITHOUT_RULES = Settings(server=ServerSettings(model_rules=False))


def endpoint_of(label: str, settings: Settings) -> tuple[Any, GenerationEndpoint[Any]]:
    """Find an endpoint by its label, and its provider."""
    return next(
        (provider, endpoint)
        for provider in providers(settings)
        for endpoint in provider.generation_endpoints
        if endpoint.label == label
    )


def refusal(label: str, model: str, settings: Settings | None = None, **fields: Any) -> dict[str, Any] | None:
    """Return the error for a request; None if it is accepted."""
    provider, endpoint = endpoint_of(label, settings or Settings())
    body = json.dumps(BODIES[label] | {"model": model} | fields).encode()
    try:
        endpoint.http.parse(IncomingRequest(body=body))
    except RefusedError as error:
        reply = provider.render_refusal(error)
        assert reply.status == 400
        refused: dict[str, Any] = json.loads(reply.body)["error"]
        return refused
    return None


def assert_refused(
    error: dict[str, Any] | None, message: str, param: str | None = None, code: str | None = None
) -> None:
    """Check all members of OpenAI's error."""
    assert error == {"message": message, "type": "invalid_request_error", "param": param, "code": code}


def unsupported(name: str, hint: str = "") -> str:
    """Return the sentence for a parameter."""
    return f"Unsupported parameter: '{name}' is not supported with this model.{hint}"


class TestFacts:
    """The catalogue's rules."""

    @pytest.mark.parametrize(
        ("name", "prefix"),
        [
            ("gpt-5", "gpt-5"),
            ("openai/gpt-5-mini-2025-08-07", "gpt-5"),
            ("gpt-5.4-nano", "gpt-5.4"),
            ("gpt-9", "gpt-*"),
            ("gpt-oss-120b", ""),
            ("o4-mini", "o4"),
            ("gpt-4o-mini", "gpt-4o"),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
            ("claude-opus-4-0", "claude-opus-4"),
            ("claude-opus-9", "claude"),
            ("llama-3", ""),
        ],
    )
    def test_the_longest_prefix_applies(self, name: str, prefix: str) -> None:
        """RULE-1.1: Dates, vendors and unknown names of a family make no difference."""
        catalogue = shipped_catalogue()

        assert catalogue.rules(catalogue.facts(name)).prefix == prefix

    def test_every_rule_has_a_source(self) -> None:
        """RULE-1.2: In the overlay, from which the catalogue is made."""
        overlay = tomllib.loads(
            (Path(__file__).parents[3] / "scripts" / "catalogue-overlay.toml").read_text(encoding="utf-8")
        )

        assert overlay["rules"]
        assert all(rules["source"].strip() for rules in overlay["rules"])

    @pytest.mark.parametrize(
        ("label", "model", "fields"),
        [
            ("completions", "gpt-5", {"max_tokens": 5, "temperature": 0.5, "stop": ["x"]}),
            ("responses", "gpt-5", {"temperature": 0.5, "reasoning_effort": "low"}),
            ("openresponses", "gpt-5", {"temperature": 0.5}),
            ("messages", "claude-opus-4-7", {"temperature": 0.5, "max_tokens": 10**6}),
        ],
    )
    def test_the_rules_can_be_turned_off(self, label: str, model: str, fields: dict[str, Any]) -> None:
        """RULE-1.3: What is refused by default is taken then."""
        assert refusal(label, model, **fields)
        assert refusal(label, model, WITHOUT_RULES, **fields) is None

    def test_websocket_messages_are_checked(self) -> None:
        """RULE-1.4: A message over WebSocket is refused like a request."""
        for label in ("responses", "openresponses"):
            _, endpoint = endpoint_of(label, Settings())
            assert endpoint.websocket is not None
            message = {"type": "response.create", "model": "gpt-5", "input": "Hello", "temperature": 0}

            with pytest.raises(RefusedError, match="temperature"):
                endpoint.websocket.messages.parse(IncomingRequest(body=json.dumps(message).encode()))

    @pytest.mark.parametrize("model", ["claude-opus-4-7", "gemini-2.5-pro", "deepseek-chat", "acme"])
    def test_models_of_others_have_no_rules(self, model: str) -> None:
        """RULE-1.4: OpenAI's APIs refuse nothing for models that are not OpenAI's."""
        assert refusal("completions", model, temperature=0.5, max_tokens=10**6, stop="x") is None
        assert refusal("responses", model, temperature=0.5, max_output_tokens=10**6) is None


class TestChat:
    """Chat completions."""

    @pytest.mark.parametrize(
        "model", ["o1", "o3", "o4-mini", "gpt-5", "gpt-5-nano", "gpt-5.1", "gpt-5.4", "gpt-6"]
    )
    def test_max_tokens(self, model: str) -> None:
        """RULE-2.1: Models that reason take `max_completion_tokens` only."""
        message = unsupported("max_tokens", " Use 'max_completion_tokens' instead.")

        assert_refused(
            refusal("completions", model, max_tokens=50), message, "max_tokens", "unsupported_parameter"
        )
        assert refusal("completions", model, max_completion_tokens=50) is None
        assert refusal("completions", "gpt-4.1", max_tokens=50) is None

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("stop", ["x"]),
            ("stop", "x"),
            ("top_p", 0.5),
            ("presence_penalty", 1),
            ("frequency_penalty", -0.5),
            ("logprobs", True),
            ("logit_bias", {"1": 1}),
        ],
    )
    def test_parameters(self, name: str, value: Any) -> None:
        """RULE-2.1: Each is refused by name."""
        for model in ("gpt-5", "gpt-5-mini", "o3"):
            error = refusal("completions", model, **{name: value})
            assert_refused(error, unsupported(name), name, "unsupported_parameter")
        assert refusal("completions", "gpt-4o", **{name: value}) is None

    def test_parallel_calls(self) -> None:
        """RULE-2.1: The o series takes no value of `parallel_tool_calls`."""
        for value in (True, False):
            error = refusal("completions", "o4-mini", parallel_tool_calls=value)
            assert_refused(
                error, unsupported("parallel_tool_calls"), "parallel_tool_calls", "unsupported_parameter"
            )
        tool = {"type": "function", "function": {"name": "f"}}
        assert refusal("completions", "gpt-5", tools=[tool], parallel_tool_calls=False) is None

    def test_defaults_are_taken(self) -> None:
        """RULE-2.1: A parameter with its default is no other request."""
        defaults = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}

        assert refusal("completions", "gpt-5", **defaults, logprobs=False, stop=None) is None

    @pytest.mark.parametrize(
        ("value", "shown"), [(0.5, "0.5"), (0, "0"), (0.0, "0"), (1.25, "1.25"), (2, "2")]
    )
    def test_temperature(self, value: float, shown: str) -> None:
        """RULE-2.2: The value is shown as a client wrote it."""
        message = (
            f"Unsupported value: 'temperature' does not support {shown} with this model. Only the default (1) value is "
            "supported."
        )
        error = refusal("completions", "gpt-5-mini", temperature=value)

        assert_refused(error, message, "temperature", "unsupported_value")

    def test_models_that_search(self) -> None:
        """RULE-2.9: They take no sampling, not even the default, and name all of it."""
        lead = "Model incompatible request argument"
        for model in ("gpt-4o-search-preview", "gpt-4o-mini-search-preview-2025-03-11"):
            assert_refused(
                refusal("completions", model, temperature=1), f"{lead} supplied: temperature", None, None
            )
            error = refusal("completions", model, top_p=0.5, presence_penalty=0, temperature=0)
            assert_refused(error, f"{lead}s supplied: presence_penalty, temperature, top_p", None, None)
            assert refusal("completions", model, max_tokens=10) is None

    @pytest.mark.parametrize("model", ["gpt-5.1", "gpt-5.2", "gpt-5.4", "gpt-5.6"])
    def test_models_that_reason_on_request(self, model: str) -> None:
        """RULE-2.3: Sampling goes with effort none."""
        sampling = {"temperature": 0.5, "top_p": 0.5, "logprobs": True}

        assert refusal("completions", model, reasoning_effort="none", **sampling) is None
        assert refusal("completions", model, reasoning_effort="low", temperature=0.5)

    def test_effort_and_verbosity(self) -> None:
        """RULE-2.4: Models that do not reason know no effort; others have theirs."""
        assert_refused(
            refusal("completions", "gpt-4o", reasoning_effort="low"),
            "Unrecognized request argument supplied: reasoning_effort",
        )
        assert_refused(
            refusal("completions", "gpt-5.1", reasoning_effort="minimal"),
            "Unsupported value: 'reasoning_effort' does not support 'minimal' with this model. Supported values are: 'none', "
            "'low', 'medium', and 'high'.",
            "reasoning_effort",
            "unsupported_value",
        )
        assert_refused(
            refusal("completions", "gpt-4o", verbosity="low"),
            "Unsupported value: 'verbosity' does not support 'low' with this model. Supported values are: 'medium'.",
            "verbosity",
            "unsupported_value",
        )
        assert refusal("completions", "gpt-5", reasoning_effort="minimal", verbosity="low") is None

    def test_limits(self) -> None:
        """RULE-2.5: A model cannot write more than it can; of an unknown one that is not known."""
        assert_refused(
            refusal("completions", "gpt-4o", max_tokens=32_000),
            "max_tokens is too large: 32000. This model supports at most 16384 completion tokens, whereas you provided 32000.",
            "max_tokens",
        )
        assert refusal("completions", "gpt-4o", max_tokens=16_384) is None
        assert refusal("completions", "gpt-4o-acme", max_tokens=32_000) is None

    def test_formats_and_roles(self) -> None:
        """RULE-2.6: Old models have no schemas, the first of the o series no system messages."""
        schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
        old = refusal("completions", "gpt-4-turbo", response_format=schema)
        system = [{"role": "system", "content": "Hi"}, *HELLO]

        assert old is not None
        assert old["message"].startswith(
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
        )
        assert (old["param"], old["code"]) == ("response_format", None)
        assert_refused(
            refusal("completions", "o1-mini", messages=system),
            "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
            "messages[0].role",
            "unsupported_value",
        )
        assert refusal("completions", "o3-mini", messages=system, response_format=schema) is None


@pytest.mark.parametrize("label", ["responses", "openresponses"])
class TestResponses:
    """Both dialects of Responses; the types of the other one are its own."""

    def check(
        self,
        label: str,
        model: str,
        fields: dict[str, Any],
        message: str,
        param: str | None,
        code: str | None,
    ) -> None:
        """Check that a request is refused so."""
        error = refusal(label, model, **fields)
        assert error is not None
        assert (error["message"], error["param"], error["code"]) == (message, param, code)

    @pytest.mark.parametrize("name", ["temperature", "top_p", "presence_penalty", "frequency_penalty"])
    def test_sampling_of_responses(self, label: str, name: str) -> None:
        """RULE-3.1: `code` is null, unlike in chat completions."""
        for model in ("gpt-5", "o3", "gpt-5.6"):
            self.check(label, model, {name: 0.5}, unsupported(name), name, None)
        assert refusal(label, "gpt-4.1", **{name: 0.5}) is None
        assert refusal(label, "gpt-5.2", **{name: 0.5}) is None

    def test_effort_and_verbosity_of_responses(self, label: str) -> None:
        """RULE-3.2: A value that the model lacks is refused with the model's name."""
        code = "unsupported_parameter"
        low = {"reasoning": {"effort": "low"}}
        self.check(label, "gpt-4.1", low, unsupported("reasoning.effort"), "reasoning.effort", code)
        self.check(
            label,
            "gpt-5.1-codex",
            {"reasoning": {"effort": "none"}},
            "Unsupported value: 'none' is not supported with the 'gpt-5.1-codex' model. Supported values are: 'low', 'medium', "
            "and 'high'.",
            "reasoning.effort",
            "unsupported_value",
        )
        self.check(
            label,
            "gpt-4o",
            {"text": {"verbosity": "low"}},
            "Unsupported value: 'low' is not supported with the 'gpt-4o' model. Supported values are: 'medium'.",
            "text.verbosity",
            "unsupported_value",
        )
        assert refusal(label, "gpt-5", **low, text={"verbosity": "low"}) is None

    def test_logprobs_and_limits(self, label: str) -> None:
        """RULE-3.3: Both are bounded by the model."""
        logprobs = {"include": ["message.output_text.logprobs"]}
        message = "logprobs are not supported with reasoning models."
        self.check(label, "gpt-5", logprobs, message, "include", "unsupported_parameter")
        self.check(
            label,
            "gpt-4o",
            {"max_output_tokens": 20_000},
            "Invalid 'max_output_tokens': integer above maximum value. Expected a value <= 16384, but got 20000 instead.",
            "max_output_tokens",
            "integer_above_max_value",
        )
        assert refusal(label, "gpt-4o", **logprobs) is None

    @pytest.mark.parametrize(
        ("name", "value", "moved"),
        [
            ("messages", HELLO, "input"),
            ("max_tokens", 5, "max_output_tokens"),
            ("max_completion_tokens", 5, "max_output_tokens"),
            ("reasoning_effort", "low", "reasoning.effort"),
            ("response_format", {"type": "json_object"}, "text.format"),
            ("verbosity", "low", "text.verbosity"),
        ],
    )
    def test_names_of_chat(self, label: str, name: str, value: Any, moved: str) -> None:
        """RULE-3.4: They are refused for every model, with where they went."""
        message = (
            f"Unsupported parameter: '{name}'. In the Responses API, this parameter has moved to '{moved}'. Try again with the "
            "new parameter. See the API documentation for more information: "
            "https://platform.openai.com/docs/api-reference/responses/create."
        )
        for model in ("gpt-5", "acme"):
            self.check(label, model, {name: value}, message, None, "unsupported_parameter")
        assert refusal(label, "gpt-5", **{name: None}) is None


class TestMessages:
    """Anthropic's Messages."""

    def message(self, model: str, **fields: Any) -> str | None:
        """Return the message of the refusal; None if the request is accepted."""
        error = refusal("messages", model, **fields)
        assert error is None or error["type"] == "invalid_request_error"
        return None if error is None else error["message"]

    @pytest.mark.parametrize(
        "model", ["claude-opus-4-7", "claude-opus-4-8", "claude-sonnet-5", "claude-fable-5"]
    )
    def test_deprecated_samplers(self, model: str) -> None:
        """RULE-4.1: Only a temperature of 1 is taken; thinking has no budget."""
        assert self.message(model, temperature=0.7) == "`temperature` is deprecated for this model."
        assert self.message(model, top_p=1) == "`top_p` is deprecated for this model."
        assert self.message(model, top_k=5) == "`top_k` is deprecated for this model."
        assert self.message(model, temperature=1) is None
        assert self.message(model, thinking={"type": "enabled", "budget_tokens": 1024}) == (
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" '
            "to control thinking behavior."
        )
        assert self.message(model, thinking={"type": "adaptive"}, output_config={"effort": "low"}) is None

    def test_one_sampler(self) -> None:
        """RULE-4.2: Both samplers at once."""
        both = {"temperature": 0.5, "top_p": 0.5}
        message = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."

        for model in ("claude-opus-4-1", "claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-6"):
            assert self.message(model, **both) == message
            assert self.message(model, top_p=0.5) is None
        assert self.message("claude-3-5-haiku-20241022", **both) is None

    @pytest.mark.parametrize("model", ["claude-opus-4-6", "claude-sonnet-4-6", "claude-sonnet-5"])
    def test_prefill(self, model: str) -> None:
        """RULE-4.3: The last message is the user's, but after a pause."""
        message = "This model does not support assistant message prefill. The conversation must end with a user message."
        begun = [*HELLO, {"role": "assistant", "content": "He"}]
        call = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}

        assert self.message(model, messages=begun) == message
        assert self.message("claude-sonnet-4-5", messages=begun) is None
        assert self.message(model, messages=[*HELLO, {"role": "assistant", "content": [call]}]) is None

    def test_thinking_of_older_models(self) -> None:
        """RULE-4.4: Adaptive thinking and effort are newer."""
        adaptive = {"thinking": {"type": "adaptive"}}
        for model in ("claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5"):
            assert self.message(model, **adaptive) == "adaptive thinking is not supported on this model"
        assert self.message("claude-opus-4-6", **adaptive) is None
        effort = {"output_config": {"effort": "low"}}
        assert (
            self.message("claude-haiku-4-5", **effort) == "This model does not support the effort parameter."
        )
        assert self.message("claude-opus-4-5", **effort) is None

    def test_limits_of_messages(self) -> None:
        """RULE-4.5: The model is named as requested."""
        dated = "claude-sonnet-4-5-20250929"

        assert self.message(dated, max_tokens=65_536) == (
            f"max_tokens: 65536 > 64000, which is the maximum allowed number of output tokens for {dated}"
        )
        assert self.message(dated, max_tokens=64_000) is None
        assert self.message("claude-sonnet-acme", max_tokens=10**6) is None
