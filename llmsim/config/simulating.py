"""Settings of what is simulated: how long replies take, what they say, what they call, and how they fail."""

from typing import Annotated

import msgspec

from llmsim.config.about import DAY_MS, about


class LatencySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a reply takes."""

    profile: (
        Annotated[
            str,
            about(
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
            about("Mean time to first token; unset, that of the profile.", unit="ms", ge=0, le=DAY_MS),
        ]
        | None
    ) = None
    ttft_stddev_ms: (
        Annotated[
            float,
            about(
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
            about("Mean time between two tokens; unset, that of the profile.", unit="ms", ge=0, le=DAY_MS),
        ]
        | None
    ) = None
    tbt_stddev_ms: (
        Annotated[
            float,
            about(
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
        about(
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
        about(
            "Where the text comes from: `lorem`, `random` (words), `echo` (the last user message), `fixed:TEXT`, or "
            "`sequence:FILE` (the file's lines in turn).",
            flag="--generator",
        ),
    ] = "lorem"
    target_tokens: Annotated[
        int,
        about(
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
            about(
                "Makes replies, timing and simulated errors repeatable; unset, every start is different.",
                flag="--seed",
                ge=0,
                le=2**63 - 1,
            ),
        ]
        | None
    ) = None
    refusal_rate: Annotated[
        float,
        about(
            "Share of the answers that are refusals, in the form in which each API refuses to answer.",
            unit="of requests",
            ge=0,
            le=1,
        ),
    ] = 0.0
    refusal_text: Annotated[str, about("What a refusal says.", min_length=1)] = "I can't help with that."
    content_filter_rate: Annotated[
        float,
        about(
            "Share of the answers that a content filter breaks off in the middle.",
            unit="of requests",
            ge=0,
            le=1,
        ),
    ] = 0.0
    enforce_context_window: Annotated[
        bool, about("Refuse a prompt that does not fit the model's context window, as the real API does.")
    ] = True
    script_path: (
        Annotated[
            str,
            about(
                "Script that answers all requests to the generating endpoints, unless they choose another; unset or empty, "
                "replies are generated.",
                flag="--script",
            ),
        ]
        | None
    ) = None


class ToolSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When tools are called that a request offers."""

    call_probability: (
        Annotated[
            float,
            about(
                "Share of the turns that call a tool when they may; unset, a turn does when the last user message shares "
                "a word with a tool's name or description.",
                unit="of turns",
                ge=0,
                le=1,
            ),
        ]
        | None
    ) = None
    max_calls: Annotated[
        int,
        about(
            "Most tools that one turn calls, where parallel calls are allowed.", unit="calls", ge=1, le=128
        ),
    ] = 1
    hosted_calls: Annotated[
        bool,
        about(
            "Call the hosted tools that a request offers (web search, code interpreter, ...), with made-up results."
        ),
    ] = False


class ErrorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which share of the requests fails on purpose; the rates may add up to 1."""

    rate_limit_rate: Annotated[
        float, about("Share of requests answered with a rate limit (429).", unit="of requests", ge=0, le=1)
    ] = 0.0
    server_error_rate: Annotated[
        float,
        about("Share of requests answered with a server error (500 or 503).", unit="of requests", ge=0, le=1),
    ] = 0.0
    timeout_rate: Annotated[
        float,
        about(
            "Share of requests that hang for `timeout_after_ms`, then get a 504.",
            unit="of requests",
            ge=0,
            le=1,
        ),
    ] = 0.0
    invalid_request_rate: Annotated[
        float, about("Share of requests refused as invalid (400).", unit="of requests", ge=0, le=1)
    ] = 0.0
    authentication_rate: Annotated[
        float, about("Share of requests refused for their API key (401).", unit="of requests", ge=0, le=1)
    ] = 0.0
    timeout_after_ms: Annotated[
        int, about("How long a simulated timeout hangs.", unit="ms", ge=0, le=DAY_MS)
    ] = 30_000
    retry_after_ms: Annotated[
        int,
        about(
            "What a client is told to wait after a simulated rate limit or overload. Some SDKs obey whatever is said.",
            unit="ms",
            ge=0,
            le=60_000,
        ),
    ] = 1000


class AnthropicSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is particular to the Anthropic API."""

    pad_events: Annotated[
        bool,
        about(
            "Pad the events of a stream with spaces before their last brace, as the real API does: a client that cannot "
            "take that would fail there, too."
        ),
    ] = True
