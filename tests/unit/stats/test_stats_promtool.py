"""What promtool says of the page of GET /metrics; it is a program of Prometheus that is not installed with the tests."""

import shutil
import subprocess

import pytest
from test_stats_prometheus import _block, _busy, _page

PROMTOOL = shutil.which("promtool")

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(
        PROMTOOL is None,
        reason="in a new module: go get github.com/prometheus/prometheus/cmd/promtool, then go build of that package",
    ),
]


@pytest.mark.parametrize("is_busy", [True, False])
def test_promtool_finds_nothing(is_busy: bool) -> None:
    """METRICS-1.9: `promtool check metrics` accepts the page, and has no advice."""
    assert PROMTOOL is not None
    page = _page(_busy() if is_busy else _block())

    checked = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=page, capture_output=True, text=True, check=False
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
