"""The users: one for each endpoint, one who asks them all, and one who is the open model.

Decisions:
* Users of the closed model ask, read the whole answer, pause and ask again, so a slow server is asked less.
* `ArrivalsUser` stands for no person: it lets requests arrive at a rate, each in a greenlet of its own.
"""

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import msgspec
from gevent.pool import Pool
from locust import FastHttpUser, task
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_STOPPING

from loadtest.answers import BrokenAnswerError
from loadtest.arrivals import instants
from loadtest.asking import Asker
from loadtest.endpoints import ENDPOINTS, Ask, asks
from loadtest.rows import record_lag
from loadtest.settings import Settings
from loadtest.suites import Suite


class ClosedUser(FastHttpUser):
    """Asks in turn what it is to ask, beginning anywhere.

    Attributes:
        settings: Of the run.
        plan: The suite; None without one.
        asks: What is asked.
    """

    abstract = True
    settings: Settings
    plan: Suite | None = None
    asks: tuple[Ask, ...] = ()

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._asker = Asker(self.client, environment)
        self._order = self._turns()
        think = self.settings.think if self.plan is None else self.plan.think
        self._think = 1.0 if think is None else think

    def _turns(self) -> Iterator[Ask]:
        iterations = self.plan.iterations if self.plan is not None else None
        if iterations is not None:
            yield from self.asks * iterations
            return
        start = random.randrange(len(self.asks))
        while True:
            yield from self.asks[start:]
            yield from self.asks[:start]

    @task
    def go_on(self) -> None:
        """Ask, pause, ask, until there is nothing to ask or the user is to stop."""
        # NOTE: pauses are not left to Locust: a user whom it finds waiting is killed, and one who has just begun to
        # ask by then would be killed in mid-request.
        for ask in self._order:
            self._asker.ask(ask)
            if self._state != LOCUST_STATE_STOPPING:
                gevent.sleep(self._think * random.uniform(0.5, 1.5))
            if self._state == LOCUST_STATE_STOPPING:
                break
        raise StopUser


class ArrivalsUser(FastHttpUser):
    """Lets requests arrive at its share of the rate, whatever becomes of those before."""

    abstract = True
    settings: Settings
    plan: Suite | None = None
    asks: tuple[Ask, ...] = ()

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._asker = Asker(self.client, environment)
        self._under_way = Pool()

    @task
    def generate(self) -> None:
        """Generate until the plan is over, then wait for what is under way."""
        try:
            self._generate()
            self._under_way.join(timeout=self.settings.drain)
        finally:
            self._under_way.kill()
        raise StopUser

    def _generate(self) -> None:
        stats = self.environment.stats
        poisson = self.settings.arrivals == "poisson"
        begin = time.perf_counter()
        turn = random.randrange(len(self.asks))
        for instant in instants(self._rate(), poisson=poisson, dice=random.Random()):
            due = begin + instant
            early = due - time.perf_counter()
            # PERF: also when late, so that answers are read between arrivals.
            gevent.sleep(max(early, 0))
            if self._state == LOCUST_STATE_STOPPING:
                return
            record_lag(stats, max(0.0, time.perf_counter() - due) * 1000)
            turn += 1
            self._arrive(self.asks[turn % len(self.asks)], due)

    def _arrive(self, ask: Ask, due: float) -> None:
        if len(self._under_way) < self.settings.max_outstanding:
            self._under_way.spawn(self._asker.ask, ask, due)
            return
        self._asker.failed(ask, BrokenAnswerError("not sent: too many requests under way"), None)

    def _rate(self) -> Callable[[float], float | None]:
        share = 1 / self.settings.processes
        if self.plan is not None:
            level = self.plan.level
            return lambda elapsed: None if (rate := level(elapsed)) is None else rate * share
        rate = (self.settings.rate or 1.0) * share
        return lambda _: rate


def users(settings: Settings, plan: Suite | None) -> dict[str, type[FastHttpUser]]:
    """Make the classes of users, by their names.

    Args:
        settings: Of the run.
        plan: The suite, if there is one.
    """
    common = {
        "abstract": False,
        "settings": settings,
        "plan": plan,
        "network_timeout": settings.timeout,
        "connection_timeout": min(settings.timeout, 30.0),
    }
    every = asks(settings)
    if plan is not None and plan.is_open:
        fields = {**common, "asks": every, "concurrency": settings.max_outstanding}
        return {"ArrivalsUser": type("ArrivalsUser", (ArrivalsUser,), fields)}
    found = {"MixedUser": type("MixedUser", (ClosedUser,), {**common, "asks": every})}
    if plan is None:
        # By hand all can be had by name: `locust -f … ChatUser`.
        if settings.rate is not None:
            fields = {**common, "asks": every, "concurrency": settings.max_outstanding}
            found["ArrivalsUser"] = type("ArrivalsUser", (ArrivalsUser,), fields)
        for endpoint in ENDPOINTS:
            name = f"{_NAMES.get(endpoint, endpoint.capitalize())}User"
            found[name] = type(name, (ClosedUser,), {**common, "asks": _asks_of(settings, endpoint)})
    return found


_NAMES = {"openresponses": "OpenResponses"}


def _asks_of(settings: Settings, endpoint: str) -> tuple[Ask, ...]:
    return asks(msgspec.structs.replace(settings, endpoints=(endpoint,)))
