"""An address that leads to another one, as that of a service which fails over."""

import contextlib
import socket
import threading
from collections.abc import Iterator


class Forwarder:
    """Passes on what arrives at a port of this machine.

    Attributes:
        target: Port to which new connections lead.
        port: Its own.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.target))
                except OSError:
                    client.close()
                    continue
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=ends, daemon=True).start()

    def close(self) -> None:
        """Accept no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    # Each of the two threads closes one end, once both are shut.
    source.close()


@contextlib.contextmanager
def forward(target: int) -> Iterator[Forwarder]:
    """Run a forwarder."""
    forwarder = Forwarder(target)
    try:
        yield forwarder
    finally:
        forwarder.close()
