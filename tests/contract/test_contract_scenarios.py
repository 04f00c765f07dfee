"""Every endpoint that generates text: scenarios, attempts and their headers."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from support.asgi import Exchange, Simulator, served, simulator
from support.driving import drive
from support.endpoints import CONVERSING, ENDPOINTS, Endpoint, timeout_status
from support.replies import parse_events, parse_response
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from llmsim.errors import ScriptError

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
WALK = {
    "name": "walk",
    "defaults": {"timing": {"ttft_ms": 0, "tokens_per_sec": 1_000_000}},
    "steps": [
        {
            "turn": {
                "type": "mixed",
                "text": "Let me look.",
                "calls": [{"tool": "any_read"}, {"tool": "any_read"}],
            },
            "fail_first": [{"kind": "rate_limit", "retry_after_ms": 1500}],
        },
        {"turn": {"type": "tool_calls", "calls": [{"name": "read_file", "arguments": {"path": "b"}}]}},
        {"turn": {"type": "assistant", "lorem_tokens": 30, "reasoning_tokens": 10}},
    ],
    "on_exhausted": "error",
}
OTHERS = [
    {
        "name": "broken",
        "steps": [{"timing": {"cut_after_tokens": 5}, "turn": {"type": "assistant", "lorem_tokens": 20}}],
    },
    {"name": "chat", "steps": [{"turn": {"type": "assistant", "text": "From a scenario."}}]},
    {
        "name": "slow",
        "steps": [{"timing": {"ttft_ms": 60_000}, "turn": {"type": "assistant", "text": "Late."}}],
    },
    {"name": "down", "steps": [{"turn": {"type": "error", "kind": "timeout"}}]},
]

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of a file of scenarios."""
    file: Path = tmp_path_factory.mktemp("scenarios") / "all.json"
    file.write_text(json.dumps([WALK, *OTHERS]))
    return str(file)


class Conversation:
    """A conversation with one endpoint.

    Attributes:
        messages: What is sent.
    """

    def __init__(self, worker: Simulator, endpoint: Endpoint, text: str, *, stream: bool = False) -> None:
        self.worker = worker
        self.endpoint = endpoint
        self.stream = stream
        self.field = "input" if "responses" in endpoint.path else "messages"
        self.messages: list[Any] = [{"role": "user", "content": text}]

    async def ask(self, *, stream: bool | None = None, headers: Any = None, **fields: Any) -> Exchange:
        """Send it."""
        tool: dict[str, Any] = {"name": "read_file", "parameters": SCHEMA}
        if "completions" in self.endpoint.path or "gemini" in self.endpoint.path:
            tool = {"type": "function", "function": tool}
        elif "responses" in self.endpoint.path:
            tool["type"] = "function"
        else:
            tool = {"name": "read_file", "input_schema": SCHEMA}
        body = {"model": "gpt-4o", self.field: self.messages, "tools": [tool], "stream": self.stream}
        if "messages" in self.endpoint.path:
            body["max_tokens"] = 1000
        body |= ({} if stream is None else {"stream": stream}) | fields
        sent = {name: value for name, value in body.items() if value is not None}
        return await self.worker.ask(
            "POST", self.endpoint.path, json.dumps(sent).encode(), headers=headers or {}
        )

    def answer(self, exchange: Exchange) -> list[str]:
        """Add the answer and the results of its calls; return the ids of the calls."""
        whole = exchange.json
        if "choices" in whole:
            message = whole["choices"][0]["message"]
            ids = [call["id"] for call in message.get("tool_calls", ())]
            self.messages.append(message)
            self.messages += [{"role": "tool", "tool_call_id": one, "content": "ok"} for one in ids]
        elif "output" in whole:
            ids = [item["call_id"] for item in whole["output"] if item["type"] == "function_call"]
            self.messages += whole["output"]
            self.messages += [{"type": "function_call_output", "call_id": one, "output": "ok"} for one in ids]
        elif "candidates" in whole:
            parts = whole["candidates"][0]["content"].get("parts", ())
            calls = [part["functionCall"] for part in parts if "functionCall" in part]
            ids = [call["id"] for call in calls]
            functions = [{"name": call["name"], "arguments": json.dumps(call["args"])} for call in calls]
            text = "".join(part.get("text", "") for part in parts)
            tool_calls = [
                {"id": one, "function": function} for one, function in zip(ids, functions, strict=True)
            ]
            self.messages.append({"role": "assistant", "content": text, "tool_calls": tool_calls})
            self.messages += [{"role": "tool", "tool_call_id": one, "content": "ok"} for one in ids]
        else:
            ids = [block["id"] for block in whole["content"] if block["type"] == "tool_use"]
            self.messages.append({"role": "assistant", "content": whole["content"]})
            results = [{"type": "tool_result", "tool_use_id": one, "content": "ok"} for one in ids]
            self.messages += [{"role": "user", "content": results}] if results else []
        return ids


