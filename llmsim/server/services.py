"""The services of the endpoints, by the settings in force; all of them are replaced together when these change.

Decisions:
* A request takes its service once, and with it planner, limits and what is remembered: it goes on with them to its end.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from llmsim.config import Settings
from llmsim.planning.planner import Planner
from llmsim.planning.scenarios import ScenarioPlanner
from llmsim.providers.contract import ChannelFormat, GenerationEndpoint, Provider
from llmsim.scenarios import Scenario
from llmsim.server.client_watch import ClientWatch
from llmsim.server.engine.engines import Engines
from llmsim.server.generation import GenerationService
from llmsim.server.journal_writer import JournalWriter
from llmsim.server.quota_gate import QuotaGate
from llmsim.server.rule_book import RuleBook
from llmsim.server.scenario_player import ScenarioPlayer
from llmsim.server.script_player import ScriptPlayer
from llmsim.server.worker_context import WorkerContext
from llmsim.state.ports import State


class ServiceHolder(Protocol):
    """What answers the requests of an endpoint by a service that is replaced."""

    service: GenerationService[Any]


class Services:
    """The services of one worker.

    Attributes:
        context: What endpoints that do not generate use.
    """

    def __init__(
        self,
        settings: Settings,
        state: State,
        scenarios: Mapping[str, Scenario],
        context: WorkerContext,
        player: ScriptPlayer,
        journal: JournalWriter,
        engines: Engines,
        clients: ClientWatch | None,
        rules: RuleBook,
    ) -> None:
        """Prepare to build services.

        Args:
            settings: Those in force.
            state: What all workers share.
            scenarios: Those that can be played, by name.
            context: The worker's services.
            player: Plays the turns of scripts.
            journal: Writes the journal.
            engines: Produce the tokens of their models.
            clients: Watches how clients go about failures; None if no client can ask for it.
            rules: Answers by what is asked.
        """
        self._state = state
        self._scenarios = scenarios
        self._player = player
        self._journal = journal
        self._engines = engines
        self._clients = clients
        self._rules = rules
        self._held: list[tuple[ServiceHolder, Provider, GenerationEndpoint[Any], ChannelFormat[Any]]] = []
        self._use(settings, context)

    def _use(self, settings: Settings, context: WorkerContext) -> None:
        self._settings = settings
        self.context = context
        self._gates: dict[str, QuotaGate] = {}
        self._steps = None
        if self._scenarios:
            planned = ScenarioPlanner(context.planner, context.planner.overrider.latency)
            self._steps = ScenarioPlayer(self._scenarios, self._state.attempts, planned)

    def build(
        self, provider: Provider, endpoint: GenerationEndpoint[Any], channel_format: ChannelFormat[Any]
    ) -> GenerationService[Any]:
        """Build the service of an endpoint on one kind of channel."""
        return GenerationService(
            provider,
            endpoint,
            channel_format,
            self.context,
            self._player,
            self._journal,
            self._steps,
            self._gate(provider),
            self._engines.router,
            self._clients,
            rules=self._rules,
        )

    def _gate(self, provider: Provider) -> QuotaGate | None:
        limits = self._settings.limits
        if not (limits.tiers and (limits.keys or limits.default)):
            return None
        if provider.name not in self._gates:
            tokens = self._settings.response.target_tokens
            self._gates[provider.name] = QuotaGate(limits, self._state.quotas, provider, tokens)
        return self._gates[provider.name]

    def hold(
        self,
        holder: ServiceHolder,
        provider: Provider,
        endpoint: GenerationEndpoint[Any],
        channel_format: ChannelFormat[Any],
    ) -> None:
        """Note whose service is to be replaced."""
        self._held.append((holder, provider, endpoint, channel_format))

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._settings

    def find(self, label: str) -> GenerationService[Any] | None:
        """Return the service of an endpoint by its label in the stats; None if there is no such endpoint."""
        return next((one.service for one, _, endpoint, _ in self._held if endpoint.label == label), None)

    def replace(self, settings: Settings, planner: Planner) -> None:
        """Put other settings in force, for all requests that come from now on."""
        self._use(settings, self.context.with_planner(planner))
        for holder, provider, endpoint, channel_format in self._held:
            holder.service = self.build(provider, endpoint, channel_format)
