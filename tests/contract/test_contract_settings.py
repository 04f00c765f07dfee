"""Settings that change at run time, and timelines: the control API, and what requests see of it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.asgi import Exchange, Simulator, simulator
from support.endpoints import Endpoint, likeness

CHAT = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}).encode()
PATH = "/openai/v1/chat/completions"


@pytest.fixture
async def worker() -> AsyncIterator[Simulator]:
    started = simulator(admin={"journal": "off"})
    yield started
    # First the timeline, which hides what is changed beneath it.
    await started.ask("DELETE", "/llmsim/timeline")
    await patch(started, dict.fromkeys(in_force(await settings_of(started), "run time")))


async def patch(worker: Simulator, changes: Any, **options: Any) -> Exchange:
    return await worker.ask("PATCH", "/llmsim/settings", json.dumps(changes).encode(), **options)


async def put(worker: Simulator, timeline: str, **options: Any) -> Exchange:
    return await worker.ask("PUT", "/llmsim/timeline", timeline.encode(), **options)


async def settings_of(worker: Simulator) -> dict[str, dict[str, Any]]:
    found = (await worker.ask("GET", "/llmsim/settings")).json["settings"]
    return {one["name"]: one for one in found}


def in_force(settings: dict[str, dict[str, Any]], origin: str) -> dict[str, str]:
    return {name: one["value"] for name, one in settings.items() if one["origin"] == origin}


async def test_a_change_holds_for_the_next_request(endpoint: Endpoint, worker: Simulator) -> None:
    """CTRL-2.1: Every endpoint answers by it at once, and as before when it is taken back."""
    changed = await patch(worker, {"errors.rate_limit_rate": 1})
    failed = await worker.ask("POST", endpoint.path, endpoint.body())
    await patch(worker, {"errors": {"rate_limit_rate": None}})
    answered = await worker.ask("POST", endpoint.path, endpoint.body())

    assert changed.status == 200
    assert changed.json["changed"] == ["errors.rate_limit_rate"]
    assert (failed.status, answered.status) == (429, 200)
    assert failed.json.keys() == likeness(endpoint.provider).keys()


@pytest.mark.parametrize(
    ("changes", "header"),
    [
        ({"response.target_tokens": 7}, None),
        ({"response.generator": "fixed:Yes"}, None),
        ({"response.refusal_rate": 1, "response.refusal_text": "Yes"}, None),
        ({"response.content_filter_rate": 1}, None),
        ({"latency.ttft_mean_ms": 1000}, None),
        ({"latency.models": {"gpt*": {"ttft_quantiles": [1000, 1100]}}}, None),
        ({"faults.malformed_json_rate": 1}, None),
        ({"errors.authentication_rate": 1}, None),
        (
            {"limits.tiers": {"a": {"rpm": 54321}}, "limits.default": "a"},
            "x-ratelimit-limit-requests",
        ),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
async def test_what_can_be_changed_has_its_effect(
    worker: Simulator, changes: Any, header: str | None
) -> None:
    """CTRL-2.3: Each kind of setting changes the answer, and taking it back changes it back."""

    async def look() -> tuple[Any, ...]:
        begun = time.monotonic()
        exchange = await worker.ask("POST", PATH, CHAT)
        slow = time.monotonic() - begun >= 1.0
        try:
            answer = exchange.json
        except ValueError:
            return (exchange.status, "malformed")
        choice = answer["choices"][0] if "choices" in answer else {}
        message = choice.get("message", {})
        yes = "Yes" in (message.get("content"), message.get("refusal"))
        tokens = answer.get("usage", {}).get("completion_tokens", 0)
        limit = exchange.headers.get(header or "", "") == "54321"
        return (exchange.status, yes, tokens == 100, choice.get("finish_reason"), limit, slow)

    before = await look()
    await patch(worker, changes)
    changed = await look()
    await patch(worker, dict.fromkeys(changes))

    assert changed != before
    assert (await look())[:-1] == before[:-1]


async def test_a_stream_goes_on_as_it_began(worker: Simulator) -> None:
    """CTRL-2.2: A change does not touch what is under way."""
    await patch(worker, {"latency.tbt_mean_ms": 3, "response.generator": "fixed:one two three four five six"})
    body = json.dumps(json.loads(CHAT) | {"stream": True}).encode()
    call, exchange = worker.begin("POST", PATH, [body])
    await exchange.arrived.wait()
    await patch(worker, {"response.generator": "fixed:other", "errors.server_error_rate": 1})
    await asyncio.wait_for(call, 20)

    assert exchange.status == 200
    assert b" six" in exchange.body
    assert b"[DONE]" in exchange.body


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[" * 5000, "not JSON"),
        (b"[]", "wanted an object"),
        (b"{}", "wanted an object"),
        (b'{"errors.rate_limit_rat": 1}', "did you mean errors.rate_limit_rate?"),
        (b'{"server.port": 1}', "server.port: cannot be changed at run time"),
        (b'{"errors.rate_limit_rate": 1, "errors.timeout_rate": 1}', "add up to 2"),
        (
            b'{"errors.rate_limit_rate": 1, "errors.rate_limit_rate": 0}',
            "errors.rate_limit_rate: given twice",
        ),
        (
            b'{"errors.rate_limit_rate": 1, "errors": {"rate_limit_rate": 0}}',
            "errors.rate_limit_rate: given twice",
        ),
        (b'{"errors": 5}', "errors: wanted a table"),
        (b'{"latency": null}', "latency: wanted a table"),
        (b'{"response.generator": "lorm"}', 'did you mean "lorem"? One of: lorem, echo, random, fixed:TEXT'),
        (b'{"errors.rate_limit_rate": 1e9}', "wanted a number from 0 to 1"),
        (b'{"response.target_tokens": 1' + b"0" * 5000 + b"}", ""),
    ],
)
async def test_a_change_is_whole_or_not_at_all(worker: Simulator, body: bytes, problem: str) -> None:
    """CTRL-2.4: A refused change is answered with its problems, and changes nothing."""
    before = await settings_of(worker)
    refused = await worker.ask("PATCH", "/llmsim/settings", body)
    mixed = await patch(worker, {"errors.rate_limit_rate": 0.5, "latency.profile": "gtp"})

    assert (refused.status, mixed.status) == (400, 400)
    assert problem in refused.json["error"]["message"]
    assert refused.json["error"]["problems"]
    assert await settings_of(worker) == before


@pytest.mark.parametrize(
    "body",
    [
        b'{"errors.rate_limit_rate": ' + b"[" * 70 + b"]" * 70 + b"}",
        b"[" * 100_000,
        b'{"errors.rate_limit_rate": "\xff"}',
        b'{"\xc0\x80": 1}',
        b'{"response.refusal_text": "\\ud800"}',
        b'{"latency": {"models": {"\\udc00": {"ttft_mean_ms": 1}}}}',
        b'{"response.refusal_rate": 1e400}',
        b'{"response.refusal_rate": NaN}',
        b"\xef\xbb\xbf{}",
        b'{"response.refusal_text": "' + b'\\"' * 200_000 + b'"}',
    ],
    ids=lambda body: repr(body[:30]),
)
async def test_any_bytes_are_refused(worker: Simulator, body: bytes) -> None:
    """CTRL-2.11: What is no change, and no timeline, is refused in words, and changes nothing."""
    before = await settings_of(worker)
    refused = await worker.ask("PATCH", "/llmsim/settings", body)
    step = (
        b'{"step": [{"at_secs": 0, "response": {"refusal_text": ' + body[body.rfind(b":") + 1 : -1] + b"}}]}"
    )
    timeline = await worker.ask("PUT", "/llmsim/timeline", step, headers={"content-type": "application/json"})

    assert (refused.status, timeline.status) == (400, 400)
    assert "too large" not in timeline.json["error"]["message"]
    assert await settings_of(worker) == before


async def test_few_problems_are_looked_for(worker: Simulator) -> None:
    """CTRL-2.11: Each wrong name is compared with all there are; of 8,000 that would take seconds in which no other request is answered."""
    wrong = {f"errors.ratelimit{number}": 1 for number in range(8_000)}
    change = await patch(worker, wrong)
    steps = [{"at_secs": at, "errors": {f"a{number}": 1 for number in range(60)}} for at in range(100)]
    timeline = await worker.ask(
        "PUT",
        "/llmsim/timeline",
        json.dumps({"step": steps}).encode(),
        headers={"content-type": "application/json"},
    )

    table = await patch(worker, {"latency.models": {"x": {f"profil{number}": 1 for number in range(9_000)}}})

    for refused in (change, timeline, table):
        assert refused.status == 400
        assert len(refused.json["error"]["problems"]) == 50


async def test_a_table_has_a_bound(worker: Simulator) -> None:
    """CTRL-2.11: A table of thousands of models takes seconds to check."""
    tables = {f"model-{number}": {"ttft_mean_ms": 1} for number in range(201)}
    refused = await patch(worker, {"latency.models": tables})

    assert refused.status == 400
    assert "at most 200 entries" in refused.json["error"]["message"]


async def test_null_in_a_table_is_unset(worker: Simulator) -> None:
    """CTRL-2.11: As outside of tables, `null` is no value."""
    tables = {"models": {"gpt-4o": {"profile": None, "ttft_mean_ms": 1}}, "engine": {"profile": None}}

    assert (await patch(worker, {"latency.models": tables["models"]})).status == 200
    assert (await patch(worker, {"latency": tables})).status < 500


async def test_changes_at_the_same_time(worker: Simulator) -> None:
    """CTRL-2.5: None is lost."""
    names = [name for name, one in (await settings_of(worker)).items() if name.endswith("_rate")]
    rates = [name for name in names if name.startswith("faults.")]
    answers = await asyncio.gather(*(patch(worker, {name: 0.01}) for name in rates))

    assert {answer.status for answer in answers} == {200}
    assert in_force(await settings_of(worker), "run time") == dict.fromkeys(rates, "0.01")


async def test_secrets_are_never_shown(worker: Simulator) -> None:
    """CTRL-2.8: Keys are `***` in the answer to a change, in the list, in a timeline and in refusals."""
    secret = "sk-do-not-show"
    limits = {"tiers": {"a": {"rpm": 5}}, "keys": {secret: "a"}}
    answers = [
        await patch(worker, {"limits": limits, "faults.keys": [secret]}),
        await worker.ask("GET", "/llmsim/settings"),
        await patch(worker, {"limits.keys": {secret: "b"}}),
        await patch(worker, {"limits.keys": {secret: 3}, "faults.keys": secret}),
        await put(worker, f"[[step]]\nat_secs = 0\nfaults.keys = ['{secret}']"),
        await worker.ask("GET", "/llmsim/timeline"),
    ]

    assert [answer.status for answer in answers] == [200, 200, 400, 400, 200, 200]
    assert not any(secret.encode() in answer.body for answer in answers)
    assert (await settings_of(worker))["limits.keys"]["value"] == '"***"'


async def test_origins(worker: Simulator) -> None:
    """CTRL-2.7: Each value says where it comes from, and whether it can be changed."""
    await patch(worker, {"latency.ttft_mean_ms": 5, "errors.timeout_rate": 0.1})
    await put(worker, "[[step]]\nat_secs = 0\nlatency.ttft_mean_ms = 7")
    settings = await settings_of(worker)

    assert in_force(settings, "timeline") == {"latency.ttft_mean_ms": "7.0"}
    assert in_force(settings, "run time") == {"errors.timeout_rate": "0.1"}
    assert settings["server.port"]["origin"] == "default"
    assert [settings[name]["changeable"] for name in ("server.port", "tools.max_calls")] == [False, True]


async def test_a_worker_that_starts_later_has_the_changes(worker: Simulator) -> None:
    """CTRL-2.9: The first request of a worker that takes the place of another is answered by them."""
    await patch(worker, {"errors.rate_limit_rate": 1})
    later = Simulator(worker.application)

    assert (await later.ask("POST", PATH, CHAT)).status == 429


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", "/llmsim/settings"), *((one, "/llmsim/timeline") for one in ("GET", "PUT", "DELETE"))],
)
async def test_all_of_it_is_guarded(method: str, path: str) -> None:
    """CTRL-3.7: Other machines and pages are refused, a wrong key too."""
    worker = simulator()
    keyed = simulator(admin={"key": "right-key"})
    body = b'{"errors.timeout_rate": 0.1}'
    answers = [
        await worker.ask(method, path, body, client=("10.9.8.7", 4000)),
        await worker.ask(method, path, body, headers={"origin": "http://evil.example"}),
        await worker.ask(method, path, body, headers={"host": "evil.example"}),
        await keyed.ask(method, path, body, client=("10.9.8.7", 4000), headers={"authorization": "Bearer x"}),
    ]

    assert [answer.status for answer in answers] == [403, 403, 403, 401]
    assert in_force(await settings_of(worker), "run time") == {}


async def test_a_timeline_by_the_clock(worker: Simulator) -> None:
    """CTRL-3.1, CTRL-3.2: Its steps hold by the time since it was put, and it is shown and ended."""
    now = [1000.0]
    live = worker.application.live
    live._clock = lambda: now[0]
    source = (
        "name = 'n'\n[[step]]\nat_secs = 5\nname = 'out'\nerrors.server_error_rate = 1\n[[step]]\nat_secs = 9"
    )
    made = await put(worker, source)
    seen = []
    for second in (1000.0, 1005.0, 1008.9, 1009.0, 1e6):
        now[0] = second
        # The clock of the test does not wake the worker.
        live._until = 0.0
        shown = (await worker.ask("GET", "/llmsim/timeline")).json["timeline"]
        status = (await worker.ask("POST", PATH, CHAT)).status
        seen.append((shown["step"], shown["step_name"], status >= 500, worker.stats().timeline))

    assert made.status == 200
    assert [one[:3] for one in seen] == [
        (0, "", False),
        (1, "out", True),
        (1, "out", True),
        (2, "", False),
        (2, "", False),
    ]
    assert [(one[3].step, one[3].steps, one[3].name) for one in seen[1:4]] == [
        (1, 2, "out"),
        (1, 2, "out"),
        (2, 2, ""),
    ]
    assert (await worker.ask("DELETE", "/llmsim/timeline")).json == {"deleted": True}
    assert (await worker.ask("GET", "/llmsim/timeline")).json == {"timeline": None}
    assert worker.stats().timeline is None


async def test_steps_that_are_over_are_at_odds_with_nothing(worker: Simulator) -> None:
    """CTRL-2.4: A change must fit what is left of a timeline, up to the end of the ramp that leads away from a step."""
    now = [1000.0]
    live = worker.application.live
    live._clock = lambda: now[0]
    await put(
        worker,
        "[[step]]\nat_secs = 0\nerrors.server_error_rate = 1\n[[step]]\nat_secs = 10\nramp_secs = 10\n"
        "errors.server_error_rate = 0.1",
    )
    changes = {"errors.rate_limit_rate": 0.5}
    statuses = []
    for second in (1005.0, 1015.0, 1022.0):
        now[0] = second
        live._until = 0.0
        statuses.append((await patch(worker, changes)).status)
    shown = (await settings_of(worker))["errors.server_error_rate"]

    assert statuses == [400, 400, 200]
    assert (shown["value"], shown["origin"]) == ("0.1", "timeline")


async def test_a_timeline_goes_on_without_requests(worker: Simulator) -> None:
    """CTRL-3.4, CTRL-3.6: A worker that gets no requests shows the step that holds."""
    await put(worker, "[[step]]\nat_secs = 0\n[[step]]\nat_secs = 0.2\nname = 'last'")
    deadline = time.monotonic() + 20
    while (found := worker.stats().timeline) is None or found.step < 2:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    metrics = (await worker.ask("GET", "/metrics")).body

    assert str(found) == "timeline 2/2 last"
    assert b"llmsim_timeline_step 2\n" in metrics
    assert b"llmsim_timeline_steps 2\n" in metrics


async def test_wrong_timelines(worker: Simulator) -> None:
    """CTRL-3.5: A timeline with mistakes is refused with all of them, and the one that runs goes on."""
    await put(worker, "[[step]]\nat_secs = 0\nname = 'good'\nerrors.timeout_rate = 0.6")
    refused = await put(worker, "[[step]]\nat_sec = 0\nlatency.profile = 'gtp-5'")
    other = await put(worker, "[[step]]\nat_secs = 0", headers={"content-type": "image/png"})
    conflict = await patch(worker, {"errors.rate_limit_rate": 0.6})
    shown = (await worker.ask("GET", "/llmsim/timeline")).json["timeline"]

    assert (refused.status, other.status, conflict.status) == (400, 415, 400)
    assert len(refused.json["error"]["problems"]) == 3
    assert conflict.json["error"]["message"].startswith(
        "timeline, line 4: step 1: errors: the rates add up to 1.2"
    )
    assert shown["step_name"] == "good"
