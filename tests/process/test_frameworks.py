"""Frameworks as they are published: their classes for each API, with streams, tools and schemas.

`FRAMEWORKS_PYTHON` names a Python that has the packages, `EXAMPLES_NODE` a folder with `node_modules`; without them they are installed for
the run.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.node import node_packages
from support.servers import Server, serve

PROGRAMS = Path(__file__).parents[1] / "support" / "frameworks"
PYTHON = ("langchain-classic", "langchain-google-genai", "langchain-openai", "litellm")
NODE = ("ai@6", "@ai-sdk/azure@3", "@ai-sdk/google@3", "@ai-sdk/openai@3", "zod")

pytestmark = pytest.mark.tools


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that answers at once."""
    with serve(tmp_path_factory.mktemp("frameworks"), "--latency", "instant") as running:
        yield running


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a Python that has the packages."""
    if given := os.environ.get("FRAMEWORKS_PYTHON"):
        return given
    folder = tmp_path_factory.mktemp("python")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    found = folder / "bin" / "python"
    subprocess.run([str(found), "-m", "pip", "install", "-q", *PYTHON], check=True, timeout=900)
    return str(found)


def printed(command: list[str], server: Server, folder: Path | None = None) -> list[str]:
    """Run a program against the server; return the lines that it prints."""
    done = subprocess.run(
        [*command, server.base], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_langchain(python: str, server: Server) -> None:
    """CLIENT-1.3: Gemini, Azure, Responses, embeddings and moderation, as LangChain has them."""
    lines = printed([python, str(PROGRAMS / "langchain_classes.py")], server)

    assert lines == [
        "gemini",
        "gemini 3",
        "azure",
        "azure responses",
        "openai responses",
        "embeddings and moderation",
    ]


def test_litellm(python: str, server: Server) -> None:
    """CLIENT-1.3: Gemini, Azure, moderation, pictures, speech and transcriptions, as LiteLLM has them."""
    lines = printed([python, str(PROGRAMS / "litellm_functions.py")], server)

    assert lines[-1] == "embeddings, moderation, pictures and sound"


def test_ai_sdk(server: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    """CLIENT-1.3: Google, Azure and OpenAI, as the AI SDK has them."""
    folder = node_packages(tmp_path_factory.mktemp("node"), *NODE)
    program = folder / "ai_sdk.mjs"
    program.write_bytes((PROGRAMS / "ai_sdk.mjs").read_bytes())

    assert printed(["node", str(program)], server, folder)[-1] == "openai media"
