"""Azure OpenAI behind `/azure`: the OpenAI API by Azure's addresses.

Decisions:
* It is made from the OpenAI provider, as a value: the folder imports nothing of `openai`, and knows its endpoints by their paths.
  Strict mode and model rules are those of the endpoints that it is made from.
"""

import functools

from msgspec.structs import replace

from llmsim.domain.quota import Limits, QuotaStatus
from llmsim.providers.azure.errors import fault_renderer, refusal_renderer
from llmsim.providers.azure.models import list_models, retrieve_model
from llmsim.providers.azure.routes import generation_endpoints, resource_endpoints
from llmsim.providers.contract import Headers, LimitHeaders, Provider, RenderLimits, ResourceEndpoint
from llmsim.providers.openai_family.rate_limits import LIMIT_HEADERS, prepare_limits

RESPONSE_HEADERS: Headers = (
    ("apim-request-id", "{request_id}"),
    ("x-request-id", "{request_id}"),
    ("x-ms-region", "llmsim"),
    ("azureml-model-session", "llmsim"),
    ("x-ms-rai-invoked", "true"),
    ("x-content-type-options", "nosniff"),
    ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
)
"""Headers of every response. Source: recorded responses of the API."""

_MODELS = {"/v1/models": list_models, "/v1/models/{model}": retrieve_model}


def _prepare_limits(limits: Limits) -> RenderLimits:
    """Return what renders what is left of limits, but for the last lines, which say when they are reset: Azure has none."""
    render = prepare_limits(limits)

    def render_left(status: QuotaStatus) -> bytes:
        return render(status).partition(b"x-ratelimit-reset-")[0]

    return render_left


AZURE_LIMITS = LimitHeaders(
    nominal=tuple((name, value) for name, value in LIMIT_HEADERS.nominal if "-reset-" not in name),
    prepare=_prepare_limits,
)


def _with_own_models(endpoint: ResourceEndpoint) -> ResourceEndpoint:
    """Return an endpoint of the OpenAI API, but for models that which lists them as Azure does."""
    run = _MODELS.get(endpoint.path) if endpoint.method == "GET" else None
    return endpoint if run is None else replace(endpoint, run=run)


@functools.cache
def azure(openai: Provider, deployments: frozenset[str]) -> Provider:
    """Return the provider; the same OpenAI API gives the same one.

    Args:
        openai: The OpenAI API as configured.
        deployments: The names of the deployments; any name will do if there are none.
    """
    return Provider(
        name="azure",
        prefix="/azure",
        base_path="/azure/openai/v1",
        generation_endpoints=generation_endpoints(openai.generation_endpoints, deployments),
        resource_endpoints=resource_endpoints(
            tuple([_with_own_models(endpoint) for endpoint in openai.resource_endpoints])
        ),
        render_refusal=refusal_renderer(openai.render_refusal),
        render_fault=fault_renderer(openai.render_fault),
        render_crash=openai.render_crash,
        response_headers=RESPONSE_HEADERS,
        limit_headers=AZURE_LIMITS,
        key_headers=("api-key", "authorization"),
    )
