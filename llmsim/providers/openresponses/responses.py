"""The Responses API in the dialect of the OpenResponses specification.

Source: openresponses/openresponses, src/pages/specification.mdx ("The terminal event MUST be the literal string
`[DONE]`", "Required item fields", "Items are extensible", "Extending streaming events", "Semantic Search", "Offline Web
Search"), schema/items.tsp and schema/events.tsp.
"""

from llmsim.providers.openai_family.responses.dialect import Dialect, full_reasoning
from llmsim.providers.openai_family.responses.endpoint import endpoint
from llmsim.providers.openai_family.responses.input_items import PREFIX
from llmsim.providers.openresponses.errors import render_error, render_fault, render_refusal
from llmsim.wire.frames import SSE_DONE

DIALECT = Dialect(
    reasoning=full_reasoning(b"response.reasoning.delta", b"response.reasoning.done"),
    always_status=True,
    encrypts_reasoning=False,
    nested_errors=True,
    stream_end=SSE_DONE,
    extension_prefix=PREFIX.encode(),
    standard_calls=frozenset({b"function_call", b"web_search_call", b"file_search_call"}),
    names_functions=False,
)

RESPONSES = endpoint(
    DIALECT,
    "openresponses",
    render_error=render_error,
    render_refusal=render_refusal,
    render_fault=render_fault,
)
