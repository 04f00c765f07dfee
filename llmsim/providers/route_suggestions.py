"""The path that a client meant: for a 404 whose cause is a wrong base URL or a misspelt endpoint.

Decisions:
* Only paths that are served are suggested, so a suggestion can be used as it stands.
* A provider's own endpoints come first, those of other APIs after them: `/openai/v1/messages` is Anthropic's.
* The suggestion says what is wrong with the base URL where that is certain: clients differ in whether they add `/v1`.
"""

import difflib
import itertools
import re
from collections.abc import Iterable

from llmsim.providers.contract import Provider
from llmsim.providers.registry import BARE_PREFIX, PROVIDERS

_VERSION = BARE_PREFIX.strip("/")

_LONGEST = 200
"""Characters of a path; a longer one was not misspelt."""

_CUTOFF = 0.8
"""Similarity from which a path counts as misspelt."""

_NOISE = re.compile(r"v\d+|api", re.IGNORECASE)
"""Segments that base URLs begin with."""


def suggest_route(path: str, own: Iterable[str] = ()) -> str:
    """Return what follows the message of a 404: the path that was meant; empty if none is similar.

    Args:
        path: The whole path of a request that nothing serves.
        own: Paths of llmsim's own.
    """
    meant = find_meant(path)
    if meant is None and len(path) <= _LONGEST:
        meant = next(iter(difflib.get_close_matches(path.lower(), own, n=1, cutoff=_CUTOFF)), None)
    return f". Did you mean {meant}?{_base_url_hint(path, meant)} (llmsim)" if meant else ""


def find_meant(path: str) -> str | None:
    """Return the served path that is nearest to one that nothing serves; None if none is near."""
    if len(path) > _LONGEST or not path.isprintable():
        return None
    segments = [segment for segment in path.split("/") if segment]
    provider = _named(segments)
    own = [one for one in PROVIDERS if one is provider]
    others = [one for one in PROVIDERS if one is not provider]
    for candidates, cutoff in ((own, _CUTOFF), (others, 1.0 if own else _CUTOFF)):
        for rest in _shortened(segments):
            for candidate in candidates:
                found = _match(rest, candidate, cutoff)
                if found is not None:
                    is_bare = provider is None and candidate.is_bare
                    return found if is_bare else candidate.prefix + found
    return None


def _named(segments: list[str]) -> Provider | None:
    """Return the provider whose name a path begins with, behind what else a base URL may hold."""
    head = (segment.lower() for segment in itertools.takewhile(lambda one: not _is_endpoint(one), segments))
    names = {one.name: one for one in PROVIDERS}
    near = difflib.get_close_matches(segments[0].lower(), names, n=1, cutoff=_CUTOFF) if segments else []
    return next((names[segment] for segment in (*head, *near) if segment in names), None)


def _is_endpoint(segment: str) -> bool:
    """Return whether a segment belongs to an endpoint rather than to a base URL."""
    return not _NOISE.fullmatch(segment) and segment.lower() not in {one.name for one in PROVIDERS}


def _shortened(segments: list[str]) -> list[list[str]]:
    """Return the segments behind what a base URL may hold, with one repetition of an endpoint left out."""
    rest = list(itertools.dropwhile(lambda one: not _is_endpoint(one), segments))
    if not rest:
        return []
    half = len(rest) // 2
    repeated = [rest[:half]] if len(rest) == 2 * half and rest[:half] == rest[half:] else []
    # The URL of an endpoint was given as the base URL: /v1/chat/completions/v1/chat/completions.
    last = max((index for index, segment in enumerate(rest) if segment.lower() == _VERSION), default=-1)
    return [rest, *repeated, *([rest[last + 1 :]] if last >= 0 and last + 1 < len(rest) else [])]


def _match(rest: list[str], provider: Provider, cutoff: float) -> str | None:
    """Return the provider's path, without its prefix, that the last segments of a request's path stand for."""
    paths = dict.fromkeys(
        (
            *(endpoint.path for endpoint in provider.generation_endpoints),
            *(endpoint.path for endpoint in provider.resource_endpoints),
        )
    )
    text = "/".join(rest)
    paths = dict.fromkeys(path for path in paths if f"{BARE_PREFIX}/" in path)
    for path in paths:
        pattern = re.sub(r"\\\{.+?\\\}", "[^/]+", re.escape(_behind_version(path)))
        if re.fullmatch(pattern, text, re.IGNORECASE):
            return _filled(path, rest)
    fixed = {_behind_version(path): path for path in paths if "{" not in path}
    near = difflib.get_close_matches(text.lower(), fixed, n=1, cutoff=cutoff)
    return fixed[near[0]] if near else None


def _behind_version(path: str) -> str:
    """Return what follows the version in a path."""
    return path.partition(f"{BARE_PREFIX}/")[2]


def _filled(path: str, rest: list[str]) -> str:
    """Return a path with the variables of a request's path."""
    template = _behind_version(path)
    pairs = zip(template.split("/"), rest, strict=True)
    filled = "/".join(own if name.startswith("{") else name for name, own in pairs)
    return path.removesuffix(template) + filled


def _base_url_hint(path: str, meant: str) -> str:
    """Return what is wrong with the base URL, beginning with a space; empty if that is not it."""
    if f"{BARE_PREFIX}/" not in meant:
        return ""
    last = meant.rpartition("/")[2]
    if path.count(f"/{last}") > 1:
        return " The client adds the path itself: give it the base URL only."
    versions = [segment for segment in path.lower().split("/") if segment == _VERSION]
    if len(versions) > 1:
        return f" The client adds {BARE_PREFIX} itself: leave it out of the base URL."
    if not versions and path.rstrip("/").endswith(meant.rpartition(BARE_PREFIX)[2]):
        return f" The base URL ends in {BARE_PREFIX} here."
    return ""
