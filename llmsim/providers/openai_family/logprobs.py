r"""Log probabilities of tokens as the OpenAI family tells them.

Decisions:
* What is not whole UTF-8 in a token is written by its bytes, as in `\xf0\x9f`; they are told beside it, too.

Source: openai SDK 3.54, types/responses/response_output_text.py and types/chat/chat_completion_token_logprob.py;
OpenAI cookbook, "Using logprobs".
"""

from collections.abc import Sequence

from llmsim.domain import TokenLogprob
from llmsim.wire.codec import encode


def listed_odds(odds: Sequence[TokenLogprob]) -> bytes:
    """Give the elements of a JSON array that tells of each token how probable it was."""
    return b",".join(_told(one) for one in odds)


def _told(odds: TokenLogprob) -> bytes:
    top = b",".join(b"{%b}" % _members(token, logprob) for token, logprob in odds.top)
    return b'{%b,"top_logprobs":[%b]}' % (_members(odds.token, odds.logprob), top)


def _members(token: bytes, logprob: float) -> bytes:
    text = token.decode(errors="backslashreplace")
    return encode({"token": text, "bytes": list(token), "logprob": logprob})[1:-1]
