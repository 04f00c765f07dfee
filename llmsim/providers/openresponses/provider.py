"""The OpenResponses API behind `/openresponses`."""

from llmsim.providers.contract import Provider
from llmsim.providers.openresponses.errors import render_crash, render_fault, render_refusal
from llmsim.providers.openresponses.responses import RESPONSES


def headers(request_id: str, seconds: float) -> tuple[tuple[str, str], ...]:  # noqa: ARG001 - the signature of all headers
    """Return the headers of a response; the specification requires only its content type."""
    return (("x-request-id", f"req_{request_id}"),)


OPENRESPONSES = Provider(
    name="openresponses",
    prefix="/openresponses",
    generations=(RESPONSES,),
    operations=(),
    render_refusal=render_refusal,
    render_fault=render_fault,
    render_crash=render_crash,
    headers=headers,
)
