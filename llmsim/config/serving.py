"""Settings of the server: where it listens, what it lists and keeps, and who may look after it."""

from typing import Annotated, Literal

import msgspec

from llmsim.config.about import DAY_SECS, about


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the server listens, and how its processes behave."""

    host: Annotated[
        str,
        about(
            "Address to listen on; `127.0.0.1` to be reached from this machine only.",
            flag="--host",
            min_length=1,
        ),
    ] = "0.0.0.0"  # noqa: S104 - a staging server is there to be reached; binding to all is the documented default
    port: Annotated[
        int, about("TCP port to listen on; 0 takes a free one.", flag="--port", ge=0, le=65535)
    ] = 8080
    workers: Annotated[
        int,
        about(
            "Worker processes; 0 starts one for each available core, at most 4.",
            unit="processes",
            flag="--workers",
            ge=0,
            le=512,
        ),
    ] = 0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        about("Least severe message that is logged.", flag="--log-level"),
    ] = "warning"
    access_log: Annotated[bool, about("Log a line for every request; costs throughput.")] = False
    backlog: Annotated[
        int,
        about(
            "Connections that may wait to be accepted; the kernel may cap it (`net.core.somaxconn`).",
            unit="connections",
            ge=1,
            le=65535,
        ),
    ] = 4096
    keepalive_secs: Annotated[
        int,
        about(
            "How long an idle connection is kept open for the next request; longer than clients and gateways "
            "keep theirs, or they meet connections closed under their hands.",
            unit="s",
            ge=1,
            le=DAY_SECS,
        ),
    ] = 75
    timeout_secs: Annotated[
        int,
        about("A worker that gives no sign of life for so long is replaced.", unit="s", ge=1, le=DAY_SECS),
    ] = 60
    graceful_timeout_secs: Annotated[
        int,
        about(
            "How long open replies may go on after the server was told to stop or reload.",
            unit="s",
            ge=1,
            le=DAY_SECS,
        ),
    ] = 30
    max_body_bytes: Annotated[
        int, about("Largest request body; a larger one is answered 413.", unit="bytes", ge=1, le=2**30)
    ] = 20 * 2**20
    max_websocket_connections: Annotated[
        int,
        about(
            "Most WebSocket connections open at a time; has no effect while no WebSocket endpoint is served.",
            unit="connections",
            ge=0,
            le=1_000_000,
        ),
    ] = 1000
    direct_writes: Annotated[
        bool,
        about(
            "Write due tokens straight to the connection, which is faster and more punctual; `false` sends them "
            "through plain ASGI."
        ),
    ] = True
    run_dir: Annotated[
        str,
        about(
            "Directory of lock and ticket files; empty for `$RUNTIME_DIRECTORY`, else `$XDG_RUNTIME_DIR/llmsim`, "
            "else `llmsim-<uid>` in the directory for temporary files."
        ),
    ] = ""


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which models are listed."""

    available: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1)], ...],
        about(
            "Ids that `/models` lists; empty for the whole catalogue. Replies are generated for any name.",
        ),
    ] = ()


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much is kept of what can be fetched again: responses, and completions asked with `store`."""

    max_records: Annotated[
        int,
        about(
            "Most records kept; the oldest go first. 10,000 are the last 25 seconds at 400 stored requests a second. "
            "0 keeps none.",
            unit="records",
            ge=0,
            le=10_000_000,
        ),
    ] = 10_000
    max_bytes: Annotated[
        int,
        about(
            "Most bytes kept, 256 for each record included; the file in `server.run_dir` can be up to twice as large. "
            "A response takes 2,000 to 5,000 and its conversation so far.",
            unit="bytes",
            ge=1,
            le=2**40,
        ),
    ] = 256 * 2**20
    max_age_secs: Annotated[
        int,
        about("How long a record is kept at most.", unit="s", ge=1, le=365 * DAY_SECS),
    ] = DAY_SECS


class ScriptSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Scripts that requests choose by name, and the sessions that play them."""

    dir: (
        Annotated[
            str,
            about(
                "Directory of scripts (`.json`, `.toml`, `.yaml`) that requests choose by the file's name in the header "
                "`x-llmsim-script`; unset, there are only those that clients send.",
                flag="--scripts-dir",
            ),
        ]
        | None
    ) = None
    max_sessions: Annotated[
        int,
        about(
            "Most sessions whose place in a script is kept; the least used go first.",
            unit="sessions",
            ge=1,
            le=10_000_000,
        ),
    ] = 10_000
    max_uploaded: Annotated[
        int,
        about(
            "Most scripts of clients that are kept; those that were sent first go first.",
            unit="scripts",
            ge=1,
            le=100_000,
        ),
    ] = 1_000


class AdminSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The control API, and what can be asked of it."""

    enabled: Annotated[
        bool,
        about(
            "Serve the control API: `/llmsim/scripts`, `/llmsim/sessions`, `/llmsim/requests`, `/llmsim/reset`."
        ),
    ] = True
    journal: Annotated[
        Literal["sessions", "all", "off"],
        about(
            "Whose requests are written to the journal that `/llmsim/requests` reads: those of named sessions and of "
            "scripts, all, or none."
        ),
    ] = "sessions"
    journal_entries: Annotated[
        int,
        about(
            "Most requests that the journal keeps; the oldest go first.", unit="requests", ge=1, le=1_000_000
        ),
    ] = 2_000
