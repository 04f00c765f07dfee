"""What can be set: every setting once, with its unit, its default and its meaning.

Decisions:
* A setting's range, unit, meaning and flag are data on its annotation. Validation, `--help`,
  `llmsim config`, its example file and the reference in docs are all read from there, so
  none of them can say anything else.
* Table and key names are those of the original llmsim where it has the setting, so that its
  TOML files run unchanged; ours are added beside them.
* Every number has an upper bound, which also keeps `inf` and `nan` out.
"""

from typing import Annotated, Any, Literal

import msgspec

DAY_MS = 24 * 60 * 60 * 1000
DAY_SECS = 24 * 60 * 60

#: The generators by name, with what stands after the colon; None where nothing does.
GENERATORS: dict[str, str | None] = {
    "lorem": None,
    "echo": None,
    "random": None,
    "fixed": "TEXT",
    "sequence": "FILE",
}

#: Names by which files of the original call our latency profiles and generators; it also ignored case.
# Source: llmsim (Rust), src/cli/config.rs, Config::latency_profile; src/generator.rs, create_generator.
PROFILE_SYNONYMS: dict[str, str] = {
    "gpt5": "gpt-5",
    "gpt5-mini": "gpt-5-mini",
    "gpt4": "gpt-4",
    "gpt4o": "gpt-4o",
    "o3": "o-series",
    "o4": "o-series",
    "opus": "claude-opus",
    "sonnet": "claude-sonnet",
    "haiku": "claude-haiku",
    "gemini": "gemini-pro",
    "deepseek-chat": "deepseek",
}
GENERATOR_SYNONYMS: dict[str, str] = {"random_word": "random"}


def _about(meaning: str, *, unit: str = "", flag: str | None = None, **bounds: Any) -> msgspec.Meta:
    """Describe a setting.

    Args:
        meaning: What it does, in one or two sentences for a user; `code` in backticks.
        unit: Unit of the value; empty where it has none.
        flag: Command line flag, e.g. `--port`; None where there is none.
        bounds: Bounds of the value, by their names in `msgspec.Meta`; numbers need `ge` and `le`.
    """
    return msgspec.Meta(description=meaning, extra={"unit": unit, "flag": flag}, **bounds)


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the server listens, and how its processes behave."""

    host: Annotated[
        str,
        _about(
            "Address to listen on; `127.0.0.1` to be reached from this machine only.",
            flag="--host",
            min_length=1,
        ),
    ] = "0.0.0.0"  # noqa: S104 - a staging server is there to be reached; binding to all is the documented default
    port: Annotated[
        int, _about("TCP port to listen on; 0 takes a free one.", flag="--port", ge=0, le=65535)
    ] = 8080
    workers: Annotated[
        int,
        _about(
            "Worker processes; 0 starts one for each available core, at most 4.",
            unit="processes",
            flag="--workers",
            ge=0,
            le=512,
        ),
    ] = 0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        _about("Least severe message that is logged.", flag="--log-level"),
    ] = "warning"
    access_log: Annotated[bool, _about("Log a line for every request; costs throughput.")] = False
    backlog: Annotated[
        int,
        _about(
            "Connections that may wait to be accepted; the kernel may cap it (`net.core.somaxconn`).",
            unit="connections",
            ge=1,
            le=65535,
        ),
    ] = 4096
    keepalive_secs: Annotated[
        int,
        _about(
            "How long an idle connection is kept open for the next request; longer than clients and gateways "
            "keep theirs, or they meet connections closed under their hands.",
            unit="s",
            ge=1,
            le=DAY_SECS,
        ),
    ] = 75
    timeout_secs: Annotated[
        int,
        _about("A worker that gives no sign of life for so long is replaced.", unit="s", ge=1, le=DAY_SECS),
    ] = 60
    graceful_timeout_secs: Annotated[
        int,
        _about(
            "How long open replies may go on after the server was told to stop or reload.",
            unit="s",
            ge=1,
            le=DAY_SECS,
        ),
    ] = 30
    max_body_bytes: Annotated[
        int, _about("Largest request body; a larger one is answered 413.", unit="bytes", ge=1, le=2**30)
    ] = 20 * 2**20
    max_websocket_connections: Annotated[
        int,
        _about(
            "Most WebSocket connections open at a time; has no effect while no WebSocket endpoint is served.",
            unit="connections",
            ge=0,
            le=1_000_000,
        ),
    ] = 1000
    direct_writes: Annotated[
        bool,
        _about(
            "Write due tokens straight to the connection, which is faster and more punctual; `false` sends them "
            "through plain ASGI."
        ),
    ] = True
    run_dir: Annotated[
        str,
        _about(
            "Directory of lock and ticket files; empty for `$RUNTIME_DIRECTORY`, else `$XDG_RUNTIME_DIR/llmsim`, "
            "else `llmsim-<uid>` in the directory for temporary files."
        ),
    ] = ""


class LatencySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a reply takes."""

    profile: (
        Annotated[
            str,
            _about(
                "Latency profile of all models; unset, each model id has its own. `llmsim profiles` lists them.",
                flag="--latency",
                min_length=1,
            ),
        ]
        | None
    ) = None
    ttft_mean_ms: (
        Annotated[
            float,
            _about("Mean time to first token; unset, that of the profile.", unit="ms", ge=0, le=DAY_MS),
        ]
        | None
    ) = None
    ttft_stddev_ms: (
        Annotated[
            float,
            _about(
                "Standard deviation of the time to first token; unset, that of the profile.",
                unit="ms",
                ge=0,
                le=DAY_MS,
            ),
        ]
        | None
    ) = None
    tbt_mean_ms: (
        Annotated[
            float,
            _about("Mean time between two tokens; unset, that of the profile.", unit="ms", ge=0, le=DAY_MS),
        ]
        | None
    ) = None
    tbt_stddev_ms: (
        Annotated[
            float,
            _about(
                "Standard deviation of the time between two tokens; unset, that of the profile.",
                unit="ms",
                ge=0,
                le=DAY_MS,
            ),
        ]
        | None
    ) = None
    cache_hit_ttft_factor: Annotated[
        float,
        _about(
            "What the time to first token is multiplied by when all of a prompt is read from the prompt cache; in "
            "proportion when a part of it is.",
            unit="of the time",
            ge=0,
            le=1,
        ),
    ] = 0.5


class ResponseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a reply says."""

    generator: Annotated[
        str,
        _about(
            "Where the text comes from: `lorem`, `random` (words), `echo` (the last user message), `fixed:TEXT`, or "
            "`sequence:FILE` (the file's lines in turn).",
            flag="--generator",
        ),
    ] = "lorem"
    target_tokens: Annotated[
        int,
        _about(
            "Length of a generated text, exact in tokens of the model's own tokenizer.",
            unit="tokens",
            flag="--target-tokens",
            ge=1,
            le=1_000_000,
        ),
    ] = 100
    seed: (
        Annotated[
            int,
            _about(
                "Makes replies, timing and simulated errors repeatable; unset, every start is different.",
                flag="--seed",
                ge=0,
                le=2**63 - 1,
            ),
        ]
        | None
    ) = None
    enforce_context_window: Annotated[
        bool, _about("Refuse a prompt that does not fit the model's context window, as the real API does.")
    ] = True
    script_path: (
        Annotated[
            str,
            _about(
                "Script that answers all requests to the generating endpoints, unless they choose another; unset or empty, "
                "replies are generated.",
                flag="--script",
            ),
        ]
        | None
    ) = None


class ErrorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which share of the requests fails on purpose; the rates may add up to 1."""

    rate_limit_rate: Annotated[
        float, _about("Share of requests answered with a rate limit (429).", unit="of requests", ge=0, le=1)
    ] = 0.0
    server_error_rate: Annotated[
        float,
        _about(
            "Share of requests answered with a server error (500 or 503).", unit="of requests", ge=0, le=1
        ),
    ] = 0.0
    timeout_rate: Annotated[
        float,
        _about(
            "Share of requests that hang for `timeout_after_ms`, then get a 504.",
            unit="of requests",
            ge=0,
            le=1,
        ),
    ] = 0.0
    invalid_request_rate: Annotated[
        float, _about("Share of requests refused as invalid (400).", unit="of requests", ge=0, le=1)
    ] = 0.0
    authentication_rate: Annotated[
        float, _about("Share of requests refused for their API key (401).", unit="of requests", ge=0, le=1)
    ] = 0.0
    timeout_after_ms: Annotated[
        int, _about("How long a simulated timeout hangs.", unit="ms", ge=0, le=DAY_MS)
    ] = 30_000
    retry_after_ms: Annotated[
        int,
        _about(
            "What a client is told to wait after a simulated rate limit or overload. Some SDKs obey whatever is said.",
            unit="ms",
            ge=0,
            le=60_000,
        ),
    ] = 1000


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which models are listed."""

    available: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1)], ...],
        _about(
            "Ids that `/models` lists; empty for the whole catalogue. Replies are generated for any name.",
        ),
    ] = ()


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much is kept of what can be fetched again: responses, and completions asked with `store`."""

    max_records: Annotated[
        int,
        _about(
            "Most records kept; the oldest go first. 10,000 are the last 25 seconds at 400 stored requests a second. "
            "0 keeps none.",
            unit="records",
            ge=0,
            le=10_000_000,
        ),
    ] = 10_000
    max_bytes: Annotated[
        int,
        _about(
            "Most bytes kept, 256 for each record included; the file in `server.run_dir` can be up to twice as large. "
            "A response takes 2,000 to 5,000 and its conversation so far.",
            unit="bytes",
            ge=1,
            le=2**40,
        ),
    ] = 256 * 2**20
    max_age_secs: Annotated[
        int,
        _about("How long a record is kept at most.", unit="s", ge=1, le=365 * DAY_SECS),
    ] = DAY_SECS


class AnthropicSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is particular to the Anthropic API."""

    pad_events: Annotated[
        bool,
        _about(
            "Pad the events of a stream with spaces before their last brace, as the real API does: a client that cannot "
            "take that would fail there, too."
        ),
    ] = True


class ScriptSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Scripts that requests choose by name, and the sessions that play them."""

    dir: (
        Annotated[
            str,
            _about(
                "Directory of scripts (`.json`, `.toml`, `.yaml`) that requests choose by the file's name in the header "
                "`x-llmsim-script`; unset, there are only those that clients send.",
                flag="--scripts-dir",
            ),
        ]
        | None
    ) = None
    max_sessions: Annotated[
        int,
        _about(
            "Most sessions whose place in a script is kept; the least used go first.",
            unit="sessions",
            ge=1,
            le=10_000_000,
        ),
    ] = 10_000


class AdminSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The control API, and what can be asked of it."""

    enabled: Annotated[
        bool,
        _about(
            "Serve the control API: `/llmsim/scripts`, `/llmsim/sessions`, `/llmsim/requests`, `/llmsim/reset`."
        ),
    ] = True
    journal: Annotated[
        Literal["sessions", "all", "off"],
        _about(
            "Whose requests are written to the journal that `/llmsim/requests` reads: those of named sessions and of "
            "scripts, all, or none."
        ),
    ] = "sessions"
    journal_entries: Annotated[
        int,
        _about(
            "Most requests that the journal keeps; the oldest go first.", unit="requests", ge=1, le=1_000_000
        ),
    ] = 2_000


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set; one attribute for each table of the TOML file."""

    server: ServerSettings = msgspec.field(default_factory=ServerSettings)
    latency: LatencySettings = msgspec.field(default_factory=LatencySettings)
    response: ResponseSettings = msgspec.field(default_factory=ResponseSettings)
    errors: ErrorSettings = msgspec.field(default_factory=ErrorSettings)
    models: ModelSettings = msgspec.field(default_factory=ModelSettings)
    store: StoreSettings = msgspec.field(default_factory=StoreSettings)
    anthropic: AnthropicSettings = msgspec.field(default_factory=AnthropicSettings)
    scripts: ScriptSettings = msgspec.field(default_factory=ScriptSettings)
    admin: AdminSettings = msgspec.field(default_factory=AdminSettings)
