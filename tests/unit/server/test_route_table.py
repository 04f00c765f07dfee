"""The table of routes: variables of paths that several providers have."""

from types import SimpleNamespace
from typing import Any

import pytest

from llmsim.providers.registry import PROVIDERS
from llmsim.server.http import Responder
from llmsim.server.route_table import RouteTable
from llmsim.server.router import Router

FIRST, SECOND = [provider for provider in PROVIDERS if provider.is_bare][:2]


def answers(found: list[dict[str, str]]) -> Responder:
    async def answer(_req: Any, _resp: Any, **variables: str) -> None:
        found.append(variables)

    return answer


@pytest.mark.parametrize(("method", "name"), [("get", "item_id"), ("post", "item_id"), ("delete", "thing")])
async def test_a_path_of_two_apis_has_the_names_of_the_one_that_answers(method: str, name: str) -> None:
    """API-1.6: A method that one API alone has gets the variables as that API names them."""
    found: list[dict[str, str]] = []
    table = RouteTable(router := Router())
    table.add_provider(FIRST, {"/v1/things/{item_id}": dict.fromkeys(("get", "post"), answers(found))})
    table.add_provider(SECOND, {"/v1/things/{thing}": {"delete": answers(found)}})
    table.add_bare()
    match = router.find("/v1/things/a")
    assert match is not None
    _, responders, variables, _ = match
    answer: Any = responders[method.upper()]
    await answer(SimpleNamespace(scope={"headers": []}), None, **variables)

    assert found == [{name: "a"}]
