"""The snippets of docs/operate/gateways.md, run as they stand there but for the ports."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from openai import OpenAI
from support.servers import Server, eventually, free_port, serve
from websockets.sync.client import connect

import llmsim

PAGE = (Path(__file__).parents[2] / "docs" / "operate" / "gateways.md").read_text(encoding="utf-8")
KEY = "sk-" + 32 * "3f"
SYSTEM = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def snippet(heading: str, language: str = r"\w+") -> str:
    """Return the first code in a language below a heading."""
    section = PAGE.partition(f"\n### {heading}\n")[2]
    found = re.search(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert found is not None, heading
    return found[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose streams of 20 tokens last for a second and more."""
    variables = {
        "LLMSIM_LATENCY_TTFT_MEAN_MS": "50",
        "LLMSIM_LATENCY_TTFT_STDDEV_MS": "0",
        "LLMSIM_LATENCY_TBT_MEAN_MS": "50",
        "LLMSIM_LATENCY_TBT_STDDEV_MS": "0",
    }
    folder = tmp_path_factory.mktemp("gateways")
    with serve(folder, "--workers", "1", "--target-tokens", "20", **variables) as running:
        yield running


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


@contextmanager
def running(command: list[str], folder: Path, url: str, **variables: str) -> Iterator[None]:
    """Run a gateway until the block ends."""
    with (folder / "gateway.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, env=os.environ | variables
        )
    try:

        def is_up() -> bool:
            assert process.poll() is None, (folder / "gateway.log").read_text()
            return answers(url)

        eventually(is_up, within=180)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def needed(program: str) -> str:
    """Return a program's path, or skip the test."""
    path = shutil.which(program, path=SYSTEM)
    if path is None:
        pytest.skip(f"needs {program}")
    return path


def stream_seconds(base_url: str, model: str = "gpt-4o", key: str = "any") -> float:
    """Stream 20 tokens; return the seconds from the first to the end."""
    client = OpenAI(base_url=base_url, api_key=key, max_retries=0)
    instants, text = [], ""
    for chunk in client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Hello"}], stream=True
    ):
        if chunk.choices and chunk.choices[0].delta.content:
            instants.append(time.monotonic())
            text += chunk.choices[0].delta.content
    assert text.count(" ") >= 5
    return time.monotonic() - instants[0]


def addressed(text: str, server: Server) -> str:
    """Return a snippet with the port of a server."""
    return re.sub(r"(127\.0\.0\.1:|localhost:|port_value: )8080", rf"\g<1>{server.port}", text)


def proxied(heading: str, server: Server, port: int) -> str:
    return addressed(snippet(heading), server).replace("8000", str(port))


PROXIES = {
    "nginx": (
        "nginx.conf",
        (
            "daemon off; pid {folder}/pid; error_log stderr; events {{}}\nhttp {{ access_log off; "
            "client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c; "
            "uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;\n{snippet}\n}}"
        ),
        ["-c", "{file}"],
    ),
    "Caddy": ("Caddyfile", "{{\nadmin off\nauto_https off\n}}\n{snippet}", ["run", "--config", "{file}"]),
    "HAProxy": ("haproxy.cfg", "{snippet}", ["-f", "{file}"]),
    "Envoy": ("envoy.yaml", "{snippet}", ["-c", "{file}", "--use-dynamic-base-id"]),
}


@pytest.mark.tools
@pytest.mark.parametrize("heading", PROXIES)
def test_proxies_pass_streams_and_websocket(heading: str, server: Server, tmp_path: Path) -> None:
    """CLIENT-2.1: Tokens pass as they are generated, and WebSocket passes."""
    program, port = needed(heading.lower()), free_port()
    name, text, arguments = PROXIES[heading]
    file = tmp_path / name
    file.write_text(text.format(folder=tmp_path, snippet=proxied(heading, server, port)))
    command = [program, *(argument.format(file=file) for argument in arguments)]

    with running(command, tmp_path, f"http://127.0.0.1:{port}/health"):
        # 19 gaps of 50 ms; a proxy that collects the stream delivers it at once.
        assert stream_seconds(f"http://127.0.0.1:{port}/openai/v1") > 0.5
        with connect(f"ws://127.0.0.1:{port}/openai/v1/responses") as socket:
            socket.send(
                json.dumps({"type": "response.create", "model": "gpt-4o", "input": "Hi", "store": False})
            )
            while (event := json.loads(socket.recv(timeout=60)))["type"] != "response.completed":
                pass
        assert event["response"]["usage"]["output_tokens"] == 20


