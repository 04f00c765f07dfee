"""How contents that are not JSON leave: with a fixed type, and so that no browser runs what is in them."""

from llmsim.providers.contract import Headers

SANDBOXED: Headers = (
    ("x-content-type-options", "nosniff"),
    ("content-disposition", "attachment"),
    ("content-security-policy", "sandbox"),
)
"""Headers of every content that a client may have written a part of."""


def content_headers(content_type: str) -> Headers:
    """Return the headers of a content of a type."""
    return (("content-type", content_type), *SANDBOXED)
