"""Thought signatures: what a function call carries of the thinking before it.

Decisions:
* A signature holds a digest of the call. Nothing is stored, so any worker, and a server that was started later, verifies it.
* Digests have no secret: the signature shows that a client has sent a call back unchanged, it does not protect anything.
* A signature of the real API passes, as recorded conversations are replayed. So do the texts that Google documents for calls that
  another model has made.

Source: ai.google.dev/gemini-api/docs/thought-signatures.
"""

import base64
import hashlib
from typing import Any

import orjson

from llmsim.providers.gemini.proto_json import decode_base64

_MARK = b"\x12\x06llmsim"
"""The beginning of each: its bytes are in no signature of the real API."""

_NONCE_BYTES = 16
_DIGEST_BYTES = 96


def sign(turn_id: str, name: str, args: Any) -> str:
    """Return the signature of a call of a turn; of a text that name is empty, and there are no arguments."""
    nonce = hashlib.blake2b(turn_id.encode("utf-8", "surrogatepass"), digest_size=_NONCE_BYTES).digest()
    return base64.b64encode(_MARK + nonce + _digest(nonce, name, args)).decode()


def verifies(signature: str, name: str, args: Any) -> bool:
    """Return whether a signature fits its call, as far as can be known."""
    content = decode_base64(signature)
    if not content.startswith(_MARK):
        return True
    nonce = content[len(_MARK) : len(_MARK) + _NONCE_BYTES]
    return content == _MARK + nonce + _digest(nonce, name, args)


def _digest(nonce: bytes, name: str, args: Any) -> bytes:
    digest = hashlib.shake_128(nonce + name.encode("utf-8", "surrogatepass"))
    # Clients decode arguments and encode them again: numbers may change their form, members their order.
    digest.update(orjson.dumps(_normal(args), option=orjson.OPT_SORT_KEYS))
    return digest.digest(_DIGEST_BYTES)


def _normal(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {key: _normal(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_normal(inner) for inner in value]
    return value
