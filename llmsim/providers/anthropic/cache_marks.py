"""The marks of a request that end prefixes to be cached."""

import msgspec

from llmsim.providers.anthropic.messages_request import (
    Block,
    CountRequest,
    FallbackBlock,
    RedactedThinkingBlock,
    ThinkingBlock,
)
from llmsim.providers.anthropic.tool_params import CacheControl


def has_marks(request: CountRequest) -> bool:
    """Return whether a tool or a block of a request has a mark."""
    if any(tool.cache_control is not None for tool in request.tools or ()):
        return True
    contents = [request.system, *(message.content for message in request.messages)]
    return any(
        without_mark(block)[0] is not None
        for content in contents
        if isinstance(content, list)
        for block in content
    )


def without_mark(block: Block) -> tuple[CacheControl | None, Block]:
    """Return a block's mark, and the block without it."""
    if (
        isinstance(block, ThinkingBlock | RedactedThinkingBlock | FallbackBlock)
        or block.cache_control is None
    ):
        return None, block
    return block.cache_control, msgspec.structs.replace(block, cache_control=None)
