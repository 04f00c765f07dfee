"""Completes the replies of a provider with the headers that every response of it has.

Decisions:
* The head of every response to a provider's endpoint is made here, from the facts of the response, whatever it answers.
"""

import time
from collections.abc import Callable

from llmsim.providers.contract import Headers, Provider, Reply, ResponseFacts
from llmsim.server.active_request import ActiveRequest

_JSON = ("content-type", "application/json")


class ReplyBuilder:
    """Builds the replies of one provider.

    Args:
        provider: The API.
        new_id: Returns a new request id.
    """

    def __init__(self, provider: Provider, new_id: Callable[[], str]) -> None:
        self._provider = provider
        self._new_id = new_id

    def complete(self, reply: Reply, active: ActiveRequest) -> Reply:
        """Add the headers to a reply."""
        return self._with_headers(reply, self._facts(active))

    def complete_error(self, reply: Reply, active: ActiveRequest) -> Reply:
        """Add the headers, and to the body the request id where the API has it there, to a refusal, fault or crash."""
        facts = self._facts(active)
        return self._with_headers(self._provider.add_request_id(reply, facts.request_id), facts)

    def stream_headers(self, headers: Headers, active: ActiveRequest) -> Headers:
        """Return all headers of a streamed response.

        Args:
            headers: The endpoint's own.
            active: The request.
        """
        return (*headers, *self._provider.response_headers(self._facts(active)))

    def _facts(self, active: ActiveRequest) -> ResponseFacts:
        return ResponseFacts(self._new_id(), time.monotonic() - active.arrival)

    def _with_headers(self, reply: Reply, facts: ResponseFacts) -> Reply:
        # A reply that is not JSON has its content type as the first of its headers.
        own = reply.headers
        if not own or own[0][0] != _JSON[0]:
            own = (_JSON, *own)
        headers = (own[0], *self._provider.response_headers(facts), *own[1:])
        return Reply(reply.status, reply.body, headers)
