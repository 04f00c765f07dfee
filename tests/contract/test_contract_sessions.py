"""Every endpoint that generates text: scripts, sessions, control and the journal."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.asgi import Exchange, Simulator, broken, served, settings_of, simulator
from support.driving import drive
from support.endpoints import ENDPOINTS, Endpoint
from support.gemini_dialect import routed
from support.replies import AGENT, AGENT_CONTENT, ResponseContent, parse_events, parse_response
from websockets.asyncio.client import connect

from llmsim.errors import ScriptError
from llmsim.scripts.files import read_scripts
from llmsim.server.asgi import Application

SLOW = {"ttft_ms": 60_000, "itl_ms": 0}

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class ScriptedWorker:
    """A worker that plays scripts, and its control API."""

    def __init__(self, **tables: Any) -> None:
        self.worker: Simulator = simulator(**tables)
        state = self.worker.application.state
        drive(state.sessions.forget())
        drive(state.journal.clear())
        for info in drive(state.scripts.list_scripts()):
            drive(state.scripts.delete(info.name))
        drive(self.worker.application.publish_scripts())

    async def ask(
        self,
        endpoint: Endpoint,
        *,
        stream: bool = False,
        session: str | None = "s",
        script: str | None = "x",
        **fields: Any,
    ) -> Exchange:
        """Request a turn."""
        body = body_of(endpoint, stream=stream, **fields)
        return await self.worker.ask("POST", endpoint.path, body, headers=control_headers(session, script))

    async def content(self, endpoint: Endpoint, **options: Any) -> ResponseContent:
        """Request a turn; return its content."""
        exchange = await self.ask(endpoint, **options)
        return parse_response(exchange.status, exchange.body)

    async def control(
        self, method: str, path: str, body: Any = b"", *, form: str = "", query: str = ""
    ) -> Exchange:
        """Call the control API."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.worker.ask(
            method, f"/llmsim/{path}", data, headers={"content-type": form}, query=query
        )

    async def load(self, script: Any, name: str = "x") -> None:
        """Load a script."""
        assert (await self.control("PUT", f"scripts/{name}", script)).status in (200, 201)

    async def progress(self, session: str = "s", script: str = "x") -> Any:
        """Return the progress of a session in a script."""
        answer = await self.control("GET", f"sessions/{session}")
        (found,) = [one for one in answer.json["scripts"] if one["script"] == script]
        return found

    async def first_entries(self) -> Any:
        """Wait until a request of the session was planned; return the entries."""
        for _ in range(20_000):
            if entries := await self.journal():
                return entries
            await asyncio.sleep(0.001)
        raise AssertionError("nothing was asked")

    async def journal(self, query: str = "session=s") -> Any:
        """Return the entries of a session."""
        return (await self.control("GET", "requests", query=query)).json["requests"]


def control_headers(session: str | None, script: str | None) -> dict[str, str]:
    """Return the headers that name a session and a script."""
    named = {"x-llmsim-session": session, "x-llmsim-script": script}
    return {name: value for name, value in named.items() if value is not None}


def body_of(endpoint: Endpoint, *, stream: bool = False, **fields: Any) -> bytes:
    """Ask for an answer without a tight limit."""
    limit = "max_output_tokens" if "responses" in endpoint.path else "max_tokens"
    return endpoint.body(**({"model": "gpt-4o", limit: 1000} | ({"stream": True} if stream else {}) | fields))


def text_fields(endpoint: Endpoint, text: str) -> dict[str, Any]:
    """Return the fields of a request with a text."""
    if "responses" in endpoint.path:
        return {"input": text}
    if "prompt" in endpoint.request:
        return {"prompt": text}
    return {"messages": [{"role": "user", "content": text}]}


def counting(turns: int, **more: Any) -> dict[str, Any]:
    """Return a script whose turns have their numbers as texts."""
    return {"turns": [{"type": "assistant", "text": f"{number}"} for number in range(turns)]} | more


