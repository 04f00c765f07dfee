"""Rules on every endpoint that generates text; see RULES in the specs."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.asgi import Exchange, Simulator, simulator
from support.endpoints import Endpoint

SCRIPT = {
    "turns": [
        {"type": "assistant", "text": "first turn"},
        {"type": "assistant", "text": "second turn"},
    ]
}


async def fresh() -> Simulator:
    """Start a worker without rules, with settings that no other test has: rules are shared by workers of equal settings."""
    worker = simulator(target_tokens=11)
    await worker.ask("DELETE", "/llmsim/rules", headers={"host": "localhost"})
    return worker


async def put(worker: Simulator, *rules: dict[str, Any]) -> Exchange:
    body = json.dumps({"rules": rules}).encode()
    return await worker.ask(
        "PUT", "/llmsim/rules", body, headers={"content-type": "application/json", "host": "localhost"}
    )


async def ask(worker: Simulator, endpoint: Endpoint, **headers: str) -> Exchange:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await worker.ask("POST", endpoint.path, endpoint.body(), headers=named)


async def test_first_rule_that_fits_decides(streamer: Endpoint) -> None:
    """RULES-1.1: Not the next one, which fits too; RULES-2.6: the response names it; RULES-3.2: after an upload."""
    worker = await fresh()
    uploaded = await put(
        worker,
        {"when": {"model": "none*"}, "text": "wrong"},
        {"name": "right", "when": {"last_role": "user"}, "text": "Answer of ${model}."},
        {"text": "too late"},
    )
    exchange = await ask(worker, streamer)

    assert uploaded.status == 200
    assert exchange.headers["x-llmsim-rule"] == "right"
    assert f"Answer of {json.loads(streamer.body())['model']}.".encode() in exchange.body


async def test_rules_of_keys_and_headers(streamer: Endpoint) -> None:
    """RULES-1.2: By the API key, in whichever header the API has it, and by other headers."""
    worker = await fresh()
    await put(
        worker,
        {"when": {"key": "sk-slow*"}, "text": "by key"},
        {"when": {"header": {"X-Region": "eu-*"}}, "text": "by header"},
    )
    header = streamer.provider.key_headers[0]
    key = {header: "Bearer sk-slow-1" if header == "authorization" else "sk-slow-1"}
    by_key = await worker.ask("POST", streamer.path, streamer.body(), headers=key)
    by_header = await ask(worker, streamer, x_region="eu-1")
    neither = await ask(worker, streamer, x_region="us-1")

    assert b"by key" in by_key.body
    assert b"by header" in by_header.body
    assert "x-llmsim-rule" not in neither.headers


async def test_rules_of_scripts_have_the_same_words() -> None:
    """RULES-1.2: A turn of a script is for a key, too."""
    worker = await fresh()
    turn = {"type": "assistant", "text": "for blue", "when": {"header": {"x-team": "blue"}}}
    await worker.ask(
        "PUT",
        "/llmsim/scripts/team",
        json.dumps({"turns": [turn]}).encode(),
        headers={"content-type": "application/json", "host": "localhost"},
    )
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}]}'
    chosen = {"x-llmsim-script": "team"}
    path = "/openai/v1/chat/completions"
    blue = await worker.ask("POST", path, body, headers=chosen | {"x-team": "blue"})
    red = await worker.ask("POST", path, body, headers=chosen | {"x-team": "red"})

    assert b"for blue" in blue.body
    assert b"for blue" not in red.body


async def test_faults_lengths_and_latencies(streamer: Endpoint) -> None:
    """RULES-2.1: As the control headers have them."""
    worker = await fresh()
    await put(worker, {"fault": "429", "tokens": 3})
    limited = await ask(worker, streamer)
    await put(worker, {"profile": "ttft=1,itl=0", "tokens": 3})
    answered = await ask(worker, streamer)

    assert limited.status == 429
    assert answered.status == 200
    assert worker.stats().completion_tokens == 3


async def test_headers_come_first(streamer: Endpoint) -> None:
    """RULES-2.4: Each header before what a rule has for it; the rest of the rule stays."""
    worker = await fresh()
    await put(worker, {"text": "of the rule", "fault": "503"})
    generated = await ask(worker, streamer, x_llmsim_generator="fixed:Header", x_llmsim_fault="crlf")
    faulty = await ask(worker, streamer)

    assert generated.status == 200
    assert b"Header" in generated.body
    assert faulty.status == 503


async def test_rules_come_before_the_default_script(tmp_path: Path) -> None:
    """RULES-2.4: And leave its turns to the others; RULES-3.1: those of a file."""
    script, rules = tmp_path / "script.json", tmp_path / "rules.toml"
    script.write_text(json.dumps(SCRIPT))
    rules.write_text('[[rules]]\nwhen = { contains = "refund" }\ntext = "by rule"\n')
    worker = simulator(script_path=str(script), rules_path=str(rules))
    await worker.application.publish_scripts()
    bodies = [
        json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}).encode()
        for text in ("hello", "refund", "hello")
    ]
    texts = [
        (await worker.ask("POST", "/openai/v1/chat/completions", body)).json["choices"][0]["message"][
            "content"
        ]
        for body in bodies
    ]

    assert texts == ["first turn", "by rule", "second turn"]


async def test_rule_plays_a_script_in_the_session(streamer: Endpoint) -> None:
    """RULES-2.5: A fault that a header adds takes no turn."""
    worker = await fresh()
    await worker.ask(
        "PUT",
        "/llmsim/scripts/talk",
        json.dumps(SCRIPT).encode(),
        headers={"content-type": "application/json", "host": "localhost"},
    )
    await put(worker, {"script": "talk"})
    first = await ask(worker, streamer, x_llmsim_session="a")
    failed = await ask(worker, streamer, x_llmsim_session="a", x_llmsim_fault="500")
    second = await ask(worker, streamer, x_llmsim_session="a")
    other = await ask(worker, streamer, x_llmsim_session="b")

    assert b"first turn" in first.body
    assert failed.status == 500
    assert b"second turn" in second.body
    assert b"first turn" in other.body


async def test_calls_with_values_of_the_request() -> None:
    """RULES-2.2: In arguments of any depth, as JSON; what is missing is empty."""
    worker = await fresh()
    arguments = {"who": "${json.user}", "tool": ["${tool}", "${json.none.at.all}"], "quoted": "${user_text}"}
    await put(worker, {"calls": [{"name": "${tool}", "arguments": arguments}]})
    body = {
        "model": "gpt-4o",
        "user": "c-17",
        "messages": [{"role": "user", "content": 'Say "hi"'}],
        "tools": [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}],
    }
    exchange = await worker.ask("POST", "/openai/v1/chat/completions", json.dumps(body).encode())

    call = exchange.json["choices"][0]["message"]["tool_calls"][0]["function"]
    assert call["name"] == "find"
    assert json.loads(call["arguments"]) == {"who": "c-17", "tool": ["find", ""], "quoted": 'Say "hi"'}


async def test_no_call_is_without_a_name() -> None:
    """RULES-2.2: A request that offers no tool is refused where a rule calls the one that it offers."""
    worker = await fresh()
    await put(worker, {"name": "any", "calls": [{"name": "${tool}"}]})
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
    refused = await worker.ask("POST", "/openai/v1/chat/completions", json.dumps(body).encode())

    assert refused.status == 400
    assert 'rule any: calls "${tool}", which is empty' in refused.json["error"]["message"]


EMBEDDING = b'{"model":"text-embedding-3-small","input":["Hello","Hi"]}'


async def test_embeddings_get_faults_and_latencies() -> None:
    """RULES-1.5: Rules that give neither are passed over; a length is left out."""
    worker = await fresh()
    await put(
        worker,
        {"text": "no text here"},
        {"when": {"contains": "Hi", "model": "*-small"}, "fault": "503", "tokens": 3},
    )
    failed = await worker.ask("POST", "/openai/v1/embeddings", EMBEDDING)
    other = await worker.ask("POST", "/openai/v1/embeddings", EMBEDDING.replace(b"Hi", b"Ho"))
    await put(worker, {"name": "short", "profile": "ttft=0", "tokens": 3})
    answered = await worker.ask("POST", "/openai/v1/embeddings", EMBEDDING)

    assert (failed.status, other.status, answered.status) == (503, 200, 200)
    assert "x-llmsim-rule" not in other.headers
    assert answered.headers["x-llmsim-rule"] == "short"


async def run_batch(worker: Simulator, *texts: str) -> list[Any]:
    """Run a batch of Anthropic's API; return the result of each request."""
    requests = [
        {
            "custom_id": f"{number}",
            "params": {
                "model": "claude-sonnet-4-5",
                "max_tokens": 50,
                "messages": [{"role": "user", "content": text}],
            },
        }
        for number, text in enumerate(texts)
    ]
    path, key = "/anthropic/v1/messages/batches", {"x-api-key": "sk-blue"}
    made = await worker.ask("POST", path, json.dumps({"requests": requests}).encode(), headers=key)
    results = await worker.ask("GET", f"{path}/{made.json['id']}/results")
    return [json.loads(line)["result"] for line in results.body.splitlines()]


