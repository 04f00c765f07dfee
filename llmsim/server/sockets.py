"""An endpoint over WebSocket: several turns on one connection, one after the other.

Decisions:
* What arrives while a turn is under way waits for its end: one response at a time.
* The connection remembers the last turns itself, so that turns which are not kept for others can
  still be continued by the client that has them.
* Whatever a client sends costs it an error event, never the connection, and never the worker.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from functools import partial

import falcon
from falcon.asgi import Request, WebSocket

from llmsim.domain import Fault, Turn
from llmsim.errors import BodyTooLargeError, InvalidJsonError, RefusedError
from llmsim.planning.planner import Planner
from llmsim.providers.contract import GenerationEndpoint, ParsedRequest, Socket
from llmsim.providers.storage import StoredResponse
from llmsim.server.breaking import breaking_runs
from llmsim.server.connections import AsgiConnection
from llmsim.server.deciding import Decider, Decision
from llmsim.server.pacing import PacedStream, TimerWheel
from llmsim.server.script_player import RequestControls, ScriptPlayer
from llmsim.stats import Block, Outcome, Recorder

_REMEMBERED = 32
"""Turns that a connection remembers."""

_BROKEN = 1011
"""Close code of a connection that is cut. Source: RFC 6455, 7.4.1: an unexpected condition."""

_WAITING = 16
"""Messages that may wait for the turn under way; then the client is not read from any more."""


class Sockets:
    """Takes the WebSocket connections of one endpoint."""

    def __init__(
        self,
        generation: GenerationEndpoint,
        socket: Socket,
        number: int,
        planner: Planner,
        decider: Decider,
        stage: ScriptPlayer,
        *,
        wheel: TimerWheel,
        block: Block,
        recorder: Recorder,
        most: int,
        lifetime: float,
        max_message_bytes: int,
    ) -> None:
        """Prepare to take connections.

        Args:
            generation: The endpoint.
            socket: How it speaks over WebSocket.
            number: Its number in the stats.
            planner: Plans the turns.
            decider: Decides the requests.
            stage: Where scripts are played.
            wheel: The worker's wheel.
            block: The counters of all workers, for the limit.
            recorder: The worker's own.
            most: Connections that may be open over all workers.
            lifetime: Seconds after which a connection is ended.
            max_message_bytes: Largest message that is read.
        """
        self.generation = generation
        self.socket = socket
        self.number = number
        self.planner = planner
        self.decider = decider
        self.stage = stage
        self.wheel = wheel
        self.recorder = recorder
        self.lifetime = lifetime
        self.max_message_bytes = max_message_bytes
        self._block = block
        self._most = most

    async def on_websocket(self, req: Request, ws: WebSocket) -> None:
        """Serve one connection to its end."""
        await ws.accept()
        if self._block.open_websockets() >= self._most:
            await ws.send_text(
                self.socket.render_limit(f"at most {self._most} connections may be open").decode()
            )
            await ws.close(1013)
            return
        try:
            cue = self.stage.read_controls(req.get_header)
        except RefusedError as error:
            await ws.send_text(self.socket.render_refusal(error).decode())
            await ws.close(1008)
            return
        self.recorder.websocket_opened()
        session = _Session(self, ws, cue)
        try:
            await session.run()
        except falcon.WebSocketDisconnected:
            pass
        finally:
            session.close()
            self.recorder.websocket_closed()


class _Session:
    """One connection."""

    def __init__(self, sockets: Sockets, ws: WebSocket, cue: RequestControls | None) -> None:
        self._sockets = sockets
        self._ws = ws
        self._cue = cue
        self._decision: Decision | None = None
        self._connection = AsgiConnection(None, sockets.wheel)
        self._messages: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)
        self._remembered: OrderedDict[str, StoredResponse] = OrderedDict()
        self._reader = asyncio.create_task(self._read())
        self._ends = time.monotonic() + sockets.lifetime

    async def _read(self) -> None:
        """Take messages in as they come; a hang-up is noticed at once, whatever is under way."""
        try:
            while True:
                try:
                    message = (await self._ws.receive_text()).encode()
                except falcon.PayloadTypeError:
                    message = b"(a binary message)"
                await self._messages.put(message)
        except falcon.WebSocketDisconnected:
            self._connection.hang_up()
            self._stop()

    def _stop(self) -> None:
        while True:
            try:
                self._messages.put_nowait(None)
            except asyncio.QueueFull:
                self._messages.get_nowait()
            else:
                return

    async def run(self) -> None:
        """Answer messages until the client leaves or the connection's time is over."""
        async for message in self._incoming():
            await self._answer(message)
        if not self._connection.gone:
            minutes = round(self._sockets.lifetime / 60)
            await self._send(
                self._sockets.socket.render_limit(f"a connection lasts at most {minutes} minutes")
            )
            await self._ws.close(1000)

    async def _incoming(self) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout(self._ends - time.monotonic()):
                    message = await self._messages.get()
            except TimeoutError:
                return
            if message is None:
                return
            yield message

    async def _answer(self, message: bytes) -> None:
        """Answer one message, and book it like any other request."""
        sockets = self._sockets
        arrived = time.monotonic()
        sockets.recorder.began(sockets.number, arrived)
        outcome = Outcome.FAILED
        self._decision = None
        try:
            outcome = await self._turn(message, arrived)
        except falcon.WebSocketDisconnected:
            outcome = Outcome.ABANDONED
            raise
        except asyncio.CancelledError:
            outcome = Outcome.ABORTED
            raise
        finally:
            now = time.monotonic()
            sockets.recorder.ended(sockets.number, outcome, now - arrived, now)
            if self._decision is not None and self._decision.is_open:
                sockets.decider.ended(self._decision, outcome, now - arrived)

    async def _turn(self, message: bytes, arrived: float) -> Outcome:
        sockets = self._sockets
        try:
            if len(message) > sockets.max_message_bytes:
                raise BodyTooLargeError(sockets.max_message_bytes)
            if message.startswith(b"("):
                raise InvalidJsonError("a message must be text")
            ask = sockets.decider.parse(message, self._cue, sockets.socket.parse)
            if sockets.socket.is_warm_up(ask):
                ask = sockets.decider.continued(ask, self._remembered)
                turn = sockets.planner.silence(ask.prompt)
                return await self._stream(ask, turn, arrived)
            decision = sockets.decider.decide(
                message, ask, arrived, cue=self._cue, remembered=self._remembered
            )
        except RefusedError as error:
            await self._send(sockets.socket.render_refusal(error))
            return Outcome.REFUSED
        self._decision = decision
        if isinstance(decision.outcome, Fault):
            return await self._fail(decision.ask, decision.outcome, arrived)
        return await self._stream(decision.ask, decision.outcome, arrived)

    async def _fail(self, ask: ParsedRequest, fault: Fault, arrived: float) -> Outcome:
        sockets = self._sockets
        sockets.recorder.accepted(ask.prompt.model, streaming=True, prompt_tokens=0)
        if not await self._connection.until(arrived + fault.delay):
            return Outcome.ABANDONED
        await self._send(sockets.socket.render_fault(fault))
        return Outcome.of(fault.kind)

    async def _stream(self, ask: ParsedRequest, turn: Turn, arrived: float) -> Outcome:
        """Send the events of a turn as they fall due, one message each."""
        sockets = self._sockets
        row = sockets.recorder.accepted(turn.model, streaming=True, prompt_tokens=turn.usage.prompt)
        socket = sockets.socket
        runs = socket.render_stream(turn, ask.options)
        if turn.stream_fault is not None:
            runs = breaking_runs(turn, runs, partial(socket.render_broken, turn, ask.options))
        flight = PacedStream(turn, runs, arrived=arrived, recorder=sockets.recorder, row=row)
        sockets.recorder.stream_opened()
        try:
            while not flight.done:
                if self._connection.gone:
                    return Outcome.ABANDONED
                if events := flight.take(time.monotonic()):
                    for event in events.splitlines():
                        await self._send(event)
                else:
                    await self._connection.until(flight.due)
        finally:
            sockets.recorder.stream_closed()
        if turn.stream_fault is not None:
            if turn.stream_fault.disconnect:
                await self._cut()
            return Outcome.of(turn.stream_fault.fault.kind)
        self._remember(ask, turn, arrived)
        return Outcome.FINISHED

    async def _cut(self) -> None:
        """Hang up on the client."""
        self._connection.hang_up()
        self._stop()
        await self._ws.close(_BROKEN)

    def _remember(self, ask: ParsedRequest, turn: Turn, arrived: float) -> None:
        storage = self._sockets.generation.storage
        if storage is None:
            return
        stored = StoredResponse(prompt=ask.prompt, turn=turn, options=ask.options, arrived=arrived)
        self._remembered[storage.public_id(turn)] = stored
        while len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)

    async def _send(self, event: bytes) -> None:
        await self._ws.send_text(event.decode())

    def close(self) -> None:
        """Let go of everything held for the connection."""
        self._reader.cancel()
        self._connection.close()
