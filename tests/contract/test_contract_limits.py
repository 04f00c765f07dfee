"""Every endpoint that generates: limits of keys and models, and the headers that say what is left."""

import asyncio
import itertools
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from support.asgi import Exchange, Simulator, simulator
from support.endpoints import Endpoint

from llmsim.config import Tier, TierLimits
from llmsim.domain.quota import limits_of
from llmsim.server.access.api_keys import decode_key, find_header_key
from llmsim.server.quota_gate import tier_limits

DURATION = r"(\d+h)?(\d+m)?(\d+(\.\d+)?s)?(\d+ms)?"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"

_numbers = itertools.count()


class Account:
    """A client with a key of its own.

    Attributes:
        key: Its key.
    """

    def __init__(self, worker: Simulator, endpoint: Endpoint, key: str | None = None) -> None:
        self.worker = worker
        self.endpoint = endpoint
        self.key = f"sk-{next(_numbers)}" if key is None else key

    @property
    def headers(self) -> dict[str, str]:
        """The header with the key."""
        header, *_ = self.endpoint.provider.key_headers
        return {header: f"Bearer {self.key}" if header == "authorization" else self.key}

    async def ask(self, body: bytes | None = None, **fields: Any) -> Exchange:
        """Send the endpoint's request, with `fields` added, or a body."""
        sent = self.endpoint.body(**fields) if body is None else body
        return await self.worker.ask("POST", self.endpoint.path, sent, headers=self.headers)


def left(exchange: Exchange) -> dict[str, int]:
    """Return what is left, by `requests`, `tokens` and, of Anthropic, `input-tokens` and `output-tokens`."""
    found = {}
    for name, value in exchange.headers.items():
        if match := re.fullmatch(r"x-ratelimit-remaining-(.+)|anthropic-ratelimit-(.+)-remaining", name):
            found[match[1] or match[2]] = int(value)
    return found


def check_form(endpoint: Endpoint, exchange: Exchange) -> None:
    """Check that all headers are there, in the form of the API."""
    if not endpoint.provider.limit_headers.nominal:
        forms = {}
    elif endpoint.provider.name == "anthropic":
        forms = {
            f"anthropic-ratelimit-{unit}-{fact}": form
            for unit in ("requests", "tokens", "input-tokens", "output-tokens")
            for fact, form in (("limit", r"\d+"), ("remaining", r"\d+"), ("reset", TIME))
        }
    else:
        forms = {
            f"x-ratelimit-{fact}-{unit}": form
            for unit in ("requests", "tokens")
            for fact, form in (("limit", r"\d+"), ("remaining", r"\d+"), ("reset", DURATION))
            # Azure does not say when a limit is reset.
            if (endpoint.provider.name, fact) != ("azure", "reset")
        }
    shown = {name: value for name, value in exchange.headers.items() if "ratelimit" in name}
    assert shown.keys() == forms.keys()
    for name, form in forms.items():
        assert re.fullmatch(form, shown[name]), (name, shown[name])


def skip_without_headers(endpoint: Endpoint) -> None:
    """Skip a test that reads in headers what is left, for an API that does not say it."""
    if not endpoint.provider.limit_headers.nominal:
        pytest.skip("the API says nothing of limits in headers")


def limited(**limits: int) -> dict[str, Any]:
    return {"tiers": {"all": limits}, "default": "all"}


def pad(endpoint: Endpoint) -> dict[str, Any]:
    """Return the fields that limit the output to 20 tokens; none for embeddings, which have no output."""
    if not endpoint.streams:
        return {}
    return {"max_output_tokens" if "responses" in endpoint.path else "max_tokens": 20}


@pytest.mark.parametrize(
    "limits", [{}, limited(rpm=1000, tpm=1_000_000)], ids=["without limits", "with limits"]
)
async def test_every_response_says_what_is_left(endpoint: Endpoint, limits: dict[str, Any]) -> None:
    """LIM-3.1: Whole responses, streams and refusals, in each API's form."""
    account = Account(simulator(limits=limits), endpoint)
    responses = [await account.ask(), await account.ask(b"{"), await account.ask(model=7)]
    if endpoint.streams:
        responses.append(await account.ask(stream=True))

    assert [response.status for response in responses[:3]] == [200, 400, 400]
    for response in responses:
        check_form(endpoint, response)