def begin(path: str, endpoint: Endpoint, text: str, *, stream: bool = False) -> Conversation:
    """Begin a conversation on a worker that has counted no attempts."""
    worker = simulator(scenarios_path=path)
    attempts: Any = worker.application.state.attempts
    attempts.database.run(lambda connection: connection.execute("DELETE FROM attempts"))
    return Conversation(worker, endpoint, text, stream=stream)


def place(exchange: Exchange) -> tuple[str, str, str]:
    """Return the scenario, step and attempt of a response."""
    names = ("x-llmsim-scenario", "x-llmsim-step", "x-llmsim-attempt")
    scenario, step, attempt = (exchange.headers[name] for name in names)
    return scenario, step, attempt


async def test_a_conversation_plays_on_every_endpoint(path: str, converser: Endpoint) -> None:
    """SCEN-3.5, SCEN-3.1, SCEN-6.5, SCEN-6.6, SCEN-2.2: Error, text with calls, a call, the answer, the end; with headers."""
    talk = begin(path, converser, "Go. [[llmsim:walk]]")
    limited = await talk.ask()
    assert limited.status == 429
    assert (limited.headers["retry-after"], limited.headers["retry-after-ms"]) == ("2", "1500")
    assert place(limited) == ("walk", "0", "0")

    contents = []
    for attempt in ("1", "0", "0"):
        exchange = await talk.ask()
        streamed = await talk.ask(stream=True)
        contents.append(parse_response(exchange.status, exchange.body))
        assert place(exchange) == ("walk", str(len(contents) - 1), attempt)
        assert parse_response(streamed.status, streamed.body) == contents[-1]
        ids = talk.answer(exchange)
        assert [one.rpartition("_")[0] for one in ids] == [
            f"call_llmsim_walk_{len(contents) - 1}_{number}" for number in range(len(ids))
        ]
        assert all(one in streamed.body.decode() for one in ids)

    assert contents[0].text == "Let me look."
    assert contents[0].calls == (("read_file", {"path": "."}),) * 2
    assert contents[1].calls == (("read_file", {"path": "b"}),)
    assert len(contents[2].text.split()) == 30
    exhausted = await talk.ask()
    assert exhausted.status == 500
    assert "exhausted" in exhausted.json["error"]["message"]


@STREAMED
async def test_a_connection_is_cut_once(path: str, converser: Endpoint, stream: bool) -> None:
    """SCEN-5.3, SCEN-6.2: Whether the next attempt is streamed or not."""
    talk = begin(path, converser, "Go. [[llmsim:broken]]", stream=stream)
    cut = await talk.ask()
    again = await talk.ask(stream=not stream)

    assert not cut.whole
    assert again.whole
    assert len(parse_response(again.status, again.body).text.split()) == 20
    assert place(again)[2] == "1"


async def test_sessions_count_their_own_attempts(path: str, converser: Endpoint) -> None:
    """SCEN-6.2: Two that send the same are kept apart by their names."""
    talk = begin(path, converser, "Go. [[llmsim:walk]]")
    statuses = [
        (await talk.ask(headers={"x-llmsim-session": session})).status for session in ("a", "b", "a", "b")
    ]

    assert statuses == [429, 429, 200, 200]


async def test_an_error_turn_fails_at_once(path: str, converser: Endpoint) -> None:
    """SCEN-6.1: With the status of its kind, streamed or not."""
    talk = begin(path, converser, "Go. [[llmsim:down]]")

    statuses = [(await talk.ask(stream=stream)).status for stream in (False, True)]

    assert statuses == [timeout_status(talk.endpoint.provider)] * 2


