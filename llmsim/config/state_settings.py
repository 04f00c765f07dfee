"""Settings of the state that several hosts share."""

from typing import Annotated, Literal

import msgspec

from llmsim.config.metadata import setting


class StateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the shared state is: in files of one machine, or for several on Valkey or Redis."""

    url: Annotated[
        str,
        setting(
            "Address of the Valkey or Redis server that all hosts share: `redis://HOST:PORT/DB`, `rediss://` for TLS, or `unix:///PATH`; it "
            "needs `pip install 'llmsim[redis]'`. Empty, the state is that of one machine.",
        ),
    ] = ""
    password: Annotated[
        str,
        setting(
            "Password of that server, if it is neither in the address nor in `password_file`.", secret=True
        ),
    ] = ""
    password_file: Annotated[
        str,
        setting("File whose first line is the password. It is read at the start and at each reload."),
    ] = ""
    prefix: Annotated[
        str,
        setting(
            "What all keys begin with. Hosts with the same prefix are one simulator; a new one begins anew.",
            min_length=1,
        ),
    ] = "llmsim"
    host: Annotated[
        str,
        setting("Name of this host, unlike that of any other; empty for its host name and port."),
    ] = ""
    timeout_ms: Annotated[
        int,
        setting(
            "How long an operation may take; then the request is answered without it, or refused.",
            unit="ms",
            ge=10,
            le=60_000,
        ),
    ] = 1000
    max_connections: Annotated[
        int, setting("Most connections of each worker.", unit="connections", ge=1, le=1000)
    ] = 16
    unavailable: Annotated[
        Literal["refuse", "ignore"],
        setting(
            "What happens to a request that needs the state while it cannot be reached: `refuse` it with 503, or `ignore` what it would "
            "store, book or count, and answer. What it names and cannot be looked up is refused either way."
        ),
    ] = "refuse"
