"""The endpoints and providers that contract tests run over."""

import pytest
from support.endpoints import ENDPOINTS, STREAMING, Endpoint

from llmsim.providers.contract import Provider
from llmsim.providers.registry import PROVIDERS


@pytest.fixture(params=ENDPOINTS, ids=[generation.label for _, generation in ENDPOINTS])
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    """Give each generating endpoint of the registry in turn."""
    return Endpoint(*request.param)


@pytest.fixture(params=STREAMING, ids=[generation.label for _, generation in STREAMING])
def streamer(request: pytest.FixtureRequest) -> Endpoint:
    """Give each generating endpoint that streams: those that say something, and not the same every time."""
    return Endpoint(*request.param)


@pytest.fixture(params=PROVIDERS, ids=[provider.name for provider in PROVIDERS])
def provider(request: pytest.FixtureRequest) -> Provider:
    """Give each provider of the registry in turn."""
    return request.param  # type: ignore[no-any-return]
