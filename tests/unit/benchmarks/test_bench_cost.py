"""The part `cost`: ratios, order of laps, checks of replies, targets."""

import io
import json
from types import SimpleNamespace

import pytest
from benchmarks.cost import Cost, measure_groups, render_table, select, summarize
from benchmarks.cost_driver import check_reply
from benchmarks.endpoints import BenchError
from benchmarks.rows import ROWS, TOKENS, Row
from rich.console import Console

BY_NAME = {row.name: row for row in ROWS}
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n"


class FakeDriver:
    """A driver whose laps take as long as they are numbered."""

    def __init__(self) -> None:
        self.laps: list[str] = []

    async def lap(self, row: Row) -> float:
        """Return the number of the lap."""
        self.laps.append(row.name)
        return float(len(self.laps))


def stream(tokens: int, end: bytes = b"0\r\n\r\n") -> bytes:
    """Return a streamed reply in one chunk."""
    events = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n' * tokens
    return OK + b"%x\r\n%b\r\n" % (len(events), events) + end


def test_ratios_are_those_of_the_same_group() -> None:
    """BENCH-5.2: A machine that slows down between groups changes microseconds, but no ratio."""
    groups = [
        {"falcon": 20.0, "chat": 40.0, "messages": 60.0},
        {"falcon": 60.0, "chat": 120.0, "messages": 180.0},
        {"falcon": 30.0, "chat": 90.0, "messages": 135.0},
    ]
    chat, messages = (summarize(BY_NAME[name], groups) for name in ("chat", "messages"))

    assert (chat.us, chat.least_us, chat.laps) == (90, 40, 3)
    assert (chat.ratio, chat.target_ratio) == (2, 2)
    assert (messages.ratio, messages.of, messages.target_ratio) == (3, "chat", 1.5)


async def test_rows_take_turns() -> None:
    """BENCH-5.2: Each group has a lap of each row; of several laps the median counts, but a held stream has one."""
    driver = FakeDriver()
    rows = [BY_NAME["falcon"], BY_NAME["event-200"]]
    [group] = await measure_groups(driver, rows, 0, laps=3)

    assert driver.laps == ["falcon", "falcon", "falcon", "event-200"]
    assert group == {"falcon": 2, "event-200": 4}


async def test_each_group_begins_with_another_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """BENCH-5.2: No row is always measured behind the same one as the first of a group."""
    times = iter([0.0, 0.0, 1.0, 2.0])
    monkeypatch.setattr("benchmarks.cost.time", SimpleNamespace(monotonic=lambda: next(times)))
    driver = FakeDriver()
    await measure_groups(driver, [BY_NAME["raw"], BY_NAME["falcon"]], 1.5)

    assert driver.laps == ["raw", "falcon", "falcon", "raw", "raw", "falcon"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), [row.name for row in ROWS]),
        (("messages",), ["falcon", "chat", "messages"]),
        (("event-1000",), ["falcon", "event-1000"]),
    ],
)
def test_yardsticks_are_measured_too(names: tuple[str, ...], expected: list[str]) -> None:
    """BENCH-5.4: A named row brings those that its ratios are to."""
    assert [row.name for row in select(names)] == expected


def test_good_replies_pass() -> None:
    """BENCH-5.3: Complete replies with status 200 are those that are measured."""
    check_reply(BY_NAME["chat"], OK + json.dumps({"choices": [1]}).encode())
    check_reply(BY_NAME["messages"], OK + json.dumps({"content": [1]}).encode())
    check_reply(BY_NAME["chat-stream"], stream(TOKENS))


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("chat", b""),
        ("chat", b'HTTP/1.1 429 Too Many Requests\r\n\r\n{"choices":[1]}'),
        ("chat", OK + b'{"choices":[1]'),
        ("chat", OK + b'{"choices":[]}'),
        ("chat", OK + b"[]"),
        ("responses", OK + b'{"choices":[1]}'),
        ("chat-stream", stream(TOKENS - 1)),
        ("chat-stream", stream(TOKENS, b"")),
    ],
)
def test_bad_replies_are_named(name: str, reply: bytes) -> None:
    """BENCH-5.3: A reply that is incomplete, an error or of another API names its row."""
    with pytest.raises(BenchError, match=f"^{name}: not the expected reply"):
        check_reply(BY_NAME[name], reply)


def test_targets_are_shown() -> None:
    """BENCH-5.5: The table has each target, and whether a ratio reaches it."""

    def cost(name: str, target_ratio: float, more_us: float = 0) -> Cost:
        row = BY_NAME[name]
        fields = {"us": 20.0, "least_us": 10.0, "ratio": 2.0, "more_us": more_us, "laps": 1}
        return Cost(name=name, limit=row.limit, of=row.of, target_ratio=target_ratio, **fields)

    console = Console(file=io.StringIO(), width=160)
    console.print(
        render_table(
            [
                cost("falcon", 1),
                cost("chat", 1.31),
                cost("messages", 1.3),
                cost("chat-limits", 1, more_us=6.25),
                cost("event-1000", 1),
            ]
        )
    )
    assert isinstance(console.file, io.StringIO)
    _, _, falcon, chat, messages, limits, event = (
        line.split() for line in console.file.getvalue().splitlines()
    )

    assert "≤" not in falcon
    assert chat[-2:] == ["short", "1"]
    assert messages[-3:] == ["reached,", "1.30", "1"]
    assert " ".join(limits).endswith("chat + 5 us short, + 6.2 1")
    assert " ".join(event).endswith("≤ 16 us with the kernel's share 1")
