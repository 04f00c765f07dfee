"""`scripts/bench` as a process."""

import ast
import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from benchmarks.machine import available_cores, pinned_to, split_cores
from benchmarks.processes import Usage, read_cpu_seconds
from benchmarks.rows import ROWS
from benchmarks.servers import free_port
from support.servers import eventually, serve

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "scripts" / "benchmarks"


def bench(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run it with the environment of the tests, as `scripts/bench` does with its own."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "scripts")])
    return subprocess.run(
        (sys.executable, "-m", "benchmarks", *arguments),
        env=os.environ | {"PYTHONPATH": path} | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_quick_run_measures_all_parts(tmp_path: Path) -> None:
    """BENCH-1.1, BENCH-1.7, BENCH-2.2, BENCH-3.2: By default all parts are measured, printed, written and drawn."""
    file, chart, page = tmp_path / "bench.json", tmp_path / "bench.svg", tmp_path / "page.md"
    page.write_text("<!-- bench -->\n<!-- /bench -->\n")
    done = bench(
        *("--quick", "--connections", "4", "--seconds", "0.5"),
        *("--json", str(file), f"--chart={chart}", "--markdown", str(page)),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_bytes())

    assert {row["part"] for row in found["closed"]} == {"throughput", "streams"}
    assert all(row["requests_per_second"] > 0 and row["error_share"] == 0 for row in found["closed"])
    assert all(row["server_us"] > 0 for row in found["closed"])
    [held] = found["paced"]
    assert held["tokens_per_second"] > 0
    assert held["early"] == 0
    assert {"stream_kb", "server_us", "drift_ms", "p999_ms"} <= {key for key in held if held[key] is not None}
    [start_up] = found["start_up"]
    assert start_up > 0
    assert {"throughput", "streams"} <= {limit["part"] for limit in found["headroom"]}
    assert all(limit["ceiling"] > 0 for limit in found["headroom"])
    assert found["machine"]["version"] in done.stdout.splitlines()[-1]
    assert found["command"] == "scripts/bench --quick --connections 4 --seconds 0.5"
    assert found["machine"]["cpu"]
    assert found["machine"]["packages"]["uvicorn"]
    assert done.stdout.splitlines()[-1] in page.read_text()
    assert len(ET.parse(chart).findall(".//{*}circle")) >= len(found["closed"]) + 2


def test_other_servers_get_the_same_requests(tmp_path: Path) -> None:
    """BENCH-3.4: Another server is measured with the same client, and compared; only the named part is measured."""
    file = tmp_path / "bench.json"
    with serve(tmp_path, "--workers", "1", "--latency", "instant", "--target-tokens", "16") as other:
        done = bench(
            *(
                "throughput",
                "--workers",
                "1",
                "--connections",
                "4",
                "--seconds",
                "0.5",
            ),
            *("--against", f"other={other.openai}", "--json", str(file)),
        )
        counted = other.stats()["total_requests"]
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_bytes())

    assert [row["target"] for row in found["closed"]] == ["llmsim", "other"]
    assert counted >= found["closed"][1]["requests_per_second"] * 0.5
    assert not found["paced"]
    assert not found["start_up"]
    # On a busy machine rows may not meet the criteria, and then they are not compared.
    comparable = not any(row["problem"] for row in found["closed"])
    assert [ratio["target"] for ratio in found["ratios"]] == ["other"] * comparable
    assert ("throughput: llmsim " in done.stdout) == comparable


def test_server_that_does_not_respond_is_named() -> None:
    """BENCH-3.4, BENCH-3.5: A server that is not there is named in one line, before anything is measured."""
    done = bench("streams", "--against", f"aimock=http://127.0.0.1:{free_port()}/v1")

    assert done.returncode == 1
    assert "aimock: no reply from 127.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["thruput"],
        ["--workers", "0"],
        ["--streams", "a"],
        ["--path", "/v1/embeddings"],
        ["--against", "http://peer/v1"],
    ],
)
def test_mistakes_in_arguments_are_reported(words: list[str]) -> None:
    """BENCH-3.5: Unknown parts or paths and invalid values end with exit code 2."""
    done = bench(*words, "--quick")

    assert done.returncode == 2
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_compiler_is_reported(tmp_path: Path) -> None:
    """BENCH-3.7: Without a C compiler the run names the package that it needs, and ends with exit code 2."""
    done = bench("--quick", PATH=str(tmp_path), XDG_CACHE_HOME=str(tmp_path))

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: no C compiler for the client; install it with: apt install gcc\n"


