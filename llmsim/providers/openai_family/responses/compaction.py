"""What a conversation weighs, and the same conversation made smaller.

Decisions:
* Nothing is summed up: the user's messages are kept, and all else becomes an item that weighs a quarter, within bounds.

Source: openai SDK 3.54, types/responses/compacted_response.py, response_compaction_item.py and
input_token_count_response.py; the example of openresponses/openresponses, schema/responses.tsp, `CompactResource`.
"""

from llmsim.domain import Usage
from llmsim.providers.contract import ParsedRequest
from llmsim.providers.openai_family.responses.items import UserMessage, read
from llmsim.providers.openai_family.responses.listing import listed
from llmsim.providers.openai_family.responses.options import ResponseOptions
from llmsim.providers.openai_family.responses.resource import render_usage
from llmsim.providers.openai_family.responses.thought import SEALED, sealed

_SHARE = 4
"""Tokens of conversation for each token of its compaction."""


def render_count(tokens: int) -> bytes:
    """Render how many tokens an input has."""
    return b'{"object":"response.input_tokens","input_tokens":%d}' % tokens


def render_compaction(
    ask: ParsedRequest[ResponseOptions], *, turn_id: str, created: int, tokens: int
) -> bytes:
    """Render a conversation made smaller.

    Args:
        ask: What is to be compacted, earlier turns included.
        turn_id: Unique.
        created: Unix time in seconds.
        tokens: What it weighs.
    """
    options: ResponseOptions = ask.options
    items = [
        shown
        for sent, shown in zip(options.items, listed(options.items, turn_id), strict=True)
        if _of_the_user(sent)
    ]
    made = min(max(tokens // _SHARE, SEALED[0]), SEALED[1])
    items.append(
        b'{"id":"cmp_%b","type":"compaction","encrypted_content":"%b"}'
        % (turn_id.encode(), sealed(turn_id, made))
    )
    return b'{"id":"resp_%b","object":"response.compaction","created_at":%d,"output":[%b],"usage":%b}' % (
        turn_id.encode(),
        created,
        b",".join(items),
        render_usage(Usage(prompt=tokens, completion=made)),
    )


def _of_the_user(sent: bytes) -> bool:
    item = read(sent, ())
    return isinstance(item, UserMessage) and item.role == "user"
