"""Scenarios over several workers: attempts are counted once, and draws are the same after a restart."""

import http.client
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.servers import Server, serve

FAILURES = 25
REQUESTS = 60


def ask(server: Server, text: str) -> tuple[int, str, str]:
    """Return status, attempt and body of a request on a connection of its own, which any worker may get."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("POST", "/openai/v1/chat/completions", json.dumps(body))
        answer = connection.getresponse()
        return answer.status, answer.headers["x-llmsim-attempt"], answer.read().decode()
    finally:
        connection.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return a folder with one scenario, whose first attempts fail."""
    folder = tmp_path / "scenarios"
    folder.mkdir()
    step = {
        "turn": {"type": "assistant", "lorem_tokens": [1, 500]},
        "fail_first": [{"kind": "rate_limit"}] * FAILURES,
    }
    (folder / "flaky.json").write_text(json.dumps({"name": "flaky", "steps": [step]}))
    return str(folder)


def test_attempts_are_counted_over_all_workers(tmp_path: Path, path: str) -> None:
    """SCEN-6.2, SCEN-3.3: Each number is used once, however many ask at a time; after a restart the answer is the same."""
    texts = []
    for _ in range(2):
        with (
            serve(tmp_path, "--workers", "3", "--latency", "instant", "--scenarios", path) as server,
            ThreadPoolExecutor(8) as pool,
        ):
            answers = list(pool.map(lambda _: ask(server, "Go. [[llmsim:flaky]]"), range(REQUESTS)))
            assert "scenarios" in server.logged()

        statuses = Counter(status for status, _, _ in answers)
        assert statuses == {429: FAILURES, 200: REQUESTS - FAILURES}
        assert sorted(int(attempt) for _, attempt, _ in answers) == list(range(REQUESTS))
        texts += [
            json.loads(body)["choices"][0]["message"]["content"]
            for status, _, body in answers
            if status == 200
        ]

    assert len(set(texts)) == 1