@pytest.mark.tools
def test_litellm(server: Server, tmp_path: Path) -> None:
    """CLIENT-2.1: Both vendors' models answer by the base URLs of the page, streamed too."""
    program, port = needed("litellm"), free_port()
    (tmp_path / "litellm.yaml").write_text(
        snippet("LiteLLM").replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
    )
    command = [program, "--config", "litellm.yaml", "--port", str(port), "--host", "127.0.0.1"]
    variables = {"LITELLM_MASTER_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}

    with running(command, tmp_path, f"http://127.0.0.1:{port}/health/liveliness", **variables):
        for model in ("gpt-4o", "claude-sonnet"):
            # The first request waits for what LiteLLM imports, and finds its first tokens collected.
            stream_seconds(f"http://127.0.0.1:{port}", model, KEY)
            assert stream_seconds(f"http://127.0.0.1:{port}", model, KEY) > 0.5


@pytest.mark.tools
def test_portkey(server: Server, tmp_path: Path) -> None:
    """CLIENT-2.1: The curl command of the page reaches llmsim through the gateway."""
    program, port = needed("node"), free_port()
    package = Path(
        os.environ.get("EXAMPLES_NODE", "."), "node_modules/@portkey-ai/gateway/build/start-server.js"
    )
    if not package.exists():
        pytest.skip("needs @portkey-ai/gateway in the folder EXAMPLES_NODE")
    code = snippet("Portkey").partition("\n")[2]
    code = code.replace("localhost:8787", f"127.0.0.1:{port}").replace(
        "localhost:8080", f"127.0.0.1:{server.port}"
    )

    with running(
        [program, str(package), f"--port={port}", "--headless"], tmp_path, f"http://127.0.0.1:{port}/"
    ):
        done = subprocess.run(
            ["sh", "-c", f"set -e; {code}"], capture_output=True, text=True, timeout=60, check=True
        )
    assert json.loads(done.stdout)["usage"]["completion_tokens"] == 20


@pytest.mark.tools
def test_tensorzero(server: Server, tmp_path: Path) -> None:
    """CLIENT-2.1: Both vendors' models stream through the embedded gateway."""
    pytest.importorskip("tensorzero")
    (tmp_path / "tensorzero.toml").write_text(addressed(snippet("TensorZero"), server))
    done = subprocess.run(
        [sys.executable, "-c", snippet("TensorZero", "python")],
        cwd=tmp_path,
        env=os.environ | {"ANTHROPIC_API_KEY": "any"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    # Its log goes to standard output, too.
    assert {"simulated 20", "claude 20"} <= set(done.stdout.splitlines())


@pytest.mark.tools
def test_oha(server: Server, tmp_path: Path) -> None:
    """CLIENT-2.1: All requests of the command succeed."""
    needed("oha")
    code = addressed(snippet("oha"), server).replace("-z 30s -c 20", "--no-tui -n 4 -c 2")
    done = subprocess.run(
        ["sh", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )

    assert re.search(r"\[200\] 4 responses", done.stdout), done.stdout


def of_tools(folder: Path) -> dict[str, str]:
    """Return the environment of tools that run in a Python of their own."""
    # A copy: tiktoken writes whatever it reads into its cache.
    vocabularies = folder / "vocabularies"
    if not vocabularies.exists():
        shutil.copytree(Path(llmsim.__file__).parent / "vocabularies", vocabularies)
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "TIKTOKEN_CACHE_DIR": str(vocabularies),
        "COLUMNS": "200",
        "NO_COLOR": "1",
    }


@pytest.fixture
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder that the page's program writes, run by the Python of the program that needs it."""
    interpreter = Path(needed(request.param)).resolve().with_name("python")
    done = subprocess.run(
        [str(interpreter), "-c", snippet("Tokenizers", "python")],
        cwd=tmp_path,
        env=of_tools(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "required to save" in done.stderr or "No module named" in done.stderr:
        pytest.skip(f"needs tiktoken and blobfile beside {request.param}")
    assert done.returncode == 0, done.stderr
    return tmp_path


def measured(command: str, folder: Path) -> str:
    """Run a load tool; return what it prints."""
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env=of_tools(folder),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.tools
def test_aiperf(server: Server, tmp_path: Path) -> None:
    """CLIENT-2.1: The command of the page finds the tokens and the times that the server has."""
    needed("aiperf")
    code = addressed(snippet("aiperf").rstrip(), server).replace("200", "8").replace("20", "2")
    output = measured(f"{code} --ui none", tmp_path)
    rows = {
        cells[0]: float(cells[1])
        for line in output.splitlines()
        if len(cells := split_row(line)) > 2 and re.fullmatch(r"[\d.]+", cells[1])
    }

    assert rows["Request Count (requests)"] == 8
    assert rows["Output Sequence Length (tokens)"] == 20
    assert 45 < rows["Inter Token Latency (ms)"] < 70
    assert "Discrepancy" not in output


def split_row(line: str) -> list[str]:
    """Return the cells of a line of a table."""
    return [cell.strip() for cell in re.split(r"[│|]", line)[1:-1]]


@pytest.mark.tools
@pytest.mark.parametrize("tokenizer", ["guidellm"], indirect=True)
def test_guidellm(server: Server, tokenizer: Path) -> None:
    """CLIENT-2.1: The command of the page streams, and ends without an error."""
    code = addressed(snippet("guidellm").rstrip(), server)
    for before, after in {
        "openai-community/gpt2": "o200k",
        "kind=constant,rate=10": "kind=concurrent,streams=2",
        "kind=max_duration,seconds=30": "kind=max_requests,count=4",
    }.items():
        assert before in code
        code = code.replace(before, after)
    measured(f"{code} --disable-progress", tokenizer)
    report = json.loads((tokenizer / "benchmarks.json").read_text())["benchmarks"][0]

    assert report["metrics"]["request_totals"]["successful"] == 4
    assert report["metrics"]["request_totals"]["errored"] == 0


@pytest.mark.tools
@pytest.mark.parametrize("tokenizer", ["inference-perf"], indirect=True)
def test_inference_perf(server: Server, tokenizer: Path) -> None:
    """CLIENT-2.1: The file of the page measures without a failure, and its tokens are those of the server."""
    text = addressed(snippet("inference-perf"), server).replace("openai-community/gpt2", "o200k")
    (tokenizer / "config.yml").write_text(text.replace("rate: 10, duration: 30", "rate: 2, duration: 2"))
    measured("inference-perf --config_file config.yml", tokenizer)
    (report,) = tokenizer.glob("reports-*/summary_lifecycle_metrics.json")
    found = json.loads(report.read_text())

    assert found["successes"]["count"] == 4
    assert found["failures"]["count"] == 0


@pytest.mark.tools
def test_vegeta(server: Server, tmp_path: Path) -> None:
    """CLIENT-2.1: The commands of the page succeed."""
    needed("vegeta")
    code = (
        snippet("vegeta")
        .replace("localhost:8080", f"127.0.0.1:{server.port}")
        .replace("-duration 5s", "-duration 1s")
    )
    done = subprocess.run(
        ["sh", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )

    assert re.search(r"Status Codes .*200:20", done.stdout), done.stdout


@pytest.mark.tools
def test_k6(server: Server, tmp_path: Path) -> None:
    """CLIENT-2.1: The script of the page succeeds."""
    program = needed("k6")
    (tmp_path / "load.js").write_text(snippet("k6").replace("localhost:8080", f"127.0.0.1:{server.port}"))
    command = [program, "run", "--no-usage-report", "--vus", "2", "--iterations", "4", "load.js"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    assert "100.00%" in done.stdout


def test_locust(server: Server, tmp_path: Path) -> None:
    """CLIENT-2.1: The file of the page runs without a failure."""
    (tmp_path / "locustfile.py").write_text(snippet("Locust"))
    command = [sys.executable, "-m", "locust", "-f", "locustfile.py", "--headless", "-u", "2", "-t", "3s"]
    done = subprocess.run(
        [*command, "--host", server.base],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("heading", ["LiteLLM", "Envoy", "artillery", "inference-perf"])
def test_yaml_is_valid(heading: str) -> None:
    """CLIENT-2.1: What is not run here can be read at least."""
    document: Any = yaml.safe_load(snippet(heading))

    assert isinstance(document, dict)


@pytest.mark.parametrize(
    "heading",
    [*PROXIES, "LiteLLM", "TensorZero", "claude-code-router", "Portkey", "aiperf", "guidellm", "oha"],
)
def test_addresses_are_those_of_the_server(heading: str) -> None:
    """CLIENT-2.2: Each snippet names the address where llmsim listens by default."""
    assert re.search(r"(127\.0\.0\.1|localhost):8080|port_value: 8080", snippet(heading))
