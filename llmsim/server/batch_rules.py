"""Rules for the requests of a batch.

Decisions:
* A line of a batch gets what takes no place in a session: text, calls, fault, latency, length. Scripts and scenarios go on from request
  to request, and the lines of a batch have no order that a client could rely on.
* The key and the headers are those of the request that creates the batch.
"""

from llmsim.domain import Prompt, TurnOverrides
from llmsim.providers.contract import IncomingRequest
from llmsim.providers.registry import PROVIDERS
from llmsim.scripts import ScriptStep, Sender
from llmsim.server.access.api_keys import find_header_key
from llmsim.server.played import RuleTurn
from llmsim.server.rule_book import RuleBook
from llmsim.server.rules import BATCHED, merge_overrides

_KEY_HEADERS = tuple(dict.fromkeys(name for provider in PROVIDERS for name in provider.key_headers))


async def begin_line(
    rules: RuleBook,
    request: IncomingRequest,
    prompt: Prompt,
    body: bytes,
    overrides: TurnOverrides | None,
    *,
    in_thread: bool,
) -> tuple[RuleTurn | None, TurnOverrides | None]:
    """Return the answer of the rule that one request of a batch meets, None for none of its own, and the overrides.

    Args:
        rules: The rules.
        request: The request that creates the batch.
        prompt: The line's prompt.
        body: The line's body.
        overrides: What the headers of the batch ask for.
        in_thread: Whether the request is large.
    """
    sender = Sender(find_header_key(request.headers, _KEY_HEADERS), request.headers)
    rule = (await rules.match(prompt, sender, usable=BATCHED, in_thread=in_thread)).rule
    if rule is None:
        return None, overrides
    merged = merge_overrides(overrides, rule.overrides_for(prompt))
    has_text = overrides is not None and (overrides.generator is not None or overrides.tokens is not None)
    if has_text or prompt.silent or not rule.has_answer or (merged is not None and merged.fails):
        return None, merged
    return RuleTurn(ScriptStep(rule.number, rule.turn(prompt, body))), merged
