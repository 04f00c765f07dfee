"""Settings of the load tests: environment variables that begin with LOADTEST_.

Decisions:
* Variables, not a file: workers on other machines are configured the same way.
* Not LLMSIM_: the server refuses unknown variables with that prefix.
* An unknown variable is an error, as is an invalid value.
"""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, get_type_hints

import msgspec

PREFIX = "LOADTEST_"

MOST_HOSTS = 1000
"""Hosts that may share the load."""


class SettingsError(Exception):
    """A setting is unknown or invalid."""


Names = tuple[str, ...]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(gt=0)]
Pause = Annotated[float, msgspec.Meta(ge=0)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a run; each field is the variable LOADTEST_<FIELD>."""

    suite: Annotated[str, msgspec.Meta(description="suite to run; if unset, Locust's own options decide")] = (
        ""
    )
    hosts: Annotated[
        Names,
        msgspec.Meta(
            max_length=MOST_HOSTS, description="servers that share the load, instead of Locust's --host"
        ),
    ] = ()
    endpoints: Annotated[Names, msgspec.Meta(description="endpoints to test; if unset, all")] = ()
    api_key: Annotated[str, msgspec.Meta(description="API key, sent in the header of each API")] = (
        "sk-load-test"
    )
    model: Annotated[
        Names, msgspec.Meta(description="model, or several used in turn; if unset, a default for each API")
    ] = ()
    embedding_model: Annotated[str, msgspec.Meta(description="model for embeddings")] = (
        "text-embedding-3-small"
    )
    openai_prefix: Annotated[str, msgspec.Meta(description="path prefix before /v1 of OpenAI's API")] = (
        "/openai"
    )
    openresponses_prefix: Annotated[str, msgspec.Meta(description="the same for OpenResponses")] = (
        "/openresponses"
    )
    anthropic_prefix: Annotated[str, msgspec.Meta(description="the same for Anthropic")] = "/anthropic"
    prompt: Annotated[str, msgspec.Meta(description="text of the prompt")] = (
        "Write a paragraph about the sea."
    )
    max_tokens: Annotated[
        Count | None,
        msgspec.Meta(description="maximum of output tokens; if unset, 1024 where the API requires one"),
    ] = None
    timeout: Annotated[
        Positive, msgspec.Meta(description="longest time without a byte from the server, in s")
    ] = 120.0
    drain: Annotated[
        Positive, msgspec.Meta(description="how long requests in flight may take at the end, in s")
    ] = 30.0
    users: Annotated[Count | None, msgspec.Meta(description="users at the peak, instead of the suite's")] = (
        None
    )
    duration: Annotated[
        Positive | None, msgspec.Meta(description="length of the run in s, instead of the suite's")
    ] = None
    scale: Annotated[Positive, msgspec.Meta(description="factor on the suite's length")] = 1.0
    think: Annotated[
        Pause | None, msgspec.Meta(description="mean pause of a user between two requests, in s")
    ] = None
    rate: Annotated[
        Positive | None, msgspec.Meta(description="requests per second in the open model, instead of users")
    ] = None
    arrivals: Annotated[
        str, msgspec.Meta(pattern="^(poisson|constant)$", description="poisson or constant")
    ] = "poisson"
    max_outstanding: Annotated[
        Count,
        msgspec.Meta(description="maximum of requests in flight in each process; arrivals above it fail"),
    ] = 2000
    processes: Annotated[Count, msgspec.Meta(description="processes or workers that share the load")] = 1
    gates: Annotated[Names, msgspec.Meta(description="gates instead of the suite's, as ttft_p95_ms=500")] = ()
    out: Annotated[str, msgspec.Meta(description="folder for the summary; if unset, it is not written")] = ""


FIELDS: dict[str, Any] = get_type_hints(Settings, include_extras=True)


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables.

    Raises:
        SettingsError: A variable is unknown, or its value is invalid.
    """
    found: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in FIELDS:
            near = difflib.get_close_matches(name, FIELDS, n=1)
            hint = f"; did you mean {variable_name(near[0])}?" if near else ""
            raise SettingsError(f"{variable}: no such setting{hint}")
        if name.endswith("_prefix"):
            found[name] = _normalize_path(text)
        else:
            found[name] = _split(text) if FIELDS[name] in _LISTS else text
        if name == "hosts":
            found[name] = tuple(host.rstrip("/") for host in found[name])
    for name, value in found.items():
        try:
            found[name] = msgspec.convert(value, FIELDS[name], strict=False)
        except msgspec.ValidationError as error:
            raise SettingsError(
                f"{variable_name(name)}: {error}, got {environ[variable_name(name)]!r}"
            ) from error
    return Settings(**found)


_LISTS = tuple(hint for name, hint in FIELDS.items() if name in ("hosts", "endpoints", "model", "gates"))


def _normalize_path(text: str) -> str:
    bare = text.strip("/")
    return f"/{bare}" if bare else ""


def _split(text: str) -> Names:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def variable_name(name: str) -> str:
    """Return the variable of a field."""
    return f"{PREFIX}{name.upper()}"


def to_variables(settings: Settings) -> dict[str, str]:
    """Return settings as variables, as `load_settings` reads them, without those that are unset."""
    variables = {}
    for name in FIELDS:
        value = getattr(settings, name)
        if isinstance(value, tuple):
            value = ",".join(value) or None
        if value is not None:
            variables[variable_name(name)] = str(value)
    return variables


def describe_settings() -> list[tuple[str, str, str]]:
    """Return variable, default and meaning of each setting, for help and documentation."""
    defaults = Settings()
    rows = []
    for name, hint in FIELDS.items():
        value = getattr(defaults, name)
        default = (
            "unset" if value in (None, "", ()) else f"{value:g}" if isinstance(value, float) else str(value)
        )
        rows.append((variable_name(name), default, _description(hint)))
    return rows


def _description(hint: Any) -> str:
    found = [meta.description for meta in hint.__metadata__ if getattr(meta, "description", None)]
    return str(found[-1])
