"""Files and uploads of OpenAI's API, and files of Anthropic's, through the whole server."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai.types import FileObject, Upload
from support.asgi import Exchange, Simulator, served, simulator
from support.forms import TYPE, form, post_form, upload

FILES = "/openai/v1/files"
UPLOADS = "/openai/v1/uploads"
ANTHROPIC = "/anthropic/v1/files"
BEARER = {"k1": {"authorization": "Bearer k1"}, "k2": {"authorization": "Bearer k2"}}


def message(exchange: Exchange) -> str:
    text: str = exchange.json["error"]["message"]
    return text


class TestFiles:
    """OpenAI's files."""

    async def test_a_file_is_stored_listed_shown_and_deleted(self, tmp_path: Path) -> None:
        """FILE-4.1, FILE-4.2, FILE-4.3: With its purpose and expiry, by either purpose."""
        worker = simulator(server={"run_dir": str(tmp_path)})
        parts = (
            ("purpose", b"batch"),
            ("expires_after[anchor]", b"created_at"),
            ("expires_after[seconds]", b"3600"),
        )
        created = (await post_form(worker, FILES, *parts, ("file", b"x" * 300_000, "a.jsonl"))).json
        other = await upload(worker, b"y", "vision", "b.png")
        one = f"{FILES}/{created['id']}"

        assert FileObject.model_validate(created, strict=True).filename == "a.jsonl"
        assert created["expires_at"] == created["created_at"] + 3600
        assert other["expires_at"] is None
        assert (await worker.ask("GET", one)).json == created
        assert (await worker.ask("GET", f"{one}/content")).body == b"x" * 300_000
        listed = (await worker.ask("GET", FILES, query="purpose=vision&limit=1")).json
        assert (listed["data"], listed["has_more"]) == ([other], False)
        both = (await worker.ask("GET", FILES, query="order=asc")).json
        assert [file["id"] for file in both["data"]][-2:] == [created["id"], other["id"]]
        assert (await worker.ask("DELETE", one)).json == {
            "object": "file",
            "id": created["id"],
            "deleted": True,
        }
        for method, path in (("GET", one), ("DELETE", one), ("GET", f"{one}/content")):
            gone = await worker.ask(method, path)
            assert (gone.status, message(gone)) == (404, f"No such File object: {created['id']}")

    @pytest.mark.parametrize(
        ("parts", "status", "wanted"),
        [
            ((("purpose", b"batch"),), 400, "Missing required parameter: 'file'."),
            ((("file", b"", "a"),), 400, "Missing required parameter: 'purpose'."),
            ((("file", b"", "a"), ("purpose", b"x")), 400, "'x' is not one of ['fine-tune', "),
            (
                (("file", b"", "a"), ("file", b"", "b"), ("purpose", b"batch")),
                400,
                "has 2 files where one is taken",
            ),
            (
                (("file", b"", "a"), ("purpose", b"batch"), ("expires_after[seconds]", b"9")),
                400,
                "'expires_after.anchor'",
            ),
            (
                (
                    ("file", b"", "a"),
                    ("purpose", b"batch"),
                    ("expires_after[anchor]", b"created_at"),
                    ("expires_after[seconds]", b"9"),
                ),
                400,
                "integer below minimum value",
            ),
        ],
    )
    async def test_what_is_refused(self, parts: Any, status: int, wanted: str) -> None:
        """FILE-4.1: In the words of the API."""
        refused = await post_form(simulator(), FILES, *parts)

        assert (refused.status, wanted in message(refused)) == (status, True), refused.body

    async def test_other_bodies(self) -> None:
        """FILE-1.3, FILE-4.1: What is no form, and what is a spoiled one."""
        worker = simulator()
        assert (await worker.post(FILES, {})).status == 415
        spoiled = await worker.ask("POST", FILES, b"x", headers={"content-type": TYPE})
        assert message(spoiled).startswith("Could not parse multipart form.")
        spoiled = await worker.ask("POST", ANTHROPIC, b"x", headers={"content-type": TYPE})
        assert spoiled.json["error"]["type"] == "invalid_request_error"

    async def test_some_files_are_not_given_back(self) -> None:
        """FILE-4.3: Those whose purpose is a prompt."""
        worker = simulator()
        for purpose in ("assistants", "user_data", "vision"):
            file = await upload(worker, b"x", purpose)
            refused = await worker.ask("GET", f"{FILES}/{file['id']}/content")

            assert message(refused) == f"Not allowed to download files of purpose: {purpose}"

    async def test_what_is_uploaded_is_hostile(self) -> None:
        """FILE-3.1: No browser runs it, and no name ends a header."""
        worker = simulator()
        file = await upload(worker, b"<script>alert(1)</script>", filename="a.html; x=\u00e9\\")
        shown = await worker.ask("GET", f"{FILES}/{file['id']}/content")

        assert shown.headers["content-type"] == "application/octet-stream"
        assert shown.headers["x-content-type-options"] == "nosniff"
        assert shown.headers["content-security-policy"] == "sandbox"
        assert re.fullmatch(
            r"attachment; filename=\"[ -~]*\"; filename\*=UTF-8''[\w.%-]+",
            shown.headers["content-disposition"],
        )

    async def test_pages_read_no_files(self) -> None:
        """FILE-3.2: A web page may ask for completions, not for what is stored."""
        worker = simulator()
        file = await upload(worker, b"x")
        for path in (FILES, f"{FILES}/{file['id']}", f"{FILES}/{file['id']}/content"):
            shown = await worker.ask("GET", path, headers={"origin": "https://evil.example"})
            assert "access-control-allow-origin" not in shown.headers

    async def test_keys_do_not_share_files(self) -> None:
        """FILE-2.1: Another key finds nothing."""
        worker = simulator(auth={"keys": ("k1", "k2")})
        file = await upload(worker, b"x", **BEARER["k1"])
        path = f"{FILES}/{file['id']}"

        assert (await worker.ask("GET", path, headers=BEARER["k1"])).status == 200
        assert (await worker.ask("GET", path, headers=BEARER["k2"])).status == 404
        assert (await worker.ask("GET", f"{path}/content", headers=BEARER["k2"])).status == 404
        assert (await worker.ask("DELETE", path, headers=BEARER["k2"])).status == 404
        prompt = {
            "model": "gpt-4o",
            "input": [{"role": "user", "content": [{"type": "input_file", "file_id": file["id"]}]}],
        }
        body = json.dumps(prompt).encode()
        asked = [
            await worker.ask("POST", "/openai/v1/responses", body, headers=BEARER[key])
            for key in ("k1", "k2")
        ]
        assert [one.status for one in asked] == [200, 404]

    async def test_a_full_store_refuses(self, tmp_path: Path) -> None:
        """FILE-2.2: And keeps what it has; what is refused leaves nothing."""
        worker = simulator(
            files={"max_bytes": 1_000_000, "max_file_bytes": 900_000}, server={"run_dir": str(tmp_path)}
        )
        first = await upload(worker, bytes(600_000))
        parts = (("purpose", b"batch"), ("file", bytes(600_000), "b"))
        refused = await post_form(worker, FILES, *parts)
        too_large = await post_form(worker, FILES, ("purpose", b"batch"), ("file", bytes(900_001), "b"))
        foreign = await post_form(worker, ANTHROPIC, ("file", bytes(600_000), "b"))

        assert (refused.status, refused.json["error"]["code"]) == (400, "storage_quota_exceeded")
        assert (foreign.status, too_large.status) == (400, 413)
        assert foreign.json["error"]["details"] == {"error_code": "storage_quota_exceeded"}
        assert len((await worker.ask("GET", f"{FILES}/{first['id']}/content")).body) == 600_000
        await worker.ask("DELETE", f"{FILES}/{first['id']}")
        assert (await post_form(worker, FILES, *parts)).status == 200

    @pytest.mark.parametrize(
        ("path", "request_of"),
        [
            (
                "/openai/v1/responses",
                lambda file: {
                    "input": [{"role": "user", "content": [{"type": "input_file", "file_id": file}]}]
                },
            ),
            (
                "/openai/v1/responses",
                lambda file: {
                    "input": [{"role": "user", "content": [{"type": "input_image", "file_id": file}]}]
                },
            ),
            (
                "/openai/v1/chat/completions",
                lambda file: {
                    "messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": file}}]}]
                },
            ),
        ],
    )
    async def test_files_of_prompts_must_exist(self, path: str, request_of: Any) -> None:
        """FILE-4.4: Also when the same request was answered before the file was deleted."""
        worker = simulator()
        file = (await upload(worker, b"x", "user_data"))["id"]
        asked = {"model": "gpt-4o", **request_of(file)}
        answered = await worker.post(path, asked)
        await worker.ask("DELETE", f"{FILES}/{file}")
        refused = await worker.post(path, asked)

        assert (answered.status, refused.status) == (200, 404)
        assert message(refused) == f"No such File object: {file}"
        assert refused.json["error"]["param"].endswith("file_id")


