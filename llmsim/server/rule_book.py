"""The rules in force in one worker: those that were uploaded, else those of the settings' file.

Decisions:
* An upload is one change of memory that all workers share: a request that comes after its answer sees it, and each request sees all of it
  or nothing. PERF: a request on a server without rules pays for reading a number, 0.1 us.
* A request is compared with all rules in one go, within one budget for their patterns; in a thread where patterns are searched, or the
  request is large.
"""

import asyncio
from collections.abc import Collection
from functools import partial

import msgspec

from llmsim.budgets import PatternBudget
from llmsim.domain import Prompt
from llmsim.scripts import ScriptFormat, Sender, meets, unmet
from llmsim.server.rules import NO_RULES, Rule, RuleSet, read_rules
from llmsim.state.settings_port import RuntimeSettings

UPLOADED = "uploaded"

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(tuple[ScriptFormat, bytes]).decode


class Match(msgspec.Struct, frozen=True):
    """How the rules judge a request.

    Attributes:
        rule: The first rule that fits; None if none does.
        missed: What each rule before it expects and the request does not have; empty if it was not asked for.
    """

    rule: Rule | None
    missed: tuple[str, ...] = ()


class RuleBook:
    """The rules of one worker.

    Args:
        store: What was uploaded, the same for all workers.
        file: The rules of the settings' file.
        profiles: Names of the latency profiles.
    """

    def __init__(
        self, store: RuntimeSettings, file: RuleSet = NO_RULES, profiles: Collection[str] = ()
    ) -> None:
        self._store = store
        self._file = file
        self._profiles = profiles
        self._epoch = 0
        self._use(file)

    def _use(self, rules: RuleSet) -> None:
        self.rules = rules
        self._has_patterns = any(rule.when.has_patterns for rule in rules.rules)

    @property
    def has_rules(self) -> bool:
        """Whether there may be rules."""
        return bool(self.rules.rules) or self._store.epoch != self._epoch

    async def refresh(self) -> RuleSet:
        """Return the rules in force.

        Raises:
            StoreError: The shared state cannot be used.
        """
        while self._store.epoch != self._epoch:
            stored = await self._store.read()
            rules = self._file
            if stored.data:
                source_format, data = _decode(stored.data)
                rules = await asyncio.get_running_loop().run_in_executor(
                    None, partial(read_rules, data, source_format, UPLOADED, self._profiles)
                )
            self._use(rules)
            self._epoch = stored.epoch
        return self.rules

    async def upload(self, data: bytes, source_format: ScriptFormat) -> RuleSet:
        """Put rules in force for all workers.

        Raises:
            ScriptError: They have mistakes; lists all of them.
            StoreError: The shared state cannot be used.
        """
        # Checked before anything changes.
        await asyncio.get_running_loop().run_in_executor(
            None, partial(read_rules, data, source_format, UPLOADED, self._profiles)
        )
        await self._replace(_encode((source_format, data)))
        return await self.refresh()

    async def delete(self) -> RuleSet:
        """Put those of the settings' file in force again."""
        await self._replace(b"")
        return await self.refresh()

    async def _replace(self, data: bytes) -> None:
        while True:
            stored = await self._store.read()
            if await self._store.replace(data, epoch=stored.epoch):
                return

    async def match(
        self,
        prompt: Prompt,
        sender: Sender,
        *,
        usable: frozenset[str] | None = None,
        in_thread: bool = False,
        explains: bool = False,
    ) -> Match:
        """Return the rule that a request gets.

        Args:
            prompt: The request.
            sender: Who sends it.
            usable: Keys of answers that it can get; None for all.
            in_thread: Whether it is large.
            explains: Whether to say why not the rules before.
        """
        rules = (await self.refresh()).rules
        work = partial(_match, rules, prompt, sender, usable, explains=explains)
        if in_thread or self._has_patterns:
            return await asyncio.get_running_loop().run_in_executor(None, work)
        return work()


_NOTHING_FOR_IT = "it gives nothing that this request can get"


def _match(
    rules: tuple[Rule, ...],
    prompt: Prompt,
    sender: Sender,
    usable: frozenset[str] | None,
    *,
    explains: bool,
) -> Match:
    patterns = PatternBudget()
    missed: list[str] = []
    for rule in rules:
        if not rule.concerns(prompt, usable):
            if explains:
                missed.append(_NOTHING_FOR_IT)
            continue
        if not explains:
            if meets(rule.when, prompt, patterns, sender):
                return Match(rule)
            continue
        reasons = unmet(rule.when, prompt, patterns, sender)
        if not reasons:
            return Match(rule, tuple(missed))
        missed.append(reasons[0])
    return Match(None, tuple(missed))
