"""Files of measured latencies."""

from pathlib import Path

import pytest

from llmsim.catalogue import load_catalogue
from llmsim.config import LatencyFigures, LatencySettings
from llmsim.errors import ConfigError
from llmsim.planning.latency_file import read_latencies
from llmsim.planning.timing import LatencySampler

PROFILES = load_catalogue().profiles


def read(folder: Path, text: str | bytes, what: str = "ttft") -> tuple[float, ...]:
    path = folder / "latencies.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_latencies(f"latency.{what}_file", what, str(path)).latencies


@pytest.mark.parametrize(
    ("text", "what", "latencies"),
    [
        ("30\n10\n20.5\n", "ttft", (10, 20.5, 30)),
        ("\ufeff30\r\n\r\n 10 ", "tbt", (10, 30)),
        ('{"ttft_ms": 5}\n{"ttft_ms": 4, "e2e_ms": 9}\n7', "ttft", (4, 5, 7)),
        ('{"tbt_ms": 5}\n{"itl_ms": [4, 3.5]}\n{"itl_ms": []}', "tbt", (3.5, 4, 5)),
        (
            (
                '{"ttft_ms": 100, "e2e_ms": 300, "completion_tokens": 11}\n'
                '{"ttft_ms": 100, "e2e_ms": 100, "completion_tokens": 1}\n'
                '{"arrival_ms": 4, "prompt_tokens": 9, "completion_tokens": 11}\n'
                '{"ttft_ms": 100, "e2e_ms": 150, "completion_tokens": 11}\n'
            ),
            "tbt",
            (5, 20),
        ),
    ],
)
def test_a_file_has_a_latency_a_line(
    tmp_path: Path, text: str, what: str, latencies: tuple[float, ...]
) -> None:
    """LAT-4.3: Numbers, objects with the field, or rows of a trace; empty lines and rows without times are left out."""
    assert read(tmp_path, text, what) == latencies


@pytest.mark.parametrize(
    ("text", "what", "problem"),
    [
        ("1\ntwo\n3", "ttft", 'line 2: wanted a number or a JSON object, found "two"'),
        ("1\n2,5\n", "ttft", 'line 2: wanted a number or a JSON object, found "2,5"'),
        ("1\n\n-3\n", "tbt", "line 3: wanted a number from 0 to 86_400_000, found -3"),
        ('1\n"4"\n', "tbt", 'line 2: wanted a number from 0 to 86_400_000, found "4"'),
        ("1\nNaN\n", "tbt", 'line 2: wanted a number or a JSON object, found "NaN"'),
        ("true\n", "ttft", "line 1: wanted a number from 0 to 86_400_000, found true"),
        (
            '{"ttft_ms": "soon"}\n',
            "ttft",
            'line 1: ttft_ms: wanted a number from 0 to 86_400_000, found "soon"',
        ),
        (
            '{"itl_ms": [1, null]}\n',
            "tbt",
            "line 1: itl_ms: wanted a number from 0 to 86_400_000, found None",
        ),
        (
            '{"ttft_ms": 9, "e2e_ms": 8.0, "completion_tokens": 3}',
            "tbt",
            "line 1: e2e_ms: wanted at least ttft_ms, 9.0, found 8.0",
        ),
        (b"1\n\xff\xfe\n", "ttft", "line 2: wanted a number or a JSON object, found"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str | bytes, what: str, problem: str) -> None:
    """LAT-4.3: A message has the setting, the file, the line and what is wrong with it."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, what)

    assert f"latency.{what}_file: {tmp_path / 'latencies.txt'}, {problem}" in str(caught.value)


@pytest.mark.parametrize(("text", "count"), [("", 0), ("\n\n", 0), ("7\n", 1), ('{"e2e_ms": 3}', 0)])
def test_one_latency_is_no_distribution(tmp_path: Path, text: str, count: int) -> None:
    """LAT-4.3: A file needs at least two."""
    with pytest.raises(ConfigError, match=f"has {count} latencies, wanted at least 2"):
        read(tmp_path, text)


def test_a_missing_or_large_file_is_an_error(tmp_path: Path) -> None:
    """LAT-4.3: So is a folder; no more than 64 MiB are read."""
    with pytest.raises(ConfigError, match=r"latency\.ttft_file: cannot read .*No such file"):
        read_latencies("latency.ttft_file", "ttft", str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match=r"cannot read .*directory"):
        read_latencies("latency.ttft_file", "ttft", str(tmp_path))
    with pytest.raises(ConfigError, match="is larger than 64 MiB"):
        read_latencies("latency.ttft_file", "ttft", "/dev/zero")


def test_a_long_file_keeps_its_distribution(tmp_path: Path) -> None:
    """LAT-4.2: More latencies than a list may have are cut down to their quantiles."""
    latencies = read(tmp_path, "\n".join(str(number) for number in range(50_001)))

    assert len(latencies) == 10_000
    assert latencies[0] == 0
    assert latencies[-1] == 50_000
    assert latencies[2500] == pytest.approx(12_500, abs=10)


def test_a_file_may_be_for_a_pattern(tmp_path: Path) -> None:
    """LAT-4.3: An error names the table that has the file."""
    figures = LatencyFigures(tbt_file=str(tmp_path / "missing"))

    with pytest.raises(ConfigError, match=r'latency\.models\."gpt-5\*"\.tbt_file: cannot read'):
        LatencySampler(LatencySettings(models={"gpt-5*": figures}), PROFILES)
