"""Every setting of the load tests: variables of the environment that begin with LOADTEST_.

Decisions:
* Variables, not a file: workers on other machines inherit them as they do everything else.
* Not LLMSIM_: the server refuses variables of its own that it does not know.
* A variable that is not known is an error, as is a value that cannot be read.
"""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, get_type_hints

import msgspec

PREFIX = "LOADTEST_"


class SettingsError(Exception):
    """A setting is unknown or cannot be read."""


Names = tuple[str, ...]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(gt=0)]
Pause = Annotated[float, msgspec.Meta(ge=0)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is told; each field is the variable LOADTEST_<FIELD>."""

    suite: Annotated[str, msgspec.Meta(description="suite to run; unset, Locust's own options decide")] = ""
    endpoints: Annotated[Names, msgspec.Meta(description="endpoints to ask; unset, all")] = ()
    api_key: Annotated[str, msgspec.Meta(description="key, sent as each API wants it")] = "sk-load-test"
    model: Annotated[
        Names, msgspec.Meta(description="model, or several that take turns; unset, one known to each API")
    ] = ()
    embedding_model: Annotated[str, msgspec.Meta(description="model asked for embeddings")] = (
        "text-embedding-3-small"
    )
    openai_prefix: Annotated[str, msgspec.Meta(description="what stands before /v1 of OpenAI's paths")] = (
        "/openai"
    )
    openresponses_prefix: Annotated[str, msgspec.Meta(description="the same for OpenResponses")] = (
        "/openresponses"
    )
    anthropic_prefix: Annotated[str, msgspec.Meta(description="the same for Anthropic's")] = "/anthropic"
    prompt: Annotated[str, msgspec.Meta(description="what is asked")] = "Write a paragraph about the sea."
    max_tokens: Annotated[
        Count | None,
        msgspec.Meta(description="most output tokens; unset, 1024 where the API asks for one"),
    ] = None
    timeout: Annotated[Positive, msgspec.Meta(description="longest silence of the server, in s")] = 120.0
    drain: Annotated[
        Positive, msgspec.Meta(description="how long answers under way may take at the end, in s")
    ] = 30.0
    users: Annotated[Count | None, msgspec.Meta(description="users at the peak, in place of the suite's")] = (
        None
    )
    duration: Annotated[
        Positive | None, msgspec.Meta(description="length of the run in s, in place of the suite's")
    ] = None
    scale: Annotated[Positive, msgspec.Meta(description="factor on the suite's length")] = 1.0
    think: Annotated[
        Pause | None, msgspec.Meta(description="mean pause of a user between two requests, in s")
    ] = None
    rate: Annotated[
        Positive | None, msgspec.Meta(description="requests per second in the open model, in place of users")
    ] = None
    arrivals: Annotated[
        str, msgspec.Meta(pattern="^(poisson|constant)$", description="poisson or constant")
    ] = "poisson"
    max_outstanding: Annotated[
        Count, msgspec.Meta(description="most requests under way in each process; arrivals above it fail")
    ] = 2000
    processes: Annotated[Count, msgspec.Meta(description="processes or workers that share the load")] = 1
    gates: Annotated[
        Names, msgspec.Meta(description="gates in place of the suite's, as ttft_p95_ms=500")
    ] = ()
    out: Annotated[str, msgspec.Meta(description="folder for the summary; unset, none is written")] = ""


FIELDS: dict[str, Any] = get_type_hints(Settings, include_extras=True)


def load(environ: Mapping[str, str]) -> Settings:
    """Read the variables.

    Raises:
        SettingsError: One is not known, or its value is none.
    """
    found: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in FIELDS:
            near = difflib.get_close_matches(name, FIELDS, n=1)
            hint = f"; did you mean {variable_of(near[0])}?" if near else ""
            raise SettingsError(f"{variable}: no such setting{hint}")
        if name.endswith("_prefix"):
            found[name] = _path(text)
        else:
            found[name] = _split(text) if FIELDS[name] in _LISTS else text
    for name, value in found.items():
        try:
            found[name] = msgspec.convert(value, FIELDS[name], strict=False)
        except msgspec.ValidationError as error:
            raise SettingsError(
                f"{variable_of(name)}: {error}, got {environ[variable_of(name)]!r}"
            ) from error
    return Settings(**found)


_LISTS = tuple(hint for name, hint in FIELDS.items() if name in ("endpoints", "model", "gates"))


def _path(text: str) -> str:
    """Give a prefix as paths need it, with a slash before and none behind, wherever they were put."""
    bare = text.strip("/")
    return f"/{bare}" if bare else ""


def _split(text: str) -> Names:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def variable_of(name: str) -> str:
    """Give the variable of a field."""
    return f"{PREFIX}{name.upper()}"


def variables(settings: Settings) -> dict[str, str]:
    """Write settings as variables, as `load` reads them; what is unset is left out."""
    written = {}
    for name in FIELDS:
        value = getattr(settings, name)
        if isinstance(value, tuple):
            value = ",".join(value) or None
        if value is not None:
            written[variable_of(name)] = str(value)
    return written


def described() -> list[tuple[str, str, str]]:
    """Give variable, default and meaning of each setting, for help and documentation."""
    defaults = Settings()
    rows = []
    for name, hint in FIELDS.items():
        value = getattr(defaults, name)
        default = (
            "unset" if value in (None, "", ()) else f"{value:g}" if isinstance(value, float) else str(value)
        )
        rows.append((variable_of(name), default, _description(hint)))
    return rows


def _description(hint: Any) -> str:
    found = [meta.description for meta in hint.__metadata__ if getattr(meta, "description", None)]
    return str(found[-1])
