"""The part of the control API that shows and changes rules: `/llmsim/rules`."""

from typing import Any

import falcon.asgi
from falcon.asgi import Request, Response

from llmsim.errors import BodyTooLargeError, RefusedError, ScriptError, StoreError
from llmsim.server.admin_api import DeniedError, check_parameters, send, source_format_of
from llmsim.server.rule_book import RuleBook
from llmsim.server.rules import RuleSet, describe_rule
from llmsim.server.transport.bodies import BodyReader, DisconnectedError


class _Rules:
    """`/llmsim/rules`: the rules in force."""

    def __init__(self, book: RuleBook, bodies: BodyReader) -> None:
        self._book = book
        self._bodies = bodies

    async def on_get(self, req: Request, resp: Response) -> None:
        """Show them."""
        check_parameters(req)
        rules = await self._book.refresh()
        send(resp, 200, _render(rules) | {"source": rules.source.decode("utf-8", "replace")})

    async def on_put(self, req: Request, resp: Response) -> None:
        """Replace all of them, for all workers."""
        check_parameters(req)
        source_format = source_format_of(req)
        try:
            rules = await self._book.upload(await self._bodies.read(req), source_format)
        except ScriptError as error:
            raise DeniedError(400, *error.problems) from None
        except StoreError:
            raise
        except RefusedError as error:
            status = 413 if isinstance(error, BodyTooLargeError) else 400
            raise DeniedError(getattr(error, "status", status), str(error)) from None
        except DisconnectedError:
            return
        send(resp, 200, _render(rules))

    async def on_delete(self, req: Request, resp: Response) -> None:
        """Put those of the settings' file in force again."""
        check_parameters(req)
        send(resp, 200, _render(await self._book.delete()))


def _render(rules: RuleSet) -> dict[str, Any]:
    return {
        "origin": rules.origin or None,
        "format": rules.source_format,
        "rules": [describe_rule(rule) for rule in rules.rules],
    }


def add_rules(app: falcon.asgi.App[Any, Any], book: RuleBook, bodies: BodyReader) -> None:
    """Add the rules to an app."""
    app.add_route("/llmsim/rules", _Rules(book, bodies))
