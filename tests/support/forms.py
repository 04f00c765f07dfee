"""Forms, as clients send them."""

from typing import Any

from support.asgi import Exchange, Simulator

TYPE = "multipart/form-data; boundary=XX"


def form(*parts: tuple[str, bytes] | tuple[str, bytes, str]) -> bytes:
    """Return the body of a form: a field is a name and a value, a file has its name besides."""
    lines = []
    for name, value, *filename in parts:
        file = f'; filename="{filename[0]}"' if filename else ""
        lines.append(f'--XX\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value)
    return b"\r\n".join([*lines, b"--XX--\r\n"])


async def post_form(
    worker: Simulator, path: str, *parts: tuple[str, bytes] | tuple[str, bytes, str], **headers: str
) -> Exchange:
    """Post a form."""
    return await worker.ask("POST", path, form(*parts), headers={"content-type": TYPE, **headers})


async def upload(
    worker: Simulator,
    content: bytes,
    purpose: str = "batch",
    filename: str = "a.jsonl",
    path: str = "/openai/v1/files",
    **headers: str,
) -> Any:
    """Upload a file; return its object."""
    exchange = await post_form(
        worker, path, ("purpose", purpose.encode()), ("file", content, filename), **headers
    )
    assert exchange.status == 200, exchange.body
    return exchange.json
