"""Builds the heads of a provider's responses.

Decisions:
* The head of every response of a provider is made here, from the facts of the response, whatever it answers.
* PERF: a head is a prepared template with a place for each fact: 0.6 us, against 9 us for a list of headers that Falcon and uvicorn
  walk through, check and join for each response.
"""

import functools
import math
import time
from collections.abc import Callable
from http import HTTPStatus

import msgspec

from llmsim.providers.contract import Headers, Provider, Reply
from llmsim.server.active_request import ActiveRequest

_JSON = ("content-type", "application/json")


class EncodedReply(msgspec.Struct, frozen=True, gc=False):
    """A response as it is sent.

    Attributes:
        status: HTTP status code.
        head: Its header lines, each with its end of line, but for `date` and what frames the body.
        body: The body; of a stream empty.
    """

    status: int
    head: bytes
    body: bytes = b""


@functools.cache
def status_line(status: int) -> bytes:
    """Return the first line of a response, with its end of line."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return b"HTTP/1.1 %d %b\r\n" % (status, phrase.encode())


def header_lines(headers: Headers) -> bytes:
    """Return headers as they are sent.

    Raises:
        ValueError: A name or value would end the line.
    """
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        raise ValueError(f"a line break in {headers!r}")
    return lines.encode("latin-1")


class ReplyBuilder:
    """Builds the responses of one provider.

    Args:
        provider: The API.
        new_id: Returns a new request id.
        limits: Headers that say what is left of limits, on all responses: those that are the same for all.
    """

    def __init__(self, provider: Provider, new_id: Callable[[], str], limits: Headers = ()) -> None:
        self._provider = provider
        self._new_id = new_id
        self._headers = headers = (*provider.response_headers, *limits)
        self._common = _template(headers)
        self._json = _template((_JSON, *headers))
        self._now = b""
        values = [value for _, value in headers]
        self._now_until = 0.0 if any("{now}" in value for value in values) else math.inf
        self._has_times = self._now_until == 0.0 or any("{elapsed_ms}" in value for value in values)
        self._streams: dict[Headers, bytes] = {}

    def build(self, body: bytes, active: ActiveRequest) -> EncodedReply:
        """Build a successful response of JSON."""
        return EncodedReply(200, self._fill(self._json, self._new_id(), active), body)

    def build_reply(self, reply: Reply, active: ActiveRequest) -> EncodedReply:
        """Build a response from a provider's reply."""
        return self._build(reply, self._new_id(), active)

    def build_error(self, reply: Reply, active: ActiveRequest) -> EncodedReply:
        """Build the response of a refusal, fault or crash, with the request id in the body where the API has it there."""
        request_id = self._new_id()
        return self._build(self._provider.add_request_id(reply, request_id), request_id, active)

    def build_stream(self, headers: Headers, active: ActiveRequest, body: bytes = b"") -> EncodedReply:
        """Build the head of a streamed response, or a whole one that is not JSON.

        Args:
            headers: The endpoint's own.
            active: The request.
            body: The body of a whole one.
        """
        template = self._streams.get(headers)
        if template is None:
            template = self._streams[headers] = _template((*headers, *self._headers))
        return EncodedReply(200, self._fill(template, self._new_id(), active), body)

    def _build(self, reply: Reply, request_id: str, active: ActiveRequest) -> EncodedReply:
        active.status, active.reply_headers = reply.status, reply.headers
        # A reply that is not JSON has its content type as the first of its headers.
        own = reply.headers
        if not own or own[0][0] != _JSON[0]:
            own = (_JSON, *own)
        common = self._fill(self._common, request_id, active)
        return EncodedReply(reply.status, header_lines(own[:1]) + common + header_lines(own[1:]), reply.body)

    def _fill(self, template: bytes, request_id: str, active: ActiveRequest) -> bytes:
        active.request_id = request_id
        if self._has_times:
            now = time.monotonic()
            if now >= self._now_until:
                self._read_clock(now)
            elapsed_ms = int((now - active.arrival) * 1000)
            lines = template % {
                b"request_id": request_id.encode(),
                b"elapsed_ms": elapsed_ms,
                b"now": self._now,
            }
        else:
            # PERF: 0.5 us less.
            lines = template % {b"request_id": request_id.encode()}
        return lines + active.extra_headers if active.extra_headers else lines

    def _read_clock(self, now: float) -> None:
        """Write the time anew, once a second."""
        seconds = time.time()
        self._now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)).encode()
        self._now_until = now + 1 - seconds % 1


@functools.lru_cache(maxsize=512)
def _template(headers: Headers) -> bytes:
    """Return header lines as a `%` template, with a place for each fact that providers have written in braces."""
    lines = header_lines(headers).replace(b"%", b"%%")
    for name, place in (
        (b"{request_id}", b"%(request_id)b"),
        (b"{elapsed_ms}", b"%(elapsed_ms)d"),
        (b"{now}", b"%(now)b"),
    ):
        lines = lines.replace(name, place)
    return lines
