"""Text completions over HTTP: prompts, candidates, echoes, probabilities and streams."""

import json
from typing import Any

import pytest
from support.asgi import Exchange, Simulator, simulator

PATH = "/openai/v1/completions"
MODEL = "gpt-3.5-turbo-instruct"


async def ask(worker: Simulator | None = None, **fields: Any) -> Exchange:
    return await (worker or simulator()).post(PATH, {"model": MODEL} | fields)


def chunks(exchange: Exchange) -> list[Any]:
    return [json.loads(line[6:]) for line in exchange.body.splitlines() if line.startswith(b"data: {")]


@pytest.mark.parametrize(
    ("prompt", "choices", "tokens"),
    [
        ("Hello world", 1, 2),
        (["Hello", "Hello world"], 2, 3),
        ([9906, 1917], 1, 2),
        ([[9906], [1917, 1917]], 2, 3),
        (None, 1, 1),
        ("", 1, 1),
    ],
    ids=repr,
)
async def test_forms_of_a_prompt(prompt: Any, choices: int, tokens: int) -> None:
    """TEXT-1.1, TEXT-2.1, TEXT-2.4: Each text has its choice, and is counted alone."""
    answer = (await ask(prompt=prompt)).json

    assert answer["object"] == "text_completion"
    assert [choice["index"] for choice in answer["choices"]] == list(range(choices))
    assert answer["usage"]["prompt_tokens"] == tokens


@pytest.mark.parametrize("prompt", [[], [[]], ["a", 1], [1, [2]], 5, {"a": 1}, [1 << 40]], ids=repr)
async def test_other_prompts_are_refused(prompt: Any) -> None:
    """TEXT-1.2: Nothing, mixed kinds, and what is no prompt."""
    assert (await ask(prompt=prompt, echo=True)).status == 400


@pytest.mark.parametrize(("limit", "tokens"), [(None, 16), (3, 3), (0, 0)])
async def test_limit(limit: int | None, tokens: int) -> None:
    """TEXT-1.3: For each completion; 16 if there is none."""
    answer = (await ask(simulator(target_tokens=30), prompt=["a", "b"], max_tokens=limit)).json

    assert answer["usage"]["completion_tokens"] == 2 * tokens
    assert {choice["finish_reason"] for choice in answer["choices"]} == {"length"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n": 3, "best_of": 2}, "more choices than it will generate"),
        ({"best_of": 2, "stream": True}, "cannot be streamed"),
        ({"prompt": ["a"] * 300, "n": 2}, "600 completions"),
        ({"prompt": ["a"] * 300, "best_of": 2}, "600 completions"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"logprobs": 6}, "logprobs"),
    ],
    ids=repr,
)
async def test_contradictions_are_refused(fields: dict[str, Any], message: str) -> None:
    """TEXT-1.4: With a message that names them."""
    refused = await ask(**fields)

    assert refused.status == 400
    assert message in refused.json["error"]["message"]


async def test_the_window_holds_for_each_prompt() -> None:
    """TEXT-1.5: For the longest with its completion; a setting lifts it."""
    worker = simulator()
    fits = {"model": "gpt-3.5-turbo", "prompt": ["a", "b"], "max_tokens": 10_000}
    refused = await ask(worker, **(fits | {"prompt": ["a", " a" * 7000]}))
    unlimited = simulator(enforce_context_window=False)

    assert (await ask(worker, **fits)).status == 200
    assert refused.status == 400
    assert (
        "however you requested 17000 tokens (7000 in your prompt; 10000 for the completion)"
        in (refused.json["error"]["message"])
    )
    assert (await ask(unlimited, **(fits | {"prompt": " a" * 7000}))).status == 200


async def test_models() -> None:
    """TEXT-1.6: Those of chat answer without reasoning, those of embeddings do not."""
    answer = (await ask(model="gpt-5-pro", prompt="a")).json

    assert answer["choices"][0]["text"]
    assert (await ask(model="text-embedding-3-small", prompt="a")).status == 404


@pytest.mark.parametrize("prompt", [["Hello", " world"], [[9906], [1917]]], ids=repr)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_echo(prompt: Any, stream: bool) -> None:
    """TEXT-2.2, TEXT-3.1: Each completion begins with its own prompt."""
    asked = await ask(simulator(generator="fixed:!"), prompt=prompt, n=2, echo=True, stream=stream)
    found = chunks(asked) if stream else [asked.json]
    texts = ["", "", "", ""]
    for chunk in found:
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["text"]

    assert texts == ["Hello!", "Hello!", " world!", " world!"]


