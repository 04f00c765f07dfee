"""The programs of docs/examples: each runs as it stands against a real server.

Those that need packages which are not installed with the tests are skipped with the reason. `EXAMPLES_PYTHON` names a Python that has them,
`EXAMPLES_NODE` a folder with `node_modules`; without it the packages are installed for the run.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.node import node_packages
from support.servers import Server, serve

FOLDER = Path(__file__).parents[2] / "docs" / "examples"
PAGES = FOLDER.parents[1]
PYTHON = os.environ.get("EXAMPLES_PYTHON", sys.executable)
PACKAGES = ("openai", "ai", "@ai-sdk/openai", "@anthropic-ai/sdk", "tsx")
EXPECTED = {
    "python_sync.py": r"^\w.*\n\d+ tokens$",
    "python_async.py": r"^10 answers$",
    "python_streaming.py": r"^20 tokens, the first after \d+ ms$",
    "python_tools.py": r"^call: get_weather \{'city': 'Paris'\}\nanswer: \w",
    "python_anthropic.py": r"^20 tokens$",
    "python_websocket.py": r"(?s)^20 tokens\n.+^20 tokens$",
    "langchain_chat.py": r"^ChatOpenAI: 20 tokens\nChatAnthropic: 20 tokens$",
    "pydantic_ai_agent.py": r"^city='Paris' degrees=\d+$",
    "typescript_openai.ts": r"^20 tokens$",
    "typescript_vercel_ai.ts": r"^20 tokens$",
    "typescript_anthropic.ts": r"^20 tokens$",
    "go_openai.go": r"^20 tokens$",
    "curl.sh": r'(?s)data: \[DONE\].+"object":"response".+"embedding".+"type":"message"',
    "load_test.sh": r"smoke: passed",
}
"""What each program prints, the server's answers being of 20 tokens."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that answers quickly."""
    folder = tmp_path_factory.mktemp("examples")
    with serve(folder, "--workers", "2", "--latency", "fast", "--target-tokens", "20") as running:
        yield running


def output(server: Server, command: list[str], folder: Path, **variables: str) -> str:
    """Run a program against the server; return what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOADTEST_")}
    environment |= {
        "OPENAI_BASE_URL": server.openai,
        "ANTHROPIC_BASE_URL": f"{server.base}/anthropic",
        "LLMSIM_URL": server.base,
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check(name: str, printed: str) -> None:
    assert re.search(EXPECTED[name], printed, re.MULTILINE), printed


@pytest.mark.parametrize("name", [name for name in EXPECTED if name.endswith(".py")])
def test_python(name: str, server: Server, tmp_path: Path) -> None:
    """CLIENT-1.1: The program runs as it stands."""
    needed = re.findall(r"^(?:from|import) (\w+)", (FOLDER / name).read_text(encoding="utf-8"), re.MULTILINE)
    missing = [one for one in needed if sys.executable == PYTHON and importlib.util.find_spec(one) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; EXAMPLES_PYTHON names a Python that has them")

    check(name, output(server, [PYTHON, str(FOLDER / name)], tmp_path))


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl(server: Server, tmp_path: Path) -> None:
    """CLIENT-1.1: One request to each API."""
    check("curl.sh", output(server, [str(FOLDER / "curl.sh")], tmp_path))


def test_load_test(server: Server, tmp_path: Path) -> None:
    """CLIENT-1.1: The load test passes its gates; the command is the one of this checkout."""
    program = tmp_path / "llmsim"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={PAGES} exec {sys.executable} -m llmsim "$@"\n')
    program.chmod(0o755)
    printed = output(
        server,
        [str(FOLDER / "load_test.sh")],
        tmp_path,
        PATH=f"{tmp_path}:{os.environ['PATH']}",
        SECONDS_OF_LOAD="2",
    )

    check("load_test.sh", printed)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the packages of the TypeScript programs."""
    return node_packages(tmp_path_factory.mktemp("node"), *PACKAGES)


@pytest.mark.tools
@pytest.mark.parametrize("name", [name for name in EXPECTED if name.endswith(".ts")])
def test_typescript(name: str, server: Server, node: Path) -> None:
    """CLIENT-1.1: The program runs as it stands."""
    shutil.copy(FOLDER / name, node)

    check(name, output(server, ["npx", "tsx", name], node))


@pytest.mark.tools
@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")
def test_go(server: Server, tmp_path: Path) -> None:
    """CLIENT-1.1: The program runs after the commands at its top."""
    shutil.copy(FOLDER / "go_openai.go", tmp_path)
    for command in ("go mod init example", "go get github.com/openai/openai-go/v3"):
        subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True, timeout=600)

    check("go_openai.go", output(server, ["go", "run", "go_openai.go"], tmp_path))


def test_every_program_is_run() -> None:
    """CLIENT-1.1: No program of the folder is without a test, and the page lists all."""
    programs = {path.name for path in FOLDER.iterdir() if path.suffix in (".py", ".ts", ".go", ".sh")}
    page = (FOLDER / "README.md").read_text(encoding="utf-8")

    assert programs == EXPECTED.keys()
    assert all(f"({name})" in page for name in programs)


def blocks(language: str) -> list[str]:
    """Return the code of the README in a language."""
    text = (PAGES / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.split()[-1][:20])
def test_readme_in_python(code: str, server: Server, tmp_path: Path) -> None:
    """CLIENT-1.2: The README's Python runs as written, but for the port."""
    if "def test_" in code:
        pytest.skip("a test: it runs with those of docs/testing.md")
    program = tmp_path / "program.py"
    program.write_text(code.replace("http://localhost:8080", server.base))

    printed = output(server, [sys.executable, str(program)], tmp_path)
    assert printed.strip() or "print(" not in code


@pytest.mark.tools
@pytest.mark.parametrize("code", blocks("ts"), ids=["ts"])
def test_readme_in_typescript(code: str, server: Server, node: Path) -> None:
    """CLIENT-1.2: The README's TypeScript runs as written, by the command above it."""
    (node / "stream.mts").write_text(code.replace("http://localhost:8080", server.base))

    assert "tokens" in output(server, ["npx", "tsx", "stream.mts"], node)
