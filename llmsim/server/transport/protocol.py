"""uvicorn's HTTP protocol, with a budget and a deadline for everything that a client sends.

Decisions:
* The bytes of a head are counted as they come, because httptools calls `on_header` only when a field is whole.
* A deadline is armed only where a request has come in part: one that comes in one piece costs nothing, and streams are not touched.
* A problem with a head is answered here; one with a body by the endpoint that reads it, which finds it in the scope.
* An error never cuts into a response in progress: it is sent once that has ended.
* An offer to change to any protocol but WebSocket is ignored. Source: RFC 9110, 7.8. llhttp ends the message at such an offer, so a
  new parser is fed the same head without it.
* At the start of a drain connections without a request are given a grace period; uvicorn closes them while clients may be writing one.
"""

import asyncio
import logging
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from llmsim.errors import TransportError
from llmsim.server.transport import heads
from llmsim.server.transport.bodies import PROBLEM
from llmsim.server.transport.body_budget import UNCOUNTED
from llmsim.server.transport.body_deadline import BodyDeadline
from llmsim.server.transport.connection import Flow, announce_close, encode_last, linger
from llmsim.server.transport.cycle import do_nothing, end_with_connection
from llmsim.server.transport.eager_tasks import start_eagerly
from llmsim.server.transport.fields_protocol import FieldsProtocol, ProblemError
from llmsim.server.transport.keep_alive import KeepAlive
from llmsim.server.transport.request_begin import begin_message, begin_request

_GRACE, _USED_GRACE = 0.5, 0.1
"""Seconds that a connection is given when a drain begins: one without a request, and one whose last request is answered."""

_IDLE, _HEAD, _BODY = range(3)

# PERF: 0.1 us less for each call than by `super()`.
_on_body = HttpToolsProtocol.on_body
_on_message_complete = HttpToolsProtocol.on_message_complete
_on_response_complete = HttpToolsProtocol.on_response_complete

_log = logging.getLogger(__name__)


