"""What can be done with responses that are kept, and with conversations that are not asked yet.

Source: openai SDK 3.54, resources/responses/responses.py, input_items.py and input_tokens.py.
"""

from collections.abc import Mapping
from functools import partial

from msgspec.structs import replace

from llmsim.errors import InvalidFieldError, UnknownResponseError
from llmsim.providers.contract import Ask, Call, Desk, Operation, Replay, Reply
from llmsim.providers.responses_grammar.compaction import render_compaction, render_count
from llmsim.providers.responses_grammar.dialect import Dialect
from llmsim.providers.responses_grammar.events import render_stream, resumed
from llmsim.providers.responses_grammar.listing import page
from llmsim.providers.responses_grammar.parse import parse_compact, parse_count
from llmsim.providers.responses_grammar.stored import input_items
from llmsim.providers.storage import State, Storage, Stored
from llmsim.wire.codec import encode
from llmsim.wire.frames import Run

_ONE = "/v1/responses/{response_id}"


def operations(storage: Storage, dialect: Dialect) -> tuple[Operation, ...]:
    """Give the operations on the responses of `storage`."""
    return (
        Operation(method="GET", path=_ONE, run=partial(_retrieve, storage, dialect)),
        Operation(method="DELETE", path=_ONE, run=partial(_delete, storage)),
        Operation(method="POST", path=f"{_ONE}/cancel", run=partial(_cancel, storage)),
        Operation(method="GET", path=f"{_ONE}/input_items", run=partial(_input_items, storage)),
        Operation(method="POST", path="/v1/responses/input_tokens", run=partial(_count, storage, dialect)),
        Operation(method="POST", path="/v1/responses/compact", run=partial(_compact, storage, dialect)),
    )


def _found(storage: Storage, desk: Desk, call: Call) -> Stored:
    response_id = call.params["response_id"]
    stored = desk.find(storage, response_id)
    if stored is None:
        raise UnknownResponseError(response_id)
    return stored


def _retrieve(storage: Storage, dialect: Dialect, desk: Desk, call: Call) -> Reply | Replay:
    """Show a response as it stands, or stream it anew."""
    stored = _found(storage, desk, call)
    if not _flag(call.params, "stream", default=False):
        return Reply(200, storage.render(stored, desk.now()))
    options = replace(stored.options, obfuscation=_flag(call.params, "include_obfuscation", default=True))
    runs = resumed(render_stream(stored.turn, options, dialect), _starting_after(call.params))
    if stored.cancelled is not None:
        runs = _made_until(runs, stored, stored.cancelled)
    return Replay(stored, runs)


def _made_until(runs: tuple[Run, ...], stored: Stored, instant: float) -> tuple[Run, ...]:
    """Leave out what had not come about at `instant`: the turn was cancelled then."""
    schedule, tokens = stored.turn.schedule, 0
    while tokens < stored.turn.length and stored.arrived + schedule.due(tokens + 1) <= instant:
        tokens += 1
    kept = []
    for run in runs:
        stop = sum(1 for end in run.ends if end <= tokens)
        if stop:
            kept.append(Run(run.head, run.bodies[:stop], run.tail, run.ends[:stop], run.tokens[:stop]))
    return tuple(kept)


def _flag(params: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = params.get(name)
    if text is None:
        return default
    if text not in ("true", "false"):
        raise InvalidFieldError((name,), "choice", ("true", "false"), text)
    return text == "true"


def _starting_after(params: Mapping[str, str]) -> int:
    text = params.get("starting_after")
    if text is None:
        return -1
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidFieldError(("starting_after",), "type", "int", text)
    return int(text)


def _delete(storage: Storage, desk: Desk, call: Call) -> Reply:
    response_id = call.params["response_id"]
    if not desk.forget(storage, response_id):
        raise UnknownResponseError(response_id)
    return Reply(200, encode({"id": response_id, "object": "response", "deleted": True}))


def _cancel(storage: Storage, desk: Desk, call: Call) -> Reply:
    """Cancel a response in the background; one that is done stays as it is."""
    if not _found(storage, desk, call).background:
        raise InvalidFieldError(("response_id",), "conflict", "Cannot cancel a synchronous response.")
    now = desk.now()

    def cancelled(stored: Stored) -> Stored:
        if stored.state(now) in (State.DONE, State.CANCELLED):
            return stored
        return replace(stored, cancelled=now)

    stored = desk.change(storage, call.params["response_id"], cancelled)
    if stored is None:
        raise UnknownResponseError(call.params["response_id"])
    return Reply(200, storage.render(stored, now))


def _input_items(storage: Storage, desk: Desk, call: Call) -> Reply:
    return Reply(200, page(input_items(_found(storage, desk, call)), call.params))


def _count(storage: Storage, dialect: Dialect, desk: Desk, call: Call) -> Reply:
    ask = _whole(storage, desk, parse_count(call.body, dialect))
    return Reply(200, render_count(desk.count(ask.prompt)))


def _compact(storage: Storage, dialect: Dialect, desk: Desk, call: Call) -> Reply:
    ask = _whole(storage, desk, parse_compact(call.body, dialect))
    tokens = desk.count(ask.prompt)
    body = render_compaction(ask, turn_id=desk.new_id(), created=desk.unix(), tokens=tokens)
    return Reply(200, body)


def _whole(storage: Storage, desk: Desk, ask: Ask) -> Ask:
    """Put what `ask` continues before it."""
    previous = storage.previous(ask.options)
    if previous is None:
        return ask
    earlier = desk.find(storage, previous)
    if earlier is None:
        raise UnknownResponseError(previous, "previous_response_id")
    whole: Ask = storage.continued(ask, earlier)
    return whole