async def test_without_limits_all_is_left(endpoint: Endpoint) -> None:
    """LIM-3.2: However much is asked, the headers are the same, but for the time."""
    account = Account(simulator(), endpoint)
    first, second = await account.ask(), await account.ask()

    assert left(first) == left(second)
    for name, value in first.headers.items():
        if "ratelimit" in name and "remaining" in name:
            assert value == first.headers[name.replace("remaining", "limit")]


async def test_faults_say_what_is_left(endpoint: Endpoint) -> None:
    """LIM-3.1: Simulated failures, too."""
    response = await Account(simulator(errors={"server_error_rate": 1.0}), endpoint).ask()

    assert response.status >= 500
    check_form(endpoint, response)


async def test_requests_beyond_the_limit_are_refused(endpoint: Endpoint) -> None:
    """LIM-3.4: The 429 names the limit in the API's words, and the time to wait, which is that of the limit."""
    account = Account(simulator(limits=limited(rpm=2)), endpoint)
    responses = [await account.ask() for _ in range(3)]

    assert [response.status for response in responses] == [200, 200, 429]
    if endpoint.provider.limit_headers.nominal:
        assert [left(response)["requests"] for response in responses] == [1, 0, 0]
    refusal = responses[2]
    check_form(endpoint, refusal)
    wait = int(refusal.headers["retry-after-ms"])
    assert 25_000 < wait <= 30_000
    assert int(refusal.headers["retry-after"]) == math.ceil(wait / 1000)
    error = refusal.json["error"]
    if endpoint.provider.name == "gemini":
        assert error["status"] == "RESOURCE_EXHAUSTED"
        assert "_requests, limit: 2, model: gemini-" in error["message"]
        assert error["details"][-1]["retryDelay"] == f"{wait / 1000:g}s"
    elif endpoint.provider.name == "anthropic":
        assert error["type"] == "rate_limit_error"
        assert "rate limit of 2 requests per minute (org: llmsim, model: " in error["message"]
    elif endpoint.provider.name == "azure":
        assert error["code"] == "RateLimitReached"
        assert f"Please retry after {math.ceil(wait / 1000)} seconds." in error["message"]
    else:
        assert error["code"] == "rate_limit_exceeded"
        assert error["type"] == ("requests" if endpoint.provider.name == "openai" else "too_many_requests")
        assert (
            "on requests per min (RPM): Limit 2, Used 2, Requested 1. Please try again in "
            in error["message"]
        )
    assert (await Account(account.worker, endpoint).ask()).status == 200


async def test_refused_requests_take_nothing(endpoint: Endpoint) -> None:
    """LIM-2.8: What is invalid is not counted."""
    account = Account(simulator(limits=limited(rpm=5)), endpoint)
    for _ in range(4):
        await account.ask(model=7)

    assert [(await account.ask()).status for _ in range(6)] == [200] * 5 + [429]


async def test_tokens_are_booked_as_the_api_books_them(text_endpoint: Endpoint) -> None:
    """LIM-2.4: The prompt and the most that may be generated are booked at once; Anthropic's API books the prompt alone."""
    skip_without_headers(text_endpoint)
    account = Account(simulator(limits=limited(tpm=100_000), target_tokens=3), text_endpoint)
    response = await account.ask(**pad(text_endpoint))
    usage = response.json["usage"]
    prompt = usage.get("prompt_tokens", usage.get("input_tokens"))

    is_anthropic = text_endpoint.provider.name == "anthropic"
    assert left(response)["tokens"] == 100_000 - prompt - (
        20 if pad(text_endpoint) and not is_anthropic else 0
    )