def test_cpu_time_of_other_programs_is_found() -> None:
    """BENCH-2.6: CPU time that neither server nor client used is that of other programs, on the cores of either."""
    cores = split_cores(1, available_cores())
    with pinned_to(cores.client[:1]):
        busy = subprocess.Popen((sys.executable, "-c", "while True: pass"))
    try:
        eventually(lambda: read_cpu_seconds((busy.pid,)) > 0.1)
        mine, others = Usage((busy.pid,), cores), Usage((os.getpid(),), cores)
        eventually(lambda: read_cpu_seconds((busy.pid,)) > 0.4)
        mine.stop()
        others.stop()
    finally:
        busy.kill()
        busy.wait()

    assert mine.server >= 0.2
    found = others.foreign(0.0)
    assert found is not None
    assert found >= 0.5 * mine.server / mine.seconds / len(cores.client)
    assert Usage((), cores).foreign(0.0) is None


def test_nothing_of_the_server_is_imported() -> None:
    """BENCH-1.2: The program uses llmsim's command line and HTTP API only, but for `cost`, which is imported when it runs."""
    imported = [
        name
        for path in PROGRAM.glob("*.py")
        if not path.name.startswith("cost_")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
    ]
    script = "import sys, benchmarks.__main__; print('llmsim' in sys.modules)"
    path = os.pathsep.join([str(ROOT), str(ROOT / "scripts")])
    started = subprocess.run(
        (sys.executable, "-c", script), env=os.environ | {"PYTHONPATH": path}, capture_output=True, check=True
    )

    assert imported
    assert not [name for name in imported if name.split(".")[0] == "llmsim"]
    assert started.stdout == b"False\n"


def test_cost_measures_all_rows(tmp_path: Path) -> None:
    """BENCH-5.1, BENCH-5.5, BENCH-5.8: Every row is checked, measured, compared with Falcon, printed and written."""
    file = tmp_path / "cost.json"
    done = bench("cost", "--seconds", "0.1", "--json", str(file))
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_bytes())
    rows = {row["name"]: row for row in found["rows"]}

    assert list(rows) == [row.name for row in ROWS]
    assert all(row["us"] >= row["least_us"] > 0 and row["laps"] >= 1 for row in rows.values())
    assert rows["falcon"]["ratio"] == 1
    assert rows["messages"]["of"] == "chat"
    assert [count["name"] for count in found["calls"]] == ["chat", "chat-new"]
    assert found["machine"]["packages"]["falcon"]
    for name in rows:
        assert f"\n{name} " in done.stdout


def test_calls_are_printed_in_order(tmp_path: Path) -> None:
    """BENCH-5.6: The calls of a plain chat are printed from its route to the end of its response, and counted."""
    file = tmp_path / "cost.json"
    done = bench("cost", "--calls", "--json", str(file))
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_bytes())
    calls = done.stdout.partition("\n\n")[0].splitlines()

    assert calls[0] == "server.http HttpGeneration.take"
    tops = [call for call in calls if not call.startswith("  ")]
    assert tops == ["server.http HttpGeneration.take", "server.http HttpGeneration.answer"]
    assert any("providers.openai.chat" in call for call in calls)
    assert found["rows"] == []
    assert found["calls"][0]["calls"] == len(calls)
    assert found["calls"][0]["modules"] == len({call.split()[0] for call in calls})


def test_profile_names_functions() -> None:
    """BENCH-5.7: A profile has the functions of llmsim that a row spends its time in."""
    done = bench("cost", "--profile", "chat", "--seconds", "0.1")

    assert done.returncode == 0, done.stderr
    assert "Ordered by: internal time" in done.stdout
    assert "llmsim/server/" in done.stdout


@pytest.mark.parametrize(
    "words",
    [["--only", "chat,caht"], ["--profile", "caht"], ["--seconds", "0"], ["--profile", "chat", "--calls"]],
)
def test_mistakes_in_arguments_of_cost_are_reported(words: list[str]) -> None:
    """BENCH-3.5, BENCH-5.4: Unknown rows, and options that exclude each other, end with exit code 2."""
    done = bench("cost", *words)

    assert done.returncode == 2
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_state_of_several_hosts_is_measured_beside_the_embedded(tmp_path: Path) -> None:
    """BENCH-6.1, BENCH-6.2: Each kind of request has a row for each state and number of hosts; its ratio is to as many embedded hosts."""
    if not any(map(shutil.which, ("valkey-server", "redis-server"))):
        pytest.skip("redis-server is not installed")
    file = tmp_path / "machines.json"
    done = bench(
        "machines",
        "--hosts",
        "2",
        "--laps",
        "1",
        "--seconds",
        "0.2",
        "--connections",
        "2",
        "--json",
        str(file),
    )

    assert done.returncode == 0, done.stderr
    rows = json.loads(file.read_text())["rows"]
    assert [(row["state"], row["hosts"]) for row in rows] == [("embedded", 2), ("shared", 2)] * 3
    assert [row["name"] for row in rows[::2]] == ["plain request", "stored response", "scripted turn"]
    assert all(row["requests_per_second"] > 0 and row["us"] > 0 for row in rows)
    assert all(row["ratio"] == 1.0 for row in rows if row["state"] == "embedded")
    assert rows[3]["server_us"] > 0
