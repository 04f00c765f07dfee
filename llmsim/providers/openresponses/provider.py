"""The OpenResponses API behind `/openresponses`."""

from llmsim.providers.contract import Headers, Provider
from llmsim.providers.openresponses.errors import render_crash, render_fault, render_refusal
from llmsim.providers.openresponses.responses import RESPONSES

RESPONSE_HEADERS: Headers = (("x-request-id", "req_{request_id}"),)
"""Headers of every response; the specification requires none but the content type."""


OPENRESPONSES = Provider(
    name="openresponses",
    prefix="/openresponses",
    base_path="/openresponses/v1",
    generation_endpoints=(RESPONSES,),
    resource_endpoints=(),
    render_refusal=render_refusal,
    render_fault=render_fault,
    render_crash=render_crash,
    response_headers=RESPONSE_HEADERS,
)