async def test_output_without_a_maximum(text_endpoint: Endpoint) -> None:
    """LIM-2.4: The length of a generated text is booked, and none for what generates none."""
    skip_without_headers(text_endpoint)
    if text_endpoint.provider.name == "anthropic":
        pytest.skip("the API wants a maximum")
    account = Account(simulator(limits=limited(tpm=100_000), target_tokens=30), text_endpoint)
    body = {key: value for key, value in text_endpoint.request.items() if not key.startswith("max_")}
    response = await account.ask(
        json.dumps(body | {"model": "gpt-4o"} if pad(text_endpoint) else body).encode()
    )

    assert left(response)["tokens"] == 100_000 - response.json["usage"]["total_tokens"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_request_that_is_remembered_takes_the_same(converser: Endpoint, *, stream: bool) -> None:
    """LIM-2.4: Requests of the same bytes are booked alike, prompt and output; one that is too much takes nothing."""
    skip_without_headers(converser)
    usage = (await Account(simulator(target_tokens=30), converser).ask()).json["usage"]
    total = sum(usage.get(name, 0) for name in ("prompt_tokens", "input_tokens"))
    total += sum(usage.get(name, 0) for name in ("completion_tokens", "output_tokens"))
    account = Account(simulator(limits=limited(tpm=3 * total + 3), target_tokens=30), converser)

    statuses = [(await account.ask(**{"stream": True} if stream else {})).status for _ in range(5)]

    assert statuses == [200, 200, 200, 429, 429]


async def test_what_was_not_booked_is_booked_when_it_is_planned(converser: Endpoint) -> None:
    """LIM-2.4: A response that is longer than a generated text counts as long as it is."""
    skip_without_headers(converser)
    text = " ".join(["word"] * 5000)
    account = Account(simulator(limits=limited(output_tpm=6000), generator=f"fixed:{text}"), converser)
    fields = {"max_tokens": 20_000} if converser.provider.name == "anthropic" else {"model": "gpt-4o"}
    first, second = await account.ask(**fields), await account.ask(**fields)

    assert (first.status, second.status) == (200, 200)
    name = "output-tokens" if converser.provider.name == "anthropic" else "tokens"
    assert left(first)[name] > 5000
    assert left(second)[name] < 3000


async def test_request_larger_than_the_limit(text_endpoint: Endpoint) -> None:
    """LIM-3.5: It gets a 429 without a time, as no waiting helps."""
    refusal = await Account(simulator(limits=limited(tpm=1)), text_endpoint).ask()

    assert refusal.status == 429
    assert "retry-after" not in refusal.headers
    if text_endpoint.provider.name not in ("anthropic", "azure", "gemini"):
        assert refusal.json["error"]["message"].startswith("Request too large for ")


@pytest.mark.parametrize("ends", ["finishes", "hangs up"])
async def test_concurrency(endpoint: Endpoint, ends: str) -> None:
    """LIM-2.6: A second request at a time is refused; it is admitted once the first has ended, however it did."""
    latency = {"ttft_mean_ms": 600 if ends == "finishes" else 60_000, "ttft_stddev_ms": 0}
    worker = simulator(limits=limited(concurrency=1), latency=latency)
    account = Account(worker, endpoint)
    call, exchange = worker.begin("POST", endpoint.path, [endpoint.body()], headers=account.headers)
    # What is laborious is parsed in a thread.
    await asyncio.sleep(0.1)

    refusal = await account.ask()
    if ends == "hangs up":
        exchange.hung_up.set()
    await call

    assert refusal.status == 429
    assert "retry-after" not in refusal.headers
    second, other = worker.begin("POST", endpoint.path, [endpoint.body()], headers=account.headers)
    for _ in range(5):
        await asyncio.sleep(0)
    other.hung_up.set()
    await second
    assert other.status in (0, 200)


async def test_keys_have_tiers_and_models_have_limits(streamer: Endpoint) -> None:
    """LIM-1.3: A key has its own tier, all others the default; without a tier there are no limits."""
    skip_without_headers(streamer)
    limits = {
        "tiers": {"small": {"rpm": 5}, "large": {"rpm": 500, "models": {"gpt-5*": {"rpm": 50}}}},
        "keys": {f"sk-{streamer.path}": "large"},
    }
    large = Account(simulator(limits=limits | {"default": "small"}), streamer, f"sk-{streamer.path}")
    small = Account(large.worker, streamer)
    free = Account(simulator(limits=limits), streamer)

    assert left(await large.ask(model="gpt-4o"))["requests"] == 499
    assert left(await large.ask(model="gpt-5-mini"))["requests"] == 49
    assert left(await small.ask(model="gpt-5-mini"))["requests"] == 4
    assert left(await free.ask())["requests"] >= 4000
    check_form(streamer, await free.ask())


def test_longest_pattern_counts() -> None:
    """LIM-1.2: It replaces what it sets; the rest is that of the tier."""
    models = {"gpt-*": TierLimits(rpm=7, concurrency=2), "gpt-5*": TierLimits(rpm=9)}
    tier = Tier(rpm=3, tpm=5, models=models)

    assert tier_limits(tier, "o3") == limits_of((3, 5, 0, 0, 0))
    assert tier_limits(tier, "gpt-4o") == limits_of((7, 5, 0, 0, 0), 2)
    assert tier_limits(tier, "gpt-5-mini") == limits_of((9, 5, 0, 0, 0))


def test_snapshots_and_aliases_stand_for_their_model() -> None:
    """LIM-1.2: Limits for a name that clients send are those of its model, whose requests are counted together."""
    tier = Tier(rpm=3, models={name: TierLimits(rpm=7) for name in ("gpt-4o-2024-08-06", "openai/o3")})

    assert tier_limits(tier, "gpt-4o") == tier_limits(tier, "o3") == limits_of((7, 0, 0, 0, 0))
    assert tier_limits(tier, "gpt-4o-mini") == limits_of((3, 0, 0, 0, 0))


async def test_keys_may_have_any_characters() -> None:
    """LIM-1.5: As UTF-8, which curl sends, and as Latin-1, which browsers do; both are one key."""
    key = "schlüssel 1"
    worker = simulator(limits={"tiers": {"all": {"rpm": 9}}, "keys": {key: "all"}})
    body = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}'
    exchange = await worker.ask(
        "POST", "/openai/v1/chat/completions", body, headers={"authorization": f"Bearer {key}"}
    )

    assert left(exchange)["requests"] == 8
    for sent in (key.encode(), key.encode("latin-1")):
        assert decode_key(sent) == key
        assert (
            find_header_key({"authorization": f"bearer {sent.decode('latin-1')}"}, ["authorization"]) == key
        )


