"""Numbers in the query of a list."""

from collections.abc import Mapping

from llmsim.errors import InvalidFieldError


def parse_limit(params: Mapping[str, str], default: int, most: int) -> int:
    """Return how many entries a page has; refuse a limit that is no number or out of range."""
    return check_limit(parse_number(params, "limit", default), most)


def check_limit(limit: int, most: int) -> int:
    """Return a limit; refuse one that is not from 1 to `most`."""
    if limit < 1:
        raise InvalidFieldError(("limit",), "minimum", 1, limit)
    if limit > most:
        raise InvalidFieldError(("limit",), "maximum", most, limit)
    return limit


def parse_number(params: Mapping[str, str], name: str, default: int) -> int:
    """Return a query parameter; refuse one that is not a number of nine digits at most."""
    sent = params.get(name)
    if sent is None:
        return default
    if not sent.isascii() or not sent.isdigit() or len(sent) > 9:
        raise InvalidFieldError((name,), "type", "int", sent)
    return int(sent)
