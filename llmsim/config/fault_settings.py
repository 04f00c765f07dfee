"""The settings of failures on the wire: how often, of what kind, where, and for whom."""

from typing import Annotated

import msgspec

from llmsim.config.metadata import milliseconds, setting, share
from llmsim.domain import EFFECTS, WireFaultKind


def _rate(kind: str) -> msgspec.Meta:
    return share(EFFECTS[WireFaultKind(kind)].summary, unit="of requests")


class FaultSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Share of responses with a fault on the wire; the rates may add up to 1."""

    reset_rate: Annotated[float, _rate("reset")] = 0.0
    close_rate: Annotated[float, _rate("close")] = 0.0
    half_close_rate: Annotated[float, _rate("half_close")] = 0.0
    disconnect_rate: Annotated[float, _rate("disconnect")] = 0.0
    stall_rate: Annotated[float, _rate("stall")] = 0.0
    slow_drip_rate: Annotated[float, _rate("slow_drip")] = 0.0
    error_rate: Annotated[float, _rate("error")] = 0.0
    malformed_json_rate: Annotated[float, _rate("malformed_json")] = 0.0
    duplicate_event_rate: Annotated[float, _rate("duplicate_event")] = 0.0
    reordered_events_rate: Annotated[float, _rate("reordered_events")] = 0.0
    missing_event_rate: Annotated[float, _rate("missing_event")] = 0.0
    missing_terminal_rate: Annotated[float, _rate("missing_terminal")] = 0.0
    truncated_arguments_rate: Annotated[float, _rate("truncated_arguments")] = 0.0
    wrong_content_type_rate: Annotated[float, _rate("wrong_content_type")] = 0.0
    split_utf8_rate: Annotated[float, _rate("split_utf8")] = 0.0
    split_newlines_rate: Annotated[float, _rate("split_newlines")] = 0.0
    joined_events_rate: Annotated[float, _rate("joined_events")] = 0.0
    crlf_rate: Annotated[float, _rate("crlf")] = 0.0
    comments_rate: Annotated[float, _rate("comments")] = 0.0
    byte_order_mark_rate: Annotated[float, _rate("byte_order_mark")] = 0.0
    huge_event_rate: Annotated[float, _rate("huge_event")] = 0.0
    models: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1)], ...],
        setting("Models whose responses may have one: ids, or patterns with `*` and `?`. Empty for all."),
    ] = ()
    keys: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1)], ...],
        setting(
            "API keys whose responses may have one, likewise. Empty for all, and for requests without a key.",
            secret=True,
        ),
    ] = ()
    after_tokens: (
        Annotated[
            int,
            setting(
                "Token of each choice behind which a fault with a place happens; unset, `at` decides.",
                unit="tokens",
                ge=0,
                le=1_000_000,
            ),
        ]
        | None
    ) = None
    at: Annotated[float, share("Share of a response behind which it happens.", unit="of the response")] = 0.5
    stall_ms: Annotated[int, milliseconds("Duration of a stall.")] = 5000
    drip_ms: Annotated[int, milliseconds("Time between two writes of a slow drip.", maximum=60_000)] = 10
