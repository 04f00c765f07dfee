"""The replay of a recording: prompts, the comparison, its report, and wrong calls."""

import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from llmsim.catalogue import load_catalogue
from llmsim.cli import loadtest as loadtest_command
from llmsim.planning.tokens import load_tokenizer
from loadtest.cli import main
from loadtest.distances import ks_distance, percentile, relative_errors
from loadtest.recordings import TimedRequest, read_recording
from loadtest.replay.comparison import compare
from loadtest.replay.prompts import write_prompt
from loadtest.replay.report import describe_run, print_comparison, render_page, write_files
from loadtest.replay.schedule import Outcome


def outcome(arrival: float, recorded: float, measured: float, *, late: float = 0.001) -> Outcome:
    """Build a request of 11 tokens whose first token came after 1 s in both."""
    request = TimedRequest(arrival, 50, 11, 1.0, recorded)
    return Outcome(request, late=late, ttft=1.0, e2e=measured, prompt_tokens=50, completion_tokens=11)


def test_percentiles_and_distances() -> None:
    """LOAD-7.4: Percentiles are linear between two values; the K-S distance is that of the cumulative shares."""
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.5
    assert percentile([7.0], 0.99) == 7.0
    assert relative_errors([1.1, 5.0, 3.0], [1.0, 0.0, 4.0]) == pytest.approx([0.1, 0.25])
    assert ks_distance([1, 2, 3, 4], [1, 2, 3, 4]) == 0
    assert ks_distance([1, 2, 3, 4], [5, 6]) == 1
    assert ks_distance([1, 2, 3, 4], [3, 4, 5, 6]) == 0.5


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4-turbo"])
def test_prompts_have_one_token_a_word(model: str) -> None:
    """LOAD-7.2: A prompt of n words has n tokens with the tokenizers of OpenAI, and no two begin alike."""
    tokenizer = load_tokenizer(load_catalogue().facts(model).tokenizer)
    prompts = [write_prompt(300, number, run) for number in range(200) for run in (1, 2)]

    assert {tokenizer.tokenize(prompt).tokens for prompt in prompts[:40]} == {300}
    assert len({tuple(prompt.split()[:8]) for prompt in prompts}) == len(prompts)
    assert len(write_prompt(1, 5, 5).split()) == 1


def test_the_comparison_has_the_whole_and_the_second_half() -> None:
    """LOAD-7.4, LOAD-7.7: Errors are those of requests with times; failures and load without times are counted apart."""
    outcomes = [
        outcome(0, 2.0, 2.0),
        outcome(1, 2.0, 2.0),
        outcome(2, 2.0, 2.2),
        outcome(3, 2.0, 2.2, late=0.05),
        Outcome(TimedRequest(4.0, 50, 11), late=0.001, ttft=1.0, e2e=9.0, completion_tokens=10),
        Outcome(TimedRequest(5.0, 50, 11, 1.0, 2.0), error="HTTP 500"),
    ]
    found = compare(outcomes, [0.001, 0.002])
    whole, half = found.parts
    ttft, tpot, e2e = whole.measures

    assert (found.requests, found.failed, found.failures) == (6, 1, {"HTTP 500": 1})
    assert (found.exact_prompts, found.exact_completions) == (4, 4)
    assert (ttft.count, ttft.mean_error, e2e.count) == (4, 0, 4)
    assert e2e.mean_error == pytest.approx(0.05)
    assert tpot.recorded[0] == pytest.approx(100)
    assert half.measures[2].mean_error == pytest.approx(0.1)
    assert max(found.late_ms) == pytest.approx(50)


def test_a_late_client_is_a_warning() -> None:
    """LOAD-7.5: From 20 ms on the report says that the times are not the server's alone."""
    quiet, busy = (describe_run(compare([outcome(0, 2.0, 2.0, late=late)], [0.0])) for late in (0.001, 0.03))

    assert not any("warning" in line for line in quiet)
    assert any("warning: the client was 20 ms late" in line for line in busy)


def test_the_report_is_a_page_and_a_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """LOAD-7.4, LOAD-7.6: Page, figures and measured times are written; the latter are read like any recording."""
    outcomes = [outcome(0, 2.0, 2.5), Outcome(TimedRequest(1.0, 50, 11), error="<b>")]
    found = compare(outcomes, [0.001])
    print_comparison(found)
    write_files(tmp_path, "Replay of <x>", "http://host", found, outcomes)
    page = render_page("Replay of <x>", "http://host", found, outcomes)
    (trace,) = read_recording(tmp_path / "measured.jsonl").traces

    assert "E2E recorded" in capsys.readouterr().out
    assert page == (tmp_path / "report.html").read_text()
    assert "Replay of &lt;x&gt;" in page
    assert "<b>" not in page.replace("<b>End", "").replace("<b>Time", "")
    assert page.count("<svg") == 4
    assert json.loads((tmp_path / "comparison.json").read_text())["failed"] == 1
    assert trace.requests == (TimedRequest(0.0, 50, 11, 1.0, 2.5), TimedRequest(1.0, 50, 11))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trace"], "Missing argument 'FILE'"),
        (["trace", "no.jsonl"], "no.jsonl: cannot be read"),
        (["trace", "points.csv"], "it holds points, which have no arrivals"),
        (["trace", "run.jsonl", "--run", "1"], "--run 1: run.jsonl has the runs 0 to 0"),
        (["trace", "run.jsonl", "--limit", "0"], "--limit 0: wanted 1 or more"),
        (["trace", "run.jsonl", "--host", "http://h", "--workers", "2"], "they exclude --host"),
        (["trace", "run.jsonl", "--host", "ftp://h"], "not a URL"),
    ],
)
def test_a_wrong_replay_is_refused(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LOAD-5.5, LOAD-8.2: Wrong usage ends with exit code 2 and the reason, and starts nothing."""
    monkeypatch.chdir(tmp_path)
    Path("run.jsonl").write_text('{"arrival_ms": 0, "prompt_tokens": 9, "completion_tokens": 2}\n')
    Path("points.csv").write_text("isl,osl,concurrency,ttft_ms,tpot_ms\n1,1,1,1,1\n")
    result = CliRunner().invoke(main, arguments)

    assert result.exit_code == 2
    assert message in result.output


def test_a_replay_needs_no_locust(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """LOAD-7.8: Without Locust `llmsim loadtest trace` is there, and a suite says what it needs."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    command = loadtest_command._find()
    replayed = CliRunner().invoke(command, ["trace", str(tmp_path / "no.jsonl")])
    suite = CliRunner().invoke(command, ["smoke"])

    assert "no.jsonl: cannot be read" in replayed.output
    assert "pip install 'llmsim[load]'" in str(suite.exception)


def test_help_names_the_replay() -> None:
    """LOAD-7.1: The help of the suites names the command, which has one of its own."""
    runner = CliRunner()

    assert "trace FILE" in runner.invoke(main, ["--help"]).output
    assert "Replay the arrivals and lengths of FILE" in runner.invoke(main, ["trace", "--help"]).output
