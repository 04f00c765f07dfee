"""Golden files: what a request and its turn look like on the wire, byte for byte.

`<provider>/<endpoint>/<case>/` holds `request.json`, `turn.json` (a `Turn` as JSON), and what is rendered of them:
`response.json` and, of an endpoint that streams, `stream.sse`. `pytest --update-golden` writes the rendered files anew; their diff is reviewed as code.
"""

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.endpoints import GOLDEN, RENDERED, Endpoint, golden_folder

from llmsim.domain import Turn

CASES = sorted(path.parent for path in GOLDEN.glob("*/*/*/request.json"))


GENERATIONS = {
    golden_folder(provider, generation): Endpoint(provider, generation) for provider, generation in RENDERED
}


def compare(path: Path, rendered: bytes, *, update: bool) -> None:
    if update:
        path.write_bytes(rendered)
    assert rendered == path.read_bytes(), f"{path} differs; if it should, run pytest --update-golden"


def read_turn(data: bytes) -> Turn:
    """Read a turn, in which the most probable tokens are listed as `top` of each token."""

    def build(members: dict[str, Any]) -> dict[str, Any]:
        if "top" in members:
            top = msgspec.convert(members.pop("top"), list[tuple[bytes, float]])
            members["packed_top"] = base64.b64encode(msgspec.msgpack.encode(top)).decode()
        return members

    return msgspec.json.decode(json.dumps(json.loads(data, object_hook=build)), type=Turn)


@pytest.mark.parametrize("case", CASES, ids=[str(case.relative_to(GOLDEN)) for case in CASES])
def test_the_same_turn_gives_the_same_bytes(case: Path, update_golden: bool) -> None:
    """CHAT-3.7: Request and turn are rendered, whole and streamed, to the bytes of the golden files."""
    endpoint = GENERATIONS[case.parent]
    generation = endpoint.generation
    request = (case / "request.json").read_bytes()
    ask = endpoint.parse(request)
    turn = read_turn((case / "turn.json").read_bytes())
    assert (turn.model, len(turn.choices)) == (ask.prompt.model, ask.prompt.choices)
    assert turn.usage.completion == sum(choice.tokens for choice in turn.choices)

    compare(case / "response.json", generation.render_response(turn, ask.options), update=update_golden)
    if generation.http.render_stream is None:
        return
    options = ask.options
    if "{model}" in generation.path:
        # Whether it streams is in the path, which the request of the case does not have.
        options = endpoint.parse(json.dumps(json.loads(request) | {"stream": True}).encode()).options
    stream = b"".join(
        run.data(0, len(run.required_tokens)) for run in generation.http.render_stream(turn, options)
    )
    compare(case / "stream.sse", stream, update=update_golden)


def test_every_endpoint_has_golden_files() -> None:
    """ARCH-1.2: Rendering is held byte by byte for every generating endpoint of the registry."""
    # What Azure renders as the OpenAI API does needs no files of its own.
    missing = [
        str(path.relative_to(GOLDEN))
        for path in GENERATIONS
        if not any((folder / path.name / "basic").is_dir() for folder in (path.parent, GOLDEN / "openai"))
    ]

    assert missing == []


def test_every_case_belongs_to_an_endpoint() -> None:
    """ARCH-2.3: No case is left behind by an endpoint that is gone or renamed."""
    assert {case.parent for case in CASES} <= set(GENERATIONS)
