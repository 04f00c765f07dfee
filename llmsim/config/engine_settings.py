"""The settings of an inference engine: what a step of it costs, and how much it holds.

Decisions:
* The model in `llmsim/engine/` computes with this struct itself, so a fitted engine is a table of a configuration file.
* Without a table `[latency.engine]` there is no engine: its settings have a meaning together only.
"""

from typing import Annotated

import msgspec

from llmsim.config.metadata import milliseconds, setting

MINUTE_MS = 60_000

MOST_ENGINES = 56
"""Engines that a simulator can have: the memory that workers share has places for as many."""


class EngineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An engine that runs all of its sequences in common steps (continuous batching).

    A step takes `step_base_ms + step_sequence_us * decoding sequences + step_prefill_token_us * prefilled tokens +
    step_context_token_us * tokens in their contexts`, and what is quadratic in prefill.
    """

    step_base_ms: Annotated[
        float,
        setting("Time of a step without any sequence: reading the weights.", unit="ms", ge=0.1, le=MINUTE_MS),
    ] = 15.0
    step_sequence_us: Annotated[
        float, setting("Time that each decoding sequence adds to a step.", unit="us", ge=0, le=1_000_000)
    ] = 100.0
    step_prefill_token_us: Annotated[
        float,
        setting(
            "Time that each token of a prompt adds to the step that reads it.", unit="us", ge=0, le=1_000_000
        ),
    ] = 60.0
    step_context_token_us: Annotated[
        float,
        setting(
            "Time that each token in the context of a decoding sequence adds to a step: reading the KV cache.",
            unit="us",
            ge=0,
            le=10_000,
        ),
    ] = 0.1
    step_prefill_context_us: Annotated[
        float,
        setting(
            "Time that each token of a prompt adds for every thousand tokens before it: attention in prefill.",
            unit="us",
            ge=0,
            le=1_000_000,
        ),
    ] = 0.0
    overhead_ms: Annotated[
        float,
        milliseconds(
            "Time from the arrival of a request to its place in the queue: network and tokenizer.",
            maximum=MINUTE_MS,
        ),
    ] = 0.0
    output_overhead_ms: Annotated[
        float,
        milliseconds("Time from the end of a step to its tokens at the client.", maximum=MINUTE_MS),
    ] = 0.0
    max_num_batched_tokens: Annotated[
        int,
        setting(
            "Most tokens of a step, prompts and outputs together. A longer prompt is read in several steps.",
            unit="tokens",
            ge=1,
            le=10_000_000,
        ),
    ] = 2_048
    max_num_seqs: Annotated[
        int,
        setting("Most sequences that run at a time; others wait.", unit="sequences", ge=1, le=65_536),
    ] = 256
    kv_tokens: (
        Annotated[
            int,
            setting(
                "Tokens that the KV cache holds, of prompts and outputs. When it is full, the sequence that began last is "
                "preempted: it waits, and is read anew. Unset, it is never full.",
                unit="tokens",
                ge=1,
                le=10_000_000_000,
            ),
        ]
        | None
    ) = None
    kv_watermark: Annotated[
        float,
        setting(
            "Share of the KV cache that is left free when a sequence is admitted, for those that run to grow into.",
            unit="of the blocks",
            ge=0,
            le=0.5,
        ),
    ] = 0.0
    block_tokens: Annotated[
        int,
        setting(
            "Tokens of a block of the KV cache: each sequence holds whole blocks.",
            unit="tokens",
            ge=1,
            le=65_536,
        ),
    ] = 16
    max_requests: Annotated[
        int,
        setting(
            "Most requests that an engine holds, running and waiting; further ones are refused as by an overloaded provider.",
            unit="requests",
            ge=1,
            le=65_536,
        ),
    ] = 4_096
