"""The settings of the server and its processes."""

from typing import Annotated, Literal

import msgspec

from llmsim.config.metadata import seconds, setting


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the server listens, and how its processes behave."""

    host: Annotated[
        str,
        setting(
            "Address to listen on; `127.0.0.1` accepts connections from this machine only.",
            flag="--host",
            min_length=1,
        ),
    ] = "0.0.0.0"  # noqa: S104 - a staging server is there to be reached; binding to all is the documented default
    port: Annotated[
        int, setting("TCP port to listen on; 0 picks a free one.", flag="--port", ge=0, le=65535)
    ] = 8080
    workers: Annotated[
        int,
        setting(
            "Worker processes; 0 starts one per available core, at most 4.",
            unit="processes",
            flag="--workers",
            ge=0,
            le=512,
        ),
    ] = 0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        setting("Least severe level of messages that are logged.", flag="--log-level"),
    ] = "warning"
    access_log: Annotated[bool, setting("Log a line for every request; costs throughput.")] = False
    backlog: Annotated[
        int,
        setting(
            "Connections that may wait to be accepted; the kernel may cap it (`net.core.somaxconn`).",
            unit="connections",
            ge=1,
            le=65535,
        ),
    ] = 4096
    keepalive_secs: Annotated[
        int,
        seconds(
            "How long an idle connection stays open for the next request. Keep it longer than the keep-alive of clients "
            "and gateways, or they will reuse connections that have just been closed."
        ),
    ] = 75
    timeout_secs: Annotated[int, seconds("A worker that sends no heartbeat for this long is replaced.")] = 60
    graceful_timeout_secs: Annotated[
        int, seconds("How long responses in progress may continue after a stop or reload signal.")
    ] = 30
    max_body_bytes: Annotated[
        int, setting("Largest request body; a larger one gets a 413.", unit="bytes", ge=1, le=2**30)
    ] = 20 * 2**20
    max_websocket_connections: Annotated[
        int,
        setting(
            "Most WebSocket connections open at a time, over all workers.",
            unit="connections",
            ge=0,
            le=1_000_000,
        ),
    ] = 1000
    cors: Annotated[
        Literal["*", "off"] | tuple[Annotated[str, msgspec.Meta(min_length=1)], ...],
        setting(
            "Origins whose pages may call the APIs from a browser: `*` for all, as the real APIs allow it, a list such as "
            "`http://localhost:5173`, or `off`. Pages of an origin that is not in the list read `/llmsim` and stored "
            "objects only where `[auth]` asks for keys."
        ),
    ] = "*"
    strict: Annotated[
        bool,
        setting(
            "Refuse fields of a request that its API does not know, as the real APIs do; `false` ignores them. What is known is "
            "what the newest SDKs know."
        ),
    ] = False
    direct_writes: Annotated[
        bool,
        setting(
            "Write tokens straight to the connection, which is faster and more punctual; `false` sends them through "
            "plain ASGI."
        ),
    ] = True
    run_dir: Annotated[
        str,
        setting(
            "Directory of lock files and of state that workers share; empty for `$RUNTIME_DIRECTORY`, else "
            "`$XDG_RUNTIME_DIR/llmsim`, else `llmsim-<uid>` in the directory for temporary files."
        ),
    ] = ""
