"""Azure OpenAI: addresses, content filters and errors."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.asgi import Exchange, Simulator, simulator
from support.endpoints import GOLDEN
from support.incoming import incoming

from llmsim.domain import Fault, FaultKind
from llmsim.providers.azure.content_filters import annotate_choices, annotate_response
from llmsim.providers.registry import PROVIDERS

AZURE = next(provider for provider in PROVIDERS if provider.name == "azure")
OPENAI = next(provider for provider in PROVIDERS if provider.name == "openai")
DEPLOYMENT = "/azure/openai/deployments"
VERSION = "api-version=2024-10-21"
CHAT = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3}
BODIES: dict[str, dict[str, Any]] = {
    "chat/completions": CHAT,
    "embeddings": {"input": "Hello"},
    "completions": {"prompt": "Hello", "max_tokens": 3},
    "images/generations": {"prompt": "a cat"},
    "audio/speech": {"input": "Hello", "voice": "alloy"},
}
MODELS = {
    "embeddings": "text-embedding-3-small",
    "completions": "gpt-3.5-turbo-instruct",
    "images/generations": "gpt-image-1",
    "audio/speech": "tts-1",
}


async def post(
    path: str, body: Any, query: str = VERSION, worker: Simulator | None = None, **headers: str
) -> Exchange:
    sent = json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await (worker or simulator()).ask("POST", path, sent, query=query, headers=named)


def parse(path: str, body: Any, query: str = VERSION, **params: str) -> Any:
    endpoint = next(one for one in AZURE.generation_endpoints if one.path == path)
    request = incoming(
        json.dumps(body).encode(), query=dict([query.split("=")]) if query else {}, path_params=params
    )
    return endpoint.http.parse(request)


class TestAddresses:
    """Deployments, versions and models."""

    @pytest.mark.parametrize("served", list(BODIES))
    async def test_what_a_deployment_serves(self, served: str) -> None:
        """AZR-1.1: A deployment serves what the OpenAI API serves of it; the model is the deployment."""
        if not any(one.path == f"/v1/{served}" for one in OPENAI.generation_endpoints):
            pytest.skip("not served")
        model = MODELS.get(served, "gpt-4o")
        exchange = await post(f"{DEPLOYMENT}/{model}/{served}", BODIES[served])

        assert exchange.status == 200, exchange.body

    @pytest.mark.parametrize(
        "body", [CHAT, CHAT | {"model": None}, CHAT | {"model": ""}, CHAT | {"model": "gpt-4.1"}]
    )
    def test_the_model_of_a_request(self, body: dict[str, Any]) -> None:
        """AZR-1.4: It is the deployment, unless the body names one."""
        path = "/openai/deployments/{deployment}/chat/completions"
        prompt = parse(path, body, deployment='my "own"').prompt

        assert prompt.model == (body.get("model") or 'my "own"')
        assert prompt.messages[0].texts == ("Hello",)

    async def test_dated_addresses_of_what_is_stored(self) -> None:
        """AZR-1.2: A response is created, found and deleted by addresses without a version in their path."""
        worker = simulator()
        created = (
            await post("/azure/openai/responses", {"model": "gpt-4o", "input": "Hi"}, worker=worker)
        ).json
        path = f"/azure/openai/responses/{created['id']}"
        found = await worker.ask("GET", path, query=VERSION)
        deleted = await worker.ask("DELETE", path, query=VERSION)

        assert found.json == created
        assert deleted.json == {"id": created["id"], "object": "response", "deleted": True}

    @pytest.mark.parametrize("query", ["", "api-version=", "api-version=2024", "api-version=2024-10-21-x"])
    @pytest.mark.parametrize("path", [f"{DEPLOYMENT}/gpt-4o/chat/completions", "/azure/openai/responses"])
    async def test_a_version_is_needed(self, path: str, query: str) -> None:
        """AZR-1.5: Without a version there is no such resource."""
        exchange = await post(path, CHAT, query)

        assert exchange.status == 404
        assert exchange.json["error"].keys() == {"code", "message"}
        assert exchange.json["error"]["code"] == "404"
        assert exchange.json["error"]["message"].startswith("Resource not found")

    @pytest.mark.parametrize("query", ["", "api-version=preview", "api-version=v1", VERSION])
    async def test_no_version_is_needed_under_v1(self, query: str) -> None:
        """AZR-1.3: The OpenAI API's own paths take a version, and none."""
        exchange = await post("/azure/openai/v1/chat/completions", CHAT | {"model": "gpt-4o"}, query)

        assert exchange.status == 200

    async def test_a_version_that_is_none(self) -> None:
        """AZR-1.5: Under /v1 it is refused by name."""
        exchange = await post("/azure/openai/v1/chat/completions", CHAT, "api-version=soon")

        assert (exchange.status, exchange.json["error"]) == (
            400,
            {"code": "BadRequest", "message": "API version not supported"},
        )

    async def test_unknown_deployments(self) -> None:
        """AZR-1.6: A deployment that is not served does not exist."""
        worker = simulator(available=("gpt-4o",))
        exchange = await post(f"{DEPLOYMENT}/gpt-4/chat/completions", CHAT, worker=worker)
        retrieved = await worker.ask("GET", "/azure/openai/models/gpt-9", query=VERSION)

        for one in (exchange, retrieved):
            assert one.status == 404
            assert one.json["error"]["code"] == "DeploymentNotFound"
            assert "The API deployment for this resource does not exist." in one.json["error"]["message"]

    async def test_models(self) -> None:
        """AZR-1.7: Models are listed with what they can do."""
        worker = simulator()
        listed = (await worker.ask("GET", "/azure/openai/models", query=VERSION)).json["data"]
        by_id = {model["id"]: model for model in listed}

        assert by_id["gpt-4o"]["capabilities"]["chat_completion"]
        assert by_id["text-embedding-3-small"]["capabilities"]["embeddings"]
        assert {model["status"] for model in listed} == {"succeeded"}
        one = await worker.ask("GET", "/azure/openai/v1/models/gpt-4o")
        assert one.json == by_id["gpt-4o"]

    async def test_what_azure_does_not_have(self) -> None:
        """AZR-1.3: Moderations are the OpenAI API's only."""
        exchange = await post("/azure/openai/v1/moderations", {"input": "x"})

        assert (exchange.status, exchange.json["error"]["code"]) == (404, "404")

    async def test_a_base_url_without_openai(self) -> None:
        """AZR-1.3: The 404 names the path that was meant."""
        exchange = await post("/azure/v1/chat/completions", CHAT)

        assert "Did you mean /azure/openai/v1/chat/completions?" in exchange.json["error"]["message"]


