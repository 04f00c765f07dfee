"""The Responses API in OpenAI's dialect.

Source: openai SDK 3.54, types/responses/; recorded streams of the API: no `[DONE]`, encrypted reasoning unasked,
reasoning items without a status.
"""

from msgspec.structs import replace

from llmsim.providers.contract import GenerationEndpoint, ResourceEndpoint
from llmsim.providers.openai.errors import render_error, render_fault, render_refusal
from llmsim.providers.openai.used_files import load_files
from llmsim.providers.openai_family.responses.dialect import Dialect, full_reasoning
from llmsim.providers.openai_family.responses.endpoint import endpoint
from llmsim.providers.openai_family.responses.operations import operations
from llmsim.providers.openai_family.responses.options import ResponseOptions

DIALECT = Dialect(
    reasoning=full_reasoning(b"response.reasoning_text.delta", b"response.reasoning_text.done"),
    always_status=False,
    encrypts_reasoning=True,
    nested_errors=False,
    constants=(
        b'"moderation":null,"tool_usage":{"image_gen":{"input_tokens":0,"input_tokens_details":{"image_tokens":0,'
        b'"text_tokens":0},"output_tokens":0,"output_tokens_details":{"image_tokens":0,"text_tokens":0},'
        b'"total_tokens":0},"web_search":{"num_requests":0}},'
    ),
)


def responses(
    *, checks_models: bool
) -> tuple[GenerationEndpoint[ResponseOptions], tuple[ResourceEndpoint, ...]]:
    """Build the endpoint that creates responses, and those for stored ones.

    Args:
        checks_models: Whether parameters that a model does not take are refused.
    """
    dialect = replace(DIALECT, checks_models=checks_models)
    creation = endpoint(
        dialect,
        "responses",
        render_error=render_error,
        render_refusal=render_refusal,
        render_fault=render_fault,
    )
    assert creation.storage is not None
    return replace(creation, load_files=load_files), operations(creation.storage, dialect)


RESPONSES = responses(checks_models=True)[0]
