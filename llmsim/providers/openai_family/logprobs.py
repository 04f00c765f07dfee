r"""Log probabilities of tokens, as the OpenAI family renders them.

Decisions:
* Bytes of a token that are not whole UTF-8 are escaped in its text, as in `\xf0\x9f`; `bytes` has them all.

Source: openai SDK 3.54, types/responses/response_output_text.py and types/chat/chat_completion_token_logprob.py;
OpenAI cookbook, "Using logprobs".
"""

from collections.abc import Sequence

from llmsim.domain import TokenLogprob
from llmsim.wire.codec import encode


def render_logprobs(tokens: Sequence[TokenLogprob]) -> bytes:
    """Render the log probabilities of `tokens` as the elements of a JSON array, without brackets."""
    return b",".join(_render_token(token) for token in tokens)


def _render_token(token: TokenLogprob) -> bytes:
    top = b",".join(b"{%b}" % _render_members(text, logprob) for text, logprob in token.top)
    return b'{%b,"top_logprobs":[%b]}' % (_render_members(token.token, token.logprob), top)


def _render_members(token: bytes, logprob: float) -> bytes:
    text = token.decode(errors="backslashreplace")
    return encode({"token": text, "bytes": list(token), "logprob": logprob})[1:-1]
