"""What a provider offers: routes with the functions behind them, and its way to say no.

Decisions:
* A provider is a value, not a class to inherit: two providers share nothing but this shape.
* `parse` may refuse; everything that renders is total and pure: ids, time and dice come with
  the turn, so golden files are byte-exact.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from llmsim.catalogue import Model
from llmsim.errors import RefusedError
from llmsim.exchange import Fault, Prompt, Turn
from llmsim.wire.frames import Run


class Reply(msgspec.Struct, frozen=True):
    """A whole HTTP response.

    Attributes:
        status: HTTP status code.
        body: JSON.
        headers: Names in lower case, beside those of `Provider.headers`.
    """

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Ask(msgspec.Struct, frozen=True):
    """A request as parsed.

    Attributes:
        prompt: What every provider's requests have in common.
        options: What only this endpoint's renderers understand.
    """

    prompt: Prompt
    options: Any


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that generates: POST, streamed or not.

    Attributes:
        path: The API's original path, e.g. `/v1/chat/completions`.
        label: The endpoint's name in the stats, where it counts as `<label>_requests`.
        parse: From the body; raises `RefusedError`.
        render_answer: The body of the whole answer.
        render_stream: The frames of the streamed answer.
    """

    path: str
    label: str
    parse: Callable[[bytes], Ask]
    render_answer: Callable[[Turn, Any], bytes]
    render_stream: Callable[[Turn, Any], tuple[Run, ...]]


class Lookup(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that looks something up: GET, answered at once.

    Attributes:
        path: The API's original path, with `{name}` for a variable part.
        render: From the served models and the variables of path and query; raises `RefusedError`.
    """

    path: str
    render: Callable[[Mapping[str, Model], Mapping[str, str]], bytes]


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One API.

    Attributes:
        name: The folder's name.
        prefix: What stands before the API's original paths, e.g. `/openai`.
        generations: Its generating endpoints.
        lookups: Its other endpoints.
        render_refusal: A refused request in the provider's envelope and words.
        render_fault: A simulated failure likewise.
        render_crash: A bug of llmsim's own likewise: status 500.
        headers: Headers of every response, from the request id and the seconds since its arrival.
    """

    name: str
    prefix: str
    generations: tuple[Generation, ...]
    lookups: tuple[Lookup, ...]
    render_refusal: Callable[[RefusedError], Reply]
    render_fault: Callable[[Fault], Reply]
    render_crash: Callable[[], Reply]
    headers: Callable[[str, float], tuple[tuple[str, str], ...]]
