"""The server under test: what it says about itself before the load.

Decisions:
* Only an llmsim is asked in detail; any other server is known by its name in `server`.
* What the control API keeps from this machine stays unknown: it is no reason not to offer load.
"""

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

_TIMEOUT = 5.0
_RECENT_SECONDS = 10

OVERRIDES = ("latency.ttft_mean_ms", "latency.ttft_stddev_ms", "latency.tbt_mean_ms", "latency.tbt_stddev_ms")
"""Settings that replace figures of the latency profile."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about the server; all None if it is not an llmsim.

    Attributes:
        version: Version of llmsim.
        workers: Its worker processes.
        latency: Its latency in words; None if the settings are not shown to this machine.
        in_flight: Requests in flight before the load.
        recent_requests: Requests that began in the ten seconds before.
        hosts: How many there are of it; the figures are their sums.
    """

    version: str | None = None
    workers: int | None = None
    latency: str | None = None
    in_flight: int | None = None
    recent_requests: int | None = None
    hosts: int = 1

    @property
    def is_llmsim(self) -> bool:
        """Whether it is an llmsim."""
        return self.version is not None

    @property
    def is_idle(self) -> bool:
        """Whether no other client uses it, as far as it says so."""
        return not self.in_flight and not self.recent_requests


def inspect_target(host: str) -> Target:
    """Ask the server for its version, workers, latency and present load; nothing of it is required."""
    version = fetch_json(f"{host}/health").get("version")
    if not isinstance(version, str):
        return Target()
    stats = fetch_json(f"{host}/llmsim/stats")
    if "verdict" not in stats:
        return Target()
    recent = (stats.get("last_60_seconds") or {}).get("requests") or []
    return Target(
        version=version,
        workers=sum(1 for worker in stats.get("workers") or [] if worker.get("alive")),
        latency=describe_latency(fetch_json(f"{host}/llmsim/settings")),
        in_flight=stats.get("active_requests"),
        recent_requests=sum(recent[-_RECENT_SECONDS:]),
    )


def inspect_targets(hosts: Sequence[str]) -> Target:
    """Ask several servers; return what they are together, or nothing if one of them is not an llmsim."""
    found = [inspect_target(host) for host in hosts]
    if len(found) == 1:
        return found[0]
    if not all(each.is_llmsim for each in found):
        return Target()

    def together(values: Iterable[str | None]) -> str | None:
        names = dict.fromkeys(value for value in values if value is not None)
        return " and ".join(names) or None

    return Target(
        version=together(each.version for each in found),
        workers=sum(each.workers or 0 for each in found),
        latency=together(each.latency for each in found),
        in_flight=sum(each.in_flight or 0 for each in found),
        recent_requests=sum(each.recent_requests or 0 for each in found),
        hosts=len(found),
    )


def describe_latency(document: dict[str, Any]) -> str | None:
    """Return the latency that the settings define, in words; None without settings."""
    try:
        values = {entry["name"]: str(entry["value"]) for entry in document["settings"]}
        origins = {entry["name"]: entry["origin"] for entry in document["settings"]}
    except (KeyError, TypeError):
        return None
    if "latency.profile" not in values:
        return None
    profile = values["latency.profile"].strip('"')
    text = "each model's own" if origins["latency.profile"] == "default" else profile
    changed = [name for name in OVERRIDES if origins.get(name, "default") != "default"]
    return ", ".join([text, *(f"{name.partition('.')[2]} {values[name]}" for name in changed)])


def describe_target(target: Target) -> list[str]:
    """Return the lines that are shown before the load."""
    if not target.is_llmsim:
        return ["not an llmsim, or not directly: it gives no verdict on its own timing"]
    workers = f"{target.workers} worker{'s' * (target.workers != 1)}"
    if target.hosts > 1:
        workers += f" on {target.hosts} hosts"
    latency = f"latency: {target.latency or 'not shown to this machine'}"
    lines = [f"llmsim {target.version}, {workers}, {latency}"]
    if not target.is_idle:
        lines.append(
            f"warning: it is not idle: {target.in_flight} in flight, {target.recent_requests} requests in the last "
            f"{_RECENT_SECONDS} s; others share its time"
        )
    return lines


def fetch_json(url: str) -> dict[str, Any]:
    """Return the JSON object at a URL; an empty one if there is none."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT, context=unverified_context()) as response:
            found = json.load(response)
    except (urllib.error.URLError, OSError, ValueError, http.client.HTTPException):
        # NOTE: not an llmsim, or gone. The failures of the run show that by themselves.
        return {}
    return found if isinstance(found, dict) else {}


def unverified_context() -> ssl.SSLContext:
    """Return a TLS context that checks no certificates, as Locust does for the same server."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
