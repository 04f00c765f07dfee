"""Every generating endpoint, from a request's bytes to those of its response, without a server."""

import json
from typing import Any

import pytest
from fuzz.limits import LONG, cpu_limit, examples
from fuzz.mutations import sound_requests, variants
from hypothesis import given
from hypothesis import strategies as st
from support.asgi import settings_of, twin
from support.endpoints import ENDPOINTS, golden_folder
from support.incoming import incoming
from support.planning import NoPrefixCache, plan

from llmsim.domain import Fault
from llmsim.errors import RefusedError
from llmsim.planning.planner import Planner
from llmsim.providers.contract import ChannelFormat, GenerationEndpoint, Reply

FORMATS = [
    (provider, endpoint, channel)
    for provider, endpoint in ENDPOINTS
    for channel in ("http", "websocket")
    # Sound is no JSON, and Azure's endpoints are OpenAI's.
    if (channel == "http" or endpoint.websocket is not None)
    and endpoint.label != "speech"
    and provider.name != "azure"
]

each_format = pytest.mark.parametrize(
    ("provider", "endpoint", "channel"),
    FORMATS,
    ids=[f"{provider.name}-{endpoint.label}-{channel}" for provider, endpoint, channel in FORMATS],
)


@pytest.fixture(scope="module")
def planner() -> Planner:
    planner = twin(settings_of(target_tokens=20))
    planner.start_process()
    return planner


def format_of(endpoint: GenerationEndpoint[Any], channel: str) -> ChannelFormat[Any]:
    if channel == "http":
        return endpoint.http
    assert endpoint.websocket is not None
    return endpoint.websocket.messages


def respond(endpoint: GenerationEndpoint[Any], channel: str, planner: Planner, body: bytes) -> Reply | None:
    """Parse, plan and render; return the refusal, or None if the request was answered."""
    known = format_of(endpoint, channel)
    try:
        model = "gemini-embedding-001" if "embed" in endpoint.label else "gemini-2.5-flash"
        path = endpoint.path.replace(":generateContent", ":streamGenerateContent")
        parsed = known.parse(incoming(body, path=path, path_params={"model": model}))
        if parsed.is_warm_up:
            facts, rng = planner.analyze(parsed.prompt), planner.outcome_rng(None)
            turn: Any = planner.plan_empty(parsed.prompt, facts, rng)
        else:
            turn = plan(planner, parsed.prompt, cache=NoPrefixCache())
    except RefusedError as error:
        return known.render_refusal(error)
    assert not isinstance(turn, Fault)
    # What may be streamed may come whole, and the other way round.
    rendered = endpoint.render_response(turn, parsed.options)
    json.loads(rendered)
    if known.render_stream is not None:
        batches = known.render_stream(turn, parsed.options)
        assert b"".join(batch.data(0, len(batch.required_tokens)) for batch in batches)
    return None


def check(data: st.DataObject, endpoint: Any, channel: str, planner: Planner, folder: Any) -> None:
    sound = sound_requests(folder)
    if channel == "websocket":
        sound = [{"type": "response.create", **request} for request in sound]
    body = data.draw(variants(sound))
    with cpu_limit():
        refusal = respond(endpoint, channel, planner, body)
    if refusal is not None:
        assert 400 <= refusal.status < 500
        assert json.loads(refusal.body)
        assert len(refusal.body) < 20_000
        assert all("\n" not in value and "\r" not in value for _, value in refusal.headers)


@each_format
@given(data=st.data())
@examples(12)
def test_any_request_is_answered_or_refused(
    provider: Any, endpoint: Any, channel: str, planner: Planner, data: st.DataObject
) -> None:
    """MAINT-4.12: Whatever the body, it is refused as a client's error or rendered, in bounded time."""
    check(data, endpoint, channel, planner, golden_folder(provider, endpoint))


@LONG
@each_format
@given(data=st.data())
@examples(5_000, shrink=True)
def test_any_request_is_answered_or_refused_for_minutes(
    provider: Any, endpoint: Any, channel: str, planner: Planner, data: st.DataObject
) -> None:
    """MAINT-4.12: The same with many more bodies."""
    check(data, endpoint, channel, planner, golden_folder(provider, endpoint))


@pytest.mark.parametrize(("provider", "endpoint", "channel"), FORMATS)
def test_sound_requests_are_answered(provider: Any, endpoint: Any, channel: str, planner: Planner) -> None:
    """MAINT-4.12: What the fuzzer starts from is answered, so that it looks behind the parser, too."""
    answered = 0
    sound = sound_requests(golden_folder(provider, endpoint))
    for request in sound:
        body = request if channel == "http" else {"type": "response.create", **request}
        answered += respond(endpoint, channel, planner, json.dumps(body).encode()) is None

    assert answered >= 0.7 * len(sound)
