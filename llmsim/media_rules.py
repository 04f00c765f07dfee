"""What models of pictures and sound take, as the catalogue has it."""

import msgspec


class MediaRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the models with a common prefix take that make or read pictures or sound.

    Attributes:
        prefix: As in `Family`; the longest one applies, and no other.
        refused: Parameters that they do not take.
        characters: Most characters of a prompt; 0 for any number.
        pictures: Most pictures of one request.
        sizes: Sizes of pictures, the first is the default.
        takes_any_size: Whether they take any size within the bounds of the API.
        qualities: Qualities of pictures, with the tokens of one of 1024x1024; the first is the default.
        tokens: Tokens of a picture by quality and size, where they are not in proportion to its area.
        has_usage: Whether usage is reported in tokens.
        streams: Whether they stream; if they do not, they are asked in vain.
        has_urls: Whether they give addresses of pictures, unless base64 is requested.
        formats: Formats of a transcript, the first is the default.
    """

    prefix: str
    refused: tuple[str, ...] = ()
    characters: int = 0
    pictures: int = 10
    sizes: tuple[str, ...] = ()
    takes_any_size: bool = False
    qualities: dict[str, int] = {}
    tokens: dict[str, dict[str, int]] = {}
    has_usage: bool = True
    streams: bool = True
    has_urls: bool = False
    formats: tuple[str, ...] = ()
