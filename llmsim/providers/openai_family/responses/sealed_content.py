"""Encrypted content: what stands for reasoning or a compaction that only the API can read.

Decisions:
* It is a function of the item's id and its length, bears a mark and ends in a checksum: any worker, and a server that was started later, can
  check what comes back. The checksum finds what was lost or changed on the way; it keeps no secret.
* Content without the mark is the real API's, and need only be base64.
"""

import base64
import hashlib
import re
import zlib

CHARACTERS_PER_TOKEN = 8
"""Characters of encrypted content for each token it stands for."""

MIN_TOKENS = 12
MAX_TOKENS = 2048

_CIPHERTEXT = base64.urlsafe_b64encode(hashlib.shake_128(b"llmsim").digest(6 * MAX_TOKENS)) * 2
"""The characters that encrypted content is made of."""

_MARK = b"gAAAAABsbG1zaW0t"

_CHECKSUM_BYTES = 12
_CHECKSUM_CHARACTERS = 16

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")


_COMPACTION_RATIO = 4
"""Tokens of a conversation for each token of its compaction."""


def compacted_tokens(tokens: int) -> int:
    """Return the tokens of the compaction of a conversation of `tokens`."""
    return min(max(tokens // _COMPACTION_RATIO, MIN_TOKENS), MAX_TOKENS)


def _begin(item_id: str) -> bytes:
    return _MARK + base64.urlsafe_b64encode(item_id.encode()).rstrip(b"=")


def _checksum(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(hashlib.blake2b(content, digest_size=_CHECKSUM_BYTES).digest())


def encrypted_content(item_id: str, tokens: int) -> bytes:
    """Return encrypted content, which differs for each item.

    Args:
        item_id: The id of the item that carries it.
        tokens: Tokens it stands for; bounded by `MIN_TOKENS` and `MAX_TOKENS`.
    """
    length = min(max(tokens, MIN_TOKENS), MAX_TOKENS) * CHARACTERS_PER_TOKEN - _CHECKSUM_CHARACTERS
    head = _begin(item_id)
    start = zlib.crc32(head) % (MAX_TOKENS * CHARACTERS_PER_TOKEN)
    content = head + _CIPHERTEXT[start : start + max(length - len(head), 0)]
    return content + _checksum(content)


def is_verified(content: str) -> bool:
    """Check that content with llmsim's mark is as it was made, and that any other is base64."""
    if not _BASE64.fullmatch(content):
        return False
    sent = content.encode()
    if not sent.startswith(_MARK):
        return True
    body, checksum = sent[:-_CHECKSUM_CHARACTERS], sent[-_CHECKSUM_CHARACTERS:]
    return checksum == _checksum(body)


def is_sealed_for(content: str, item_id: str) -> bool:
    """Check that verified content of llmsim's comes with the id of its item; of any other content that is not known."""
    sent = content.encode()
    return not sent.startswith(_MARK) or sent.startswith(_begin(item_id))