async def test_batches_follow_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """RULES-1.6: Each request of a batch by its own text; scripts and scenarios are passed over."""
    monkeypatch.setattr("llmsim.providers.anthropic.batches._MIN_SECONDS", 0.0)
    worker = await fresh()
    await put(
        worker,
        {"script": "none"},
        {"when": {"contains": "refund", "key": "sk-blue"}, "text": "Yes, ${json.model}: ${user_text}"},
        {"when": {"contains": "status"}, "fault": "529"},
        {"tokens": 3, "profile": "instant"},
    )
    refund, status, other = await run_batch(worker, "a refund", "status", "else")

    assert refund["message"]["content"][0]["text"] == "Yes, claude-sonnet-4-5: a refund"
    assert status["error"]["error"]["type"] == "overloaded_error"
    assert other["message"]["usage"]["output_tokens"] == 3


async def test_explanations_of_requests_without_text() -> None:
    """RULES-4.1: Embeddings, and RULES-4.4: requests of a batch, which are found by their form."""
    worker = await fresh()
    await put(worker, {"text": "Yes"}, {"when": {"contains": "Hi"}, "fault": "503"}, {"tokens": 3})
    embedding = await explained(worker, {"endpoint": "embeddings", "request": json.loads(EMBEDDING)})
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
    line = {"custom_id": "a-1", "method": "POST", "url": "/v1/chat/completions", "body": chat}
    batch = await explained(worker, {"request": line})
    wrong = await explained(worker, {"request": line | {"url": "/v1/chat"}})
    parts = [{line["part"]: line["value"] for line in one.json["answers"]} for one in (embedding, batch)]

    assert parts[0] | {"rule": "rules[1]", "no rule": "rules[0]", "text": "none", "fault": "503"} == parts[0]
    assert batch.json["endpoint"] == "completions"
    assert parts[1] | {"batch": "a-1", "rule": "rules[0]", "text": "Yes"} == parts[1]
    assert wrong.status == 400