class TestContentFilters:
    """What the content filters have found."""

    @pytest.mark.parametrize(
        "case", sorted((GOLDEN / "openai" / "chat_completions").iterdir()), ids=lambda case: case.name
    )
    def test_completions_are_the_same_but_for_the_findings(self, case: Any) -> None:
        """AZR-2.1, AZR-2.5: Each choice has findings, the rest is as it was."""
        plain = (case / "response.json").read_bytes()
        annotated = json.loads(annotate_choices(plain.rstrip(b"\n")))
        results = annotated.pop("prompt_filter_results")
        found = [choice.pop("content_filter_results") for choice in annotated["choices"]]

        assert annotated == json.loads(plain)
        assert results[0]["content_filter_results"]["jailbreak"] == {"filtered": False, "detected": False}
        for choice, one in zip(annotated["choices"], found, strict=True):
            assert one["violence"]["filtered"] == (choice["finish_reason"] == "content_filter")

    @given(
        text=st.text()
        | st.sampled_from([',"finish_reason":"stop"', ',"finish_reason":null}]', '\\","finish_reason":'])
    )
    def test_texts_are_left_alone(self, text: str) -> None:
        """AZR-2.5: Whatever a text says."""
        plain = {
            "choices": [{"message": {"content": text}, "logprobs": None, "finish_reason": "stop"}],
            "usage": {},
        }
        annotated = json.loads(annotate_choices(json.dumps(plain, separators=(",", ":")).encode()))

        assert annotated["choices"][0].pop("content_filter_results")
        assert annotated.pop("prompt_filter_results")
        assert annotated == plain

    def test_responses_keep_what_was_sent(self) -> None:
        """AZR-2.3, AZR-2.5: Findings stand in the response object, not in what it repeats."""
        sent = {"object": "response", "created_at": 1}
        plain = {
            "id": "x",
            "object": "response",
            "created_at": 2,
            "tools": [{"parameters": {"a": 0, **sent}}],
        }
        annotated = json.loads(annotate_response(json.dumps(plain, separators=(",", ":")).encode()))

        assert [one["source_type"] for one in annotated.pop("content_filters")] == ["prompt", "completion"]
        assert annotated == plain

    async def test_streams(self) -> None:
        """AZR-2.2: The first chunk has the findings for the prompt, each text its own."""
        exchange = await post(f"{DEPLOYMENT}/gpt-4o/chat/completions", CHAT | {"stream": True})
        chunks = [json.loads(line[6:]) for line in exchange.body.decode().split("\n\n") if line[6:7] == "{"]

        assert chunks[0]["choices"] == []
        assert chunks[0]["prompt_filter_results"][0]["prompt_index"] == 0
        for chunk in chunks[1:]:
            (choice,) = chunk["choices"]
            assert bool(choice["content_filter_results"]) == bool(choice["delta"].get("content"))

    async def test_streamed_responses(self) -> None:
        """AZR-2.3: Each event with a response object has them."""
        exchange = await post("/azure/openai/responses", {"model": "gpt-4o", "input": "Hi", "stream": True})
        events = [
            json.loads(line[6:]) for line in exchange.body.decode().split("\n") if line.startswith("data: ")
        ]
        objects = [event["response"] for event in events if "response" in event]

        assert len(objects) == 3
        assert all(len(one["content_filters"]) == 2 for one in objects)

    async def test_a_blocked_prompt(self) -> None:
        """AZR-2.4: Its error says what was found; a script plays it."""
        worker = simulator()
        script = {"turns": [{"type": "error", "kind": "invalid_request", "code": "content_filter"}]}
        put = await worker.ask("PUT", "/llmsim/scripts/x", json.dumps(script).encode())
        assert put.status in (200, 201), put.body
        path = f"{DEPLOYMENT}/gpt-4o/chat/completions"
        exchange = await post(path, CHAT, worker=worker, x_llmsim_script="x")
        error = exchange.json["error"]

        assert (exchange.status, error["code"], error["status"]) == (400, "content_filter", 400)
        assert error["innererror"]["code"] == "ResponsibleAIPolicyViolation"
        assert error["innererror"]["content_filter_result"]["violence"] == {
            "filtered": True,
            "severity": "medium",
        }


