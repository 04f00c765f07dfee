"""The official SDKs under faults on the wire do what the documentation says."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sdk_faults.clients import PYTHON, observe_python, play
from sdk_faults.table import read_rows
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