async def test_requests_beyond_the_limit_take_no_turn(tmp_path: Path) -> None:
    """LIM-2.8: The next turn of a script is for the next request that is admitted."""
    script = tmp_path / "two.json"
    turns = [{"type": "assistant", "text": text} for text in ("one", "two")]
    script.write_text(json.dumps({"turns": turns}))
    worker = simulator(limits=limited(rpm=1), script_path=str(script))
    await worker.application.publish_scripts()
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
    texts = []
    for key in ("a", "a", "b"):
        answer = await worker.ask(
            "POST",
            "/openai/v1/chat/completions",
            json.dumps(body).encode(),
            headers={"authorization": f"Bearer {key}", "x-llmsim-session": tmp_path.name},
        )
        texts.append(
            answer.json["choices"][0]["message"]["content"] if answer.status == 200 else answer.status
        )

    assert texts == ["one", 429, "two"]


async def test_output_counts_as_it_is_generated() -> None:
    """LIM-2.5: A client that disconnects in the middle of a stream has used what was generated until then."""
    latency = {"ttft_mean_ms": 0, "ttft_stddev_ms": 0, "tbt_mean_ms": 10, "tbt_stddev_ms": 0}
    worker = simulator(limits=limited(output_tpm=1000), latency=latency, target_tokens=900)
    body = {"model": "claude-sonnet-4-5", "max_tokens": 900, "stream": True}
    sent = json.dumps(body | {"messages": [{"role": "user", "content": "Hello"}]}).encode()
    headers = {"x-api-key": "sk-stream", "anthropic-version": "2023-06-01"}
    call, exchange = worker.begin("POST", "/anthropic/v1/messages", [sent], headers=headers)
    await exchange.arrived.wait()
    await asyncio.sleep(0.2)
    exchange.hung_up.set()
    await call

    again, second = worker.begin("POST", "/anthropic/v1/messages", [sent], headers=headers)
    await second.arrived.wait()
    second.hung_up.set()
    await again

    assert left(exchange)["output-tokens"] == 1000
    assert 100 < left(second)["output-tokens"] < 1000
