"""Every provider: what all other paths and methods answer, and what every response carries."""

import itertools
import logging
import re
from collections.abc import Iterator

import pytest
from support.asgi import Exchange, Simulator, broken, simulator
from support.endpoints import Endpoint, signed

from llmsim import __version__
from llmsim.catalogue import load_catalogue
from llmsim.errors import MethodError, UnknownModelError, UnknownRouteError
from llmsim.providers.contract import Provider
from llmsim.providers.registry import PROVIDERS
from llmsim.providers.route_suggestions import suggest_route

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "SEARCH", "PURGE", "LOCK"]
"""Methods that clients or proxies may send; uvicorn lets all of these through."""


def routes(provider: Provider) -> dict[str, set[str]]:
    """Return the methods of each of a provider's paths, with variables filled in."""
    methods: dict[str, set[str]] = {}
    for generation in provider.generation_endpoints:
        methods.setdefault(re.sub(r"\{\w+\}", "gpt-4o", generation.path), set()).add("POST")
    for operation in provider.resource_endpoints:
        path = re.sub(r"\{\w+\}", "gpt-4o", operation.path)
        methods.setdefault(path, set()).add(operation.method)
    return methods


def is_refused(exchange: Exchange, provider: Provider, error: Exception) -> bool:
    reply = signed(provider, provider.render_refusal(error), exchange.headers)  # type: ignore[arg-type]
    return (exchange.status, exchange.body) == (reply.status, reply.body)


UNKNOWN = [
    *("", "/", "/v1", "/v1/", "/v2/chat/completions", "/v1/nothing", "/v1//models"),
    *(
        "/v1/models/gpt-4o/x",
        "/V1/models",
        "/v1/models\x00",
        "/v1/日本",
        "/v1/%2e%2e/secret",
        "/v1/{model}",
    ),
    "/v1/" + "x" * 10_000,
]


@pytest.mark.parametrize("path", UNKNOWN, ids=lambda path: repr(path[:40]))
async def test_any_other_path_is_unknown_to_its_provider(provider: Provider, path: str) -> None:
    """API-2.1: 404 in the provider's envelope, naming method and path."""
    worker = simulator()
    for method in ("GET", "POST", "DELETE", "OPTIONS", "PURGE"):
        exchange = await worker.ask(method, provider.prefix + path)

        assert exchange.status == 404
        assert is_refused(
            exchange, provider, UnknownRouteError(method, path, suggest_route(provider.prefix + path))
        )


@pytest.mark.parametrize("method", METHODS)
async def test_a_known_path_with_another_method_is_refused(provider: Provider, method: str) -> None:
    """API-2.2: 405 in the provider's envelope, with `allow`, for every path and every method it does not have."""
    worker = simulator()
    for path, allowed in routes(provider).items():
        if method in allowed:
            continue
        exchange = await worker.ask(method, provider.prefix + path)
        assert exchange.status == 405
        assert set(exchange.headers["allow"].split(", ")) == allowed
        if method != "HEAD":  # it has no body
            assert is_refused(exchange, provider, MethodError(method, path, tuple(sorted(allowed))))


async def test_other_methods_are_no_requests(provider: Provider) -> None:
    """API-2.2: What is not generated is not counted."""
    worker = simulator()
    for method, path in itertools.product(("GET", "OPTIONS"), routes(provider)):
        await worker.ask(method, provider.prefix + path)
    for path in UNKNOWN:
        await worker.ask("POST", provider.prefix + path, b"{}")

    assert worker.stats().total_requests == 0


def named(provider: Provider) -> set[str]:
    """Return the names of the headers that every response of a provider has."""
    return {name for name, _ in provider.response_headers}


class TestHeaders:
    """What every response under a prefix carries."""

    async def responses(self, provider: Provider) -> Iterator[Exchange]:
        """Return a response of every kind."""
        worker, limited = simulator(), simulator(server={"max_body_bytes": 10})
        failing = simulator(errors={"rate_limit_rate": 1.0})
        exchanges = [await worker.ask("GET", provider.prefix + "/v1/nothing")]
        for path, allowed in routes(provider).items():
            exchanges += [await worker.ask(method, provider.prefix + path, b"{}") for method in allowed]
            exchanges.append(await worker.ask("DELETE", provider.prefix + path))
        for generation in [one for one in provider.generation_endpoints if not one.takes_forms]:
            endpoint = Endpoint(provider, generation)
            for one in (worker, limited, failing):
                for streamed in (True, False):
                    exchanges.append(await one.ask("POST", endpoint.path, endpoint.body(stream=streamed)))
            with broken(generation.http, "parse", RuntimeError("boom")):
                exchanges.append(await worker.ask("POST", endpoint.path, endpoint.body()))
        return iter(exchanges)

    async def test_every_response_has_the_providers_headers(self, provider: Provider) -> None:
        """API-2.3: Answers, streams, refusals, faults, 404s, 405s and bugs: all carry them."""
        kinds = set()
        for exchange in await self.responses(provider):
            kinds.add(exchange.status)
            assert named(provider) <= set(exchange.headers)
        assert {200, 400, 404, 405, 413, 429, 500} <= kinds

    async def test_every_request_id_is_its_own(self, provider: Provider) -> None:
        """API-2.3: No two responses share a request id, of one worker or of several."""
        names = {name for name, value in provider.response_headers if "{request_id}" in value}
        assert names
        exchanges = list(await self.responses(provider))
        for name in names:
            ids = [exchange.headers[name] for exchange in exchanges]
            assert len(set(ids)) == len(ids) > 5

    async def test_a_server_seed_does_not_make_request_ids_recur(self, provider: Provider) -> None:
        """API-2.3: Under a server seed, too, each response has an id of its own."""
        worker = simulator(seed=1)
        exchanges = [await worker.ask("GET", provider.prefix + "/v1/x") for _ in range(20)]

        name = next(name for name, value in provider.response_headers if "{request_id}" in value)
        assert len({exchange.headers[name] for exchange in exchanges}) == 20