class TestUploads:
    """Files in parts."""

    async def begin(self, worker: Simulator, size: int) -> str:
        """Begin an upload; return its id."""
        wanted = {"bytes": size, "filename": "a.txt", "mime_type": "text/plain", "purpose": "batch"}
        created = await worker.post(UPLOADS, wanted)
        upload_id: str = created.json["id"]
        assert created.json["status"] == "pending"
        assert (
            Upload.model_validate(created.json, strict=True).expires_at == created.json["created_at"] + 3600
        )
        return upload_id

    async def add(self, worker: Simulator, upload_id: str, data: bytes) -> str:
        """Add a part; return its id."""
        part = await post_form(worker, f"{UPLOADS}/{upload_id}/parts", ("data", data, "upload"))
        assert (part.json["object"], part.json["upload_id"]) == ("upload.part", upload_id)
        part_id: str = part.json["id"]
        return part_id

    async def test_parts_make_a_file(self) -> None:
        """FILE-5.1, FILE-5.2: In the order in which they are named, and once."""
        worker = simulator()
        upload_id = await self.begin(worker, 400_010)
        last, first = (
            await self.add(worker, upload_id, b"0123456789"),
            await self.add(worker, upload_id, bytes(400_000)),
        )
        unused = await self.add(worker, upload_id, b"unused")
        path, digest = (
            f"{UPLOADS}/{upload_id}/complete",
            hashlib.md5(bytes(400_000) + b"0123456789").hexdigest(),
        )
        for wrong in (
            {"part_ids": [first]},
            {"part_ids": [first, last], "md5": "0" * 32},
            {"part_ids": [first, "part_x"]},
        ):
            assert (await worker.post(path, wrong)).status in (400, 404)
        done = (await worker.post(path, {"part_ids": [first, last], "md5": digest})).json

        assert (done["status"], done["file"]["bytes"]) == ("completed", 400_010)
        content = (await worker.ask("GET", f"{FILES}/{done['file']['id']}/content")).body
        assert content == bytes(400_000) + b"0123456789"
        for action, body in (("complete", {"part_ids": [unused]}), ("cancel", {})):
            assert (await worker.post(f"{UPLOADS}/{upload_id}/{action}", body)).status == 400
        assert (
            await post_form(worker, f"{UPLOADS}/{upload_id}/parts", ("data", b"", "upload"))
        ).status == 400

    async def test_a_cancelled_upload_has_ended(self) -> None:
        """FILE-5.2: It takes nothing more."""
        worker = simulator()
        upload_id = await self.begin(worker, 1)
        part = await self.add(worker, upload_id, b"x")
        cancelled = await worker.post(f"{UPLOADS}/{upload_id}/cancel", {})

        assert cancelled.json["status"] == "cancelled"
        refused = await worker.post(f"{UPLOADS}/{upload_id}/complete", {"part_ids": [part]})
        assert (refused.status, "cancelled" in message(refused)) == (400, True)
        assert (await worker.post(f"{UPLOADS}/upload_x/cancel", {})).status == 404


