"""The OpenAI API behind `/openai`."""

import functools
from typing import Any

from llmsim.providers.contract import GenerationEndpoint, Headers, Provider
from llmsim.providers.openai.batches import BATCHED_PATHS, batch_endpoints
from llmsim.providers.openai.chat_store import CHAT_OPERATIONS, chat_completions
from llmsim.providers.openai.conversations import CONVERSATIONS
from llmsim.providers.openai.embeddings import EMBEDDINGS
from llmsim.providers.openai.errors import render_crash, render_fault, render_refusal
from llmsim.providers.openai.files import FILES
from llmsim.providers.openai.image_edits import IMAGE_EDITS, IMAGE_VARIATIONS
from llmsim.providers.openai.images import IMAGES, SHOW_PICTURE
from llmsim.providers.openai.models import LIST_MODELS, RETRIEVE_MODEL
from llmsim.providers.openai.moderations import MODERATIONS
from llmsim.providers.openai.responses import responses
from llmsim.providers.openai.speech import SPEECH
from llmsim.providers.openai.text_completion_rendering import TEXT_COMPLETIONS
from llmsim.providers.openai.transcript_rendering import TRANSCRIPTIONS, TRANSLATIONS
from llmsim.providers.openai.uploads import UPLOADS
from llmsim.providers.openai.vector_store_files import VECTOR_STORE_FILES
from llmsim.providers.openai.vector_stores import VECTOR_STORES
from llmsim.providers.openai_family.model_services import with_service
from llmsim.providers.openai_family.rate_limits import LIMIT_HEADERS
from llmsim.providers.strict_fields import strict_endpoint

RESPONSE_HEADERS: Headers = (
    ("openai-organization", "llmsim"),
    ("openai-processing-ms", "{elapsed_ms}"),
    ("openai-version", "2020-10-01"),
    ("x-request-id", "req_{request_id}"),
)
"""Headers of every OpenAI response.

Source: platform.openai.com/docs/api-reference/debugging-requests; openai SDK `_exceptions.py` reads x-request-id.
"""


_SERVICES: dict[str, GenerationEndpoint[Any]] = {
    "embeddings": EMBEDDINGS,
    "completions": TEXT_COMPLETIONS,
    "moderations": MODERATIONS,
    "speech": SPEECH,
    "images": IMAGES,
    "image_edits": IMAGE_EDITS,
    "image_variations": IMAGE_VARIATIONS,
    "transcriptions": TRANSCRIPTIONS,
    "translations": TRANSLATIONS,
}
"""The generating endpoints besides chat and Responses, by what models call them that only they serve."""


@functools.cache
def openai(*, checks_models: bool, is_strict: bool = False) -> Provider:
    """Return the provider as configured; the same settings give the same one.

    Args:
        checks_models: Whether parameters that a model does not take are refused.
        is_strict: Whether unknown fields are refused, in the requests of batches, too.
    """
    response_creation, response_operations = responses(checks_models=checks_models)
    chat = chat_completions(checks_models=checks_models)
    others = _SERVICES
    if checks_models:
        others = {service: with_service(endpoint, service) for service, endpoint in _SERVICES.items()}
    generation_endpoints: tuple[GenerationEndpoint[Any], ...] = (chat, response_creation, *others.values())
    asked_in_batches = {
        endpoint.path: strict_endpoint(endpoint) if is_strict else endpoint
        for endpoint in generation_endpoints
        if endpoint.path in BATCHED_PATHS
    }
    return Provider(
        name="openai",
        prefix="/openai",
        base_path="/openai/v1",
        generation_endpoints=generation_endpoints,
        resource_endpoints=(
            LIST_MODELS,
            RETRIEVE_MODEL,
            SHOW_PICTURE,
            *CHAT_OPERATIONS,
            *response_operations,
            *FILES,
            *UPLOADS,
            *CONVERSATIONS,
            *VECTOR_STORES,
            *VECTOR_STORE_FILES,
            *batch_endpoints(asked_in_batches, chat),
        ),
        render_refusal=render_refusal,
        render_fault=render_fault,
        render_crash=render_crash,
        response_headers=RESPONSE_HEADERS,
        limit_headers=LIMIT_HEADERS,
        is_bare=True,
    )
