"""The pytest plugin, as a project that has llmsim installed sees it."""

import re

import pytest

pytest_plugins = ["pytester"]

# What others have installed is not what is tested.
PLAIN = ("-p", "no:locust", "-p", "no:asyncio", "-p", "no:randomly", "-W", "error")

ASK = """
from openai import OpenAI

def ask(session):
    with OpenAI(base_url=session.openai_base_url, api_key="any", default_headers=session.headers) as client:
        return client.responses.create(model="gpt-4o", input="Hello").output_text
"""


def test_nothing_is_imported_before_it_is_asked_for(pytester: pytest.Pytester) -> None:
    """TEST-5.1: A run that uses no fixture has imported the plugin alone, and nothing that is not there anyway."""
    pytester.makepyfile(
        """
        import sys

        def test_plain():
            ours = [name for name in sys.modules if name.partition(".")[0] == "llmsim"]
            assert sorted(ours) == ["llmsim", "llmsim.testing", "llmsim.testing.plugin"]
        """
    )

    pytester.runpytest_subprocess(*PLAIN).assert_outcomes(passed=1)


def test_tests_share_a_server_and_have_sessions_of_their_own(pytester: pytest.Pytester) -> None:
    """TEST-5.2: Two tests ask the same server; what one plays is not what the other gets."""
    pytester.makepyfile(
        ASK
        + """
import pytest
from llmsim.testing import say

@pytest.mark.parametrize("answer", ["one/two", "größer", "three"])
def test_answer(llmsim_session, llmsim_server, answer):
    llmsim_session.play([say(answer)])
    assert ask(llmsim_session) == answer
    llmsim_session.assert_finished()
    print("server", llmsim_server.base_url, "session", llmsim_session.name)
    assert len(llmsim_session.requests) == 1
"""
    )

    reported = pytester.runpytest_subprocess(*PLAIN, "-s")

    reported.assert_outcomes(passed=3)
    found = re.findall(r"server (\S+) session (\S+)", "\n".join(reported.outlines))
    assert len({server for server, _ in found}) == 1
    assert len({session for _, session in found}) == 3


def test_a_server_for_each_process(pytester: pytest.Pytester) -> None:
    """TEST-1.1, TEST-3.2, TEST-5.2: Under pytest-xdist each process has a server, all at once, and names are unique."""
    pytester.makepyfile(
        ASK
        + """
import os
import pytest
from pathlib import Path
from llmsim.testing import say

@pytest.mark.parametrize("number", range(8))
def test_answer(llmsim_server, number):
    session = llmsim_server.session([say(f"Number {number}")])
    assert ask(session) == f"Number {number}"
    session.assert_finished()
    Path(f"server-{number}").write_text(f"{os.getpid()} {llmsim_server.base_url} {session.name}")
"""
    )

    pytester.runpytest_subprocess(*PLAIN, "-n", "2", "--dist", "load").assert_outcomes(passed=8)
    reported = [path.read_text().split() for path in pytester.path.glob("server-*")]

    assert len(reported) == 8
    processes = {process for process, _, _ in reported}
    assert len(processes) > 1
    assert len({(process, server) for process, server, _ in reported}) == len(processes)
    assert len({server for _, server, _ in reported}) == len(processes)
    assert len({name for _, _, name in reported}) == 8


def test_settings_are_the_project_s(pytester: pytest.Pytester) -> None:
    """TEST-5.3: A conftest.py says what the server is like."""
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def llmsim_settings():
            return {"response.generator": "fixed:It is so.", "server.workers": 2}
        """
    )
    pytester.makepyfile(
        ASK
        + """
def test_answer(llmsim_session, llmsim_server):
    assert ask(llmsim_session) == "It is so."
    assert len(llmsim_server.stats()["workers"]) == 2
"""
    )

    pytester.runpytest_subprocess(*PLAIN).assert_outcomes(passed=1)


def test_the_report_of_a_failed_test_shows_its_requests(pytester: pytest.Pytester) -> None:
    """TEST-5.4: What was asked and got stands in the report, that of tests which passed does not."""
    pytester.makepyfile(
        ASK
        + """
from llmsim.testing import say

def test_fails(llmsim_session):
    llmsim_session.play([say("Good morning")])
    assert ask(llmsim_session) == "Good evening"

def test_passes(llmsim_session):
    llmsim_session.play([say("Quiet")])
    ask(llmsim_session)

def test_asks_nothing(llmsim_session):
    assert llmsim_session.name == "x"
"""
    )

    reported = pytester.runpytest_subprocess(*PLAIN)

    reported.assert_outcomes(failed=2, passed=1)
    reported.stdout.fnmatch_lines(
        [
            "*- llmsim requests -*",
            'responses "Hello" -> turn 0: "Good morning"',
            "*- llmsim requests -*",
            "none",
        ]
    )
    assert "Quiet" not in reported.stdout.str()
