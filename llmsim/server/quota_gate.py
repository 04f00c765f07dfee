"""Holds requests to the limits of their API key and model; says in their headers what is left.

Decisions:
* A request is asked before a turn of a script is played for it, and after it was parsed: what is refused as invalid takes nothing.
* Tokens are booked when a request is admitted: its prompt, and the most that it may generate. Without `max_tokens` that is the length
  of a generated text; what is generated beyond it is booked when it is planned.
* Where the API books output as it is generated, the tokens whose time has come are booked each half second, and at the end. Requests
  in progress are not ended, so output may go over its limit by what they generate; the next ones wait for it.
* Snapshots and aliases of a model share its limits. PERF: what belongs to a key and a model is remembered, unless the key is long.
* PERF: with limits a chat costs 2.5 to 3.5 us more, a message 4 to 5.5. Of that about 1 is spent here, 3 book, of which 1 is for the mutex.
  To render takes less than 0.5 where the same is left as before, as for a client that stays below its rates, else 1 to 2.
"""

import asyncio
import contextlib
import fnmatch
import functools
import hashlib
import time
from collections.abc import Mapping

import msgspec

from llmsim.catalogue import shipped_catalogue
from llmsim.config import LimitSettings, Tier
from llmsim.domain import Fault, Prompt, Turn
from llmsim.domain.quota import RATES, Amounts, Limits, QuotaStatus, RateLimitError, limits_of
from llmsim.errors import StoreError
from llmsim.planning.prompt_facts import PromptFacts
from llmsim.providers.contract import Provider, RenderLimits
from llmsim.server.access.api_keys import decode_key
from llmsim.server.active_request import ActiveRequest
from llmsim.server.admission import Admission, Bill, OutputMeter
from llmsim.server.request_headers import RequestHeaders
from llmsim.state.quota_port import AdmitAtOnce, QuotaStore

_METER_SECONDS = 0.5
"""How often output is booked while it is generated."""

_MOST_PREPARED = 256
"""Limits whose rendering is remembered."""

_MOST_REMEMBERED = 4096
_LONGEST_REMEMBERED = 300
"""Pairs of a key and a model that are remembered, and the characters of the longest."""


class _Account(msgspec.Struct, frozen=True, gc=False):
    """The limits of a key and a model.

    Attributes:
        digest: Of both; empty if there are no limits.
        limits: Their limits.
        render: Renders what is left of them.
        is_held: Whether requests at a time are limited.
        settled: The admission of requests of which nothing is to be booked or released any more: the same for all.
        admit_at_once: Admits its requests; None if there are no limits, or that needs waiting.
    """

    digest: bytes
    limits: Limits
    render: RenderLimits
    is_held: bool
    settled: Admission
    admit_at_once: AdmitAtOnce | None