class TestPlaying:
    """One script, every API."""

    @STREAMED
    async def test_a_script_plays_the_same_over_every_api(self, converser: Endpoint, stream: bool) -> None:
        """SESS-5.1, SESS-5.2, SESS-2.2: Text, calls, errors and both; an error is one of HTTP, also where a stream was asked for."""
        scripted = ScriptedWorker()
        await scripted.load(AGENT)
        contents = [await scripted.content(converser, stream=stream) for _ in AGENT["turns"]]
        contents += [await scripted.content(converser, stream=stream)]

        assert tuple(contents) == AGENT_CONTENT
        assert (await scripted.progress())["finished"]

    @STREAMED
    async def test_usage_is_reported_as_scripted(self, converser: Endpoint, stream: bool) -> None:
        """SCRIPT-1.4: What was read from a cache, too, which OpenAI's answers otherwise never report."""
        scripted = ScriptedWorker()
        usage = {"prompt_tokens": 1200, "completion_tokens": 22, "cached_tokens": 1024}
        await scripted.load({"turns": [{"type": "assistant", "text": "Hi", "usage": usage}]})
        fields = (
            {"stream_options": {"include_usage": True}} if stream and "completions" in converser.path else {}
        )

        body = (await scripted.ask(converser, stream=stream, **fields)).body.decode()

        assert (
            re.findall(r'"(?:cached_tokens|cache_read_input_tokens|cachedContentTokenCount)":(\d+)', body)[-1]
            == "1024"
        )
        assert "22" in re.findall(r'"(?:completion_tokens|output_tokens|candidatesTokenCount)":(\d+)', body)

    @STREAMED
    async def test_beyond_the_end(self, streamer: Endpoint, stream: bool) -> None:
        """SESS-1.7: 422 with its code in the envelope of the API; the session stays where it is."""
        scripted = ScriptedWorker()
        await scripted.load(counting(1, on_exhausted="error"))
        await scripted.ask(streamer, stream=stream)
        exchange = await scripted.ask(streamer, stream=stream)

        assert exchange.status == 422
        assert exchange.headers["content-type"] == "application/json"
        error = exchange.json["error"]
        assert "is exhausted" in error["message"]
        # Anthropic's errors have no code, and Google's is the status.
        codes = {"anthropic": None, "gemini": 422}
        assert error.get("code") == codes.get(streamer.provider.name, "script_exhausted")
        assert (await scripted.progress())["cursor"] == 1

    @STREAMED
    async def test_what_a_turn_expects(self, converser: Endpoint, stream: bool) -> None:
        """SESS-1.6: A request that does not fit is refused with what was expected and what came, and takes no turn."""
        scripted = ScriptedWorker()
        script = counting(3)
        script["turns"][1]["expect"] = {"contains": "please"}
        await scripted.load(script)
        await scripted.ask(converser, stream=stream)
        for _ in range(2):
            refused = await scripted.ask(converser, stream=stream, **text_fields(converser, "Give me that"))
            assert refused.status == 422
            message = refused.json["error"]["message"]
            assert 'to contain "please"' in message
            assert "Give me that" in message
        contents = [
            await scripted.content(converser, stream=stream, **text_fields(converser, text))
            for text in ("please!", "anything")
        ]

        assert [one.text for one in contents] == ["1", "2"]
        progress = await scripted.progress()
        assert (progress["cursor"], progress["expectations_met"], progress["expectations_failed"]) == (
            3,
            1,
            2,
        )
        assert [failure["cursor"] for failure in progress["failures"]] == [1, 1]
        assert "please" in progress["failures"][0]["unmet"][0]
        assert [entry["outcome"] for entry in await scripted.journal()] == [
            "finished",
            "refused",
            "refused",
            "finished",
            "finished",
        ]
        assert "please" in (await scripted.journal())[1]["refusal"]["unmet"][0]

    async def test_a_default_script_answers_everything(self, streamer: Endpoint, tmp_path: Path) -> None:
        """SESS-2.1: Every request that names no script; without the script it is answered as ever."""
        path = tmp_path / "s.json"
        path.write_text(json.dumps(counting(9)))
        scripted = ScriptedWorker(script_path=str(path))
        contents = [await scripted.content(streamer, session=None, script=None) for _ in range(2)]
        other = await scripted.content(streamer, script=None)
        scripts = (await scripted.control("GET", "scripts")).json["scripts"]
        await scripted.control("DELETE", "scripts/default")
        unscripted = await scripted.content(streamer, session=None, script=None)

        assert [one.text for one in contents] == ["0", "1"]
        assert other.text == "0"
        assert [(one["name"], one["is_default"], one["origin"]) for one in scripts] == [
            ("default", True, str(path))
        ]
        assert len(unscripted.text) > 1

    async def test_what_is_no_answer_takes_no_turn(self, tmp_path: Path) -> None:
        """SESS-2.1, SESS-2.5: Embeddings, counts of tokens, compaction and batches."""
        path = tmp_path / "s.json"
        path.write_text(json.dumps(counting(9)))
        scripted = ScriptedWorker(script_path=str(path))
        messages = [{"role": "user", "content": "Hello"}]
        asked = {
            "/openai/v1/embeddings": {"model": "text-embedding-3-small", "input": "Hello"},
            "/openai/v1/responses/input_tokens": {"model": "gpt-4o", "input": "Hello"},
            "/openai/v1/responses/compact": {"model": "gpt-4o", "input": "Hello"},
            "/anthropic/v1/messages/count_tokens": {"model": "claude-haiku-4-5", "messages": messages},
            "/anthropic/v1/messages/batches": {
                "requests": [
                    {
                        "custom_id": "a",
                        "params": {"model": "claude-haiku-4-5", "messages": messages, "max_tokens": 9},
                    }
                ]
            },
        }
        for path_, request in asked.items():
            exchange = await scripted.worker.post(path_, request)
            assert exchange.status == 200, (path_, exchange.body)

        assert (await scripted.control("GET", "sessions")).json["sessions"] == []

    async def test_scripts_of_a_directory(self, streamer: Endpoint, tmp_path: Path) -> None:
        """SESS-2.2: Chosen by their names; a wrong name is answered with the nearest right one."""
        (tmp_path / "first.json").write_text(json.dumps(counting(2)))
        (tmp_path / "second.toml").write_text('[[turns]]\ntype = "assistant"\ntext = "two"\n')
        scripted = ScriptedWorker(scripts={"dir": str(tmp_path)})
        wrong = await scripted.ask(streamer, script="secnd")

        assert (await scripted.content(streamer, script="first")).text == "0"
        assert (await scripted.content(streamer, script="second")).text == "two"
        assert (await scripted.content(streamer, script="first")).text == "1"
        assert wrong.status == 400
        assert '"second"' in wrong.json["error"]["message"] or "'second'" in wrong.json["error"]["message"]

    @pytest.mark.parametrize("name", ["x" * 201, "a\tb", "a\x85b"])
    @pytest.mark.parametrize("header", ["x-llmsim-session", "x-llmsim-script"])
    async def test_names_that_are_invalid(self, streamer: Endpoint, header: str, name: str) -> None:
        """SESS-2.4: 400, in the envelope of the API."""
        scripted = ScriptedWorker()
        exchange = await scripted.worker.ask("POST", streamer.path, body_of(streamer), headers={header: name})

        assert exchange.status == 400
        assert header in exchange.json["error"]["message"]

    async def test_names_are_utf_8(self, streamer: Endpoint) -> None:
        """SESS-1.2: A session is found under the name that it was given, whatever language that is of."""
        scripted = ScriptedWorker()
        await scripted.load(counting(9))
        name = "tést/名[a-1]"
        await scripted.ask(streamer, session=name)

        assert (await scripted.progress(name))["cursor"] == 1


