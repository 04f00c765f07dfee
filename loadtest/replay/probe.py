"""What a server takes: found out with two small requests before the load.

Decisions:
* Paths and fields are tried, from the most exact to the most common: an engine takes `ignore_eos`, a strict API refuses
  it. Which of them a server takes is known only by asking.
* What a chat costs besides its text is measured: the server counts a prompt of known length.
"""

import http.client
import json
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import SplitResult

import msgspec

from loadtest.replay.client import Client
from loadtest.replay.prompts import write_prompt
from loadtest.response_checks import BrokenResponseError
from loadtest.target import unverified_context

_SHORT, _LONG = 40, 440
_TOKENS = 24
_TIMEOUT = 60.0

# Fields that fix the length of an output, by what takes them: vLLM, SGLang and TensorRT-LLM; most APIs; OpenAI's newer
# models.
_FIELDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("max_tokens", ("min_tokens",)),
    ("max_tokens", ()),
    ("max_completion_tokens", ()),
)


class Dialect(msgspec.Struct, frozen=True):
    """How a server is asked for a response of exact length.

    Attributes:
        path: Path of chat completions.
        model: The model.
        limit: The field of the most output tokens.
        minimum: Fields of the least output tokens.
        overhead: Tokens that the server counts for a prompt besides its words; None if it does not report them.
        per_word: Tokens of a word.
        is_exact: Whether the output was as long as was asked for.
    """

    path: str
    model: str
    limit: str
    minimum: tuple[str, ...]
    overhead: int | None = None
    per_word: float = 1.0
    is_exact: bool = False

    def encode(
        self, client: Client, *, prompt_tokens: int, completion_tokens: int, number: int, run: int
    ) -> bytes:
        """Return the bytes of a request of those lengths."""
        words = max(1, round((prompt_tokens - (self.overhead or 0)) / self.per_word))
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": write_prompt(words, number, run)}],
            "stream": True,
            "stream_options": {"include_usage": True},
            self.limit: completion_tokens,
            **dict.fromkeys(self.minimum, completion_tokens),
        }
        if self.minimum:
            body["ignore_eos"] = True
        # An llmsim generates as many tokens as this header has; others ignore it.
        headers = {"x-llmsim-tokens": str(completion_tokens)}
        return client.encode(self.path, msgspec.json.encode(body), headers)


async def probe_server(client: Client, paths: tuple[str, ...], model: str, run: int) -> Dialect:
    """Find out how a server is asked.

    Args:
        client: Sends to it.
        paths: Paths that chat completions may have.
        model: The model.
        run: The number of the run.

    Raises:
        BrokenResponseError: None of the ways is taken; the reason is that of the last.
    """
    last = BrokenResponseError("no path to try")
    for path in paths:
        for limit, minimum in _FIELDS:
            dialect = Dialect(path, model, limit, minimum)
            try:
                return await _measure(client, dialect, run)
            except BrokenResponseError as error:
                last = error
                if not str(error).startswith(("HTTP 400", "HTTP 422")):
                    break
    raise last


async def _measure(client: Client, dialect: Dialect, run: int) -> Dialect:
    short, tokens = await _ask(client, dialect, _SHORT, run, 0)
    long, _ = await _ask(client, dialect, _LONG, run, 1)
    is_exact = tokens == _TOKENS
    if short is None or long is None:
        return msgspec.structs.replace(dialect, is_exact=is_exact)
    per_word = (long - short) / (_LONG - _SHORT)
    if per_word <= 0:
        raise BrokenResponseError(f"{_LONG - _SHORT} more words counted as {long - short} more prompt tokens")
    overhead = round(short - per_word * _SHORT)
    return msgspec.structs.replace(dialect, overhead=overhead, per_word=per_word, is_exact=is_exact)


async def _ask(
    client: Client, dialect: Dialect, words: int, run: int, number: int
) -> tuple[int | None, int | None]:
    request = dialect.encode(
        client, prompt_tokens=words, completion_tokens=_TOKENS, number=number, run=run + 1
    )
    connection = await client.connect()
    reply = connection.send(request)
    await client.wait(connection, reply, _TIMEOUT)
    return reply.check.prompt_tokens, reply.check.tokens


def candidate_paths(url: SplitResult, prefix: str) -> tuple[str, ...]:
    """Return the paths at which chat completions may be: below the URL's own path, with and without the prefix."""
    base = url.path.rstrip("/")
    if base.endswith("/v1"):
        return (f"{base}/chat/completions",)
    return tuple(dict.fromkeys(f"{base}{part}/v1/chat/completions" for part in (prefix, "")))


def find_model(url: SplitResult, paths: tuple[str, ...], api_key: str) -> str | None:
    """Return the one model that a server lists; None if it lists several, or none."""
    for path in paths:
        address = f"{url.scheme}://{url.netloc}{path.removesuffix('/chat/completions')}/models"
        request = urllib.request.Request(address, headers={"authorization": f"Bearer {api_key}"})
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT, context=unverified_context()) as response:
                names = [entry["id"] for entry in json.load(response)["data"]]
        except (urllib.error.URLError, OSError, ValueError, http.client.HTTPException, KeyError, TypeError):
            continue
        return str(names[0]) if len(names) == 1 else None
    return None


def new_run_number() -> int:
    """Return a number that other runs do not have: prompts of two runs must not begin alike."""
    return time.time_ns() // 1_000_000
