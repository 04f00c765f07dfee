"""What a provider gets of a request over HTTP."""

from types import SimpleNamespace

import falcon.asgi
import pytest

from llmsim.providers.contract import IncomingRequest, Provider
from llmsim.providers.registry import PROVIDERS
from llmsim.server.http import CHANNEL, read_request


async def read(provider: Provider, query: bytes = b"") -> IncomingRequest:
    scope = {
        "type": "http",
        "method": "GET",
        "path": f"{provider.prefix}/v1beta/models/some:verb",
        "query_string": query,
        "root_path": "",
        "headers": [(b"anthropic-version", b"2023-06-01")],
        CHANNEL: SimpleNamespace(active=SimpleNamespace(arrival=1.0)),
    }
    return await read_request(
        falcon.asgi.Request(scope, lambda: None), provider, 1000, {"model_and_verb": "some:verb"}
    )


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
async def test_the_path_is_the_apis_own(provider: Provider) -> None:
    """ARCH-2.5: The path is that below the provider's prefix and comes with its variables: `parse` may read a model there."""
    request = await read(provider)

    assert request.path == "/v1beta/models/some:verb"
    assert request.path_params == {"model_and_verb": "some:verb"}
    assert request.prefix == provider.prefix


async def test_variables_that_are_repeated() -> None:
    """ARCH-2.6: The last one counts, and of an array each."""
    request = await read(PROVIDERS[0], b"limit=1&limit=2&ids%5B%5D=a&ids[]=b&order=asc")

    assert request.query == {"limit": "2", "ids[]": "a,b", "order": "asc"}