class TestModels:
    """The models that OpenAI's endpoints list."""

    async def test_the_catalogue_is_listed(self) -> None:
        """API-1.2: Without a setting the whole catalogue is served."""
        exchange = await simulator().ask("GET", "/openai/v1/models")

        assert exchange.status == 200
        assert exchange.headers["content-type"] == "application/json"
        assert [entry["id"] for entry in exchange.json["data"]] == list(load_catalogue().models)

    async def test_the_available_models_are_listed_and_no_others(self) -> None:
        """API-3.7: `models.available` limits what is listed and retrieved; unknown names are served as named."""
        worker = simulator(available=("gpt-4o", "my-own-model"))
        listed = await worker.ask("GET", "/openai/v1/models")
        statuses = {
            model: (await worker.ask("GET", f"/openai/v1/models/{model}")).status
            for model in ("gpt-4o", "my-own-model", "gpt-5")
        }

        assert [entry["id"] for entry in listed.json["data"]] == ["gpt-4o", "my-own-model"]
        assert statuses == {"gpt-4o": 200, "my-own-model": 200, "gpt-5": 404}

    async def test_the_available_models_limit_nothing_else(self, endpoint: Endpoint) -> None:
        """API-3.7: Generation takes any model, listed or not; but for Azure, where the list is that of the deployments."""
        if endpoint.provider.name == "azure":
            pytest.skip("what is not listed is not deployed")
        worker = simulator(available=("gpt-4o",))

        exchange = await worker.ask("POST", endpoint.path, endpoint.body(model="somebody/elses:model"))
        assert exchange.status == 200

    @pytest.mark.parametrize("model", ["gpt-99", "", " ", "GPT-4O", "日本", "x" * 5000, "gpt-4o?"])
    async def test_a_model_that_is_not_served_is_not_found(self, model: str) -> None:
        """API-1.3: 404 with `model_not_found`."""
        exchange = await simulator().ask("GET", f"/openai/v1/models/{model}")

        assert exchange.status == 404
        assert is_refused(exchange, PROVIDERS[0], UnknownModelError(model))
        assert exchange.json["error"]["code"] == "model_not_found"

    @pytest.mark.parametrize("query", ["limit=5", "model=gpt-4o&model=o3", "&&=&%ff%00=%", "a" * 5000])
    async def test_queries_are_ignored(self, query: str) -> None:
        """API-1.2: Whatever stands behind the question mark changes neither list nor entry."""
        worker = simulator()
        for path in ("/openai/v1/models", "/openai/v1/models/o1"):
            plain, queried = await worker.ask("GET", path), await worker.ask("GET", path, query=query)
            assert (queried.status, queried.body) == (200, plain.body)


class TestOwn:
    """llmsim's own paths, and those of nobody."""

    async def test_health(self) -> None:
        """API-1.4: The worker answers, and says which version it is."""
        exchange = await simulator().ask("GET", "/health")

        assert (exchange.status, exchange.json) == (200, {"status": "ok", "version": __version__})
        assert exchange.headers["content-type"] == "application/json"

    async def test_stats(self, endpoint: Endpoint) -> None:
        """API-1.5: The counters of all workers, never from a cache; asking for them is no request."""
        worker = simulator()
        await worker.ask("POST", endpoint.path, endpoint.body())
        for _ in range(2):
            exchange = await worker.ask("GET", "/llmsim/stats")

        assert exchange.status == 200
        assert exchange.headers["cache-control"] == "no-store"
        assert exchange.json["total_requests"] == 1
        assert exchange.json[f"{endpoint.generation.label}_requests"] == 1

    @pytest.mark.parametrize(
        "path", ["/", "", "/nothing", "/openaix/v1/models", "/v2/chat/completions", "/v1x", "/日本"]
    )
    @pytest.mark.parametrize("method", ["GET", "POST", "PURGE"])
    async def test_a_path_of_nobody_names_what_is_served(self, path: str, method: str) -> None:
        """API-2.4: 404, with every prefix and llmsim's own paths."""
        exchange = await simulator().ask(method, path)

        assert exchange.status == 404
        for served in (*(provider.prefix for provider in PROVIDERS), "/health", "/llmsim/stats"):
            assert served in exchange.json["error"]["message"]

    @pytest.mark.parametrize("path", ["/health", "/llmsim/stats"])
    @pytest.mark.parametrize("method", ["POST", "DELETE"])
    async def test_own_paths_have_their_method(self, path: str, method: str) -> None:
        """API-2.4: Another method is refused with what would do."""
        exchange = await simulator().ask(method, path)

        assert exchange.status == 405
        assert "GET" in exchange.headers["allow"]

    async def test_a_bug_of_an_own_path_costs_nobody_else(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """ARCH-1.5: A bug outside every prefix is a 500, and logged."""
        worker: Simulator = simulator()
        monkeypatch.setattr("llmsim.server.operations.snapshot", lambda *_, **__: 1 / 0)
        with caplog.at_level(logging.ERROR):
            exchange = await worker.ask("GET", "/llmsim/stats")

        assert exchange.status == 500
        assert any("ZeroDivisionError" in str(record.exc_info) for record in caplog.records)
        assert (await worker.ask("GET", "/health")).status == 200
