"""Files, batches and conversations over several workers: found by all, also when one was killed."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from openai import OpenAI
from support.servers import eventually, serve

LINES = b"\n".join(
    json.dumps(
        {
            "custom_id": f"r{number}",
            "method": "POST",
            "url": "/v1/responses",
            "body": {"model": "gpt-4o", "input": "hi"},
        }
    ).encode()
    for number in range(200)
)


def fresh(base_url: str) -> OpenAI:
    """Return a client with connections of its own, which any worker may get."""
    return OpenAI(base_url=base_url, api_key="any", max_retries=3)


def test_all_workers_find_what_one_has_stored(tmp_path: Path) -> None:
    """FILE-2.1, CONV-1.1: A file, its content, and the items of a conversation."""
    with serve(tmp_path, "--workers", "4", LLMSIM_LATENCY="instant") as server:
        with fresh(server.openai) as client:
            file = client.files.create(file=("a.bin", bytes(range(256)) * 4000), purpose="batch")
            conversation = client.conversations.create()
            client.responses.create(model="gpt-4o", input="Hi", conversation=conversation.id)

        def read(_: int) -> tuple[bytes, int]:
            with fresh(server.openai) as client:
                content = client.files.content(file.id).read()
                return content, len(client.conversations.items.list(conversation.id).data)

        with ThreadPoolExecutor(8) as pool:
            found = set(pool.map(read, range(24)))
        asked = [worker["pid"] for worker in server.stats()["workers"]]

    assert found == {(bytes(range(256)) * 4000, 2)}
    assert len(asked) == 4
    assert not [path for path in tmp_path.rglob("*") if ".objects" in path.name]


def test_a_batch_outlives_the_worker_that_planned_it(tmp_path: Path) -> None:
    """BATCH-1.1: Every worker that was there when it was created is killed."""
    with (
        serve(tmp_path, "--workers", "4", LLMSIM_LATENCY="instant") as server,
        fresh(server.openai) as client,
    ):
        uploaded = client.files.create(file=("in.jsonl", LINES), purpose="batch")
        batch = client.batches.create(
            input_file_id=uploaded.id, endpoint="/v1/responses", completion_window="24h"
        )
        killed = server.workers()
        for worker in killed:
            os.kill(worker, signal.SIGKILL)
        eventually(lambda: len(set(server.workers()) - set(killed)) == 4)

        def completed() -> str | None:
            with fresh(server.openai) as other:
                shown = other.batches.retrieve(batch.id)
                return shown.output_file_id if shown.status == "completed" else None

        output = eventually(completed)
        with fresh(server.openai) as other:
            lines = other.files.content(output).text.splitlines()

    assert [json.loads(line)["custom_id"] for line in lines] == [f"r{number}" for number in range(200)]