async def test_an_unknown_name_is_refused(path: str, converser: Endpoint) -> None:
    """SCEN-2.4: With the known names; nothing is counted."""
    refused = await begin(path, converser, "Go. [[llmsim:wolk]]").ask()

    assert refused.status == 400
    assert (
        "'wolk'; did you mean 'walk'? Known scenarios: broken, chat, down, slow, walk"
        in refused.json["error"]["message"]
    )
    assert "x-llmsim-scenario" not in refused.headers


async def test_a_tool_that_is_not_offered_is_refused(path: str, converser: Endpoint) -> None:
    """SCEN-4.3, SCEN-4.4: Before an attempt is counted."""
    talk = begin(path, converser, "Go. [[llmsim:walk]]")
    refused = await talk.ask(tools=None)

    assert refused.status == 400
    assert place(await talk.ask())[2] == "0"


async def test_a_marker_comes_before_a_script(path: str, converser: Endpoint) -> None:
    """SCEN-2.3, SCEN-2.1: And a script before the generator, once the marker is in no message that holds."""
    talk = begin(path, converser, "Go. [[llmsim:chat]]")
    state = talk.worker.application.state
    drive(state.sessions.forget())
    drive(state.journal.clear())
    script = {"turns": [{"type": "assistant", "text": "From a script."}]}
    await talk.worker.ask("PUT", "/llmsim/scripts/x", json.dumps(script).encode())
    headers = {"x-llmsim-session": "s", "x-llmsim-script": "x"}
    marked = await talk.ask(headers=headers)
    talk.answer(marked)
    talk.messages.append({"role": "user", "content": "And now?"})
    unmarked = await talk.ask(headers=headers)
    named = await talk.ask(headers=headers, model="llmsim-scenario-chat")
    journal = (await talk.worker.ask("GET", "/llmsim/requests", query="session=s")).json["requests"]

    texts = [parse_response(one.status, one.body).text for one in (marked, unmarked, named)]
    assert texts == ["From a scenario.", "From a script.", "From a scenario."]
    assert [(one["script"], one["turn"]) for one in journal] == [(None, None), ("x", 0), (None, None)]
    assert [one.get("scenario") for one in journal] == [
        {"name": "chat", "step": 0, "attempt": 0},
        None,
        {"name": "chat", "step": 0, "attempt": 0},
    ]


async def test_markers_are_plain_text_without_scenarios(streamer: Endpoint) -> None:
    """SCEN-1.2: As if it were any text."""
    exchange = await Conversation(simulator(), streamer, "Go. [[llmsim:walk]]").ask(tools=None)

    assert exchange.status == 200
    assert "x-llmsim-scenario" not in exchange.headers


async def test_an_attempt_that_the_server_gave_up_does_not_count(path: str, converser: Endpoint) -> None:
    """SCEN-6.3: The next request is the same attempt; one whose client hangs up counts."""
    talk = begin(path, converser, "Go. [[llmsim:slow]]")
    database = talk.worker.application.state.attempts.database  # type: ignore[attr-defined]

    def begun() -> int:
        rows = database.run(lambda connection: connection.execute("SELECT attempts FROM attempts").fetchall())
        return rows[0][0] if rows else 0

    async def wait_until(count: int) -> bool:
        for _ in range(20_000):
            if begun() == count:
                return True
            await asyncio.sleep(0.001)
        return False

    call = asyncio.ensure_future(talk.ask())
    assert await wait_until(1)
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call

    assert await wait_until(0)


async def test_reasoning_is_shown_in_chat_completions(path: str) -> None:
    """SCEN-4.2: Before the answer; in Responses only where a summary is requested."""
    for one in CONVERSING:
        endpoint = Endpoint(*one)
        talk = begin(path, endpoint, "Go. [[llmsim:walk]]")
        ids = [f"call_llmsim_walk_1_0_{'0' * 8}"]
        if "completions" in endpoint.path:
            call = {"id": ids[0], "type": "function", "function": {"name": "read_file", "arguments": "{}"}}
            talk.messages += [{"role": "assistant", "content": None, "tool_calls": [call]}]
            talk.messages += [{"role": "tool", "tool_call_id": ids[0], "content": "ok"}]
            message = (await talk.ask()).json["choices"][0]["message"]
            assert len(message["reasoning_content"].split()) == 10
        elif "openai" in endpoint.path:
            call = {"type": "function_call", "call_id": ids[0], "name": "read_file", "arguments": "{}"}
            talk.messages += [call, {"type": "function_call_output", "call_id": ids[0], "output": "ok"}]
            hidden, shown = await talk.ask(), await talk.ask(reasoning={"summary": "auto"})
            assert hidden.json["output"][0]["summary"] == []
            assert len(shown.json["output"][0]["summary"][0]["text"].split()) == 10
            assert hidden.json["usage"]["output_tokens_details"]["reasoning_tokens"] == 10