async def test_slow_patterns_share_one_budget() -> None:
    """RULES-1.4: Many patterns that try too many ways do not hold a request up."""
    worker = await fresh()
    slow = {"when": {"matches": "(a|a|aa)+$b"}, "text": "never"}
    await put(worker, *[slow] * 50, {"text": "last"})
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "a" * 5000}]}
    exchange = await worker.ask("POST", "/openai/v1/chat/completions", json.dumps(body).encode())

    assert b"last" in exchange.body


async def test_rules_are_shown_and_deleted() -> None:
    """RULES-3.2: A deletion puts the file's in force again; RULES-3.3: wrong ones change nothing."""
    worker = await fresh()
    host = {"host": "localhost"}
    await put(worker, {"text": "one"})
    wrong = await put(worker, {"txt": "two"})
    shown = await worker.ask("GET", "/llmsim/rules", headers=host)
    deleted = await worker.ask("DELETE", "/llmsim/rules", headers=host)

    assert wrong.status == 400
    assert 'rules[0].txt: unknown key; did you mean "text"?' in wrong.json["error"]["message"]
    assert json.loads(shown.json["source"]) == {"rules": [{"text": "one"}]}
    assert deleted.json == {"origin": None, "format": "json", "rules": []}


async def test_rules_are_guarded() -> None:
    """RULES-3.2: As all of the control API."""
    exchange = await (await fresh()).ask(
        "PUT", "/llmsim/rules", b"{}", headers={"host": "localhost", "x-forwarded-for": "10.0.0.1"}
    )

    assert exchange.status == 403


