"""The report on clients: what they did wrong when requests failed."""

from collections.abc import Collection
from typing import Any

from llmsim.testing.client import ControlClient


class ClientFindings:
    """How one client went about failures.

    Attributes:
        client: Name of its session, or fingerprint of its API key.
        named_by: `session`, `key`, or `none` for all clients without a key.
        failures: Requests of it that failed.
        retries: Requests that it sent again.
        not_judged: Requests that it sent several times at once, which are not judged.
        findings: What it did wrong: tables with `kind`, `count`, `worst` and `example`.
    """

    def __init__(self, table: dict[str, Any]) -> None:
        self.client: str = table["client"]
        self.named_by: str = table["named_by"]
        self.failures: int = table["failures"]
        self.retries: int = table["retries"]
        self.not_judged: int = table["not_judged"]
        self.findings: list[dict[str, Any]] = table["findings"]

    @property
    def kinds(self) -> set[str]:
        """The kinds of what it did wrong."""
        return {finding["kind"] for finding in self.findings}

    def __repr__(self) -> str:
        return f"<{self.client}: {', '.join(sorted(self.kinds)) or 'nothing wrong'}>"


def read_clients(client: ControlClient, session: str | None = None) -> list[ClientFindings]:
    """Read the report, of one session or of all clients."""
    found = [ClientFindings(table) for table in client.call("GET", "clients")["clients"]]
    if session is not None:
        found = [one for one in found if (one.named_by, one.client) == ("session", session[:80])]
    return found


def check_clients(client: ControlClient, session: str | None, allowed: Collection[str]) -> None:
    """Check that no client did anything wrong but what is allowed.

    Args:
        client: The server.
        session: The session whose client is checked; None for all clients.
        allowed: Kinds that are allowed.

    Raises:
        AssertionError: One did; the message says which and what.
        ValueError: There is no such kind.
    """
    kinds = client.call("GET", "clients")["kinds"]
    if unknown := set(allowed) - set(kinds):
        raise ValueError(f"unknown kinds {sorted(unknown)}; one of: {', '.join(kinds)}")
    problems = [
        f"  {one.client}: {finding['kind']} x {finding['count']}: {finding['example']}"
        for one in read_clients(client, session)
        for finding in one.findings
        if finding["kind"] not in allowed
    ]
    if problems:
        raise AssertionError("\n".join(("clients misbehaved:", *problems)))