class TestSessions:
    """The progress of sessions."""

    @STREAMED
    async def test_requests_at_once_get_each_turn_once(self, streamer: Endpoint, stream: bool) -> None:
        """SESS-1.1: No turn twice, no turn skipped."""
        scripted = ScriptedWorker(latency={"profile": "instant", "ttft_mean_ms": 2, "ttft_stddev_ms": 1})
        await scripted.load(counting(40))
        contents = await asyncio.gather(*(scripted.content(streamer, stream=stream) for _ in range(40)))

        assert sorted(int(one.text) for one in contents) == list(range(40))
        progress = await scripted.progress()
        assert (progress["cursor"], progress["turns_played"], progress["finished"]) == (40, 40, True)

    async def test_sessions_do_not_disturb_each_other(self, streamer: Endpoint) -> None:
        """SESS-1.2: By the header, `global` without it, with a place in each script."""
        scripted = ScriptedWorker()
        await scripted.load(counting(9))
        await scripted.load(counting(9), "y")
        order = [("a", "x"), ("b", "x"), ("a", "x"), (None, "x"), ("a", "y"), ("global", "x"), ("a", "x")]
        contents = [
            await scripted.content(streamer, session=session, script=script) for session, script in order
        ]

        assert [one.text for one in contents] == ["0", "0", "1", "0", "0", "1", "2"]

    @STREAMED
    async def test_a_bug_gives_the_turn_back(self, streamer: Endpoint, stream: bool) -> None:
        """SESS-1.3: Wherever the server fails, the next request gets the turn; it counts once."""
        scripted = ScriptedWorker()
        await scripted.load(counting(9))
        state, planner = scripted.worker.application.state, scripted.worker.planner
        generation = streamer.generation
        render = (generation.http, "render_stream") if stream else (generation, "render_response")
        await scripted.content(streamer, stream=stream)
        for owner, name in (
            render,
            (planner, "play"),
            (state.journal, "append"),
        ):
            with broken(owner, name, ZeroDivisionError()):
                exchange = await scripted.ask(streamer, stream=stream)
            assert exchange.status == 500

        assert (await scripted.content(streamer, stream=stream)).text == "1"
        assert (await scripted.content(streamer, stream=stream)).text == "2"
        progress = await scripted.progress()
        assert (progress["cursor"], progress["turns_played"]) == (3, 3)

    @STREAMED
    async def test_who_hangs_up_has_had_its_turn(self, streamer: Endpoint, stream: bool) -> None:
        """SESS-1.3: It goes to no other request."""
        scripted = ScriptedWorker()
        script = counting(3)
        script["turns"][0]["latency"] = SLOW
        await scripted.load(script)
        call, exchange = scripted.worker.begin(
            "POST", streamer.path, [body_of(streamer, stream=stream)], headers=control_headers("s", "x")
        )
        under_way = await scripted.first_entries()
        exchange.hung_up.set()
        await asyncio.wait_for(call, 20)

        assert (await scripted.content(streamer, stream=stream)).text == "1"
        assert [entry["outcome"] for entry in under_way] == [None]
        assert [entry["outcome"] for entry in await scripted.journal()] == ["abandoned", "finished"]

    async def test_a_drain_gives_the_turn_back(self, streamer: Endpoint) -> None:
        """SESS-1.3: What a worker gives up when it has to go is played for the next request."""
        scripted = ScriptedWorker()
        script = counting(2)
        script["turns"][0]["latency"] = SLOW
        await scripted.load(script)
        call, _ = scripted.worker.begin(
            "POST", streamer.path, [body_of(streamer, stream=True)], headers=control_headers("s", "x")
        )
        await scripted.first_entries()
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call

        state = scripted.worker.application.state
        version = await state.scripts.version("x")
        assert version is not None
        assert await state.sessions.next_turn("s", "x", version) == 0
        assert (await scripted.progress())["turns_played"] == 0
        assert (await scripted.journal())[0]["outcome"] == "aborted"

    @pytest.mark.parametrize(
        ("method", "path"), [("POST", "sessions/a/reset"), ("DELETE", "sessions/a"), ("POST", "reset")]
    )
    async def test_a_session_begins_anew(self, streamer: Endpoint, method: str, path: str) -> None:
        """SESS-1.4, SESS-3.4: With an empty journal, by any worker; others only if all are meant."""
        scripted = ScriptedWorker()
        await scripted.load(counting(9))
        for session in ("a", "a", "b"):
            await scripted.ask(streamer, session=session)
        reset = await scripted.control(method, path)
        contents = [await scripted.content(streamer, session=session) for session in ("a", "b")]

        everything = path == "reset"
        assert reset.status == 200
        assert reset.json == {"sessions_reset": 1 + everything, "requests_forgotten": 2 + everything} | (
            {} if everything else {"session": "a"}
        )
        assert [one.text for one in contents] == ["0", "0" if everything else "1"]
        assert len(await scripted.journal("session=a")) == 1
        assert len(await scripted.journal("session=b")) == (1 if everything else 2)


