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
    request_log: Annotated[
        Literal["off", "text", "json"],
        setting(
            "Write a line to standard output for each request to a generating endpoint when it ends: as text, or as a JSON "
            "object. It has request id, model, status, tokens and times, and neither bodies nor keys.",
            flag="--request-log",
        ),
    ] = "off"
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
    drain_delay_secs: Annotated[
        int,
        setting(
            "How long the server goes on accepting requests after SIGTERM, with `/ready` answering 503, so that load balancers "
            "can take it out first; 0 stops at once.",
            unit="s",
            ge=0,
            le=3600,
        ),
    ] = 0
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
    model_rules: Annotated[
        bool,
        setting(
            "Refuse parameters and values that the requested model does not take, as the real APIs do. `false` takes them: for "
            "other models behind such a name."
        ),
    ] = True
    strict: Annotated[
        bool,
        setting(
            "Refuse fields of a request that its API does not know, as the real APIs do; `false` ignores them. What is known is "
            "what the newest SDKs know."
        ),
    ] = False
    control_headers: Annotated[
        bool,
        setting(
            "Obey the headers `x-llmsim-*` of requests; `false` ignores all of them: for a server behind a gateway that passes "
            "the headers of its clients."
        ),
    ] = True
    direct_writes: Annotated[
        bool,
        setting(
            "Write tokens straight to the connection, which is faster and more punctual; `false` sends them through "
            "plain ASGI."
        ),
    ] = True
    timeline_path: Annotated[
        str,
        setting(
            "Timeline that begins with the server: a TOML file of instants and the settings that hold from then on. Empty for none.",
            flag="--timeline",
        ),
    ] = ""
    run_dir: Annotated[
        str,
        setting(
            "Directory of lock files and of state that workers share; empty for `$RUNTIME_DIRECTORY`, else "
            "`$XDG_RUNTIME_DIR/llmsim`, else `llmsim-<uid>` in the directory for temporary files."
        ),
    ] = ""


class MetricsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `GET /metrics` shows besides the metrics of llmsim."""

    vllm_names: Annotated[
        bool,
        setting(
            "Add the metrics of vLLM under its own names and with its buckets (`vllm:num_requests_running`, "
            "`vllm:time_to_first_token_seconds`, ...), for dashboards and load tools that expect them."
        ),
    ] = False
