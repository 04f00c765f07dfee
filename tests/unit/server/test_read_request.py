"""What a provider gets of a request over HTTP."""

from types import SimpleNamespace

import falcon.asgi
import pytest

from llmsim.providers.contract import Provider
from llmsim.providers.registry import PROVIDERS
from llmsim.server.http import CHANNEL, read_request


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
async def test_the_path_is_the_apis_own(provider: Provider) -> None:
    """ARCH-2.5: The path is that below the provider's prefix and comes with its variables: `parse` may read a model there."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": f"{provider.prefix}/v1beta/models/some:verb",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"anthropic-version", b"2023-06-01")],
        CHANNEL: SimpleNamespace(active=SimpleNamespace(arrival=1.0)),
    }

    request = await read_request(
        falcon.asgi.Request(scope, lambda: None), provider, 1000, {"model_and_verb": "some:verb"}
    )

    assert request.path == "/v1beta/models/some:verb"
    assert request.path_params == {"model_and_verb": "some:verb"}
    assert request.prefix == provider.prefix
