"""`llmsim.testing.Simulator`: scripts, sessions and assertions, with the SDKs that tests use."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from anthropic import Anthropic
from openai import OpenAI, UnprocessableEntityError

from llmsim.testing import ControlError, Exchange, Session, Simulator, call, calls, fail, say

Client = Callable[[Session | Simulator], Callable[[str], str]]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(scripts={"greeting": [say("Good day")]}, workers=2) as running:
        yield running


@pytest.fixture(autouse=True)
def _anew(request: pytest.FixtureRequest) -> None:
    """Reset the server, so that each test finds it as the first one does."""
    if "simulator" in request.fixturenames:
        request.getfixturevalue("simulator").reset()


def headers(place: Session | Simulator) -> dict[str, str]:
    return place.headers if isinstance(place, Session) else {}


def openai(place: Session | Simulator, retries: int = 2) -> OpenAI:
    return OpenAI(
        base_url=place.openai_base_url, api_key="any", default_headers=headers(place), max_retries=retries
    )


def chat(place: Session | Simulator) -> Callable[[str], str]:
    def ask(text: str) -> str:
        with openai(place) as client:
            messages = [{"role": "user", "content": text}]
            answer = client.chat.completions.create(model="gpt-4o", messages=messages)  # type: ignore[arg-type]
        return answer.choices[0].message.content or ""

    return ask


def respond(place: Session | Simulator) -> Callable[[str], str]:
    def ask(text: str) -> str:
        with openai(place) as client:
            return client.responses.create(model="gpt-4o", input=text).output_text

    return ask


def message(place: Session | Simulator) -> Callable[[str], str]:
    def ask(text: str) -> str:
        with Anthropic(
            base_url=place.anthropic_base_url, api_key="any", default_headers=headers(place)
        ) as client:
            answer = client.messages.create(
                model="claude-opus-4-8", max_tokens=100, messages=[{"role": "user", "content": text}]
            )
        return "".join(block.text for block in answer.content if block.type == "text")

    return ask


every_api = pytest.mark.parametrize("client", [chat, respond, message])


@every_api
def test_a_script_through_an_sdk(simulator: Simulator, client: Client) -> None:
    """TEST-3.1, TEST-4.1: A call, a failure that the SDK sends again, the end; and what was asked, alike for every API."""
    session = simulator.session(
        [
            calls(call("bash", command="ls"), {"name": "now", "id": "call_7"}, text="Let me see."),
            fail("rate_limit", retry_after_ms=1),
            say("Done.", expect={"contains": "go on"}),
        ]
    )
    ask = client(session)

    assert [ask("go"), ask("go on")] == ["Let me see.", "Done."]
    session.assert_finished()
    first, second, third = session.requests
    assert [one.turn for one in (first, second, third)] == [0, 1, 2]
    assert [one.outcome for one in (first, second)] == ["finished", "rate_limit"]
    assert [(one["name"], json.loads(one["arguments"])) for one in first.calls] == [
        ("bash", {"command": "ls"}),
        ("now", {}),
    ]
    assert (first.text, third.text, second.text, second.calls) == ("Let me see.", "Done.", None, [])
    assert second.error is not None
    assert second.error["kind"] == "rate_limit"
    assert {one.session for one in session.requests} == {session.name}
    assert "go on" in json.dumps(third.request)
    assert str(second).endswith('"go on" -> turn 1: rate_limit')


def test_sessions_at_once_do_not_disturb_each_other(simulator: Simulator) -> None:
    """TEST-3.1: Sessions that are played from several threads, over several APIs, each get their own turns in order."""

    def play(number: int) -> None:
        texts = [f"{number}.{turn}" for turn in range(4)]
        session = simulator.session([say(text) for text in texts])
        ask = (chat, respond, message)[number % 3](session)
        assert [ask("go") for _ in texts] == texts
        session.assert_finished()
        assert [one.text for one in session.requests] == texts

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(play, range(9)))

    assert len(simulator.requests) == 36


def test_the_server_s_own_script_for_clients_without_headers(simulator: Simulator) -> None:
    """TEST-2.4: A simulator that was started without a script plays what it is given, and then something else."""
    generated = chat(simulator)("go")
    simulator.play([say("One"), say("Two")])
    first = chat(simulator)("go")
    simulator.play(say("Three"))
    again = message(simulator)("go")

    assert generated != "One"
    assert (first, again) == ("One", "Three")
    simulator.assert_finished()
    assert [one.text for one in simulator.requests] == ["Three"]


def test_env_leads_sdks_to_the_simulator(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """TEST-3.3: SDKs that are given nothing ask the simulator, proxy or not; Anthropic's asks in the session."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "example.com")
    simulator.play(say("The server's"))
    session = simulator.session([say("The session's")])
    for name, value in session.env.items():
        monkeypatch.setenv(name, value)

    with OpenAI() as theirs, Anthropic() as ours:
        received = theirs.responses.create(model="gpt-4o", input="go").output_text
        answer = ours.messages.create(
            model="claude-opus-4-8", max_tokens=100, messages=[{"role": "user", "content": "go"}]
        )

    assert session.env["no_proxy"] == "example.com,127.0.0.1"
    assert received == "The server's"
    assert answer.content[0].text == "The session's"  # type: ignore[union-attr]
    assert "ANTHROPIC_CUSTOM_HEADERS" not in simulator.env


