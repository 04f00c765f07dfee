"""Memory stays flat, whatever is asked."""

import http.client
import json
from pathlib import Path

from support.servers import serve

ROUND = 1500


def _resident(pid: int) -> int:
    """Return a process's resident memory in kB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def _ask(connection: http.client.HTTPConnection, number: int) -> None:
    """Ask something never asked before: a new model, key, prompt, seed and field."""
    body = {
        "model": f"model-{number}",
        "messages": [{"role": "user", "content": f"prompt {number} " + "word " * 40}],
        "seed": number,
        "stream": number % 2 == 0,
        "user": f"user-{number}",
        f"unknown_{number}": number,
    }
    path = f"/openai/v1/chat/completions?{number}"
    connection.request("POST", path, json.dumps(body), {"authorization": f"Bearer sk-{number}"})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200


def test_memory_is_flat_under_ever_new_requests(tmp_path: Path) -> None:
    """ARCH-4.3, STATS-4.1: tables and caches are bounded: a second thousand of new names costs what none costs."""
    with serve(tmp_path, "--workers", "1", LLMSIM_LATENCY="instant", LLMSIM_GENERATOR="echo") as server:
        (worker,) = server.workers()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        resident = []
        # The bounded caches fill in the first rounds: 8,192 counted texts are the largest.
        for step in range(8):
            for number in range(step * ROUND, (step + 1) * ROUND):
                _ask(connection, number)
            resident.append(_resident(worker))
        connection.close()
        stats = server.stats()

    assert resident[-1] - resident[-3] < 1_500, resident
    assert stats["finished_requests"] == 8 * ROUND
    assert len(stats["model_requests"]) <= 64
    assert sum(stats["model_requests"].values()) == 8 * ROUND
