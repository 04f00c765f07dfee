"""What an image costs in tokens, by the rule of its model.

Decisions:
* An image of which the request holds only an address counts as one of 1,024 pixels square; nothing is fetched.

Source: OpenAI, guides/images-vision, "Calculating costs"; Anthropic, build-with-claude/vision.
"""

import math

from llmsim.domain import Image, ImageRule, PatchLimit

_UNKNOWN_SIDE = 1024

_TILE = 512
_TILED_EDGE = 2048
_TILED_SHORT_EDGE = 768


def image_tokens(image: Image, rule: ImageRule) -> int:
    """Return the tokens of an image."""
    width, height = image.width or _UNKNOWN_SIDE, image.height or _UNKNOWN_SIDE
    if rule.tile:
        return rule.base if image.detail == "low" else rule.base + rule.tile * _tiles(width, height)
    limit = rule.limits.get(image.detail) or rule.limits["auto"]
    return math.ceil(_patches(width, height, rule.patch, limit) * rule.multiplier)


def _tiles(width: float, height: float) -> int:
    """Count the tiles of an image that is scaled down to the longest and then to the shortest side."""
    scale = min(1.0, _TILED_EDGE / max(width, height))
    scale *= min(1.0, _TILED_SHORT_EDGE / (min(width, height) * scale))
    return _cover(_scaled(width, scale), _scaled(height, scale), _TILE)


def _patches(width: float, height: float, side: int, limit: PatchLimit) -> int:
    """Count the patches of an image that is scaled down to the limit."""
    scale = min(1.0, limit.edge / max(width, height))
    width, height = _scaled(width, scale), _scaled(height, scale)
    count = _cover(width, height, side)
    if not limit.patches or count <= limit.patches:
        return count
    shrink = math.sqrt(side * side * limit.patches / (width * height))
    columns, rows = width * shrink / side, height * shrink / side
    shrink *= min(max(1, math.floor(columns)) / columns, max(1, math.floor(rows)) / rows)
    return min(limit.patches, _cover(_scaled(width, shrink), _scaled(height, shrink), side))


def _scaled(length: float, scale: float) -> int:
    # NOTE: 1024 * (768 / 1024) must not be 767.
    return max(1, math.floor(length * scale + 1e-6))


def _cover(width: float, height: float, side: int) -> int:
    return math.ceil(width / side) * math.ceil(height / side)