@pytest.mark.parametrize("is_file", [False, True])
def test_env_holds_a_key_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_file: bool) -> None:
    """TEST-3.4: With keys in the settings or in a file; a session of a running server is given its own."""
    file = tmp_path / "keys"
    file.write_text("# of the team\n\n sk-first \nsk-second\n")
    settings = {"auth.keys_file": str(file)} if is_file else {"auth.keys": ["sk-first", "sk-second"]}
    with Simulator(say("Hello"), settings=settings) as simulator:
        sessions = [simulator.session(), Session(simulator.base_url, api_key="sk-second")]
        for env in (simulator.env, *[session.env for session in sessions]):
            for name, value in env.items():
                monkeypatch.setenv(name, value)
            with OpenAI() as theirs, Anthropic() as ours:
                assert theirs.models.list().data
                assert ours.models.list().data

        assert sessions[0].env["OPENAI_API_KEY"] == "sk-first"


def test_names_of_sessions_are_unique(simulator: Simulator) -> None:
    """TEST-3.2: Sessions without a name have one each; a name that is given is taken."""
    names = {simulator.session().name for _ in range(20)}

    assert len(names) == 20
    assert simulator.session(name="mine").name == "mine"


def refused(ask: Callable[[str], str], text: str) -> str:
    with pytest.raises(UnprocessableEntityError) as caught:
        ask(text)
    return str(caught.value)


def test_turns_that_were_not_played_are_reported(simulator: Simulator) -> None:
    """TEST-4.2: What is left of a script, with what was asked until then."""
    session = simulator.session([say("One"), say("Two"), say("Three")], name="left")
    chat(session)("go")

    with pytest.raises(AssertionError) as caught:
        session.assert_finished()

    assert str(caught.value).splitlines() == [
        "left: 1 of 3 turns were played",
        "requests:",
        '  1. completions "go" -> turn 0: "One"',
    ]


def test_expectations_that_were_not_met_are_reported(simulator: Simulator) -> None:
    """TEST-4.2: An expectation that was not met fails the test, also when the next request meets it."""
    session = simulator.session([say("Sunny", expect={"contains": "weather"})], name="unmet")
    why = refused(respond(session), "go")
    respond(session)("the weather")

    with pytest.raises(AssertionError) as caught:
        session.assert_finished()

    sentence = 'expected the last user message to contain "weather", got "go"'
    assert sentence in why
    assert str(caught.value).splitlines() == [
        f"unmet: not what the turn expects: {sentence}",
        "requests:",
        f'  1. responses "go" -> no turn: refused: {sentence}',
        '  2. responses "the weather" -> turn 0: "Sunny"',
    ]


def test_requests_after_the_last_turn_are_reported(simulator: Simulator) -> None:
    """TEST-2.2, TEST-4.2: Turns alone are exhausted after the last; who asks on is refused, and the test fails."""
    session = simulator.session([say("One")], name="late")
    respond(session)("go")
    why = [refused(respond(session), "go on") for _ in range(2)]

    with pytest.raises(
        AssertionError, match=r"late: 2 more requests came after the last turn\nrequests:\n  1\. "
    ):
        session.assert_finished()

    assert all("is exhausted" in one for one in why)


