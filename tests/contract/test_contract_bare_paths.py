"""Paths without a provider's prefix, for clients that are configured with host and port only."""

import json
import re

import pytest
from support.asgi import simulator
from support.endpoints import Endpoint, signed

from llmsim.errors import InvalidJsonError, MethodError, UnknownRouteError
from llmsim.providers.contract import Provider
from llmsim.providers.registry import PROVIDERS, find_endpoint

BARE = [provider for provider in PROVIDERS if provider.is_bare]
PATHS = [
    (provider, operation.method, operation.path)
    for provider in BARE
    for operation in provider.resource_endpoints
]


def headers_of(provider: Provider) -> dict[str, str]:
    """Return the headers that mark the API of a request."""
    key = {"x-goog-api-key": "k"} if provider.name == "gemini" else {}
    return key | {"anthropic-version": "2023-06-01" if provider.name == "anthropic" else ""}


async def test_every_endpoint_is_served_without_its_prefix(text_endpoint: Endpoint) -> None:
    """API-1.6: The same bytes but for ids, counted at the same text_endpoint."""
    if not text_endpoint.provider.is_bare:
        pytest.skip("has paths of another API")
    worker = simulator(seed=7)
    headers = headers_of(text_endpoint.provider)
    found = [
        await worker.ask("POST", path, text_endpoint.body(), headers=headers)
        for path in (text_endpoint.path, text_endpoint.generation.path)
    ]

    assert [exchange.status for exchange in found] == [200, 200]
    assert found[0].json.keys() == found[1].json.keys()
    assert found[0].headers.keys() == found[1].headers.keys()
    assert worker.stats().as_dict()[f"{text_endpoint.generation.label}_requests"] == 2
    assert find_endpoint(text_endpoint.path) == find_endpoint(text_endpoint.generation.path)


@pytest.mark.parametrize(
    ("provider", "method", "path"), PATHS, ids=[f"{one.name} {method} {path}" for one, method, path in PATHS]
)
async def test_every_other_path_is_served_without_its_prefix(
    provider: Provider, method: str, path: str
) -> None:
    """API-1.6: What is refused is refused in the API's own words, and what is answered is answered alike."""
    worker = simulator()
    filled = re.sub(r"\{\w+\}", "none", path)
    prefixed, bare = [
        await worker.ask(method, at, b"{" if method == "POST" else b"", headers=headers_of(provider))
        for at in (provider.prefix + filled, filled)
    ]
    own = {exchange: comparable(exchange.body) for exchange in (prefixed, bare)}

    assert prefixed.status == bare.status
    assert own[prefixed] == own[bare]
    assert prefixed.headers.keys() == bare.headers.keys()


def comparable(body: bytes) -> bytes:
    """Return a body without request ids and prefixes."""
    return re.sub(rb"req_\w+", b"req_", body).replace(b"/anthropic/v1/", b"/v1/")


@pytest.mark.parametrize("provider", BARE, ids=[provider.name for provider in BARE])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/none"])
async def test_a_header_says_whose_models_are_meant(provider: Provider, path: str) -> None:
    """API-1.6: Both have the path; `anthropic-version` means Anthropic's."""
    exchange = await simulator().ask("GET", path, headers=headers_of(provider))

    if path.endswith("none"):
        assert exchange.status == 404
        assert ("request_id" in exchange.json) == (provider.name == "anthropic")
    else:
        assert ("first_id" in exchange.json) == (provider.name == "anthropic")


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("POST", "/v1/nothing", UnknownRouteError("POST", "/v1/nothing")),
        ("GET", "/v1", UnknownRouteError("GET", "/v1")),
        ("GET", "/v1/", UnknownRouteError("GET", "/v1/")),
        ("PUT", "/v1/models", MethodError("PUT", "/v1/models", ("GET",))),
        ("PURGE", "/v1/models", MethodError("PURGE", "/v1/models", ("GET",))),
    ],
)
@pytest.mark.parametrize("provider", BARE, ids=[provider.name for provider in BARE])
async def test_unknown_paths_and_methods(
    provider: Provider, method: str, path: str, error: UnknownRouteError | MethodError
) -> None:
    """API-2.1: In the envelope of the API that the request means."""
    exchange = await simulator().ask(method, path, headers=headers_of(provider))
    reply = signed(provider, provider.render_refusal(error), exchange.headers)

    assert (exchange.status, exchange.body) == (reply.status, reply.body)


async def test_a_path_of_one_api_needs_no_header() -> None:
    """API-1.6, API-2.2: Errors at a path that one API has are that API's."""
    worker = simulator()
    anthropic = await worker.ask("GET", "/v1/messages", headers={"anthropic-version": ""})
    openai = await worker.ask("POST", "/v1/chat/completions", b"{")

    assert (anthropic.status, anthropic.json["type"]) == (405, "error")
    reply = BARE[0].render_refusal(InvalidJsonError(""))
    assert openai.json["error"].keys() == json.loads(reply.body)["error"].keys()


async def test_stored_responses_are_the_same() -> None:
    """API-1.6: What was stored at one path is found at the other."""
    worker = simulator()
    made = await worker.post("/v1/responses", {"model": "gpt-4o", "input": "Hello"})
    found = await worker.ask("GET", f"/openai/v1/responses/{made.json['id']}")
    again = await worker.ask("GET", f"/v1/responses/{made.json['id']}")

    assert made.json["output"] == found.json["output"] == again.json["output"]


async def test_batches_name_the_path_by_which_they_came() -> None:
    """API-1.6: The address of results has no prefix where the request had none."""
    batch = {
        "requests": [
            {
                "custom_id": "a",
                "params": {
                    "model": "claude-sonnet-4-5",
                    "max_tokens": 5,
                    "messages": [{"role": "user", "content": "Hi"}],
                },
            }
        ]
    }
    worker = simulator()
    made = await worker.post("/v1/messages/batches", batch)
    status = await worker.ask("GET", f"/v1/messages/batches/{made.json['id']}")
    while status.json["processing_status"] != "ended":
        status = await worker.ask("GET", f"/v1/messages/batches/{made.json['id']}")

    assert (
        status.json["results_url"] == f"http://127.0.0.1:8080/v1/messages/batches/{made.json['id']}/results"
    )


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
async def test_the_servers_own_paths_behind_each_prefix(provider: Provider, path: str) -> None:
    """API-1.7: Load tools ask the base URL that they were given; it has what the server has, and nothing else."""
    worker = simulator()
    own = await worker.ask("GET", path)
    exchange = await worker.ask("GET", provider.prefix + path)
    other = await worker.ask("PURGE", provider.prefix + path)

    assert exchange.status == own.status
    if own.status == 404:
        assert (
            exchange.body
            == signed(
                provider, provider.render_refusal(UnknownRouteError("GET", path)), exchange.headers
            ).body
        )
    else:
        assert exchange.headers["content-type"] == own.headers["content-type"]
        assert other.status == 405


async def test_health_behind_each_prefix(provider: Provider) -> None:
    """API-1.7: It is the server's own answer."""
    exchange = await simulator().ask("GET", f"{provider.prefix}/health")

    assert (exchange.status, exchange.json["status"]) == (200, "ok")
