"""The Responses API as the OpenResponses specification has it.

Source: openresponses/openresponses, src/pages/specification.mdx ("The terminal event MUST be the literal string
`[DONE]`", "Required item fields") and schema/events.tsp.
"""

from llmsim.providers.openresponses.errors import render_complaint, render_fault, render_refusal
from llmsim.providers.responses_grammar.dialect import Dialect, in_full
from llmsim.providers.responses_grammar.endpoint import endpoint
from llmsim.wire.frames import SSE_DONE

DIALECT = Dialect(
    reasoning=in_full(b"response.reasoning.delta", b"response.reasoning.done"),
    reasoning_status=True,
    seals_reasoning=False,
    nested_errors=True,
    done=SSE_DONE,
)

RESPONSES = endpoint(
    DIALECT,
    "openresponses",
    render_complaint=render_complaint,
    render_refusal=render_refusal,
    render_fault=render_fault,
)
