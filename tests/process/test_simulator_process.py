"""A simulator's process: how it starts, what it hears, and that nothing of it stays."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from support.servers import eventually, reserved_port

from llmsim.testing import Simulator, StartError, say


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files, so that what stays is seen."""
    places = tmp_path / "places"
    places.mkdir()
    monkeypatch.setenv("TMPDIR", str(places))
    monkeypatch.setattr("tempfile.tempdir", None)
    return places


def left(places: Path) -> list[str]:
    """Name the files and processes that are left of simulators started with these places."""
    files = [path.name for path in places.iterdir()]
    mark = str(places).encode()
    processes = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if b"/testing/server.py" in command and mark in command:
            processes.append(f"process {entry.name}")
    return files + processes


def segment(port: int) -> Path:
    return Path(f"/dev/shm/llmsim-{port}")


def spoken(simulator: Simulator) -> str:
    with OpenAI(base_url=simulator.openai_base_url, api_key="any") as client:
        return client.responses.create(model="gpt-4o", input="Hi").output_text


def port_of(simulator: Simulator) -> int:
    return int(simulator.base_url.rpartition(":")[2])


def test_nothing_stays_after_a_stop(places: Path) -> None:
    """TEST-1.3: Two simulators at once have a place each; after the block neither process, file nor memory is there."""
    with Simulator(say("One")) as one, Simulator(say("Two")) as two:
        answers = [spoken(one), spoken(two)]
        ports = [port_of(one), port_of(two)]
        there = [segment(port).exists() for port in ports]
        assert len(left(places)) > 2

    assert answers == ["One", "Two"]
    assert there == [True, True]
    assert [segment(port).exists() for port in ports] == [False, False]
    assert left(places) == []


def test_what_is_under_way_is_not_waited_for(places: Path) -> None:
    """TEST-1.3: A stream that stalls for minutes does not keep its simulator."""
    stall = say("One two three four", stream_fault={"kind": "stall", "after_tokens": 2, "for_ms": 60_000})
    with Simulator(stall) as simulator:
        client = OpenAI(base_url=simulator.openai_base_url, api_key="any", max_retries=0)
        stream = client.responses.create(model="gpt-4o", input="Hi", stream=True)
        next(event for event in stream if event.type == "response.output_text.delta")
        begun = time.monotonic()
    took = time.monotonic() - begun
    client.close()

    # Less than the server's own patience with streams.
    assert took < 25
    assert left(places) == []


def test_it_can_be_started_again() -> None:
    """TEST-1.9: A simulator that was stopped may start anew; one that runs, or does not, says so."""
    simulator = Simulator(say("One"))
    for ask in (lambda: simulator.base_url, lambda: simulator.requests, simulator.assert_finished):
        with pytest.raises(RuntimeError, match="the simulator is not running: use `with"):
            ask()
    for _ in range(2):
        with simulator:
            assert spoken(simulator) == "One"
            with pytest.raises(RuntimeError, match="the simulator is already running"):
                simulator.start()
    simulator.stop()


def test_a_faulty_script_is_reported(places: Path) -> None:
    """TEST-1.2, TEST-2.3: A start with a script that cannot be played reports all that is wrong, and leaves nothing."""
    with pytest.raises(StartError) as caught:
        Simulator([{"type": "tool_call"}, {"type": "assistant", "txt": "x"}]).start()

    assert str(caught.value).splitlines() == [
        'the simulator did not start: turns[0].type: unknown word "tool_call"; did you mean "tool_calls"?',
        'turns[1]: "text" is missing: wanted a text',
        'turns[1].txt: unknown key; did you mean "text"?',
    ]
    assert left(places) == []


def test_a_faulty_file_is_reported_with_its_lines(places: Path, tmp_path: Path) -> None:
    """TEST-1.2, TEST-2.1: For a file, path and line are reported."""
    path = tmp_path / "agent.yaml"
    path.write_text("turns:\n  - type: asistant\n    text: Hello\n")

    with pytest.raises(StartError, match=r"agent.yaml:2: turns\[0\].type: .*did you mean"):
        Simulator(path).start()
    assert left(places) == []


def test_faulty_settings_are_reported(places: Path) -> None:
    """TEST-1.2: Every unknown setting is reported, with what was probably meant."""
    with pytest.raises(StartError) as caught:
        Simulator(settings={"response.target_token": 5, "seed": 7, "errors.timeout_rate": 2}).start()

    assert str(caught.value).startswith("the simulator did not start: settings: ")
    assert 'target_token: unknown key; did you mean "target_tokens"?' in str(caught.value)
    assert "seed" in str(caught.value)
    assert "errors.timeout_rate" in str(caught.value)
    assert left(places) == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"script": "agent.json"}, TypeError),
        ({"script": [say("One")], "scripts": {"a/b": [say("Two")]}}, ValueError),
        ({"settings": {"response.seed": object()}}, TypeError),
    ],
)
def test_what_cannot_be_sent_leaves_nothing(
    places: Path, options: dict[str, Any], error: type[Exception]
) -> None:
    """TEST-1.3: A mistake that is found before, or after, the server is there leaves nothing either."""
    with pytest.raises(error):
        Simulator(**options).start()
    assert left(places) == []


