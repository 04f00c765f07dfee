"""uvicorn's HTTP protocol with a bound on the fields of a head, and problems that end the parser's work."""

from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llmsim.errors import TransportError


class ProblemError(Exception):
    """Ends the parser's work; the protocol has the problem."""


class FieldsProtocol(HttpToolsProtocol):
    """One connection over HTTP.

    Attributes:
        problem: Why the parser's work was ended.
        max_fields: Most fields of a head.
    """

    # PERF: what llmsim's protocols add to a connection is in slots: Python shares the names of up to 30 attributes, which uvicorn's
    # are, among all objects of a class; with one more each connection has a dict of its own, of 1.2 kB.
    __slots__ = ("max_fields", "problem")

    def __init__(self, config: uvicorn.Config, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        self.max_fields: int
        self.problem: TransportError | None = None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field of a head or of its trailers.

        PERF: 0.04 us to count it. What comes at once may have tens of thousands, of which each takes 200 bytes.
        """
        fields = self.headers
        if len(fields) > 2 * self.max_fields:
            self.fail(431, f"the request has more than {self.max_fields} headers")
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        fields.append((name, value))

    def on_chunk_header(self) -> None:
        """Have trailers kept in a list of their own: they come after the headers were checked, and acted on.

        Source: RFC 9110, 6.5.1: trailers are not merged with headers.
        """
        if self.scope["headers"] is self.headers:
            self.headers = self.headers.copy()

    def fail(self, status: int, problem: str) -> None:
        """End the parser's work.

        Raises:
            ProblemError: Always.
        """
        self.problem = TransportError(status, problem)
        raise ProblemError