class Protocol(FieldsProtocol):
    """One connection over HTTP."""

    closes = False
    """Whether each response closes its connection, because the server is about to stop; set on the class, or on one connection."""

    flow: Any
    __slots__ = (
        *("_begin", "_bodies", "_body_bytes", "_budgets", "_completed", "_deadline", "_earlier"),
        *("_had_body", "_head_bytes", "_held", "_is_deaf", "_is_declined", "_is_last", "_is_suspect"),
        *("_is_websocket", "_keep_alive", "_max_body_bytes", "_max_head_bytes", "_overhead", "_reading"),
        *("_ready", "_reject", "_timed", "_timer"),
    )

    def __init__(self, config: uvicorn.Config, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        application: Any = config.app
        self._budgets = budgets = application.settings.budgets
        self._reject, self._bodies = application.reject, application.bodies
        self._max_head_bytes = budgets.max_head_bytes
        self.max_fields = budgets.max_head_fields
        self._deadline = BodyDeadline(budgets.body_timeout_secs, budgets.room_timeout_secs)
        self._max_body_bytes: int = application.settings.server.max_body_bytes
        self._reading = self._timed = _IDLE
        self._timer: asyncio.TimerHandle | None = None
        # Of the head that is read, of the body, and of the data that was received last.
        self._head_bytes = self._body_bytes = self._overhead = self._held = 0
        self._is_suspect = self._completed = self._had_body = False
        self._is_deaf = self._is_last = self._is_websocket = self._is_declined = False
        # Of the connection. The cycle that is answered while others wait; uvicorn knows the last one only.
        self._earlier: Any = None
        self._begin = application.begin if self.app is application else RequestResponseCycle.run_asgi
        self._ready: tuple[Any, Any] | None = None
        self.pipeline = ()  # type: ignore[assignment] # a queue once there is one; see `begin_request`
        self._keep_alive = KeepAlive(self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self.flow = Flow(transport, self._may_read, self.loop)
        self._arm(_HEAD, self._budgets.head_timeout_secs)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release everything held for the connection."""
        self._disarm()
        self._keep_alive.stop()
        self._release()
        if self._earlier is not None and not self._earlier.response_complete:
            self._earlier.disconnected = True
            self._earlier.message_event.set()
        super().connection_lost(exc)
        # NOTE: without cycles of references all of it is freed now, not when garbage is collected next.
        self.flow.release()
        while self.pipeline:
            self.pipeline.pop()[0].on_response = do_nothing

    def shutdown(self) -> None:
        """Close the connection once it is idle."""
        if self._is_answering():
            super().shutdown()
            return
        self.closes = True
        self.loop.call_later(_GRACE if self.cycle is None else _USED_GRACE, super().shutdown)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, check what is incomplete, and begin to answer."""
        if self._is_deaf:
            return
        self._parse(data)
        self._answer()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Have a request answered, once what has come of its body is read."""
        self._ready = (cycle, app)

    def _answer(self) -> None:
        if self._ready is not None:
            (cycle, app), self._ready = self._ready, None
            if (waiting := self._begin(cycle, app)) is not None:
                start_eagerly(waiting, self.loop, self.tasks)

    def _parse(self, data: bytes) -> None:
        before = self._reading
        self._completed = self._had_body = False
        size = len(data)
        self._is_suspect = self._head_bytes + size > self._max_head_bytes
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._take_offer(data, upgrade.args[0])
        except httptools.HttpParserError as error:
            _log.debug("invalid request: %s", error)
            if before == _IDLE and not (self._completed or self.url):
                self.url = heads.find_target(data)
            self._refuse(self.problem or TransportError(400, f"the request is not valid HTTP: {error}"))
            return
        if self._reading != _IDLE or self._timer is not None or not self._completed:
            self._check(before, size)

    def _take_offer(self, data: bytes, end: int) -> None:
        """Change to WebSocket, or parse the request again without its offer; another may follow in the same data."""
        while not self._is_websocket:
            data = heads.without_offer(self.parser, self.url, self.headers) + data[end:]
            self._is_declined, self._reading = False, _IDLE
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                end = upgrade.args[0]
            else:
                return
        self._change_to_websocket(bytes(data[end:]))

    def _change_to_websocket(self, rest: bytes) -> None:
        self._disarm()
        self._release()
        self._is_deaf = True
        self.handle_websocket_upgrade()
        if rest:
            websocket: Any = self.transport.get_protocol()
            websocket.data_received(rest)
        self._keep_alive.stop()
        self.flow.release()
        self.parser = None  # type: ignore[assignment] # as uvicorn does at the end of a connection

    def _should_upgrade(self) -> bool:
        return self._is_websocket

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        self._reading = _HEAD
        begin_message(self)

    def on_headers_complete(self) -> None:
        """Check a head, and start its request."""
        if self._is_suspect or len(self.headers) > self.max_fields:
            self.problem = self._find_head_problem(heads.size_of(self.url, self.headers))
            if self.problem is not None:
                raise ProblemError
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            self.fail(400, f"HTTP/{version} is not served; use HTTP/1.1")
        if self.parser.should_upgrade() and not self._accepts_offer():
            self._is_declined = True
            return
        if len(self.pipeline) >= self._budgets.max_pipelined:
            self.fail(400, f"more than {self._budgets.max_pipelined} requests wait on this connection")
        self._head_bytes = self._body_bytes = self._overhead = 0
        before = self.cycle
        try:
            begin_request(self, version)
        except httptools.HttpParserInvalidURLError:
            self.fail(400, "the request target is not a path")
        self._reading = _BODY
        if self.closes and not self._is_websocket:
            self.cycle.keep_alive = False
        if len(self.pipeline) == 1:
            self._earlier = before
        if version == "1.0":
            end_with_connection(self.cycle)

    def _accepts_offer(self) -> bool:
        """Return whether the connection changes to WebSocket."""
        if self.parser.get_method() == b"CONNECT":
            self.fail(405, "CONNECT is not served")
        if self.ws_protocol_class is None or not heads.is_handshake(
            self.parser, self.headers, self._get_upgrade()
        ):
            return False
        if self._is_answering():
            self.fail(400, "a WebSocket handshake must wait for the response before it")
        self._is_websocket = True
        return True

    def on_body(self, body: bytes) -> None:
        """Count a piece of the body."""
        if self._is_declined:
            return
        before = self._body_bytes
        self._body_bytes = total = before + len(body)
        self._had_body = True
        _on_body(self, body)
        if total > UNCOUNTED and not self.cycle.response_complete and not heads.is_streamed(self.headers):
            if before > UNCOUNTED:
                self._held += len(body)
            else:
                self._held += total
                announced = heads.body_size(self.headers, self._max_body_bytes)
                self._bodies.hold(self, self._held, self._held - total + announced)

    def on_message_complete(self) -> None:
        """Note that a request is complete."""
        if self._is_declined:
            return
        self._reading = _IDLE
        self._completed = True
        _on_message_complete(self)
        if self._held:
            self._bodies.hold(self, self._held)

    def on_response_complete(self) -> None:
        """Go on to the next request, or send the error that waits for the end of this response."""
        if self.pipeline:
            self._earlier = self.pipeline[-1][0]
            _on_response_complete(self)
            self.loop.call_soon(self._answer)
            return
        if self._held:
            self._release()
        self.server_state.total_requests += 1
        if self.problem is None and not self._is_last:
            self._earlier = None
            if not self.transport.is_closing():
                self.flow.resume_reading()
                self._keep_alive.start()
        elif self._reading == _BODY:
            self._discard_input()
            linger(self.transport, self.loop)
        elif self.problem is None:
            self.transport.close()
        else:
            self._send_problem()

    def is_busy(self) -> bool:
        """Return whether a request is read, within a time of its own, or answered; the end of its response starts the idle time anew."""
        return self._is_deaf or self._timer is not None or self._reading != _IDLE or self._is_answering()

    def resume_writing(self) -> None:
        """Continue to write, and to read."""
        super().resume_writing()
        self.flow.resume_reading()

    def pause(self) -> None:
        """Read no more of a body until there is room for it."""
        self._deadline.pause(self.loop.time())
        self.flow.pause_reading()

    def resume(self) -> None:
        """Continue to read a body, in the time that its client had left."""
        self._deadline.resume(now := self.loop.time())
        if self._timed == _BODY:
            self._arm(_BODY, self._deadline.left(now, self._body_bytes))
        self.flow.resume_reading()

    def _may_read(self) -> bool:
        return self._is_deaf or not (self.pipeline or self._deadline.is_waiting or self.flow.write_paused)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _release(self) -> None:
        if self._held:
            self._held = 0
            self._deadline.resume(self.loop.time())
            self._bodies.release(self)

    def _check(self, before: int, size: int) -> None:
        """Check what has come of an incomplete request, and see to its deadline."""
        if self._reading == _HEAD:
            if before == _HEAD and not self._completed:
                self._head_bytes += size
            elif before == _IDLE and not self._completed:
                self._head_bytes = size
            else:
                self._head_bytes = heads.size_of(self.url, self.headers)
            if problem := self._find_head_problem(self._head_bytes):
                self._refuse(problem)
            elif self._timed != _HEAD:
                self._arm(_HEAD, self._budgets.head_timeout_secs)
        elif self._reading == _BODY:
            # Trailers and extensions of chunks are no body.
            continues = before == _BODY and not self._completed
            self._overhead = self._overhead + size if continues and not self._had_body else 0
            if self._overhead > self._max_head_bytes or len(self.headers) > 2 * self.max_fields:
                self._refuse(TransportError(431, "the trailers of the request are too large"))
            elif self._timed != _BODY or not continues:
                self._deadline.start(now := self.loop.time())
                self._arm(_BODY, self._deadline.left(now, 0))
            if not (self._is_last or self.cycle.keep_alive):
                self._is_last = True
                announce_close(self.cycle)
        elif self._completed:
            self._disarm()
        elif self._timed != _HEAD and not self._is_answering():
            # Blank lines between two requests.
            self._arm(_HEAD, self._budgets.head_timeout_secs)

    def _find_head_problem(self, size: int) -> TransportError | None:
        return heads.find_problem(size, self._max_head_bytes, len(self.headers), self.max_fields)

    def _arm(self, kind: int, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timed = kind
        self._timer = self.loop.call_later(seconds, self._expire_head if kind == _HEAD else self._expire_body)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timed = _IDLE

    def _expire_head(self) -> None:
        self._timer = None
        if self._reading == _HEAD:
            problem = f"the head of the request was not complete within {self._budgets.head_timeout_secs} s"
            self._refuse(TransportError(408, problem))
        else:
            self.transport.close()

    def _expire_body(self) -> None:
        self._timer = None
        now = self.loop.time()
        if self.pipeline:
            # Nothing is read before the responses to earlier requests.
            self._deadline.start(now)
        left = self._deadline.left(now, self._body_bytes)
        if left > 0.01:
            self._arm(_BODY, left)
        else:
            self._refuse(TransportError(*self._deadline.problem(now)))

    def _refuse(self, problem: TransportError) -> None:
        """Answer a problem: now, once the response in progress has ended, or through the endpoint that reads the body."""
        self._discard_input()
        self.problem = problem
        cycle = self.cycle
        if self._reading == _BODY:
            if cycle.response_complete:
                self.transport.close()
                return
            scope: Any = cycle.scope
            scope[PROBLEM] = (problem.status, str(problem))
            if not self._is_last:
                announce_close(cycle)
            cycle.more_body = False
            cycle.message_event.set()
        elif not self._is_answering():
            self._send_problem()

    def _discard_input(self) -> None:
        self._disarm()
        self._is_deaf = True
        self.flow.resume_reading()

    def _send_problem(self) -> None:
        if self.transport.is_closing():
            return
        assert self.problem is not None
        url, headers = (self.url, self.headers) if self._reading == _HEAD else (b"", [])
        reply = self._reject(self.problem, url, headers)
        self.transport.write(encode_last(reply, self.server_state.default_headers))
        linger(self.transport, self.loop)