def test_settings_reach_the_server() -> None:
    """TEST-1.1: Settings of every type are taken over; a port that is asked for is taken, and one that is taken is reported."""
    settings: dict[str, Any] = {"response.generator": 'fixed:"quoted" größe 🦜', "server.access_log": True}
    with (
        reserved_port() as port,
        Simulator(settings=settings | {"server.port": port}, workers=2, latency=None) as simulator,
    ):
        answer = spoken(simulator)
        assert port_of(simulator) == port
        with pytest.raises(StartError, match=f"port {port} is taken"):
            Simulator(settings={"server.port": port}).start()
        eventually(lambda: "POST /openai/v1/responses" in simulator.log)

    assert answer == '"quoted" größe 🦜'


def test_the_environment_of_the_run_is_not_received(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TEST-1.6: Variables, warnings, a proxy and modules of the test run's own change nothing."""
    here = tmp_path / "project"
    here.mkdir()
    for name in ("queue", "yaml", "click", "llmsim", "tiktoken"):
        (here / f"{name}.py").write_text("raise AssertionError('a module of the tests was imported')")
    monkeypatch.chdir(here)
    monkeypatch.setenv("LLMSIM_PORT", "nonsense")
    monkeypatch.setenv("LLMSIM_CONFIG", "/nonexistent")
    monkeypatch.setenv("LLMSIM_TARGET_TOKENS", "3")
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    with Simulator() as simulator:
        monkeypatch.setenv("no_proxy", simulator.env["no_proxy"])
        spoken(simulator)
        (request,) = simulator.requests
        log = simulator.log

    assert request.answer is not None
    assert request.answer["usage"]["completion_tokens"] == 100
    assert log == ""


def test_the_master_has_one_thread_when_it_forks() -> None:
    """TEST-1.7: With two workers forked, the master still has no thread but its first."""
    with Simulator(workers=2) as simulator:
        eventually(lambda: len(simulator.stats()["workers"]) == 2)
        assert simulator._process is not None
        threads = list(Path(f"/proc/{simulator._process.pid}/task").iterdir())

    assert len(threads) == 1


STARTED = """
import json, os, sys, time
from llmsim.testing import Simulator, say
simulator = Simulator(say("One"))
print("starting", flush=True)
simulator.start()
print(json.dumps({"base": simulator.base_url, "pid": simulator._process.pid}), flush=True)
"""


@pytest.fixture
def run(places: Path) -> "Iterator[Any]":
    """Run a program that starts a simulator, in a process group of its own as a shell would; killed at the end."""
    running: list[subprocess.Popen[str]] = []

    def run(program: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", STARTED + program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "starting\n"
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


def test_nothing_stays_when_the_run_is_killed(run: Any, places: Path) -> None:
    """TEST-1.4: A test run that is killed takes its simulator with it, with its files and memory."""
    process = run("time.sleep(600)")
    port = int(json.loads(process.stdout.readline())["base"].rpartition(":")[2])
    there = segment(port).exists(), len(left(places))
    process.kill()

    assert there[0]
    assert there[1] > 1
    eventually(lambda: left(places) == [])
    eventually(lambda: not segment(port).exists())


def test_nothing_stays_when_the_run_is_killed_at_the_start(run: Any, places: Path) -> None:
    """TEST-1.4: A run that is killed while its simulator starts, sooner or later, leaves nothing either."""
    moment = random.Random().uniform(0.1, 0.5)  # Another instant at each run.
    process = run("time.sleep(600)")
    eventually(lambda: any("process" in one for one in left(places)))
    time.sleep(moment)
    process.kill()

    eventually(lambda: left(places) == [])


def test_ctrl_c_is_for_the_run(run: Any, places: Path) -> None:
    """TEST-1.5: The simulator answers after the interrupt that its test run got, and goes with the run."""
    process = run(
        """
import signal
# A shell's background jobs ignore it, and so would this process if the tests are one.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    print("waiting", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    print(len(simulator.requests), "requests", flush=True)
    simulator.stop()
"""
    )
    process.stdout.readline()
    assert process.stdout.readline() == "waiting\n"
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=120)

    assert (out, process.returncode) == ("0 requests\n", 0)
    assert left(places) == []


def test_a_process_that_the_run_has_forked_keeps_nothing(run: Any, places: Path) -> None:
    """TEST-1.3: A stop ends the simulator though a fork of the test run still holds what it held."""
    process = run(
        """
child = os.fork()
if child == 0:
    time.sleep(600)
simulator.stop()
os.kill(child, 9)
print("stopped", flush=True)
"""
    )
    process.stdout.readline()

    assert process.stdout.readline() == "stopped\n"
    assert left(places) == []
