"""Fixtures that run a test over all endpoints or providers of the registry."""

import pytest
from support.endpoints import CONVERSING, ENDPOINTS, STREAMING, TEXTS, Endpoint

from llmsim.providers.contract import Provider
from llmsim.providers.registry import PROVIDERS


@pytest.fixture(params=ENDPOINTS, ids=[generation.label for _, generation in ENDPOINTS])
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    """Each generation endpoint in turn."""
    return Endpoint(*request.param)


@pytest.fixture(params=STREAMING, ids=[generation.label for _, generation in STREAMING])
def streamer(request: pytest.FixtureRequest) -> Endpoint:
    """Each generation endpoint that can stream in turn."""
    return Endpoint(*request.param)


@pytest.fixture(params=TEXTS, ids=[generation.label for _, generation in TEXTS])
def text_endpoint(request: pytest.FixtureRequest) -> Endpoint:
    """Each generation endpoint for texts and their vectors in turn."""
    return Endpoint(*request.param)


@pytest.fixture(params=CONVERSING, ids=[generation.label for _, generation in CONVERSING])
def converser(request: pytest.FixtureRequest) -> Endpoint:
    """Each generation endpoint that takes conversations with tools in turn."""
    return Endpoint(*request.param)


@pytest.fixture(params=PROVIDERS, ids=[provider.name for provider in PROVIDERS])
def provider(request: pytest.FixtureRequest) -> Provider:
    """Each provider in turn."""
    return request.param  # type: ignore[no-any-return]
