"""The port of the limits of accounts; see `ports`, whose rules hold for it."""

from collections.abc import Callable
from typing import Protocol

from llmsim.domain.quota import Amounts, Limits, QuotaStatus

AdmitAtOnce = Callable[[Amounts, int], QuotaStatus]
"""Does what `QuotaStore.admit` does for one key and its limits, without waiting: of amounts, and tokens of output."""


class QuotaStore(Protocol):
    """What is used of the limits of each key and model: a bounded number of them, those that have most left are forgotten first.

    A request that is admitted holds one of the requests at a time until it is released, or its process has ended.
    """

    @property
    def prepare_admit(self) -> Callable[[bytes, Limits], AdmitAtOnce] | None:
        """Returns, for a key and its limits, what does the same as `admit`, where that needs no waiting; None where it does.

        PERF: a simple request is answered without a coroutine of its own then, 2 us less.
        """

    async def admit(self, key: bytes, limits: Limits, amounts: Amounts, output: int = 0) -> QuotaStatus:
        """Book a request if all limits allow it, else nothing.

        Args:
            key: Digest of key and model, 16 bytes.
            limits: Their limits.
            amounts: What the request takes. Of what it takes nothing of, something must be left.
            output: Tokens of its output that are booked with it if it is admitted, more than are left if need be.

        Returns:
            What is left, but for `output`.
        """

    async def charge(self, key: bytes, limits: Limits, amounts: Amounts) -> None:
        """Book what is used in any case, more than is left if need be: the next requests wait for it."""

    async def status(self, key: bytes, limits: Limits) -> QuotaStatus:
        """Return what is left; book nothing."""

    async def release(self, key: bytes) -> None:
        """End one of the requests at a time of this process."""
