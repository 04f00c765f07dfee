"""The Responses API in OpenAI's dialect.

Source: openai SDK 3.54, types/responses/; recorded streams of the API: no `[DONE]`, encrypted reasoning unasked,
reasoning items without a status.
"""

from llmsim.providers.openai.errors import render_error, render_fault, render_refusal
from llmsim.providers.openai_family.responses.dialect import Dialect, full_reasoning
from llmsim.providers.openai_family.responses.endpoint import endpoint
from llmsim.providers.openai_family.responses.operations import operations

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

RESPONSES = endpoint(
    DIALECT,
    "responses",
    render_error=render_error,
    render_refusal=render_refusal,
    render_fault=render_fault,
)

assert RESPONSES.storage is not None
RESPONSES_OPERATIONS = operations(RESPONSES.storage, DIALECT)
