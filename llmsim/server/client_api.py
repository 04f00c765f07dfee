"""The report on clients, as part of the control API."""

from typing import Any

import falcon.asgi
import orjson
from falcon.asgi import Request, Response

from llmsim.domain.client_report import ClientReport, Misbehaviour
from llmsim.state.client_port import ClientRegistry

PATH = "/llmsim/clients"


class _Clients:
    """`/llmsim/clients`: what is known of all clients."""

    def __init__(self, registry: ClientRegistry) -> None:
        self._registry = registry

    async def on_get(self, req: Request, resp: Response) -> None:
        """Show it."""
        reports = await self._registry.report()
        _send(
            resp,
            {
                "clients": [render_client(report) for report in reports],
                "kinds": [kind.value for kind in Misbehaviour],
            },
        )

    async def on_delete(self, req: Request, resp: Response) -> None:
        """Forget it."""
        _send(resp, {"clients_forgotten": await self._registry.forget()})


def render_client(report: ClientReport) -> dict[str, Any]:
    """Render what is known of a client."""
    return {
        "client": report.client,
        "named_by": report.named_by,
        "failures": report.failures,
        "retries": report.retries,
        "not_judged": report.not_judged,
        "first_at": report.first_at,
        "last_at": report.last_at,
        "findings": [
            {
                "kind": finding.kind.value,
                "count": finding.count,
                "worst": round(finding.worst, 3),
                "example": finding.example,
            }
            for finding in report.findings
        ],
    }


def add_clients(app: falcon.asgi.App[Any, Any], registry: ClientRegistry) -> None:
    """Add the report to an app."""
    app.add_route(PATH, _Clients(registry))


def _send(resp: Response, body: dict[str, Any]) -> None:
    resp.content_type = "application/json"
    resp.set_header("cache-control", "no-store")
    resp.data = orjson.dumps(body)
