"""What a query asks to be included in items that are stored already.

Decisions:
* What the request itself has included stays; log probabilities that were not asked for then do not exist.

Source: openai SDK 3.57, types/responses/response_retrieve_params.py; arrays of a query are `include[]=a&include[]=b`.
"""

from collections.abc import Mapping
from typing import get_args

from msgspec.structs import replace

from llmsim.errors import InvalidFieldError
from llmsim.providers.openai_family.responses.options import ResponseOptions
from llmsim.providers.openai_family.responses.request import Includable

_NAMES = get_args(Includable)


def parse_included(params: Mapping[str, str]) -> frozenset[str]:
    """Return what the query of a stored response, or of a list of items, includes.

    Raises:
        InvalidFieldError: It names something that the API does not have.
    """
    sent = params.get("include[]") or params.get("include")
    names = sent.split(",") if sent else []
    for index, name in enumerate(names):
        if name not in _NAMES:
            raise InvalidFieldError(("include", index), "choice", sorted(_NAMES), name)
    return frozenset(names)


def with_included(options: ResponseOptions, included: frozenset[str]) -> ResponseOptions:
    """Return options that show what is included besides what they show already."""
    if not included:
        return options
    tools = options.tools
    return replace(
        options,
        encrypts_reasoning=options.encrypts_reasoning or "reasoning.encrypted_content" in included,
        tools=replace(
            tools,
            results=tools.results or "file_search_call.results" in included,
            sources=tools.sources or "web_search_call.action.sources" in included,
            outputs=tools.outputs or "code_interpreter_call.outputs" in included,
        ),
    )
