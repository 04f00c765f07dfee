"""The response object.

Decisions:
* When a response was completed is told to the second, by the means of its schedule: adding up every gap would cost
  more than all the rest of rendering.
* PERF: everything is put together as bytes around texts that were escaped once; the object stands three times in a
  stream.

Source of fields: recorded responses of the OpenAI API; openai SDK 3.54, types/responses/response.py.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from llmsim.domain import Turn, Usage
from llmsim.providers.openai_family.responses.dialect import Dialect
from llmsim.providers.openai_family.responses.options import ResponseOptions
from llmsim.providers.openai_family.responses.output import put_out, reason, web_searches
from llmsim.wire.codec import encode

Status = Literal["queued", "in_progress", "completed", "incomplete", "cancelled", "failed"]

_TIERS = {
    "flex": "flex",
    "scale": "scale",
    "priority": "priority",
    "fast": "priority",
    "ultrafast": "ultrafast",
}
"""Requested tier to reported tier; all others are served as `default`. Source: SDK docstring of service_tier."""

_FAILURES = ("server_error", "rate_limit_exceeded")
"""Codes of a failed response that llmsim has a reason for. Source: openai SDK 3.54, response_error.py."""


def public_id(turn: Turn) -> str:
    """Give the id under which a response is known."""
    return f"resp_{turn.id}"


def outcome(turn: Turn) -> Status:
    """Tell how `turn` ends if nothing comes between."""
    return "completed" if reason(turn) is None else "incomplete"


class Failure(msgspec.Struct):
    """Why there is no answer, as an error reply says it."""

    message: str
    code: str | None = None
    param: str | None = None


def resource(
    turn: Turn,
    options: ResponseOptions,
    dialect: Dialect,
    status: Status,
    *,
    items: Sequence[bytes] | None = None,
    failure: Failure | None = None,
) -> bytes:
    """Render the response object.

    Args:
        turn: What is answered.
        options: What was asked.
        dialect: How it is said.
        status: How far the response has come.
        items: What it puts out, if that is known already; only a response that is done has any.
        failure: Why it failed.
    """
    done = status in ("completed", "incomplete")
    if not done:
        items = ()
    elif items is None:
        items = [one.item for one in put_out(turn, options, dialect)]
    tier = options.service_tier
    error = b"null"
    if failure is not None:
        code = failure.code if failure.code in _FAILURES else _FAILURES[0]
        error = encode({"code": code, "message": failure.message})
    return (
        b'{"id":"%b","object":"response","created_at":%d,"status":"%b","completed_at":%b,"error":%b,'
        b'"incomplete_details":%b,"model":%b,"output":[%b],"service_tier":"%b","usage":%b,%b%b}'
    ) % (
        public_id(turn).encode(),
        turn.created,
        status.encode(),
        b"%d" % _completed_at(turn) if status == "completed" else b"null",
        error,
        b'{"reason":"%b"}' % (reason(turn) or b"") if status == "incomplete" else b"null",
        encode(turn.model),
        b",".join(items),
        (tier if status in ("queued", "in_progress") else _TIERS.get(tier, "default")).encode(),
        render_usage(turn.usage) if done else b"null",
        _constants(turn, dialect) if done else dialect.constants,
        options.echo,
    )


def _constants(turn: Turn, dialect: Dialect) -> bytes:
    """Give what only this dialect has, the web searches of a turn that is done counted in."""
    searches = web_searches(turn)
    if not searches:
        return dialect.constants
    return dialect.constants.replace(b'"num_requests":0', b'"num_requests":%d' % searches)


def _completed_at(turn: Turn) -> int:
    schedule = turn.schedule
    return turn.created + int(schedule.ttft + schedule.itl * max(0, turn.length - 1))


def render_usage(usage: Usage) -> bytes:
    """Render what a response costs."""
    return (
        b'{"input_tokens":%d,"input_tokens_details":{"cache_write_tokens":0,"cached_tokens":%d},"output_tokens":%d,'
        b'"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d}'
    ) % (usage.prompt, usage.cached, usage.completion, usage.reasoning, usage.total)
