"""The OpenResponses API behind `/openresponses`."""

from llmsim.providers.contract import Headers, Provider, ResponseFacts
from llmsim.providers.openresponses.errors import render_crash, render_fault, render_refusal
from llmsim.providers.openresponses.responses import RESPONSES


def response_headers(facts: ResponseFacts) -> Headers:
    """Give the headers of every response; the specification asks for none but its content type."""
    return (("x-request-id", f"req_{facts.request_id}"),)


OPENRESPONSES = Provider(
    name="openresponses",
    prefix="/openresponses",
    base_path="/openresponses/v1",
    generation_endpoints=(RESPONSES,),
    resource_endpoints=(),
    render_refusal=render_refusal,
    render_fault=render_fault,
    render_crash=render_crash,
    response_headers=response_headers,
)
