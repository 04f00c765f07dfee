"""Rules over several workers, and the command that explains; see RULES in the specs."""

import json
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support.servers import Server, serve

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Where is my order?"}]}


def send(server: Server, method: str, path: str, body: Any) -> Any:
    request = urllib.request.Request(
        f"{server.base}{path}",
        data=json.dumps(body).encode(),
        method=method,
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def text(server: Server) -> str:
    answer: str = send(server, "POST", "/openai/v1/chat/completions", CHAT)["choices"][0]["message"][
        "content"
    ]
    return answer


def rules(number: int) -> dict[str, Any]:
    """Return many rules, of which two answer, with one number."""
    other = [{"when": {"contains": f"never {n}"}, "text": "no"} for n in range(200)]
    return {"rules": [*other, {"when": {"model": "gpt-4o"}, "text": f"answer {number}"}]}


def test_upload_is_seen_by_all_workers_at_once(tmp_path: Path) -> None:
    """RULES-3.2: After its answer none has the ones before; none has half of them."""
    stale: list[str] = []
    current, done = [0], threading.Event()
    with serve(tmp_path, "--workers", "4", "--latency", "instant") as server:
        send(server, "PUT", "/llmsim/rules", rules(0))

        def load() -> None:
            while not done.is_set():
                before = current[0]
                answer = text(server)
                if not answer.startswith("answer ") or int(answer.split()[1]) < before:
                    stale.append(f"{answer} after {before}")

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(1, 41):
            send(server, "PUT", "/llmsim/rules", rules(number))
            current[0] = number
        done.set()
        for thread in threads:
            thread.join()
        send(server, "DELETE", "/llmsim/rules", {})
        generated = {text(server) for _ in range(8)}

    assert stale == []
    assert not any(answer.startswith("answer") for answer in generated)


RULES = """
[[rules]]
name = "refund"
when = { contains = "refund" }
text = "Five days."

[[rules]]
name = "order"
when = { contains = "order", last_role = "user" }
calls = [{ name = "find_order", arguments = { id = 7 } }]
profile = "fast"
"""


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "llmsim", "explain", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
def test_command_explains_without_a_server(tmp_path: Path) -> None:
    """RULES-4.1: Rule, tool and latency with their reasons, and why not the rule before."""
    request, file = tmp_path / "request.json", tmp_path / "rules.toml"
    request.write_text(json.dumps(CHAT))
    file.write_text(RULES)
    found = run(str(request), "--rules", str(file), "--json")
    lines = {line["part"]: line for line in json.loads(found.stdout)["answers"]}
    shown = run(str(request), "--rules", str(file))
    file.write_text(RULES.replace("contains", "contians"))
    wrong = run(str(request), "--rules", str(file))

    assert lines["rule"]["value"] == "order"
    assert lines["no rule"]["value"] == "refund"
    assert 'to contain "refund", got "Where is my order?"' in lines["no rule"]["why"]
    assert lines["tool"]["value"] == 'find_order({"id":7})'
    assert (lines["latency"]["value"], lines["latency"]["why"]) == ("fast", "the rule order")
    assert "find_order" in shown.stdout
    assert wrong.returncode == 2
    assert 'did you mean "contains"?' in wrong.stderr


@pytest.mark.slow
def test_command_asks_a_server(tmp_path: Path) -> None:
    """RULES-4.2: What was uploaded there counts."""
    request = tmp_path / "request.json"
    request.write_text(json.dumps(CHAT))
    with serve(tmp_path, "--workers", "2", "--latency", "instant") as server:
        send(server, "PUT", "/llmsim/rules", {"rules": [{"name": "there", "text": "Hello"}]})
        found = run(str(request), "--url", server.base)

    assert found.returncode == 0
    assert "there" in found.stdout
    assert "Hello" in found.stdout