def test_a_session_that_asked_nothing_is_not_finished(simulator: Simulator) -> None:
    """TEST-4.3: A client that is not in its session is found out, and the message says where to look."""
    session = simulator.session([say("One")], name="silent")

    with pytest.raises(AssertionError, match="silent: its script got no request; does the client send"):
        session.assert_finished()


def test_without_a_script_nothing_is_finished() -> None:
    """TEST-4.3: An assertion that could not fail is refused, for the server and for a session."""
    with Simulator() as plain:
        respond(plain)("go")
        for place in (plain, plain.session()):
            with pytest.raises(AssertionError, match="no script is played here"):
                place.assert_finished()


def test_mistakes_are_reported_and_change_nothing(simulator: Simulator) -> None:
    """TEST-2.3: `play`, `load` and `session` refuse a script with all that is wrong; what is played goes on."""
    session = simulator.session([say("One"), say("Two")])
    respond(session)("go")
    wrong = [{"type": "asistant"}, fail("rate_limt")]
    reported = []
    for send in (session.play, simulator.session, lambda script: simulator.load("wrong", script)):
        with pytest.raises(ControlError) as caught:
            send(wrong)
        reported.append(str(caught.value))

    assert all('did you mean "assistant"' in one and "rate_limt" in one for one in reported)
    assert respond(session)("go") == "Two"
    session.assert_finished()


def test_loaded_scripts_are_played_by_name(simulator: Simulator) -> None:
    """TEST-2.1: A session plays what is loaded, again from its beginning, and an own one beside it; a name is checked."""
    session = simulator.session("greeting")
    received = [respond(session)("go")]
    session.play("greeting")
    received.append(respond(session)("go"))
    session.assert_finished()
    session.play([say("Its own")])
    received += [respond(session)("go"), respond(simulator.session("greeting"))("go")]

    assert received == ["Good day", "Good day", "Its own", "Good day"]
    with pytest.raises(
        ControlError, match=r"no script 'greting' is loaded \(loaded: .*greeting.*\); for a file"
    ):
        session.play("greting")


FILES = {
    "one.json": '{"turns": [{"type": "assistant", "text": "From a file"}]}',
    "one.toml": '[[turns]]\ntype = "assistant"\ntext = "From a file"\n',
    "one.yaml": "turns:\n  - {type: assistant, text: From a file}\n",
}


@pytest.mark.parametrize("name", FILES)
def test_files_are_played(simulator: Simulator, tmp_path: Path, name: str) -> None:
    """TEST-2.1: The path of a script file, in any form, is a script."""
    path = tmp_path / name
    path.write_text(FILES[name])
    session = simulator.session(path)

    assert respond(session)("go") == "From a file"
    session.assert_finished()


def test_resetting_a_session_begins_anew(simulator: Simulator) -> None:
    """TEST-2.4: A session that is reset plays its first turn, and has asked for nothing."""
    session = simulator.session([say("One"), say("Two")])
    before = respond(session)("go")
    session.reset()

    assert session.requests == []
    assert (before, respond(session)("go")) == ("One", "One")


def test_all_pages_of_the_journal_are_read(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """TEST-4.1: Requests are returned in their order, however many there are."""
    monkeypatch.setattr("llmsim.testing.journal._PAGE", 2)
    session = simulator.session({"on_exhausted": "repeat_last", "turns": [say("One")]})
    with openai(session) as client:
        for number in range(5):
            client.responses.create(model="gpt-4o", input=str(number))

    assert [one.request["input"] for one in session.requests] == list("01234")
    assert all(isinstance(one, Exchange) for one in session.requests)


def test_a_server_that_is_none_of_ours_is_reported() -> None:
    """TEST-1.9: A session with a server that does not answer says so, with its address."""
    with pytest.raises(ControlError, match=r"http://127.0.0.1:9 does not answer: .*refused"):
        Session("http://127.0.0.1:9", script=[say("One")])
