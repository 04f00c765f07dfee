"""Runs the official SDKs against a server that plays an answer with a fault, and says what each makes of it.

Decisions:
* Each SDK is used as its documentation shows first, with its retries off: a second attempt would hide the fault.
* What is compared is what an application gets: the text, the arguments of the call, and exceptions.
"""

import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from anthropic import Anthropic
from openai import OpenAI

from llmsim.domain import WireFaultKind

TEXT = "Grüße 🦜 to you"
ARGUMENTS = '{"to":"you"}'
_PLACE = 0.3
_HELLO: Any = [{"role": "user", "content": "Hello"}]
_GPT = "gpt-4o"
_CLAUDE = "claude-opus-4-8"
_TIMEOUT = 20.0

Outcome = tuple[str, str]
"""Text, and arguments of the call."""


def script(kind: WireFaultKind | None) -> bytes:
    """Return the script that all clients play, with a fault."""
    turn: dict[str, Any] = {
        "type": "mixed",
        "text": TEXT,
        "calls": [{"name": "go", "arguments": {"to": "you"}}],
        "repeat": 100,
    }
    if kind is not None:
        turn["stream_fault"] = {"kind": kind.value, "at": _PLACE}
        if kind in (WireFaultKind.STALL, WireFaultKind.SLOW_DRIP):
            turn["stream_fault"]["for_ms"] = 1
    return json.dumps({"turns": [turn]}).encode()


def play(base: str, kind: WireFaultKind | None) -> None:
    """Have the server play the script with a fault."""
    put = urllib.request.Request(
        f"{base}/llmsim/scripts/played", script(kind), {"content-type": "application/json"}, method="PUT"
    )
    with urllib.request.urlopen(put) as response:
        response.read()


def _openai(base: str, session: str) -> OpenAI:
    headers = {"x-llmsim-script": "played", "x-llmsim-session": session}
    return OpenAI(
        base_url=f"{base}/openai/v1", api_key="any", max_retries=0, timeout=_TIMEOUT, default_headers=headers
    )


def _anthropic(base: str, session: str) -> Anthropic:
    headers = {"x-llmsim-script": "played", "x-llmsim-session": session}
    return Anthropic(
        base_url=f"{base}/anthropic", api_key="any", max_retries=0, timeout=_TIMEOUT, default_headers=headers
    )


def _chat_stream(base: str, session: str) -> Outcome:
    text = arguments = ""
    with _openai(base, session) as client:
        for chunk in client.chat.completions.create(model=_GPT, messages=_HELLO, stream=True):
            delta = chunk.choices[0].delta
            text += delta.content or ""
            for call in delta.tool_calls or ():
                arguments += (call.function.arguments if call.function else None) or ""
    return text, arguments


def _responses_stream(base: str, session: str) -> Outcome:
    with (
        _openai(base, session) as client,
        client.responses.stream(model=_GPT, input="Hello") as stream,
    ):
        response = stream.until_done().get_final_response()
    calls = [item.arguments for item in response.output if item.type == "function_call"]
    return response.output_text, "".join(calls)


def _chat(base: str, session: str) -> Outcome:
    with _openai(base, session) as client:
        message = client.chat.completions.create(model=_GPT, messages=_HELLO).choices[0].message
    calls = [call.function.arguments for call in message.tool_calls or () if call.type == "function"]
    return message.content or "", "".join(calls)


def _messages_stream(base: str, session: str) -> Outcome:
    with (
        _anthropic(base, session) as client,
        client.messages.stream(model=_CLAUDE, max_tokens=100, messages=_HELLO) as stream,
    ):
        return _parts(stream.get_final_message())


def _messages(base: str, session: str) -> Outcome:
    with _anthropic(base, session) as client:
        return _parts(client.messages.create(model=_CLAUDE, max_tokens=100, messages=_HELLO))


def _parts(message: Any) -> Outcome:
    texts = [block.text for block in message.content if block.type == "text"]
    calls = [
        json.dumps(block.input, separators=(",", ":"))
        for block in message.content
        if block.type == "tool_use"
    ]
    return "".join(texts), "".join(calls)


PYTHON: Mapping[str, Callable[[str, str], Outcome]] = {
    "`openai`, chat, stream": _chat_stream,
    "`openai`, Responses, stream": _responses_stream,
    "`openai`, chat, whole": _chat,
    "`anthropic`, stream": _messages_stream,
    "`anthropic`, whole": _messages,
}
"""The clients by the headings of their columns."""


def observe_python(base: str, kind: WireFaultKind) -> dict[str, str]:
    """Return what each client makes of the answer that the server plays."""
    found = {}
    for name, run in PYTHON.items():
        try:
            text, arguments = run(base, f"{kind.value} {name.replace('`', '')}")
        except Exception as error:
            found[name] = f"`{type(error).__name__}`"
        else:
            found[name] = describe(text, arguments)
    return found


VERCEL = {
    "Vercel AI SDK, chat": "chat",
    "Vercel AI SDK, Responses": "responses",
    "Vercel AI SDK, Anthropic": "anthropic",
}
"""APIs of the Vercel AI SDK by the headings of their columns."""


class Vercel:
    """The Vercel AI SDK in a process of Node.

    Args:
        base: Address of the server.
        packages: Folder with `node_modules`, in which `ai`, `@ai-sdk/openai` and `@ai-sdk/anthropic` are installed.
    """

    def __init__(self, base: str, packages: Path) -> None:
        # Node looks for packages beside the module that imports them.
        module = packages / "vercel.mjs"
        module.write_bytes(Path(__file__).with_name("vercel.mjs").read_bytes())
        self._process = subprocess.Popen(
            ["node", str(module), base], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def observe(self, kind: WireFaultKind) -> dict[str, str]:
        """Return what it makes of the answer that the server plays, by API."""
        return dict(self._observe(kind))

    def _observe(self, kind: WireFaultKind) -> Iterator[tuple[str, str]]:
        asked, answered = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answered is not None
        for name, api in VERCEL.items():
            asked.write(f"{api} {kind.value}-vercel-{api}\n")
            asked.flush()
            found = json.loads(answered.readline())
            error = found["error"]
            yield name, describe(found["text"], found["arguments"]) if error is None else f"`{error}`"

    def close(self) -> None:
        """End the process."""
        # Leaving it closes its pipes, and waits.
        with self._process as process:
            process.terminate()


def describe(text: str, arguments: str) -> str:
    """Describe how text and arguments differ from those of an answer without a fault."""
    parts = []
    if text != TEXT:
        parts.append(f"text `{text}`" if text else "no text")
    if arguments != ARGUMENTS:
        parts.append(f"arguments `{arguments}`" if arguments else "no call")
    return ", ".join(parts) or "same"