class QuotaGate:
    """Holds the requests to one provider to their limits; one for each worker and provider."""

    def __init__(
        self, settings: LimitSettings, store: QuotaStore, provider: Provider, output_tokens: int
    ) -> None:
        """Prepare to admit requests.

        Args:
            settings: The limits.
            store: What all workers have booked.
            provider: The API.
            output_tokens: Tokens of the output of a request that limits it not.
        """
        self._settings = settings
        self._store = store
        self._prepare_admit = store.prepare_admit
        self._key_headers = provider.key_headers
        self._raw_header, self._other_raw_header = (name.encode() for name in (provider.key_headers * 2)[:2])
        self._prepare = functools.lru_cache(_MOST_PREPARED)(provider.limit_headers.prepare)
        self._books_as_generated = provider.books_output_as_generated
        self._output_tokens = output_tokens
        self._accounts: dict[tuple[bytes | str | None, str], _Account] = {}
        self._metered: set[Admission] = set()
        self._metering: asyncio.Task[None] | None = None

    @property
    def is_immediate(self) -> bool:
        """Whether requests can be admitted without waiting."""
        return self._prepare_admit is not None

    def bill(self, prompt: Prompt, facts: PromptFacts) -> Bill:
        """Return what a request takes if it is admitted, before its response is planned."""
        tokens, output = facts.tokens, 0
        if prompt.media is not None and prompt.media.tokens is not None:
            output = prompt.media.tokens * prompt.choices
        elif not (self._books_as_generated or prompt.silent):
            output = facts.limit if prompt.limit is not None else min(facts.limit, self._output_tokens)
            output *= prompt.candidates
        return Bill(facts.model.id, prompt.model, (1, tokens + output, tokens, output, 1), output)

    def admit_at_once(
        self, headers: Mapping[str, str], bill: Bill, active: ActiveRequest, turn: Turn
    ) -> None:
        """Book a request whose response is planned; see `admit`. Only if `is_immediate`."""
        if isinstance(headers, RequestHeaders):
            # PERF: as `_find_key`, without a call.
            sent: bytes | str | None = headers.by_name.get(self._raw_header)
            if sent is None:
                sent = headers.by_name.get(self._other_raw_header)
        else:
            sent = self._find_key(headers)
        account = self._accounts.get((sent, bill.model)) or self._account(sent, bill.model)
        active.admission = account.settled
        admit_at_once = account.admit_at_once
        if admit_at_once is None:
            self.show(headers, active)
            return
        soon, is_open = turn.usage.completion - bill.output, account.is_held
        if soon < 0:
            soon = 0
        elif self._books_as_generated and turn.due > _METER_SECONDS:
            soon, is_open = 0, True
        status = admit_at_once(bill.amounts, soon)
        active.extra_headers += account.render(status)
        if is_open or status.exceeded is not None:
            self._note(account, status, bill, active, turn, bill.output + soon)

    async def admit(
        self,
        headers: Mapping[str, str],
        prompt: Prompt,
        facts: PromptFacts,
        active: ActiveRequest,
        turn: Turn | None = None,
    ) -> None:
        """Book a request, and note what is left for the headers of its response.

        Args:
            headers: Its headers.
            prompt: Its prompt.
            facts: What is known of it.
            active: The request.
            turn: Its response, if that is planned already; its output is booked, too, then.

        Raises:
            RateLimitError: It exceeds a limit.
            StoreError: The shared state cannot be used.
        """
        bill = self.bill(prompt, facts)
        account = self._account(self._find_key(headers), bill.model)
        active.admission = account.settled
        if not account.digest:
            self.show(headers, active)
            return
        soon = 0
        if turn is not None and not (self._books_as_generated and turn.due > _METER_SECONDS):
            # PERF: all of an output that is known, or due soon, is booked with the request, 4 us less than in two steps.
            soon = max(0, turn.usage.completion - bill.output)
        status = await self._store.admit(account.digest, account.limits, bill.amounts, soon)
        active.extra_headers += account.render(status)
        self._note(account, status, bill, active, turn, bill.output + soon)

    def _note(
        self,
        account: _Account,
        status: QuotaStatus,
        bill: Bill,
        active: ActiveRequest,
        turn: Turn | None,
        booked: int,
    ) -> None:
        """Note what was booked for a request, for what is to be booked or released later.

        Raises:
            RateLimitError: It was not admitted.
        """
        if status.exceeded is not None:
            raise RateLimitError(bill.requested, status.exceeded)
        limits = account.limits
        if turn is not None and turn.usage.completion <= booked and not limits.concurrency:
            return
        active.admission = admission = Admission(account.digest, limits)
        admission.booked = booked
        admission.is_held = admission.is_open = limits.concurrency > 0
        if turn is not None and turn.usage.completion > booked:
            self._meter_output(admission, turn, active)

    def _find_key(self, headers: Mapping[str, str]) -> bytes | str | None:
        """Return the header that holds the key of a request, as far as it is decoded; None if there is none."""
        if isinstance(headers, RequestHeaders):
            # PERF: 0.3 us less than to decode it.
            sent = headers.by_name.get(self._raw_header)
            return headers.by_name.get(self._other_raw_header) if sent is None else sent
        return next((found for name in self._key_headers if (found := headers.get(name)) is not None), None)

    def show(self, headers: Mapping[str, str], active: ActiveRequest) -> None:
        """Note what is left for the headers of a response for which nothing is booked: all of the limits of any model."""
        account = self._account(self._find_key(headers), "")
        unused = QuotaStatus(int(time.time() * 1e6), account.limits, account.limits.select((0, 0, 0, 0, 0)))
        active.extra_headers += account.render(unused)

    async def book_output(self, active: ActiveRequest, outcome: Turn | Fault) -> None:
        """Book the output of a planned response, as far as it is not booked yet."""
        admission = active.admission
        if admission is None or not admission.key or isinstance(outcome, Fault):
            return
        if not self._books_as_generated:
            await self._charge(admission, outcome.usage.completion)
        else:
            self._meter_output(admission, outcome, active)

    def _meter_output(self, admission: Admission, turn: Turn, active: ActiveRequest) -> None:
        """Book the output of a response as it is generated."""
        admission.is_open = True
        admission.meter = OutputMeter(turn, active.arrival)
        if turn.due <= _METER_SECONDS:
            # It is booked at its end, which is soon.
            return
        self._metered.add(admission)
        if self._metering is None or self._metering.done():
            self._metering = asyncio.get_running_loop().create_task(self._meter())

    async def finish(self, admission: Admission) -> None:
        """Book the rest of the output that a request has generated by its end, and let the next one in."""
        # What cannot be booked any more is lost with the state; the request has been answered.
        with contextlib.suppress(StoreError):
            if admission.meter is not None:
                self._metered.discard(admission)
                await self._charge(admission, admission.meter.read(time.monotonic()))
            if admission.is_held:
                await self._store.release(admission.key)

    async def _meter(self) -> None:
        """Book output as it is generated, as long as any is."""
        while self._metered:
            await asyncio.sleep(_METER_SECONDS)
            now = time.monotonic()
            for admission in list(self._metered):
                if admission.meter is not None:
                    with contextlib.suppress(StoreError):
                        await self._charge(admission, admission.meter.read(now))

    async def _charge(self, admission: Admission, tokens: int) -> None:
        """Book the tokens of an output, less those that are booked."""
        more = tokens - admission.booked
        if more > 0 and admission.limits.rates:
            admission.booked = tokens
            await self._store.charge(admission.key, admission.limits, (0, more, 0, more, 0))

    def _account(self, sent: bytes | str | None, model: str) -> _Account:
        """Return the limits of a key, as a header holds it, and a model."""
        account = self._accounts.get((sent, model))
        if account is None:
            key = decode_key(sent if isinstance(sent, bytes) else (sent or "").encode("latin-1", "replace"))
            key = key[7:].strip() if key[:7].lower() == "bearer " else key
            limits = self._limits(key, model)
            digest = b""
            if not limits.is_unlimited:
                text = f"{len(key)} {key} {model}".encode("utf-8", "surrogateescape")
                digest = hashlib.blake2b(text, digest_size=16).digest()
            admit_at_once = None
            if digest and self._prepare_admit is not None:
                admit_at_once = self._prepare_admit(digest, limits)
            account = _Account(
                digest,
                limits,
                self._prepare(limits),
                limits.concurrency > 0,
                Admission(b"", limits),
                admit_at_once,
            )
            if len(key) + len(model) <= _LONGEST_REMEMBERED:
                if len(self._accounts) >= _MOST_REMEMBERED:
                    self._accounts.clear()
                self._accounts[sent, model] = account
        return account

    def _limits(self, key: str, model: str) -> Limits:
        name = self._settings.keys.get(key, self._settings.default)
        return tier_limits(self._settings.tiers[name], model) if name else Limits()


def tier_limits(tier: Tier, model: str) -> Limits:
    """Return the limits of a tier for a model: those of the longest pattern that fits, the others as for any model."""
    id_of = shipped_catalogue().facts
    patterns = [pattern for pattern in tier.models if fnmatch.fnmatchcase(model, id_of(pattern).id)]
    special = tier.models[max(patterns, key=len)] if patterns else tier
    values = [getattr(special, name) or getattr(tier, name) or 0 for name in (*RATES, "concurrency")]
    amounts: Amounts = (values[0], values[1], values[2], values[3], values[4])
    return limits_of(amounts, values[5])
