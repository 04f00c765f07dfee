"""The OpenResponses API behind `/openresponses`."""

import functools

from llmsim.providers.contract import Headers, Provider
from llmsim.providers.openai_family.rate_limits import LIMIT_HEADERS
from llmsim.providers.openresponses.errors import render_crash, render_fault, render_refusal
from llmsim.providers.openresponses.responses import responses

RESPONSE_HEADERS: Headers = (("x-request-id", "req_{request_id}"),)
"""Headers of every response; the specification requires none but the content type."""


@functools.cache
def openresponses(*, checks_models: bool) -> Provider:
    """Return the provider as configured; the same settings give the same one.

    Args:
        checks_models: Whether parameters that a model does not take are refused.
    """
    creation, operations = responses(checks_models=checks_models)
    return Provider(
        name="openresponses",
        prefix="/openresponses",
        base_path="/openresponses/v1",
        generation_endpoints=(creation,),
        resource_endpoints=operations,
        render_refusal=render_refusal,
        render_fault=render_fault,
        render_crash=render_crash,
        response_headers=RESPONSE_HEADERS,
        limit_headers=LIMIT_HEADERS,
    )
