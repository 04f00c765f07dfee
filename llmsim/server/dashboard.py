"""The browser dashboard at `/llmsim/`: one page, which shows what the stats, the metrics and the control API answer.

Decisions:
* The page holds nothing of the server: it asks for figures, and for what is guarded it asks the guarded API, as any client does. So
  it needs no guard of its own, and shows each asker what the asker may see.
* It asks no other host for anything, and its policy lets it do nothing else: no inline script or style but its own, no frames, no
  forms elsewhere.
"""

import base64
import os
from importlib import resources

from falcon import HTTP_308
from falcon.asgi import Request, Response

PATH = "/llmsim/"

_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Dashboard:
    """`GET /llmsim/`: the page."""

    def __init__(self) -> None:
        self._page = resources.files("llmsim.server").joinpath("dashboard.html").read_text(encoding="utf-8")

    async def on_get(self, req: Request, resp: Response) -> None:
        """Return the page, with a nonce of its own."""
        nonce = base64.b64encode(os.urandom(16)).decode()
        resp.content_type = "text/html; charset=utf-8"
        resp.set_headers(
            {
                "cache-control": "no-store",
                "content-security-policy": _POLICY.format(nonce=nonce),
                "referrer-policy": "no-referrer",
                "x-content-type-options": "nosniff",
                "x-frame-options": "DENY",
            }
        )
        resp.text = self._page.replace("{nonce}", nonce)

    on_head = on_get


class Redirect:
    """`GET /llmsim`: the same without its slash."""

    async def on_get(self, req: Request, resp: Response) -> None:
        """Redirect to the page."""
        redirect(req, resp, HTTP_308)

    on_head = on_get


def is_front_page(req: Request) -> bool:
    """Return whether a browser asks for `/`; a program there has a wrong base URL, and is answered so."""
    return req.path == "/" and req.method in ("GET", "HEAD") and "text/html" in req.accept


def redirect(req: Request, resp: Response, status: str) -> None:
    """Redirect to the page, behind a proxy's prefix too."""
    resp.status = status
    resp.set_header("location", f"{req.scope.get('root_path', '')}{PATH}")
