"""Forms are read piece by piece, within bounds."""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import falcon.asgi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.errors import BodyTooLargeError, RefusedError, StoreError, TransportError
from llmsim.providers.forms import Form, FormError
from llmsim.server.channels import CHANNEL
from llmsim.server.transport.bodies import PROBLEM
from llmsim.server.transport.form_reader import FormReader

LIMIT = 1_000_000
TYPE = "multipart/form-data; boundary=XX"


def part(name: str, data: bytes, *, filename: str | None = None, more: str = "") -> bytes:
    """Return one part of a form."""
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--XX\r\nContent-Disposition: form-data; name="{name}"{file}\r\n{more}\r\n'
    return head.encode() + data + b"\r\n"


WHOLE = (
    part("purpose", b"batch")
    + part("expires_after[anchor]", b"created_at")
    + part("file", b"\r\n--X" * 7, filename="a b.jsonl", more="Content-Type: application/jsonl\r\n")
    + b"--XX--\r\n"
)


_releases: list[Any] = []


@pytest.fixture(autouse=True)
def _closed_files() -> Iterator[None]:
    """Close the files of a test, as the end of their requests does."""
    yield
    while _releases:
        _releases.pop()()


class Active(SimpleNamespace):
    """A request in flight."""

    def hold_until_end(self, release: Any) -> None:
        """Note it."""
        _releases.append(release)


async def read(
    body: bytes | Iterable[bytes],
    directory: Path,
    *,
    content_type: str = TYPE,
    limit: int = LIMIT,
    scope: dict[str, Any] | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Form:
    """Read a form from the pieces of a body."""
    pieces = [body] if isinstance(body, bytes) else list(body)
    events = [
        {"type": "http.request", "body": piece, "more_body": index < len(pieces) - 1}
        for index, piece in enumerate(pieces)
    ]

    async def receive() -> dict[str, Any]:
        return events.pop(0) if events else {"type": "http.disconnect"}

    active = Active()
    req = falcon.asgi.Request(
        {
            "type": "http",
            "method": "POST",
            "path": "/",
            "query_string": b"",
            "headers": [(b"content-type", content_type.encode()), *headers],
            CHANNEL: SimpleNamespace(active=active, disconnected=False),
        }
        | (scope or {}),
        receive,
    )
    return await FormReader(limit, directory).read(req)


@pytest.mark.parametrize("size", [1, 3, 7, 64, 1000])
async def test_fields_and_files_come_out_however_the_body_is_cut(size: int, tmp_path: Path) -> None:
    """FILE-1.1: Fields and files are the same however the body is cut into pieces."""
    form = await read((WHOLE[at : at + size] for at in range(0, len(WHOLE), size)), tmp_path)

    assert form.fields == (("purpose", "batch"), ("expires_after[anchor]", "created_at"))
    assert form.get("purpose") == "batch"
    assert form.members("expires_after") == {"anchor": "created_at"}
    file = form.file("file")
    assert (file.filename, file.content_type, file.size) == ("a b.jsonl", "application/jsonl", 35)
    assert file.read() == b"".join(file.pieces()) == b"\r\n--X" * 7
    assert file.sha256 == hashlib.sha256(b"\r\n--X" * 7).hexdigest()
    assert file.sha256.encode() in form.as_body()


@pytest.mark.parametrize(
    ("kind", "is_file"),
    [
        ("application/octet-stream", True),
        ("image/png", True),
        ("text/plain; charset=utf-8", False),
        ("application/json", False),
    ],
)
async def test_a_file_without_a_name(kind: str, is_file: bool, tmp_path: Path) -> None:
    """FILE-1.6: What is neither text nor JSON is a file."""
    form = await read(part("f", b"{}", more=f"Content-Type: {kind}\r\n") + b"--XX--", tmp_path)

    assert (len(form.files), len(form.fields)) == (is_file, not is_file)
    assert [file.filename for file in form.files] == [""] * is_file


async def test_a_form_over_the_limit(tmp_path: Path) -> None:
    """FILE-1.2: A form over the limit is refused, by its announced length or once that much was read."""
    with pytest.raises(BodyTooLargeError):
        await read(WHOLE, tmp_path, limit=100)
    with pytest.raises(BodyTooLargeError):
        await read(b"", tmp_path, limit=100, headers=((b"content-length", b"101"),))


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", TYPE),
        (b"{}", TYPE),
        (WHOLE, "multipart/form-data"),
        (WHOLE, "multipart/form-data; boundary=" + "X" * 71),
        (WHOLE[:-10], TYPE),
        (WHOLE[:60], TYPE),
        (part("a", b"") * 257 + b"--XX--", TYPE),
        (part("a", b"", more=f"X: {'x' * 9000}\r\n") + b"--XX--", TYPE),
        (part("a", b"x" * 262_144) + b"--XX--", TYPE),
        (part("a", b"\xff") + b"--XX--", TYPE),
        (part("", b"") + b"--XX--", TYPE),
        (b"--XX\r\nContent-Disposition: \xff\r\n\r\n\r\n--XX--", TYPE),
        (part("f", b"", filename="f", more="Content-Type: \xff\r\n") + b"--XX--", TYPE),
        (part("f", b"", filename="f", more="Content-Transfer-Encoding: base64\r\n") + b"--XX--", TYPE),
    ],
)
async def test_a_spoiled_form(body: bytes, content_type: str, tmp_path: Path) -> None:
    """FILE-1.3: A form that is spoiled is refused."""
    with pytest.raises(FormError):
        await read(body, tmp_path, content_type=content_type)


@given(
    st.lists(st.sampled_from([b"--XX", b"\r\n", b"--", b": ", b"Content-Disposition", b'name="a"', b"\xff"]))
)
async def test_no_other_exception(pieces: list[bytes]) -> None:
    """FILE-1.3: Only refusals leave the reader."""
    with contextlib.suppress(RefusedError):
        await read(b"--XX" + b"".join(pieces), Path("/nonexistent"))
    while _releases:
        _releases.pop()()


async def test_names_have_no_control_characters(tmp_path: Path) -> None:
    """FILE-1.3: Nothing of a form gets a line break into a header or a log."""
    form = await read(part("f\x01", b"", filename="a\nb\x00c") + b"--XX--", tmp_path)

    assert form.files[0].filename == "abc"
    assert form.files[0].field == "f"


async def test_a_large_file_leaves_nothing(tmp_path: Path) -> None:
    """FILE-1.4: A large file lies in the run directory without a name, and is closed with the request."""
    large = bytes(200_000)
    form = await read(part("f", large, filename="f") + b"--XX--", tmp_path)

    file = form.file("f")
    assert file.read() == large
    assert os.readlink(f"/proc/self/fd/{file.source.fileno()}").endswith("(deleted)")  # noqa: PTH115
    assert os.listdir(tmp_path) == []  # noqa: PTH208
    _releases.pop()()
    assert file.source.closed


async def test_no_room(tmp_path: Path) -> None:
    """FILE-1.4: Without room on the disk the reason is given."""
    with pytest.raises(StoreError, match="no room for an uploaded file"):
        await read(part("f", bytes(200_000), filename="f") + b"--XX--", tmp_path / "gone")


async def test_a_form_that_takes_too_long(tmp_path: Path) -> None:
    """FILE-1.5: The problem that ended a body is the reason, not the form that misses its end."""
    with pytest.raises(TransportError) as refusal:
        await read(WHOLE[:90], tmp_path, scope={PROBLEM: (408, "too slow")})

    assert refusal.value.status == 408