@pytest.mark.parametrize(
    "endpoint",
    [Endpoint(*one) for one in ENDPOINTS if one[1].storage is not None and "responses" in one[1].path],
    ids=lambda one: one.path,
)
async def test_a_stored_response_is_continued(path: str, endpoint: Endpoint) -> None:
    """SCEN-3.2: The step is counted over the whole conversation."""
    talk = begin(path, endpoint, "Go. [[llmsim:walk]]")
    await talk.ask()
    first = await talk.ask()
    ids = [item["call_id"] for item in first.json["output"] if item["type"] == "function_call"]
    talk.messages = [{"type": "function_call_output", "call_id": one, "output": "ok"} for one in ids]
    second = await talk.ask(previous_response_id=first.json["id"])

    assert place(second) == ("walk", "1", "0")


@pytest.mark.parametrize(
    "endpoint",
    [Endpoint(*one) for one in ENDPOINTS if one[1].websocket is not None],
    ids=lambda one: one.path,
)
async def test_a_conversation_plays_over_websocket(path: str, endpoint: Endpoint) -> None:
    """SCEN-3.5, SCEN-3.2: Error, calls, a call, the answer; each turn continues the one before."""
    talk = begin(path, endpoint, "Go. [[llmsim:walk]]")
    tool = {"type": "function", "name": "read_file", "parameters": SCHEMA}
    sent: list[Any] = [{"role": "user", "content": "Go. [[llmsim:walk]]"}]
    previous: dict[str, Any] = {}
    contents = []
    async with served(talk.worker) as port, connect(f"ws://127.0.0.1:{port}{endpoint.path}") as opened:
        for _ in range(4):
            request = {
                "type": "response.create",
                "model": "gpt-4o",
                "input": sent,
                "tools": [tool],
                **previous,
            }
            await opened.send(json.dumps(request))
            events: list[Any] = []
            while not events or events[-1]["type"] not in ("response.completed", "error"):
                events.append(json.loads(await asyncio.wait_for(opened.recv(), 20)))
            contents.append(parse_events(events))
            if events[-1]["type"] == "response.completed":
                response = events[-1]["response"]
                previous = {"previous_response_id": response["id"]}
                sent = [
                    {"type": "function_call_output", "call_id": item["call_id"], "output": "ok"}
                    for item in response["output"]
                    if item["type"] == "function_call"
                ]

    assert contents[0].status != 200
    assert [len(content.calls) for content in contents] == [0, 2, 1, 0]
    assert len(contents[3].text.split()) == 30


@pytest.mark.parametrize(
    "endpoint",
    [Endpoint(*one) for one in ENDPOINTS if one[1].websocket is not None],
    ids=lambda one: one.path,
)
async def test_a_websocket_is_cut_once(path: str, endpoint: Endpoint) -> None:
    """SCEN-5.3, SCEN-3.5: The connection ends; on a new one the same request is answered."""
    worker = begin(path, endpoint, "").worker
    request = {"type": "response.create", "model": "gpt-4o", "input": "Go. [[llmsim:broken]]"}
    ended = []
    async with served(worker) as port:
        for _ in range(2):
            async with connect(f"ws://127.0.0.1:{port}{endpoint.path}") as opened:
                await opened.send(json.dumps(request))
                kinds = []
                with contextlib.suppress(ConnectionClosed):
                    while not kinds or kinds[-1] != "response.completed":
                        kinds.append(json.loads(await asyncio.wait_for(opened.recv(), 20))["type"])
                ended.append((kinds[-1], kinds.count("response.output_text.delta")))

    assert ended == [("response.output_text.delta", 5), ("response.completed", 20)]


def test_a_server_with_a_wrong_scenario_does_not_start(tmp_path: Path) -> None:
    """SCEN-1.4: All mistakes are named."""
    (tmp_path / "a.json").write_text('{"name": "A", "steps": 3}')

    with pytest.raises(ScriptError) as caught:
        simulator(scenarios_path=str(tmp_path))
    assert len(caught.value.problems) == 2
