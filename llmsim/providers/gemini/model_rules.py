"""What a model does not take, refused in the API's words.

Decisions:
* The facts are the catalogue's; this module knows the words only.

Source: vercel/ai#8027 and snailyp/gemini-balance#206 (budget 0), RooCodeInc/Roo-Code#10700 (levels);
ai.google.dev/gemini-api/docs/thinking.
"""

from llmsim.catalogue import shipped_catalogue
from llmsim.errors import ApiRuleError
from llmsim.providers.gemini.grounding import RUN_BY_API
from llmsim.providers.gemini.messages import GenerateContentRequest, ThinkingConfig

_DYNAMIC = -1
_BUDGETS = (0, 32_768)


def refused_by(model: str) -> tuple[str, ...]:
    """Return what a model never takes."""
    catalogue = shipped_catalogue()
    return catalogue.rules(catalogue.facts(model)).refused


def _budgets_of(model: str) -> tuple[int, ...]:
    catalogue = shipped_catalogue()
    return catalogue.rules(catalogue.facts(model)).thinking_budgets


def check_tools(request: GenerateContentRequest, model: str) -> None:
    """Check what a model does not take beside functions.

    Raises:
        ApiRuleError: It is asked for tools that the API runs, or for JSON.
    """
    if not any(tool.function_declarations for tool in request.tools):
        return
    refused = refused_by(model)
    if "functions_with_hosted_tools" in refused and any(
        getattr(tool, name) is not None for tool in request.tools for name in RUN_BY_API
    ):
        raise ApiRuleError("Tool use with function calling is unsupported")
    config = request.generation_config
    kind = config.response_mime_type if config is not None else ""
    if kind and kind != "text/plain" and "functions_with_json" in refused:
        raise ApiRuleError(f"Function calling with a response mime type: '{kind}' is unsupported")


def check_thinking(thinking: ThinkingConfig, model: str, *, checks_models: bool) -> None:
    """Check how much a model is to think.

    Raises:
        ApiRuleError: The fields contradict each other, or the model does not take one.
    """
    budget, level = thinking.thinking_budget, thinking.thinking_level
    if budget is not None and level is not None:
        raise ApiRuleError("You can only set only one of thinking budget and thinking level.")
    least, most = (_budgets_of(model) if checks_models else ()) or _BUDGETS
    if budget is not None and budget not in (0, _DYNAMIC) and not least <= budget <= most:
        raise ApiRuleError(
            f"The thinking budget {budget} is invalid. Please choose a value between {least} and {most}."
        )
    if not checks_models:
        return
    known = shipped_catalogue().find(model)
    wants = bool(budget) or level is not None or bool(thinking.include_thoughts)
    if known is not None and not known.reasoning and wants:
        raise ApiRuleError(f"Thinking is not enabled for models/{model}")
    refused = refused_by(model)
    if level is not None and "thinking_level" in refused:
        raise ApiRuleError("Thinking level is not supported for this model.")
    if budget == 0 and "no_thinking" in refused:
        raise ApiRuleError("Budget 0 is invalid. This model only works in thinking mode.")
