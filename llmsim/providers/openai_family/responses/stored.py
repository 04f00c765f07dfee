"""What a kept response gives: itself as it stands, and a conversation to be continued.

Decisions:
* A request that continues a response has all that was asked and answered before it, in its prompt and in its items,
  but not the earlier instructions.
* What was answered counts as it would if the client sent its items back.
* A response that was cancelled has put out nothing.

Source: openai SDK 3.54, docstrings of `previous_response_id` and `instructions`; openresponses/openresponses,
specification.mdx, "previous_response_id".
"""

from typing import assert_never

from msgspec.structs import replace

from llmsim.providers.contract import ParsedRequest
from llmsim.providers.openai_family.responses.dialect import Dialect
from llmsim.providers.openai_family.responses.history import messages
from llmsim.providers.openai_family.responses.listing import listed
from llmsim.providers.openai_family.responses.options import ResponseOptions
from llmsim.providers.openai_family.responses.output import put_out
from llmsim.providers.openai_family.responses.resource import Status, outcome, resource
from llmsim.providers.storage import State, StoredResponse


def shown(stored: StoredResponse[ResponseOptions], now: float, dialect: Dialect) -> bytes:
    """Render a kept response as it stands at `now`, on the monotonic clock."""
    options: ResponseOptions = stored.options
    return resource(stored.turn, options, dialect, _status(stored, now))


def _status(stored: StoredResponse[ResponseOptions], now: float) -> Status:
    match stored.state(now):
        case State.QUEUED:
            return "queued"
        case State.IN_PROGRESS:
            return "in_progress"
        case State.DONE:
            return outcome(stored.turn)
        case State.CANCELLED:
            return "cancelled"
        case other:
            assert_never(other)


def input_items(stored: StoredResponse[ResponseOptions]) -> tuple[bytes, ...]:
    """Give all that a kept response was answering as listed items, the oldest first."""
    options: ResponseOptions = stored.options
    return listed(options.items, stored.turn.id)


def continued(
    ask: ParsedRequest[ResponseOptions], earlier: StoredResponse[ResponseOptions], dialect: Dialect
) -> ParsedRequest[ResponseOptions]:
    """Put all that `earlier` was answering, and its answer, before the input of `ask`."""
    options: ResponseOptions = ask.options
    before: ResponseOptions = earlier.options
    answer: list[bytes] = []
    if earlier.cancelled is None:
        answer = [one.item for one in put_out(earlier.turn, before, dialect)]
    own = 1 if options.instructed else 0
    conversation = (
        *ask.prompt.messages[:own],
        *earlier.prompt.messages[1 if before.instructed else 0 :],
        *messages(answer, []),
        *ask.prompt.messages[own:],
    )
    items = (
        *input_items(earlier),
        *answer,
        *options.items,
    )
    # Its own images come first: a refusal names the first of them.
    images = (*ask.prompt.images, *earlier.prompt.images)
    return ParsedRequest(
        replace(ask.prompt, messages=conversation, images=images),
        replace(options, items=items),
    )
