"""The OpenAI API behind `/openai`."""

from llmsim.providers.contract import Provider
from llmsim.providers.openai.chat_store import CHAT_COMPLETIONS, CHAT_OPERATIONS
from llmsim.providers.openai.embeddings import EMBEDDINGS
from llmsim.providers.openai.errors import render_crash, render_fault, render_refusal
from llmsim.providers.openai.models import LIST_MODELS, RETRIEVE_MODEL
from llmsim.providers.openai.responses import RESPONSES, RESPONSES_OPERATIONS


def headers(request_id: str, seconds: float) -> tuple[tuple[str, str], ...]:
    """Return the headers of an OpenAI response.

    Source: platform.openai.com/docs/api-reference/debugging-requests; openai SDK `_exceptions.py` reads x-request-id.
    """
    return (
        ("openai-organization", "llmsim"),
        ("openai-processing-ms", str(int(seconds * 1000))),
        ("openai-version", "2020-10-01"),
        ("x-request-id", f"req_{request_id}"),
    )


OPENAI = Provider(
    name="openai",
    prefix="/openai",
    generations=(CHAT_COMPLETIONS, RESPONSES, EMBEDDINGS),
    operations=(LIST_MODELS, RETRIEVE_MODEL, *CHAT_OPERATIONS, *RESPONSES_OPERATIONS),
    render_refusal=render_refusal,
    render_fault=render_fault,
    render_crash=render_crash,
    headers=headers,
)
