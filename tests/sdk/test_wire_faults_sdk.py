"""The official SDKs under faults on the wire do what the documentation says."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sdk_faults.clients import PYTHON, VERCEL, Vercel, observe_python, play
from sdk_faults.table import read_rows
from support.node import node_packages
from support.servers import serve

from llmsim.domain import WireFaultKind

ROWS = read_rows(Path(__file__).parents[2] / "docs" / "faults.md")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(tmp_path_factory.mktemp("faults"), "--workers", "1", "--latency", "instant") as running:
        yield running.base


@pytest.mark.parametrize("kind", WireFaultKind)
def test_sdks_do_what_the_table_says(base: str, kind: WireFaultKind) -> None:
    """FAULT-5.3: Exceptions, texts and arguments of each client are those of the page."""
    play(base, kind)

    assert observe_python(base, kind) == {name: ROWS[kind][name] for name in PYTHON}


@pytest.fixture(scope="module")
def vercel(base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vercel]:
    """The Vercel AI SDK, in a process of its own."""
    folder = node_packages(tmp_path_factory.mktemp("node"), "ai", "@ai-sdk/openai", "@ai-sdk/anthropic")
    with contextlib.closing(Vercel(base, folder)) as running:
        yield running


@pytest.mark.tools
@pytest.mark.parametrize("kind", WireFaultKind)
def test_vercel_does_what_the_table_says(base: str, vercel: Vercel, kind: WireFaultKind) -> None:
    """FAULT-5.3: The same of the SDK for JavaScript."""
    play(base, kind)

    assert vercel.observe(kind) == {name: ROWS[kind][name] for name in VERCEL}


def test_sdks_read_characters_that_are_cut() -> None:
    """FAULT-4.4: Each returns the whole text, also the one for JavaScript."""
    assert set(ROWS[WireFaultKind.SPLIT_UTF8].values()) == {"same"}


@pytest.mark.parametrize(
    "kind",
    [WireFaultKind.CRLF, WireFaultKind.COMMENTS, WireFaultKind.JOINED_EVENTS, WireFaultKind.HUGE_EVENT],
)
def test_sdks_read_what_server_sent_events_allow(kind: WireFaultKind) -> None:
    """FAULT-4.3: Each returns the same; a byte-order mark is read by all but one, which does not keep to the rules."""
    assert set(ROWS[kind].values()) == {"same"}
