"""The Responses API in the dialect of the OpenResponses specification.

Source: openresponses/openresponses, src/pages/specification.mdx ("The terminal event MUST be the literal string
`[DONE]`", "Required item fields", "Items are extensible", "Extending streaming events", "Semantic Search", "Offline Web
Search"), schema/items.tsp and schema/events.tsp.
"""

from msgspec.structs import replace

from llmsim.providers.contract import GenerationEndpoint, ResourceEndpoint
from llmsim.providers.openai_family.responses.dialect import Dialect, full_reasoning
from llmsim.providers.openai_family.responses.endpoint import endpoint
from llmsim.providers.openai_family.responses.input_items import PREFIX
from llmsim.providers.openai_family.responses.operations import compaction
from llmsim.providers.openai_family.responses.options import ResponseOptions
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
    has_phases=False,
    has_id_prefixes=False,
    cites_files=False,
    moderates=False,
    refuses_unknown_tools=False,
)


def responses(
    *, checks_models: bool
) -> tuple[GenerationEndpoint[ResponseOptions], tuple[ResourceEndpoint, ...]]:
    """Build the endpoint that creates responses, and the one that compacts conversations.

    Args:
        checks_models: Whether parameters that a model does not take are refused.
    """
    dialect = replace(DIALECT, checks_models=checks_models)
    creation = endpoint(
        dialect,
        "openresponses",
        render_error=render_error,
        render_refusal=render_refusal,
        render_fault=render_fault,
    )
    assert creation.storage is not None
    return creation, (compaction(creation.storage, dialect),)


RESPONSES = responses(checks_models=True)[0]