class TestAnthropicFiles:
    """Anthropic's files."""

    async def test_files(self) -> None:
        """FILE-6.1, FILE-6.2: Uploaded, listed, described, deleted; not downloaded."""
        worker = simulator()
        sent = (("expires_in_seconds", b"3600"), ("file", b"%PDF-", "../../a b.pdf"))
        file = (await post_form(worker, ANTHROPIC, *sent, **{"anthropic-beta": "files-api-2025-04-14"})).json
        one = f"{ANTHROPIC}/{file['id']}"

        assert (file["filename"], file["mime_type"], file["size_bytes"]) == ("a b.pdf", "application/pdf", 5)
        assert (file["type"], file["downloadable"]) == ("file", False)
        assert (await worker.ask("GET", one)).json == file
        page = (await worker.ask("GET", ANTHROPIC, query="limit=1")).json
        assert page["data"] == [file]
        assert (await worker.ask("GET", ANTHROPIC, query=f"ids={file['id']}")).json["data"] == [file]
        assert (await worker.ask("GET", ANTHROPIC, query="scope_id=session_1")).json["data"] == []
        refused = await worker.ask("GET", f"{one}/content")
        assert (refused.status, refused.json["error"]["details"]) == (
            400,
            {"error_code": "file_not_downloadable"},
        )
        assert (await worker.ask("DELETE", one)).json == {"id": file["id"], "type": "file_deleted"}
        assert (await worker.ask("GET", one)).json["error"]["type"] == "not_found_error"

    async def test_some_ids(self) -> None:
        """FILE-6.4: Those that are named are listed, as the SDK names them."""
        worker = simulator()
        made = [(await post_form(worker, ANTHROPIC, ("file", b"x", "a.txt"))).json["id"] for _ in range(3)]
        listed = await worker.ask("GET", ANTHROPIC, query=f"ids[]={made[0]}&ids%5B%5D={made[2]}&ids[]=file_x")

        assert [file["id"] for file in listed.json["data"]] == [made[0], made[2]]

    @pytest.mark.parametrize("name", ["a<b", "a|b", "x" * 501])
    async def test_names(self, name: str) -> None:
        """FILE-6.2: Some are refused; a file without one gets one that fits its type."""
        worker = simulator()
        assert (await post_form(worker, ANTHROPIC, ("file", b"", name))).status == 400
        assert (await post_form(worker, ANTHROPIC, ("file", b"", "dir/"))).json["filename"] == "unnamed.bin"

    async def test_bare_paths(self) -> None:
        """FILE-6.1: Whose they are, the version says."""
        worker = simulator()
        body = form(("purpose", b"batch"), ("file", b"x", "a"))
        headers = {"content-type": TYPE}
        theirs = await worker.ask("POST", "/v1/files", body, headers=headers)
        ours = await worker.ask("POST", "/v1/files", body, headers={**headers, "anthropic-version": ""})

        assert (theirs.json["type"], ours.json["object"]) == ("file", "file")
        assert (await worker.ask("GET", f"/v1/files/{theirs.json['id']}")).json == theirs.json
        shown = await worker.ask(
            "GET", f"/v1/files/{ours.json['id']}/content", headers={"anthropic-version": ""}
        )
        assert shown.body == b"x"

    @pytest.mark.parametrize("kind", ["document", "image", "result"])
    async def test_files_of_messages_must_exist(self, kind: str) -> None:
        """FILE-6.3: Also in the result of a tool, and in a batch."""
        worker = simulator()
        file = (await post_form(worker, ANTHROPIC, ("file", b"x", "a.png"))).json["id"]
        block: dict[str, Any] = {"type": kind, "source": {"type": "file", "file_id": file}}
        messages: list[dict[str, Any]] = []
        if kind == "result":
            call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
            messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": [call]}]
            block = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{**block, "type": "image"}]}
        asked = {
            "model": "claude-opus-4-6",
            "max_tokens": 9,
            "messages": [*messages, {"role": "user", "content": [block]}],
        }
        answered = await worker.post("/anthropic/v1/messages", asked)
        await worker.ask("DELETE", f"{ANTHROPIC}/{file}")
        refused = await worker.post("/anthropic/v1/messages", asked)

        assert (answered.status, refused.status) == (200, 404)
        assert file in message(refused)