class TestControl:
    """The control API."""

    FORMS = {
        "application/json": json.dumps(counting(2)).encode(),
        "application/toml": b'[[turns]]\ntype = "assistant"\ntext = "0"\n\n[[turns]]\ntype = "assistant"\ntext = "1"\n',
        "application/yaml": b"turns:\n- { type: assistant, text: '0' }\n- { type: assistant, text: '1' }\n",
    }

    @pytest.mark.parametrize("form", FORMS)
    async def test_scripts_come_and_go(self, streamer: Endpoint, form: str) -> None:
        """SESS-3.1: Loaded in any form, listed, shown, deleted."""
        scripted = ScriptedWorker()
        put = await scripted.control("PUT", "scripts/a/b", self.FORMS[form], form=form)
        contents = [await scripted.content(streamer, script="a/b") for _ in range(2)]
        listed = (await scripted.control("GET", "scripts")).json["scripts"]
        shown = await scripted.control("GET", "scripts/a/b")
        gone = [await scripted.control("DELETE", "scripts/a/b") for _ in range(2)]

        assert put.status == 201
        assert put.json == {
            "name": "a/b",
            "description": "",
            "turns": 2,
            "length": 2,
            "on_exhausted": "repeat_last",
            "is_default": False,
            "origin": "uploaded",
            "form": form.partition("/")[2],
        }
        assert listed == [put.json]
        assert shown.json == put.json | {"source": self.FORMS[form].decode()}
        assert [one.text for one in contents] == ["0", "1"]
        assert [(one.status, one.json.get("deleted")) for one in gone] == [(200, True), (404, None)]
        assert (await scripted.ask(streamer, script="a/b")).status == 400
        assert (await scripted.control("GET", "scripts/a/b")).status == 404

    async def test_what_is_sent_anew_begins_anew(self, streamer: Endpoint) -> None:
        """SESS-3.2: From its first turn, also where a turn of the former is under way."""
        scripted = ScriptedWorker()
        await scripted.load(counting(9))
        for _ in range(3):
            await scripted.ask(streamer)
        anew = counting(2)
        anew["turns"][0]["text"] = "new"
        put = await scripted.control("PUT", "scripts/x", anew)

        assert put.status == 200
        assert (await scripted.content(streamer)).text == "new"

    async def test_a_worker_with_the_former_in_hand_reads_again(
        self, streamer: Endpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """SESS-3.2: A script that is replaced between looking it up and playing it is not played any more."""
        scripted = ScriptedWorker()
        await scripted.load(counting(9))
        await scripted.ask(streamer)
        state = scripted.worker.application.state
        lease_turn = state.sessions.lease_turn
        calls = []

        async def replaced(session: str, script: str, *arguments: Any, met: bool | None) -> Any:
            calls.append(arguments)
            if len(calls) == 1:
                found = await state.scripts.script("x")
                assert found is not None
                await state.scripts.put("x", b"{}", "json", found[1])
                version = await state.scripts.version("x")
                assert version is not None
                assert await lease_turn("s", "x", version, 0, met=None) is not None
            return await lease_turn(session, script, *arguments, met=met)

        monkeypatch.setattr(state.sessions, "lease_turn", replaced)

        assert (await scripted.content(streamer)).text == "1"
        assert len(calls) == 2

    async def test_a_bad_script_changes_nothing(self, streamer: Endpoint) -> None:
        """SESS-3.3: Refused with all that is wrong; the one of that name plays on."""
        scripted = ScriptedWorker()
        await scripted.load(counting(9))
        await scripted.ask(streamer)
        bad = {"turns": [{"type": "assistnt"}, {"type": "assistant", "txt": "x"}], "on_exhausted": "?"}
        refusals = [
            await scripted.control("PUT", "scripts/x", bad),
            await scripted.control("PUT", "scripts/x", b"{"),
            await scripted.control("PUT", "scripts/x", b"x", form="image/png"),
            await scripted.control("PUT", "scripts/" + "x" * 201, counting(1)),
        ]

        assert [one.status for one in refusals] == [400, 400, 415, 400]
        assert len(refusals[0].json["error"]["problems"]) >= 3
        assert all(
            problem in refusals[0].json["error"]["message"]
            for problem in refusals[0].json["error"]["problems"]
        )
        assert [one["name"] for one in (await scripted.control("GET", "scripts")).json["scripts"]] == ["x"]
        assert (await scripted.content(streamer)).text == "1"

    async def test_too_large_a_script(self) -> None:
        """SESS-3.3: Refused with 413."""
        scripted = ScriptedWorker(server={"max_body_bytes": 2000})

        assert (await scripted.control("PUT", "scripts/x", counting(500))).status == 413
        assert (await scripted.control("GET", "scripts")).json == {"scripts": []}

    async def test_sessions_are_listed(self, streamer: Endpoint) -> None:
        """SESS-3.4: Those that were used last first, a number of them; one with its failures."""
        scripted = ScriptedWorker()
        await scripted.load(counting(2))
        for session in ("a", "b", "t/e::s[t] ü", "a", "a"):
            assert (await scripted.ask(streamer, session=session)).status == 200
        page = (await scripted.control("GET", "sessions", query="limit=2")).json
        everything = (await scripted.control("GET", "sessions")).json
        shown = (await scripted.control("GET", "sessions/a")).json

        assert [one["session"] for one in everything["sessions"]] == ["a", "t/e::s[t] ü", "b"]
        assert (page["sessions"], page["has_more"]) == (everything["sessions"][:2], True)
        assert not everything["has_more"]
        first = everything["sessions"][0]
        assert {**first, "begun_at": 0, "used_at": 0} == {
            "session": "a",
            "script": "x",
            "cursor": 3,
            "length": 2,
            "finished": True,
            "turns_played": 3,
            "expectations_met": 0,
            "expectations_failed": 0,
            "begun_at": 0,
            "used_at": 0,
        }
        assert shown == {"session": "a", "scripts": [first | {"failures": []}]}
        assert (await scripted.progress("t/e::s[t] ü"))["cursor"] == 1
        assert (await scripted.control("POST", "sessions/t/e::s[t] ü/reset")).json["sessions_reset"] == 1
        assert (await scripted.control("GET", "sessions/never")).status == 404
        assert (await scripted.control("POST", "sessions/a")).status == 405
        assert (await scripted.control("GET", "sessions", query="limit=x")).status == 400

    @pytest.mark.parametrize("path", ["requests", "sessions"])
    async def test_an_unknown_parameter_is_refused(self, path: str) -> None:
        """SESS-4.1: A name that is misspelt is answered with the right one, and with no requests."""
        answer = await ScriptedWorker().control("GET", path, query="limt=3")

        assert answer.status == 400
        assert answer.json["error"]["problems"] == ["limt: unknown parameter; did you mean 'limit'?"]

    async def test_what_is_not_served_says_what_is(self) -> None:
        """SESS-3.1: Another method is answered with the right ones, another path with those there are; a closed one is not named."""
        scripted, closed = ScriptedWorker(), ScriptedWorker(admin={"enabled": False})

        method = await scripted.control("POST", "scripts/x", counting(1))
        path = await scripted.control("GET", "script/x")
        behind = await scripted.control("GET", "reset/x")
        hidden = await closed.control("GET", "script/x")

        assert method.status == 405
        (problem,) = method.json["error"]["problems"]
        assert problem.startswith("405 Method Not Allowed: POST /llmsim/scripts/x. Allowed: ")
        assert "PUT" in problem
        assert path.status == behind.status == hidden.status == 404
        assert len(behind.json["error"]["problems"]) == 1
        assert "/llmsim/scripts" in path.json["error"]["message"]
        assert "/llmsim/scripts" not in hidden.json["error"]["message"].partition("serves")[2]

    async def test_it_can_be_closed(self, streamer: Endpoint) -> None:
        """SESS-3.5: No path of it is served, and nothing written down; scripts of files play."""
        scripted = ScriptedWorker(admin={"enabled": False})
        asked = [
            ("GET", "scripts"),
            ("PUT", "scripts/x"),
            ("DELETE", "scripts/x"),
            ("GET", "sessions"),
            ("GET", "sessions/s"),
            ("POST", "sessions/s/reset"),
            ("GET", "requests"),
            ("POST", "reset"),
        ]
        await scripted.ask(streamer, script=None)

        assert {(await scripted.control(*one)).status for one in asked} == {404}
        assert await scripted.worker.application.state.journal.read() == ([], False)


class TestJournal:
    """What was requested and answered."""

    @STREAMED
    async def test_entries_say_the_same_for_every_api(self, streamer: Endpoint, stream: bool) -> None:
        """SESS-4.4, SESS-4.1: Session, script, turn, request as sent, and what was answered, in one format for all APIs."""
        scripted = ScriptedWorker()
        await scripted.load(AGENT)
        for _ in range(8):
            await scripted.ask(streamer, stream=stream)
        entries = await scripted.journal()
        first, called, failed, refused = (entries[number] for number in (0, 2, 3, 7))

        assert [entry["turn"] for entry in entries] == [0, 0, 1, 2, 3, 4, 5, None]
        assert [entry["cursor"] for entry in entries] == [0, 1, 2, 3, 4, 5, 6, None]
        assert [entry["number"] for entry in entries] == sorted(entry["number"] for entry in entries)
        assert {entry["endpoint"] for entry in entries} == {streamer.generation.label}
        assert {(entry["session"], entry["script"]) for entry in entries} == {("s", "x")}
        sent = json.loads(routed(streamer.path, body_of(streamer, stream=stream)).body)
        assert all(entry["request"] == sent for entry in entries)
        assert [entry["outcome"] for entry in entries] == [
            "finished",
            "finished",
            "finished",
            "rate_limit",
            "finished",
            "invalid_request",
            "finished",
            "refused",
        ]
        assert all(entry["seconds"] >= 0 for entry in entries)
        assert first["answer"]["choices"][0] == {
            "text": "Let me look.",
            "reasoning": None,
            "refusal": None,
            "calls": [],
            "finish_reason": "stop",
        }
        assert called["answer"]["choices"][0]["calls"] == [
            {"id": "llmsim_1_0", "name": "bash", "arguments": '{"command":"ls -l"}'},
            {"id": "llmsim_1_1", "name": "look", "arguments": "{}"},
        ]
        assert first["answer"]["usage"]["completion_tokens"] == 4
        assert failed["fault"] == {"kind": "rate_limit", "message": "Slower", "status": None}
        assert "no turn left" in refused["refusal"]["message"] or "exhausted" in refused["refusal"]["message"]

    @STREAMED
    async def test_what_breaks_is_written(self, streamer: Endpoint, stream: bool) -> None:
        """SESS-4.4: An answer is written whole, with where it broke off, and how."""
        scripted = ScriptedWorker()
        answer = {"type": "assistant", "text": "one two three four"}
        faults = [{"kind": "disconnect"}, {"kind": "error", "error": "rate_limit"}]
        turns = [answer | {"stream_fault": fault | {"after_tokens": 2}} for fault in faults]
        await scripted.load({"turns": [*turns, answer]})
        with contextlib.suppress(ConnectionError):
            await scripted.ask(streamer, stream=stream)
        for _ in range(2):
            await scripted.ask(streamer, stream=stream)

        entries = await scripted.journal()

        assert [entry["answer"]["choices"][0]["text"] for entry in entries] == ["one two three four"] * 3
        assert [entry["answer"].get("breaks") for entry in entries] == [
            {"after_tokens": 2, "kind": "disconnect"},
            {"after_tokens": 2, "kind": "rate_limit"},
            None,
        ]
        assert [entry["outcome"] for entry in entries] == ["server_error", "rate_limit", "finished"]

    async def test_pages(self, streamer: Endpoint) -> None:
        """SESS-4.1: From the one after another, so many of them; of one session, or of all."""
        scripted = ScriptedWorker()
        await scripted.load(counting(9))
        for number in range(5):
            await scripted.ask(streamer, session="ab"[number % 2])
        page = (await scripted.control("GET", "requests", query="limit=3")).json
        rest = (
            await scripted.control("GET", "requests", query=f"after={page['requests'][-1]['number']}")
        ).json

        assert ([entry["session"] for entry in page["requests"]], page["has_more"]) == (["a", "b", "a"], True)
        assert ([entry["session"] for entry in rest["requests"]], rest["has_more"]) == (["b", "a"], False)
        assert len(await scripted.journal("session=b")) == 2
        last = (await scripted.control("GET", "requests", query="last=2")).json
        assert (last["requests"], last["has_more"]) == (rest["requests"], True)
        assert (await scripted.control("GET", "requests", query="after=-1")).status == 400

    @STREAMED
    async def test_refusals_are_written(self, streamer: Endpoint, stream: bool) -> None:
        """SESS-4.4, SESS-4.2: What could not be read, too."""
        scripted = ScriptedWorker()
        wrong = await scripted.ask(streamer, script=None, stream=stream, temperature="hot")
        (entry,) = await scripted.journal()

        assert wrong.status in (400, 422)
        assert (entry["outcome"], entry["turn"], entry["script"]) == ("refused", None, None)
        assert "temperature" in entry["refusal"]["message"]
        assert '"temperature": "hot"' in json.dumps(entry["request"])

    @pytest.mark.parametrize(
        "body",
        [
            b'{"a": 123456789012345678901234567890, "b": 1e400}',
            b'{"a": "\\ud800"}',
            b"[" * 5000,
            b"\xff\xfe{",
            b'{"a": NaN}',
        ],
    )
    async def test_whatever_is_sent_can_be_written(self, streamer: Endpoint, body: bytes) -> None:
        """SESS-4.4: Numbers of any size, halves of characters, depth without end: the journal can be read."""
        scripted = ScriptedWorker()
        sent = await scripted.worker.ask("POST", streamer.path, body, headers=control_headers("s", None))
        (entry,) = await scripted.journal()

        assert 400 <= sent.status < 500
        assert entry["outcome"] == "refused"
        assert entry["request"]

    async def test_large_requests_are_cut(self, converser: Endpoint) -> None:
        """SESS-4.3: An entry is bounded, whatever was asked and answered."""
        scripted = ScriptedWorker()
        await scripted.load({"turns": [{"type": "assistant", "text": "word " * 100_000}]})
        asked = await scripted.ask(
            converser, model="acme-1", **text_fields(converser, "x " * 100_000), **_limit(converser, 200_000)
        )
        (entry,) = await scripted.journal()

        assert asked.status == 200
        assert set(entry["request"]) == {"bytes", "begins"}
        assert entry["request"]["bytes"] > 200_000
        assert len(json.dumps(entry)) < 100_000

    async def test_the_largest_request_that_is_written_whole(self, streamer: Endpoint) -> None:
        """SESS-4.6: It is a setting: what a coding agent sent can be read."""
        scripted = ScriptedWorker(admin={"journal_request_bytes": 200_000})

        for padding in (100_000, 200_000):
            await scripted.ask(streamer, script=None, **text_fields(streamer, "x" * padding))

        whole, cut = (entry["request"] for entry in await scripted.journal())
        assert "x" * 100_000 in str(whole)
        assert cut["bytes"] > 200_000

    @pytest.mark.parametrize(
        ("journal", "sessions"),
        [("sessions", ["named", "scripted"]), ("all", ["named", None, "scripted"]), ("off", [])],
    )
    async def test_whose_requests_are_written(
        self, streamer: Endpoint, journal: str, sessions: list[str | None]
    ) -> None:
        """SESS-4.5: Of sessions and scripts, all, or none."""
        scripted = ScriptedWorker(admin={"journal": journal})
        await scripted.load(counting(2))
        await scripted.ask(streamer, session="named", script=None)
        await scripted.ask(streamer, session=None, script=None)
        await scripted.ask(streamer, session="scripted")

        assert [entry["session"] for entry in await scripted.journal("")] == sessions


def _limit(endpoint: Endpoint, tokens: int) -> dict[str, int]:
    return {"max_output_tokens" if "responses" in endpoint.path else "max_tokens": tokens}


class TestKeptTurns:
    """Turns that others continue."""

    @pytest.fixture
    def responses(self) -> Endpoint:
        """Return the endpoint whose turns are chained."""
        return next(Endpoint(*one) for one in ENDPOINTS if one[1].path == "/v1/responses")

    async def test_a_chain_plays_turn_by_turn(self, responses: Endpoint) -> None:
        """SESS-5.1: A response that continues another gets the next turn; one that continues none that is kept takes none."""
        scripted = ScriptedWorker()
        await scripted.load(counting(9))
        first = (await scripted.ask(responses)).json
        lost = await scripted.ask(responses, previous_response_id="resp_none")
        second = (await scripted.ask(responses, previous_response_id=first["id"])).json

        assert lost.status == 400 or lost.status == 404
        assert [one["output"][0]["content"][0]["text"] for one in (first, second)] == ["0", "1"]
        assert second["previous_response_id"] == first["id"]

    async def test_a_background_response_has_its_turn(self, responses: Endpoint) -> None:
        """SESS-5.1: It is played once, and looked up as often as one likes."""
        scripted = ScriptedWorker()
        await scripted.load(counting(9))
        begun = await scripted.ask(responses, background=True)
        for _ in range(2):
            found = await scripted.worker.ask("GET", f"{responses.path}/{begun.json['id']}")
            assert found.json["output"][0]["content"][0]["text"] == "0"

        progress = await scripted.progress()
        assert (progress["cursor"], progress["turns_played"]) == (1, 1)
        assert (await scripted.content(responses)).text == "1"


@pytest.fixture(
    params=[one for one in ENDPOINTS if one[1].websocket is not None], ids=lambda one: one[1].label
)
def websocket_endpoint(request: pytest.FixtureRequest) -> Endpoint:
    """Return each endpoint that speaks over WebSocket."""
    return Endpoint(*request.param)


@contextlib.asynccontextmanager
async def open_websocket(scripted: ScriptedWorker, endpoint: Endpoint, **headers: str) -> AsyncIterator[Any]:
    """Open a connection."""
    async with (
        served(scripted.worker) as port,
        connect(f"ws://127.0.0.1:{port}{endpoint.path}", additional_headers=headers) as opened,
    ):
        yield opened


async def request_turn(opened: Any, **fields: Any) -> ResponseContent:
    """Request a turn; return its content."""
    request = {"type": "response.create", "model": "gpt-4o", "input": "Hello"}
    await opened.send(json.dumps(request | fields))
    events: list[Any] = []
    while not events or events[-1]["type"] not in ("response.completed", "error"):
        events.append(json.loads(await asyncio.wait_for(opened.recv(), 20)))
    return parse_events(events)


class TestSockets:
    """Scripts over WebSocket."""

    async def test_a_script_plays_the_same(self, websocket_endpoint: Endpoint) -> None:
        """SESS-5.1: All turns on one connection, whose headers name its session."""
        scripted = ScriptedWorker()
        await scripted.load(AGENT)
        async with open_websocket(scripted, websocket_endpoint, **control_headers("s", "x")) as opened:
            contents = [await request_turn(opened) for _ in AGENT_CONTENT]
            beyond = await request_turn(opened)

        assert [one[1:] for one in contents] == [one[1:] for one in AGENT_CONTENT]
        assert "x" in beyond.text
        assert (await scripted.progress())["turns_played"] == len(AGENT_CONTENT)
        outcomes = [entry["outcome"] for entry in await scripted.journal()]
        assert outcomes == [
            *["finished"] * 3,
            "rate_limit",
            "finished",
            "invalid_request",
            "finished",
            "refused",
        ]

    async def test_what_a_turn_expects(self, websocket_endpoint: Endpoint) -> None:
        """SESS-1.6, SESS-2.5: Refused with an event; the turn waits, and neither a warm-up nor a mistake takes it."""
        scripted = ScriptedWorker()
        script = counting(2)
        script["turns"][0]["expect"] = {"contains": "please"}
        await scripted.load(script)
        async with open_websocket(scripted, websocket_endpoint, **control_headers("s", "x")) as opened:
            refused = await request_turn(opened)
            mistaken = await request_turn(opened, temperature="hot")
            await request_turn(opened, generate=False)
            played = await request_turn(opened, input="please")

        assert "please" in refused.text
        assert "temperature" in mistaken.text
        assert played.text == "0"
        assert [entry["outcome"] for entry in await scripted.journal()] == ["refused", "refused", "finished"]

    async def test_who_hangs_up_has_had_its_turn(self, websocket_endpoint: Endpoint) -> None:
        """SESS-1.3: As over HTTP."""
        scripted = ScriptedWorker()
        script = counting(2)
        script["turns"][0]["latency"] = SLOW
        await scripted.load(script)
        async with open_websocket(scripted, websocket_endpoint, **control_headers("s", "x")) as opened:
            await opened.send(json.dumps({"type": "response.create", "model": "gpt-4o", "input": "Hello"}))
            await scripted.first_entries()
        async with open_websocket(scripted, websocket_endpoint, **control_headers("s", "x")) as opened:
            assert (await request_turn(opened)).text == "1"

        assert [entry["outcome"] for entry in await scripted.journal()] == ["abandoned", "finished"]

    async def test_names_that_are_invalid(self, websocket_endpoint: Endpoint) -> None:
        """SESS-2.4: An error event, and the end."""
        scripted = ScriptedWorker()
        async with open_websocket(scripted, websocket_endpoint, **{"x-llmsim-session": "x" * 201}) as opened:
            event = json.loads(await opened.recv())

        assert "x-llmsim-session" in event["error"]["message"]


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    (tmp_path / "a.json").write_text('{"turns": [{"type": "assistnt"}, {"type": "assistant"}]}')
    (tmp_path / "b.yaml").write_text("turns: []\n")
    (tmp_path / "c.toml").write_text('[[turns]]\ntype = "assistant"\ntext = "fine"\n')
    return tmp_path


def test_broken_scripts_are_reported_at_once(bad: Path) -> None:
    """SESS-2.3: All mistakes of all of them, before anything is served."""
    with pytest.raises(ScriptError) as caught:
        Application(
            settings_of(scripts={"dir": str(bad)}, script_path=str(bad / "none.json"), generator="lorem")
        )

    problems = "\n".join(caught.value.problems)
    for part in ("a.json", "turns[0].type", "turns[1]", "b.yaml", "none.json"):
        assert part in problems
    assert "c.toml" not in problems


def test_the_mistakes_of_a_file_are_reported_once(tmp_path: Path) -> None:
    """SESS-2.3: Also where the server's own script is one of the directory."""
    own = tmp_path / "own.json"
    own.write_text('{"turns": [{"type": "assistnt"}]}')

    with pytest.raises(ScriptError) as caught:
        read_scripts(tmp_path, own, ())

    assert len(caught.value.problems) == 1
