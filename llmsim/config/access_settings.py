"""The settings of who may do what: the control API, and the API keys."""

from typing import Annotated, Literal

import msgspec

from llmsim.config.metadata import setting


class AdminSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The control API, and the journal that it serves."""

    enabled: Annotated[
        bool | Literal["local"],
        setting(
            "Serve the control API (`/llmsim/scripts`, `/llmsim/sessions`, `/llmsim/requests`, `/llmsim/clients`, `/llmsim/reset`): to clients on "
            "this machine that connect directly, to all clients, or to none."
        ),
    ] = "local"
    key: Annotated[
        str,
        setting(
            "Key that opens the control API from anywhere, sent as `authorization: Bearer KEY`; with it `true` is no more "
            "than `local`. Empty for none. Clients of `llmsim` send the one in this variable.",
            secret=True,
        ),
    ] = ""
    hosts: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1)], ...],
        setting(
            "Host names by which the control API may be called without the key, besides addresses and `localhost`; any other "
            "name may be that of a web page that has been rebound to this machine."
        ),
    ] = ()
    client_report: Annotated[
        bool,
        setting(
            "Report how clients go about failures: what they retry, and when. `llmsim clients` and `/llmsim/clients` show it. Keys "
            "are not kept."
        ),
    ] = True
    journal: Annotated[
        Literal["sessions", "all", "off"],
        setting(
            "Which requests are recorded in the journal that `/llmsim/requests` returns: those that name a session or "
            "play a script, all, or none."
        ),
    ] = "sessions"
    journal_entries: Annotated[
        int,
        setting(
            "Most requests that the journal keeps; the oldest are dropped first.",
            unit="requests",
            ge=1,
            le=1_000_000,
        ),
    ] = 2_000
    journal_request_bytes: Annotated[
        int,
        setting(
            "Largest request that the journal keeps whole, of a larger one its size and its beginning. Coding agents send "
            "instructions and tools of 100 KiB and more with each request.",
            unit="bytes",
            ge=0,
            le=16_777_216,
        ),
    ] = 65_536


class AuthSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """API keys that requests to the simulated APIs need; none by default, so that any key is accepted."""

    keys: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1)], ...],
        setting(
            "Accepted API keys. What is stored under one is not found with another. Empty, with no `keys_file`, to accept "
            "any key, or none.",
            secret=True,
        ),
    ] = ()
    keys_file: Annotated[
        str,
        setting(
            "File of further accepted API keys, one a line; empty lines and lines that begin with `#` are skipped. It is read "
            "at the start and at each reload."
        ),
    ] = ""
