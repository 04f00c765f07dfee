"""The OpenAI API behind `/openai`."""

from llmsim.providers.contract import Headers, Provider
from llmsim.providers.openai.chat_store import CHAT_COMPLETIONS, CHAT_OPERATIONS
from llmsim.providers.openai.embeddings import EMBEDDINGS
from llmsim.providers.openai.errors import render_crash, render_fault, render_refusal
from llmsim.providers.openai.models import LIST_MODELS, RETRIEVE_MODEL
from llmsim.providers.openai.responses import RESPONSES, RESPONSES_OPERATIONS

RESPONSE_HEADERS: Headers = (
    ("openai-organization", "llmsim"),
    ("openai-processing-ms", "{elapsed_ms}"),
    ("openai-version", "2020-10-01"),
    ("x-request-id", "req_{request_id}"),
)
"""Headers of every OpenAI response.

Source: platform.openai.com/docs/api-reference/debugging-requests; openai SDK `_exceptions.py` reads x-request-id.
"""


OPENAI = Provider(
    name="openai",
    prefix="/openai",
    base_path="/openai/v1",
    generation_endpoints=(CHAT_COMPLETIONS, RESPONSES, EMBEDDINGS),
    resource_endpoints=(LIST_MODELS, RETRIEVE_MODEL, *CHAT_OPERATIONS, *RESPONSES_OPERATIONS),
    render_refusal=render_refusal,
    render_fault=render_fault,
    render_crash=render_crash,
    response_headers=RESPONSE_HEADERS,
    is_bare=True,
)
