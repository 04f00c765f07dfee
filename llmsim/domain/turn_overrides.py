"""What a request asks of its own response, beside what its API has words for: by headers, or by a rule.

Decisions:
* One value for all who may ask: planning does not know where it came from.
* A fault is requested by its kind and place. What else it has (retry delay, length of a stall) is that of the settings in force.
"""

from typing import Literal

import msgspec

from llmsim.domain.fault import FaultKind
from llmsim.domain.wire_fault import WireFaultKind

GeneratorName = Literal["lorem", "random", "echo", "fixed"]
"""Generators that a request can ask for: those that read no file."""


class RequestedLatency(msgspec.Struct, frozen=True):
    """The latency of one response.

    Attributes:
        profile: Name of a latency profile; None for the one in force for the model.
        ttft_ms: Time to first token in place of the profile's, in milliseconds; None for the profile's.
        itl_ms: Inter-token latency likewise.
    """

    profile: str | None = None
    ttft_ms: float | None = None
    itl_ms: float | None = None


class RequestedFault(msgspec.Struct, frozen=True):
    """What goes wrong with one response.

    Attributes:
        kind: What fails: an error in place of the response, or a failure on the wire.
        status: HTTP status of an error; None for the provider's own.
        after: Tokens of each choice that exist before a failure on the wire; None to take the share.
        share: Its place as a share of the response, from 0 to 1; None for that of the settings.
        for_ms: Duration of a stall, time between two writes of a slow drip, or time until an error is sent, in milliseconds; None
            for that of the settings.
    """

    kind: FaultKind | WireFaultKind
    status: int | None = None
    after: int | None = None
    share: float | None = None
    for_ms: float | None = None

    @property
    def is_error(self) -> bool:
        """Whether an error comes in place of the response."""
        return isinstance(self.kind, FaultKind)


class RequestedGenerator(msgspec.Struct, frozen=True):
    """What the text of one response is made of.

    Attributes:
        name: The generator.
        text: The text of `fixed`; empty for others.
    """

    name: GeneratorName
    text: str = ""


class TurnOverrides(msgspec.Struct, frozen=True):
    """What one response has in place of what settings, script or scenario have for it; None where they decide.

    Attributes:
        latency: How long it takes.
        fault: What goes wrong with it.
        seed: Makes text and timing repeatable; comes before the seed of the request.
        tokens: Completion tokens of each choice of a generated text, 1 to 1,000,000; the limits of the request hold.
        generator: What a generated text is made of.
    """

    latency: RequestedLatency | None = None
    fault: RequestedFault | None = None
    seed: int | None = None
    tokens: int | None = None
    generator: RequestedGenerator | None = None

    @property
    def fails(self) -> bool:
        """Whether an error comes in place of the response."""
        return self.fault is not None and self.fault.is_error
