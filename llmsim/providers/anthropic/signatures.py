"""Signatures of thinking blocks.

Decisions:
* A signature holds a digest of the text that the client was shown. Nothing is stored, so any worker, and a server that was
  started later, verifies it.
* Digests have no secret: the signature shows that a client has kept a block, it does not protect anything.
* A signature of the real API passes, as recorded conversations are replayed; it only has to be base64.
* Its outside is that of a real one: base64 of a protobuf message, which some gateways look at.

Source: Anthropic docs, build-with-claude/extended-thinking, preserving thinking blocks; signatures of recorded streams.
"""

import base64
import hashlib

_MARK = b"\x0a\x06llmsim"
"""The first field of each message: its bytes are in no signature of the real API."""

_HEAD = b"\x12\xbd\x01" + _MARK + b"\x12\xb2\x01"
"""What comes before nonce and digest: tags and lengths of the fields."""

_NONCE_BYTES = 16
_DIGEST_BYTES = 162


def sign(turn_id: str, thinking: str) -> str:
    """Return the signature of the thinking block of a turn, with the text that is shown."""
    nonce = hashlib.blake2b(turn_id.encode("utf-8", "surrogatepass"), digest_size=_NONCE_BYTES).digest()
    return base64.b64encode(_HEAD + nonce + _digest(nonce, thinking)).decode()


def verifies(signature: str, thinking: str) -> bool:
    """Return whether a signature fits the text of its block, as far as can be known."""
    content = decode_base64(signature)
    if not content:
        return False
    if _MARK not in content[: len(_HEAD) + len(_MARK)]:
        return True
    nonce = content[len(_HEAD) : len(_HEAD) + _NONCE_BYTES]
    return content == _HEAD + nonce + _digest(nonce, thinking)


def decode_base64(text: str) -> bytes | None:
    """Return the bytes of a base64 text, whether it is padded or not; None if it is not base64."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return None


def _digest(nonce: bytes, thinking: str) -> bytes:
    return hashlib.shake_128(nonce + thinking.encode("utf-8", "surrogatepass")).digest(_DIGEST_BYTES)
