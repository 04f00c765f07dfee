"""Every endpoint that generates text: scripts among the side requests of agents."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.asgi import Simulator, simulator
from support.driving import drive
from support.endpoints import Endpoint
from support.replies import ResponseContent, parse_response

LS = {"type": "tool_calls", "calls": [{"name": "bash", "arguments": {"command": "ls"}}]}
DONE = {"type": "assistant", "text": "There is one file."}
HEADERS = {"x-llmsim-session": "s", "x-llmsim-script": "x"}

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def tools(endpoint: Endpoint) -> dict[str, Any]:
    """Return the field that offers the tool `bash`."""
    schema = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
    function = {"name": "bash", "parameters": schema}
    if "messages" in endpoint.path:
        return {"tools": [{"name": "bash", "input_schema": schema}]}
    if "responses" in endpoint.path:
        return {"tools": [{"type": "function"} | function]}
    return {"tools": [{"type": "function", "function": function}]}


class Worker:
    """A worker that plays one script."""

    def __init__(self, endpoint: Endpoint, **script: Any) -> None:
        self.endpoint = endpoint
        self.worker: Simulator = simulator()
        state = self.worker.application.state
        drive(state.sessions.forget())
        drive(state.journal.clear())
        self.script = {"on_exhausted": "error"} | script

    async def load(self) -> None:
        """Load the script."""
        loaded = await self.worker.ask("PUT", "/llmsim/scripts/x", json.dumps(self.script).encode())
        assert loaded.status in (200, 201), loaded.body

    async def ask(self, *, stream: bool = False, **fields: Any) -> ResponseContent:
        """Send a request of the session."""
        body = self.endpoint.body(**({"model": "gpt-4o"} | ({"stream": True} if stream else {}) | fields))
        exchange = await self.worker.ask("POST", self.endpoint.path, body, headers=HEADERS)
        return parse_response(exchange.status, exchange.body)

    async def progress(self) -> Any:
        """Return the progress of the session; None if it has not begun."""
        answer = await self.worker.ask("GET", "/llmsim/sessions/s")
        scripts = answer.json.get("scripts")
        return scripts[0] if scripts else None

    async def turns(self) -> list[int | None]:
        """Return the turn that each request of the journal played."""
        answer = await self.worker.ask("GET", "/llmsim/requests", query="session=s")
        return [one["turn"] for one in answer.json["requests"]]


@STREAMED
@pytest.mark.parametrize("place", ["script", "turns"])
async def test_a_side_request_takes_no_turn(converser: Endpoint, stream: bool, place: str) -> None:
    """SCRIPT-8.1, SCRIPT-8.2: A title without tools is generated, counts nowhere, and the conversation gets its turns."""
    when = {"when": {"tools_offered": True}}
    script = {"turns": [LS, DONE]} | when if place == "script" else {"turns": [LS | when, DONE | when]}
    worker = Worker(converser, **script)
    await worker.load()

    title = await worker.ask(stream=stream)
    assert await worker.progress() is None
    offered = tools(converser)
    contents = [await worker.ask(stream=stream, **more) for more in (offered, {}, offered)]

    assert title.status == 200
    assert title.text not in ("", DONE["text"])
    assert contents[0].calls == (("bash", {"command": "ls"}),)
    assert contents[1].calls == ()
    assert contents[2].text == DONE["text"]
    progress = await worker.progress()
    assert (progress["turns_played"], progress["expectations_failed"], progress["finished"]) == (2, 0, True)
    assert await worker.turns() == [None, 0, None, 1]


async def test_only_the_next_turn_is_asked(streamer: Endpoint) -> None:
    """SCRIPT-8.3: A request that fits a later turn is generated, and takes none."""
    worker = Worker(
        streamer, turns=[LS | {"when": {"tools_offered": True}}, DONE | {"when": {"model": "gpt-4o*"}}]
    )
    await worker.load()

    content = await worker.ask()

    assert content.text != DONE["text"]
    assert await worker.progress() is None


async def test_a_turn_expects_of_the_requests_that_it_is_for(converser: Endpoint) -> None:
    """SCRIPT-8.2: Expectations fail for requests of the conversation alone."""
    turn = DONE | {"when": {"tools_offered": True}, "expect": {"contains": "never said"}}
    worker = Worker(converser, turns=[turn])
    await worker.load()

    statuses = [(await worker.ask(**more)).status for more in ({}, tools(converser))]

    assert statuses == [200, 422]
    assert (await worker.progress())["expectations_failed"] == 1


async def test_an_exhausted_script_answers_side_requests(converser: Endpoint) -> None:
    """SCRIPT-8.4: What the script is not for is generated after its end, too."""
    worker = Worker(converser, turns=[DONE], when={"tools_offered": True})
    await worker.load()
    await worker.ask(**tools(converser))

    statuses = [(await worker.ask(**more)).status for more in ({}, tools(converser))]

    assert statuses == [200, 422]


async def test_the_documented_script_is_for_the_conversation(converser: Endpoint) -> None:
    """SCRIPT-8.1: The example of the documentation can be loaded."""
    text = (Path(__file__).parents[2] / "docs" / "scripted-mode.md").read_text(encoding="utf-8")
    example = text.partition("## Side requests")[2].partition("```json")[2].partition("```")[0]
    worker = Worker(converser, **json.loads(example))
    await worker.load()

    assert (await worker.ask()).status == 200
    assert (await worker.ask(**tools(converser))).calls == (("bash", {"command": "ls"}),)