async def explained(worker: Simulator, asked: dict[str, Any]) -> Exchange:
    headers = {"content-type": "application/json", "host": "localhost"}
    return await worker.ask("POST", "/llmsim/explain", json.dumps(asked).encode(), headers=headers)


async def test_explanation_plays_nothing(streamer: Endpoint) -> None:
    """RULES-4.2: The turn is still there; RULES-1.3: keys are not shown."""
    worker = await fresh()
    await worker.ask(
        "PUT",
        "/llmsim/scripts/talk",
        json.dumps(SCRIPT).encode(),
        headers={"content-type": "application/json", "host": "localhost"},
    )
    await put(worker, {"when": {"key": "sk-other"}, "text": "no"}, {"script": "talk", "profile": "fast"})
    header = streamer.provider.key_headers[0]
    sent = streamer.incoming(streamer.body())
    asked = {
        "endpoint": streamer.generation.label,
        "model": sent.path_params.get("model", ""),
        "headers": {header: "Bearer sk-secret"},
        "request": json.loads(sent.body),
    }
    for _ in range(3):
        exchange = await explained(worker, asked)
    parts = {line["part"]: line for line in exchange.json["answers"]}

    assert exchange.status == 200
    assert parts["rule"]["value"] == "rules[1]"
    assert parts["no rule"]["why"].startswith("expected another API key")
    assert b"sk-" not in exchange.body
    assert parts["script"]["value"] == "talk, in session global"
    assert parts["latency"] == {"part": "latency", "value": "fast", "why": "the rule rules[1]"}
    assert b"first turn" in (await ask(worker, streamer)).body
    assert worker.stats().total_requests == 1


async def test_refusals_are_explained() -> None:
    """RULES-4.3: By their reason; an unknown endpoint is named with the nearest."""
    worker = await fresh()
    refused = await explained(worker, {"request": {"model": "gpt-4o"}})
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
    hinted = await explained(worker, {"request": body, "headers": {"x-llmsim-latency": "0.2s"}})
    wrong = await explained(worker, {"endpoint": "mesages", "request": {}})
    answered = await worker.ask("POST", "/openai/v1/chat/completions", b'{"model":"gpt-4o"}')

    assert refused.json["answers"] == [
        {
            "part": "refused",
            "value": answered.json["error"]["message"],
            "why": f"the API answers with {answered.status}",
        }
    ]
    assert "did you mean ttft=200?" in hinted.json["answers"][0]["value"]
    assert "did you mean 'messages'?" in wrong.json["error"]["message"]


@pytest.mark.parametrize(
    ("answered", "part"),
    [
        ({"text": "Hello ${model}"}, "text"),
        ({"calls": [{"name": "find", "arguments": {}}]}, "tool"),
        ({"fault": "reset;at=3"}, "fault"),
        ({"profile": "ttft=5,itl=1"}, "latency"),
        ({"tokens": 7}, "tokens"),
    ],
)
async def test_every_answer_is_explained(answered: dict[str, Any], part: str) -> None:
    """RULES-4.1: With the rule as its reason."""
    worker = await fresh()
    await put(worker, {"name": "mine"} | answered)
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
    exchange = await explained(worker, {"request": request})
    lines = {line["part"]: line for line in exchange.json["answers"]}

    assert lines["rule"]["value"] == "mine"
    assert "rule" in lines[part]["why"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"\xff": 1}',
        b'{"request": {"custom_id": "a", "url": "\xff"}}',
        b'{"request": ' + b"[" * 900 + b"]" * 900 + b"}",
    ],
)
async def test_any_bytes_are_explained_or_refused(body: bytes) -> None:
    """RULES-4.5: What is no UTF-8, or nested deeply, is no bug."""
    exchange = await (await fresh()).ask("POST", "/llmsim/explain", body)

    assert exchange.status < 500
