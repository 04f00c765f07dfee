"""Images in a prompt, and how a model counts them."""

import msgspec


class Image(msgspec.Struct, frozen=True):
    """An image in the prompt.

    Attributes:
        path: Its place in the request, e.g. `("messages", 0, "content", 1)`, for error messages.
        detail: `low`, `high`, `original` or `auto`; it decides the cost in tokens.
        width: In pixels; 0 if the request does not hold the image.
        height: In pixels; 0 if the request does not hold the image.
    """

    path: tuple[str | int, ...]
    detail: str = "auto"
    width: int = 0
    height: int = 0


class PatchLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The size to which an image is scaled down before its patches are counted.

    Attributes:
        edge: Longest side, in pixels.
        patches: Most patches; 0 for any number.
    """

    edge: int
    patches: int = 0


class ImageRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a family of models counts an image.

    Attributes:
        name: Its name in the catalogue.
        base: Tokens of an image besides its tiles; those of `low` detail.
        tile: Tokens of a tile of 512 pixels square; 0 if the model counts patches.
        patch: Side of a patch, in pixels; 0 if the model counts tiles.
        multiplier: Tokens of a patch.
        limits: The limit of each detail; what is not listed has that of `auto`.
    """

    name: str
    base: int = 0
    tile: int = 0
    patch: int = 0
    multiplier: float = 1.0
    limits: dict[str, PatchLimit] = {}