async def test_best_of() -> None:
    """TEXT-2.3: All candidates count; the most probable comes first."""
    answer = (await ask(prompt=["a", "b"], max_tokens=4, n=2, best_of=5, logprobs=0)).json
    means = [sum(choice["logprobs"]["token_logprobs"]) / 4 for choice in answer["choices"]]

    assert len(answer["choices"]) == 4
    assert answer["usage"]["completion_tokens"] == 2 * 5 * 4
    assert means[0] >= means[1]
    assert means[2] >= means[3]


async def test_suffix_is_counted() -> None:
    """TEXT-2.4: With each prompt."""
    answer = (await ask(prompt=["Hello", "Hello"], suffix=" world")).json

    assert answer["usage"]["prompt_tokens"] == 4


@pytest.mark.parametrize("top", [0, 3])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_logprobs(top: int, stream: bool) -> None:
    """TEXT-2.5, TEXT-2.6: Of the prompt, too; offsets point into the text."""
    asked = await ask(prompt="One, two", echo=True, logprobs=top, max_tokens=4, stream=stream)
    found = chunks(asked) if stream else [asked.json]
    text, listed = "", {"tokens": [], "token_logprobs": [], "text_offset": [], "top_logprobs": []}
    for choice in [choice for chunk in found for choice in chunk["choices"]]:
        text += choice["text"]
        for name, values in (choice["logprobs"] or {}).items():
            listed[name] += values or []

    assert "".join(listed["tokens"]) == text
    assert listed["token_logprobs"][0] is None
    assert all(value <= 0 for value in listed["token_logprobs"][1:])
    for token, offset in zip(listed["tokens"], listed["text_offset"], strict=True):
        assert text[offset:].startswith(token)
    if not top:
        assert listed["top_logprobs"] == []
        return
    assert listed["top_logprobs"][0] is None
    for token, alternatives in zip(listed["tokens"][1:], listed["top_logprobs"][1:], strict=True):
        assert token in alternatives
        assert top <= len(alternatives) <= top + 1


async def test_a_prompt_is_scored_the_same_each_time() -> None:
    """TEXT-2.6: As an evaluation does, which generates nothing."""
    fields = {"prompt": "The sky is blue", "echo": True, "logprobs": 1, "max_tokens": 0}
    first, second = (await ask(**fields)).json, (await ask(**fields)).json

    assert first["choices"] == second["choices"]
    assert first["choices"][0]["text"] == fields["prompt"]
    assert first["usage"]["completion_tokens"] == 0


async def test_incomplete_characters_are_named_by_their_bytes() -> None:
    """TEXT-2.7: In the form that clients of this API parse."""
    answer = (await ask(prompt="🪼", echo=True, logprobs=1)).json
    tokens = answer["choices"][0]["logprobs"]["tokens"]

    named = [token for token in tokens if token.startswith("bytes:")]
    digits = "".join(token.removeprefix("bytes:") for token in named).replace("\\x", "")
    assert bytes.fromhex(digits).decode() == "🪼"


async def test_usage_of_a_stream() -> None:
    """TEXT-3.2: Null, and in the end the whole."""
    asked = await ask(prompt="a", max_tokens=2, stream=True, stream_options={"include_usage": True})
    found = chunks(asked)

    assert [chunk["usage"] for chunk in found[:-1]] == [None] * 3
    assert found[-1]["choices"] == []
    assert found[-1]["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert asked.body.endswith(b"data: [DONE]\n\n")


async def test_a_script_plays() -> None:
    """SCRIPT-2.1: Its texts, cut at the limit of the request."""
    worker = simulator()
    script = {"turns": [{"type": "assistant", "text": "one two three four"}]}
    assert (await worker.ask("PUT", "/llmsim/scripts/t", json.dumps(script).encode())).status in (200, 201)
    body = json.dumps({"model": MODEL, "prompt": "Count", "max_tokens": 2, "echo": True}).encode()
    answer = await worker.ask("POST", PATH, body, headers={"x-llmsim-script": "t", "x-llmsim-session": "t"})

    assert answer.json["choices"][0]["text"] == "Countone two"


async def test_candidates_count_against_limits() -> None:
    """LIM-2.4: All that are generated, not only those that are returned."""
    limits = {"tiers": {"all": {"tpm": 1000}}, "default": "all"}
    worker = simulator(limits=limits)

    assert (await ask(worker, prompt="a", max_tokens=100, n=2)).status == 200
    assert (await ask(worker, prompt="a", max_tokens=100, n=2, best_of=20)).status == 429