async def test_forms_are_not_held(tmp_path: Path) -> None:
    """FILE-1.5: Reading one does not wait for room among the bodies; one that is read whole counts as any other."""
    worker = simulator(server={"run_dir": str(tmp_path)})
    bodies = worker.application.bodies
    bodies.limit = 100_000
    held: list[int] = []
    hold = bodies.hold
    bodies.hold = lambda reader, size, expected=0: (
        held.append(max(size, expected)),
        hold(reader, size, expected),
    )[1]  # type: ignore[method-assign]
    body = form(("purpose", b"batch"), ("file", bytes(3_000_000), "a"))
    async with served(worker) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        uploaded = await client.post(FILES, content=body, headers={"content-type": TYPE})
        during = list(held)
        whole = await client.post("/openai/v1/responses", content=body, headers={"content-type": TYPE})

    assert (uploaded.status_code, uploaded.json()["bytes"], during) == (200, 3_000_000, [])
    assert (whole.status_code, max(held)) == (400, len(body))


async def test_a_stored_file_outlives_stored_responses() -> None:
    """FILE-2.4: However many responses are stored."""
    worker = simulator()
    file = await upload(worker, base64.b64encode(b"x"))
    for _ in range(3):
        await worker.post("/openai/v1/responses", {"model": "gpt-4o", "input": "x"})

    assert (await worker.ask("GET", f"{FILES}/{file['id']}")).status == 200