class TestErrors:
    """What fails before the model, and at it."""

    async def test_keys(self) -> None:
        """AZR-3.2: A key comes in `api-key` or as a bearer token."""
        worker = simulator(auth={"keys": ("right",)})
        path = f"{DEPLOYMENT}/gpt-4o/chat/completions"
        statuses = [
            (await post(path, CHAT, worker=worker, **headers)).status
            for headers in (
                {"api_key": "right"},
                {"authorization": "Bearer right"},
                {"api_key": "wrong"},
                {"authorization": "Bearer wrong"},
                {},
            )
        ]
        refused = await post(path, CHAT, worker=worker, api_key="wrong")

        assert statuses == [200, 200, 401, 401, 401]
        assert refused.json["error"]["code"] == "401"
        assert refused.json["error"]["message"].startswith("Access denied due to invalid subscription key")

    async def test_what_the_model_refuses(self) -> None:
        """AZR-3.1: It has the body of the OpenAI API."""
        exchange = await post(f"{DEPLOYMENT}/gpt-4o/chat/completions", CHAT | {"n": 0})

        assert exchange.status == 400
        assert exchange.json["error"]["type"] == "invalid_request_error"
        assert exchange.json["error"]["param"] == "n"

    async def test_strict_mode(self) -> None:
        """AZR-3.1: Unknown fields are refused as by the OpenAI API, however the model is named."""
        worker = simulator(server={"strict": True})
        path = f"{DEPLOYMENT}/gpt-4o/chat/completions"
        taken, refused = [await post(path, CHAT | extra, worker=worker) for extra in ({}, {"nope": 1})]

        assert (taken.status, refused.status) == (200, 400)
        assert refused.json["error"]["code"] == "unknown_parameter"

    @pytest.mark.parametrize(
        ("kind", "status", "code"),
        [
            (FaultKind.RATE_LIMIT, 429, "RateLimitReached"),
            (FaultKind.TIMEOUT, 408, "Timeout"),
            (FaultKind.AUTHENTICATION, 401, "401"),
            (FaultKind.SERVER_ERROR, 500, None),
            (FaultKind.OVERLOADED, 503, None),
            (FaultKind.INVALID_REQUEST, 400, "invalid_request"),
        ],
    )
    def test_failures(self, kind: FaultKind, status: int, code: str | None) -> None:
        """AZR-3.3: Each has Azure's status and code, or those that a script gives."""
        reply = AZURE.render_fault(Fault(kind))
        given = AZURE.render_fault(Fault(kind, status=418, code="teapot", message="No."))

        assert (reply.status, json.loads(reply.body)["error"]["code"]) == (status, code)
        error = json.loads(given.body)["error"]
        assert (given.status, error["code"], error["message"]) == (418, "teapot", "No.")

    async def test_limits(self) -> None:
        """AZR-3.1, AZR-3.4: Over a limit the 429 names it, and headers say what is left."""
        worker = simulator(limits={"tiers": {"all": {"rpm": 1}}, "default": "all"})
        path = f"{DEPLOYMENT}/gpt-4o/chat/completions"
        first, second = [await post(path, CHAT, worker=worker, api_key="k") for _ in range(2)]

        assert (first.status, second.status) == (200, 429)
        assert first.headers["x-ratelimit-remaining-requests"] == "0"
        assert "x-ratelimit-reset-requests" not in first.headers
        assert second.json["error"]["code"] == "RateLimitReached"
        assert "exceeded the call rate limit" in second.json["error"]["message"]
        assert {"apim-request-id", "x-request-id", "x-ms-region", "azureml-model-session"} <= set(
            second.headers
        )


async def test_rows_of_the_stats() -> None:
    """AZR-4.1: Both addresses count in one row, which is not the OpenAI API's."""
    worker = simulator()
    await post(f"{DEPLOYMENT}/gpt-4o/chat/completions", CHAT, worker=worker)
    await post("/azure/openai/v1/chat/completions", CHAT | {"model": "gpt-4o"}, worker=worker)
    await post("/openai/v1/chat/completions", CHAT | {"model": "gpt-4o"}, worker=worker)
    counted = worker.stats().as_dict()

    assert (counted["azure_completions_requests"], counted["completions_requests"]) == (2, 1)
