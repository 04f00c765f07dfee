"""The resource of a provider's endpoint that looks something up."""

import time
from collections.abc import Mapping

from falcon.asgi import Request, Response

from llmsim.catalogue import Model
from llmsim.errors import MethodError, RefusedError
from llmsim.planning.planner import Planner
from llmsim.providers.contract import Lookup, Provider, Reply
from llmsim.server.turns import send_reply
from llmsim.server.visits import KEY, Visit


class Lookups:
    """One such endpoint."""

    def __init__(
        self, provider: Provider, lookup: Lookup, models: Mapping[str, Model], planner: Planner
    ) -> None:
        self._provider = provider
        self._lookup = lookup
        self._models = models
        self._planner = planner

    async def on_get(self, req: Request, resp: Response, **variables: str) -> None:
        """Look it up."""
        visit: Visit = req.scope[KEY]
        params = {name: value for name, value in req.params.items() if isinstance(value, str)} | variables
        try:
            reply = Reply(200, self._lookup.render(self._models, params))
        except RefusedError as error:
            reply = self._provider.render_refusal(error)
        send_reply(
            resp, reply, self._provider.headers(self._planner.new_id(), time.monotonic() - visit.arrived)
        )

    async def on_options(self, req: Request, resp: Response, **variables: str) -> None:
        """Refuse, as every other method is refused.

        Raises:
            MethodError: Always.
        """
        raise MethodError("OPTIONS", req.path.removeprefix(self._provider.prefix), ("GET",))
