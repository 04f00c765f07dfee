"""uvicorn's request in slots, and the event that it waits for."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from llmsim.server.transport import cycle as own
from llmsim.server.transport.cycle import Cycle, WakeEvent, changed_attributes
from llmsim.server.transport.protocols import choose_protocols

STEPS = st.lists(st.sampled_from(["set", "clear", "wait", "cancel", "turn"]), max_size=30)


async def outcomes(event: Any, steps: list[str]) -> list[tuple[bool, int]]:
    """Return what an event shows after each step, and how many of its waiters have been woken."""
    waiting: list[asyncio.Task[Any]] = []
    seen = []

    async def wait() -> None:
        await event.wait()

    for step in steps:
        match step:
            case "set" | "clear":
                getattr(event, step)()
            case "wait":
                waiting.append(asyncio.create_task(wait()))
                await asyncio.sleep(0)
            case "cancel" if waiting:
                waiting[len(waiting) // 2].cancel()
            case _:
                pass
        for _ in range(3):
            await asyncio.sleep(0)
        woken = [task for task in waiting if task.done() and not task.cancelled()]
        seen.append((event.is_set(), len(woken)))
    for task in waiting:
        task.cancel()
    return seen


@given(STEPS)
def test_an_event_is_as_asyncios(steps: list[str]) -> None:
    """TRAN-1.18: Whatever is done to it, it shows and wakes what asyncio's own does."""

    async def both() -> None:
        mine = await outcomes(WakeEvent(asyncio.get_running_loop()), steps)
        assert mine == await outcomes(asyncio.Event(), steps)

    asyncio.run(both())


async def test_waiters_that_were_cancelled_are_forgotten() -> None:
    """TRAN-1.18: An event that is waited for again and again, and never set, does not grow."""
    event = WakeEvent(asyncio.get_running_loop())
    for _ in range(50):
        waiter = event.wait()
        assert isinstance(waiter, asyncio.Future)
        waiter.cancel()

    assert len(event._waiters) <= 1


def connection() -> Any:
    """Return what a cycle reads of its protocol."""
    return SimpleNamespace(
        loop=asyncio.get_running_loop(),
        scope={"type": "http"},
        transport=object(),
        flow=object(),
        logger=object(),
        access_logger=object(),
        access_log=True,
        server_state=SimpleNamespace(default_headers=[(b"date", b"today")]),
        on_response_complete=lambda: None,
        expect_100_continue=True,
    )


async def test_a_cycle_has_what_uvicorns_has() -> None:
    """TRAN-1.18: Every attribute has uvicorn's value, and none is in a dict."""
    protocol = connection()
    event: Any = object()
    uvicorns = RequestResponseCycle(
        scope=protocol.scope,
        transport=protocol.transport,
        flow=protocol.flow,
        logger=protocol.logger,
        access_logger=protocol.access_logger,
        access_log=protocol.access_log,
        default_headers=protocol.server_state.default_headers,
        message_event=event,
        expect_100_continue=True,
        keep_alive=True,
        on_response=protocol.on_response_complete,
    )
    cycle = Cycle(protocol, keep_alive=True)
    expected = vars(uvicorns) | {"message_event": cycle.message_event}

    assert {name: getattr(cycle, name) for name in expected} == expected
    assert vars(cycle) == {}


def test_another_uvicorn_is_noticed_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRAN-1.10: A request that has come to have more is named, and plain uvicorn serves."""

    class Changed(RequestResponseCycle):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            self.trailers: list[bytes] = []

    monkeypatch.setattr(own, "RequestResponseCycle", Changed)
    http, _, problem = choose_protocols()

    assert changed_attributes() == ["cycle without trailers"]
    assert http == "httptools"
    assert "trailers" in (problem or "")
    assert httptools_impl.RequestResponseCycle is RequestResponseCycle
