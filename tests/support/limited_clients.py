"""Clients that ask under a key with limits, and what they were admitted together."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import NamedTuple

from support.raw_http import chat

TOKENS = 13
"""Tokens of a request: 8 of the prompt, and 5 that may be generated."""


class Answer(NamedTuple):
    """One answer.

    Attributes:
        sent: When its request was sent, in seconds.
        at: When it had come.
        status: Its status.
        headers: Its headers.
    """

    sent: float
    at: float
    status: int
    headers: dict[str, str]


class Client:
    """A client with one connection, which is opened again if a worker dies."""

    def __init__(self, port: int, key: str = "shared") -> None:
        body = json.dumps(chat(max_tokens=5)).encode()
        self.port = port
        self.request = (
            b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: llmsim\r\nauthorization: Bearer %b\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (key.encode(), len(body), body)
        )
        self.connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> Answer | None:
        """Send a request; return None if its worker died."""
        try:
            if self.connection is None:
                self.connection = await asyncio.open_connection("127.0.0.1", self.port)
            reader, writer = self.connection
            sent = time.monotonic()
            writer.write(self.request)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:-2])
            await reader.readexactly(int(headers["content-length"]))
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return None
        return Answer(sent, time.monotonic(), int(lines[0].split()[1]), headers)

    def close(self) -> None:
        """Close the connection."""
        if self.connection is not None:
            self.connection[1].transport.abort()
            self.connection = None


async def hammer(ports: Sequence[int], clients: int, requests: int, pause: float) -> list[Answer]:
    """Let clients ask, in turn at several ports, each a number of times with pauses; return all answers."""

    async def run(number: int) -> list[Answer]:
        client, answers = Client(ports[number % len(ports)]), []
        for _ in range(requests):
            if answer := await client.ask():
                answers.append(answer)
            await asyncio.sleep(pause)
        client.close()
        return answers

    return [answer for answers in await asyncio.gather(*map(run, range(clients))) for answer in answers]


def most_in_window(answers: Sequence[Answer], seconds: float) -> int:
    """Return the most requests that were sent and answered within any window: they were admitted in it, however busy the machine."""
    ordered = sorted(answers)
    return max(
        sum(answer.at <= first.sent + seconds for answer in ordered[index:])
        for index, first in enumerate(ordered)
    )
