"""The port of the attempts of scenarios; see `ports`, whose rules hold for it."""

from typing import Protocol


class AttemptStore(Protocol):
    """How often each step of a scenario was tried: a bounded number of steps, each for ten minutes after its last attempt."""

    async def begin(self, key: str) -> int:
        """Count an attempt that begins; return how many came before it.

        Args:
            key: The step, of one conversation.
        """

    async def release(self, key: str, attempt: int) -> None:
        """Remove an attempt that the server gave up from the count, unless another has begun since."""
