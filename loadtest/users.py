"""Locust user classes: one for each endpoint, one for all of them, and one for the open model.

Decisions:
* Users of the closed model send a request, read the whole response and pause, so a slow server gets fewer requests.
* Of several hosts each user keeps to one, as a client behind a load balancer does; arrivals go to them in turn.
* `ArrivalsUser` is not a person: it sends requests at a rate, each in a greenlet of its own.
"""

import itertools
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

from loadtest.client import ApiClient
from loadtest.endpoints import ENDPOINTS, RequestTemplate, build_requests
from loadtest.response_checks import BrokenResponseError
from loadtest.rows import record_lag
from loadtest.settings import MOST_HOSTS, Settings
from loadtest.suites import Suite, generate_arrivals

_users = itertools.count(random.randrange(MOST_HOSTS))
"""Numbers of users; each process begins with another, so that few users of many processes do not all go to the first host."""


class ClosedUser(FastHttpUser):
    """Sends its requests in turn, beginning with a random one.

    Attributes:
        settings: Settings of the run.
        suite: The suite; None without one.
        requests: The requests to send.
    """

    abstract = True
    settings: Settings
    suite: Suite | None = None
    requests: tuple[RequestTemplate, ...] = ()

    def __init__(self, environment: Any) -> None:
        if self.settings.hosts:
            self.host = self.settings.hosts[next(_users) % len(self.settings.hosts)]
        super().__init__(environment)
        self._api = ApiClient(self.client, environment)
        self._order = self._iter_requests()
        think = self.settings.think if self.suite is None else self.suite.think
        self._think = 1.0 if think is None else think

    def _iter_requests(self) -> Iterator[RequestTemplate]:
        iterations = self.suite.iterations if self.suite is not None else None
        if iterations is not None:
            yield from self.requests * iterations
            return
        start = random.randrange(len(self.requests))
        while True:
            yield from self.requests[start:]
            yield from self.requests[:start]

    @task
    def run_requests(self) -> None:
        """Send requests with pauses between them, until there are no more or the user is to stop."""
        # NOTE: pauses are not left to Locust: it kills users that it finds waiting, and one that has just sent a
        # request by then would be killed in mid-request.
        for request in self._order:
            self._api.send(request)
            if self._state != LOCUST_STATE_STOPPING:
                gevent.sleep(self._think * random.uniform(0.5, 1.5))
            if self._state == LOCUST_STATE_STOPPING:
                break
        raise StopUser


class ArrivalsUser(FastHttpUser):
    """Sends requests at its share of the rate, whether or not earlier ones have finished."""

    abstract = True
    settings: Settings
    suite: Suite | None = None
    requests: tuple[RequestTemplate, ...] = ()

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        hosts = self.settings.hosts
        first = next(_users) % max(1, len(hosts))
        self._api = ApiClient(self.client, environment, [*hosts[first:], *hosts[:first]])
        self._in_flight = Pool()

    @task
    def generate(self) -> None:
        """Send requests until the suite is over, then wait for those in flight."""
        try:
            self._generate()
            self._in_flight.join(timeout=self.settings.drain)
        finally:
            self._in_flight.kill()
        raise StopUser

    def _generate(self) -> None:
        stats = self.environment.stats
        poisson = self.settings.arrivals == "poisson"
        begin = time.perf_counter()
        place = random.randrange(len(self.requests))
        for instant in generate_arrivals(self._rate(), poisson=poisson, rng=random.Random()):
            due = begin + instant
            early = due - time.perf_counter()
            # PERF: also when late, so that responses are read between arrivals.
            gevent.sleep(max(early, 0))
            if self._state == LOCUST_STATE_STOPPING:
                return
            record_lag(stats, max(0.0, time.perf_counter() - due) * 1000)
            place += 1
            self._spawn(self.requests[place % len(self.requests)], due)

    def _spawn(self, request: RequestTemplate, due: float) -> None:
        if len(self._in_flight) < self.settings.max_outstanding:
            self._in_flight.spawn(self._api.send, request, due)
            return
        self._api.record_failure(request, BrokenResponseError("not sent: too many requests in flight"), None)

    def _rate(self) -> Callable[[float], float | None]:
        share = 1 / self.settings.processes
        if self.suite is not None:
            level = self.suite.level
            return lambda elapsed: None if (rate := level(elapsed)) is None else rate * share
        rate = (self.settings.rate or 1.0) * share
        return lambda _: rate


def build_user_classes(settings: Settings, suite: Suite | None) -> dict[str, type[FastHttpUser]]:
    """Return the user classes, by name.

    Args:
        settings: Settings of the run.
        suite: The suite, if there is one.
    """
    requests = build_requests(settings)
    common = {
        "abstract": False,
        "settings": settings,
        "suite": suite,
        "network_timeout": settings.timeout,
        "connection_timeout": min(settings.timeout, 30.0),
        "requests": requests,
    }
    arrivals = type("ArrivalsUser", (ArrivalsUser,), {**common, "concurrency": settings.max_outstanding})
    if suite is not None and suite.is_open:
        return {"ArrivalsUser": arrivals}
    found = {"MixedUser": type("MixedUser", (ClosedUser,), common)}
    if suite is None:
        # Without a suite all can be chosen by name: `locust -f … ChatUser`.
        if settings.rate is not None:
            found["ArrivalsUser"] = arrivals
        for endpoint in ENDPOINTS:
            name = f"{_NAMES.get(endpoint, endpoint.capitalize())}User"
            own = build_requests(msgspec.structs.replace(settings, endpoints=(endpoint,)))
            found[name] = type(name, (ClosedUser,), {**common, "requests": own})
    return found


_NAMES = {"openresponses": "OpenResponses"}
