"""What a request would get, and why: `POST /llmsim/explain`.

Decisions:
* The request is parsed, compared and planned by the same code as any other, but nothing is begun: no turn of a script is taken, no attempt
  is counted, nothing is stored or recorded.
* What is drawn at random (times, made-up texts, errors by a rate) is drawn once more for the explanation; it says so.
"""

from collections.abc import Callable
from typing import Any

import falcon.asgi
import msgspec
from falcon.asgi import Request, Response

from llmsim.domain import Fault, Prompt, ToolCallSegment, Turn, TurnOverrides
from llmsim.errors import BodyTooLargeError, RefusedError
from llmsim.planning.planner import UNCACHED, Planner
from llmsim.planning.prompt_facts import LinesNeeded, PromptFacts
from llmsim.providers.contract import IncomingRequest
from llmsim.providers.registry import endpoint_labels, find_endpoint
from llmsim.server.admin_api import DeniedError, check_parameters, send
from llmsim.server.batch_rules import begin_line
from llmsim.server.controls import RequestControls, check_generates
from llmsim.server.generation import GenerationService
from llmsim.server.planned_responses import AnalyzedRequest
from llmsim.server.rule_book import Match, RuleBook
from llmsim.server.rules import BATCHED, Rule
from llmsim.server.services import Services
from llmsim.server.transport.bodies import BodyReader, DisconnectedError
from llmsim.server.turn_player import Choice
from llmsim.text import nearest, printable
from llmsim.wire.codec import matcher

_SHOWN = 200
"""Characters of a text that are shown."""

_REFUSAL_SHOWN = 1_000
"""Characters of a refusal that are shown: it names the nearest right value."""

_MOST_MISSED = 20
"""Rules before the one that fits whose mismatch is explained."""

_DEFAULT_ENDPOINT = "completions"


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be explained.

    Attributes:
        request: The body of the request.
        endpoint: Its endpoint's label; empty to take Chat Completions.
        headers: Its headers.
        model: The model, where the API has it in the path.
    """

    request: msgspec.Raw
    endpoint: str = _DEFAULT_ENDPOINT
    headers: dict[str, str] = {}
    model: str = ""


class _Line(msgspec.Struct):
    """A request of a batch, as it stands in the file or in the list of the batch.

    Attributes:
        custom_id: What the client calls it.
        url: The path of its endpoint, in the batches of OpenAI.
        body: Its body there.
        params: Its body in the batches of Anthropic.
    """

    custom_id: str
    url: str = ""
    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decode = msgspec.json.Decoder(_Asked).decode
_match_line = matcher(_Line)
_Add = Callable[[str, str, str], None]


class _NoOwner:
    """What analysis asks of a request in progress."""

    owner = ""


class _NoChannel:
    """The channel of a request that is only explained: it remembers nothing."""

    active = _NoOwner()

    def recall(self, _response_id: str) -> None:
        """Return None: nothing is remembered."""


class _Error(msgspec.Struct):
    message: str


class _Refusal(msgspec.Struct):
    """The body of a refusal, as far as all APIs have the same."""

    error: _Error


_decode_refusal = msgspec.json.Decoder(_Refusal).decode


class _Explain:
    """`/llmsim/explain`."""

    def __init__(self, services: Services, bodies: BodyReader) -> None:
        self._services = services
        self._bodies = bodies

    async def on_post(self, req: Request, resp: Response) -> None:
        """Explain a request."""
        check_parameters(req)
        try:
            asked = _decode(await self._bodies.read(req))
        except DisconnectedError:
            return
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DeniedError(
                400, f'wanted {{"request": BODY, "endpoint": LABEL, "headers": {{}}}}: {error}'
            ) from None
        except RefusedError as error:
            status = 413 if isinstance(error, BodyTooLargeError) else 400
            raise DeniedError(getattr(error, "status", status), str(error)) from None
        asked, line_id = _unwrap(asked)
        service = self._services.find(asked.endpoint)
        if service is None:
            known = endpoint_labels()
            meant = nearest(asked.endpoint[:100], known)
            hint = f"; did you mean {meant!r}?" if meant else "."
            name = printable(asked.endpoint[:100])
            raise DeniedError(400, f"endpoint: unknown endpoint {name!r}{hint} One of: {', '.join(known)}")
        headers = {name.lower(): value for name, value in asked.headers.items()}
        path_params = {"model": asked.model} if asked.model else {}
        request = IncomingRequest(headers=headers, body=bytes(asked.request), path_params=path_params)
        send(
            resp,
            200,
            {"endpoint": asked.endpoint, "answers": await explain(self._services, service, request, line_id)},
        )


def _unwrap(asked: _Asked) -> tuple[_Asked, str | None]:
    """Return what a request of a batch asks for, with its id; what else is asked as it is, with None."""
    line = _match_line(bytes(asked.request))
    if line is None:
        return asked, None
    if isinstance(line.params, msgspec.Raw):
        return msgspec.structs.replace(asked, request=line.params, endpoint="messages"), line.custom_id
    if not isinstance(line.body, msgspec.Raw):
        return asked, None
    number = find_endpoint(line.url)
    if number is None:
        raise DeniedError(400, f"url: no endpoint {printable(line.url[:100])!r} that generates")
    return (
        msgspec.structs.replace(asked, request=line.body, endpoint=endpoint_labels()[number]),
        line.custom_id,
    )


def add_explanation(app: falcon.asgi.App[Any, Any], services: Services, bodies: BodyReader) -> None:
    """Add the explanation of requests to an app."""
    app.add_route("/llmsim/explain", _Explain(services, bodies))


async def explain(
    services: Services, service: GenerationService[Any], request: IncomingRequest, line_id: str | None = None
) -> list[dict[str, str]]:
    """Return what a request would get: each part with its value, and why it has it.

    Args:
        services: The services of the worker.
        service: The service of its endpoint.
        request: The request.
        line_id: What a batch calls it; None for a request by itself.
    """
    lines: list[dict[str, str]] = []

    def add(part: str, value: str, why: str) -> None:
        lines.append({"part": part, "value": value, "why": why})

    response = services.settings.response
    try:
        controls = service.planner.read_controls(request.headers)
        channel: Any = _NoChannel()
        analyzed = await service.planner.analyzer.analyze(request, channel, controls.scenario)
        player, prompt, facts = service.planner.player, analyzed.request.prompt, analyzed.facts
        if prompt.silent:
            check_generates(controls)
        match = await player.rules.match(
            prompt,
            player.sender(request.headers),
            usable=None if line_id is None else BATCHED,
            in_thread=analyzed.heavy,
            explains=True,
        )
        if line_id is None:
            choice = await player.choose(request, analyzed, controls, player.scripts.select(controls))
        else:
            add(
                "batch",
                printable(line_id)[:_SHOWN],
                "a request of a batch; it plays no script and no scenario",
            )
            choice = await _choose_for_line(player.rules, request, analyzed, controls, match.rule)
    except RefusedError as error:
        reply = service.render_refusal(error)
        message = _decode_refusal(reply.body).error.message
        add("refused", printable(message)[:_REFUSAL_SHOWN], f"the API answers with {reply.status}")
        return lines
    sent = controls.overrides
    add("model", facts.model.id, f"the request names {printable(prompt.model[:100])}")
    _add_rule(add, match, player.rules.rules.rules)
    by_script = "the header x-llmsim-script" if controls.script else "the server's own script"
    if prompt.silent:
        add("text", "none", "this endpoint generates none")
    else:
        _add_text(add, by_script, choice, response.generator, sent)
    overrides = choice.overrides
    if overrides is not None and overrides.fault is not None:
        fault = overrides.fault
        name = fault.kind.value if fault.status is None else f"{fault.status}"
        add("fault", name, _origin(choice, "fault", sent))
    if overrides is not None and overrides.fails:
        return lines
    planned = _plan(services.context.planner, prompt, facts, choice)
    if not prompt.silent:
        _add_tool(add, planned, choice, offered=len(prompt.tools))
    _add_latency(add, services.settings.latency.profile, planned, facts.model.profile, choice, sent)
    return lines


async def _choose_for_line(
    rules: RuleBook,
    request: IncomingRequest,
    analyzed: AnalyzedRequest[Any],
    controls: RequestControls,
    rule: Rule | None,
) -> Choice:
    """Return what a request of a batch gets."""
    prompt = analyzed.request.prompt
    turn, overrides = await begin_line(
        rules, request, prompt, request.body, controls.overrides, in_thread=analyzed.heavy
    )
    return Choice(overrides, None, None, rule, turn)


def _origin(choice: Choice, field: str, sent: TurnOverrides | None) -> str:
    """Return who asks for an override."""
    if sent is not None and getattr(sent, field) is not None:
        return f"the header x-llmsim-{field}"
    assert choice.rule is not None, "what no header asks for, a rule does"
    return f"the rule {choice.rule.label}"


def _add_rule(add: _Add, match: Match, rules: tuple[Rule, ...]) -> None:
    first = max(0, len(match.missed) - _MOST_MISSED)
    for rule, reason in zip(rules[first:], match.missed[first:], strict=False):
        add("no rule", rule.label, reason)
    if match.rule is not None:
        add("rule", match.rule.label, "the first one that fits")
    elif not match.missed:
        add("rule", "none", "there are no rules")
    else:
        add("rule", "none", "none fits")


def _add_text(add: _Add, by_script: str, choice: Choice, generator: str, sent: TurnOverrides | None) -> None:
    by_rule = f"the rule {choice.rule.label}" if choice.rule is not None else ""
    if choice.step is not None:
        step = choice.step
        by = (
            by_rule
            if choice.rule is not None and choice.rule.controls.scenario
            else "a marker, model or header"
        )
        add("scenario", f"{step.scenario}, step {step.step}", f"{by} chooses it")
    elif choice.turn is not None:
        text = choice.turn.step.turn.text
        add("text", printable(text or "")[:_SHOWN] if text else "none, only calls", by_rule)
    elif choice.selection is not None:
        script = choice.selection.script
        by = by_rule if choice.rule is not None and choice.rule.controls.script else by_script
        add("script", f"{printable(script)}, in session {printable(choice.selection.session)}", by)
    elif choice.overrides is not None and choice.overrides.fails:
        add("text", "none", "an error comes in its place")
    elif sent is not None and sent.generator is not None:
        add("text", sent.generator.name, "the header x-llmsim-generator")
    else:
        add("text", generator, "no rule, script or scenario has one: the generator of the settings")
    if choice.overrides is not None and choice.overrides.tokens is not None:
        add("tokens", str(choice.overrides.tokens), _origin(choice, "tokens", sent))


def _plan(planner: Planner, prompt: Prompt, facts: PromptFacts, choice: Choice) -> Turn | Fault | None:
    """Plan the response as far as nothing has to be begun for it; None if it takes more."""
    rng = planner.outcome_rng(0 if planner.numbers_requests else None)
    if choice.turn is not None:
        return planner.play(prompt, facts, choice.turn.step, rng, UNCACHED)
    if choice.step is not None or choice.selection is not None:
        return None
    planned = planner.plan(prompt, facts, rng, UNCACHED)
    return None if isinstance(planned, LinesNeeded) else planned


def _add_tool(add: _Add, planned: Turn | Fault | None, choice: Choice, *, offered: int) -> None:
    if not isinstance(planned, Turn):
        if choice.step is not None or choice.selection is not None:
            add("tool", "as its turn has it", "the script or scenario decides")
        return
    calls = [
        segment for one in planned.choices for segment in one.segments if isinstance(segment, ToolCallSegment)
    ]
    if choice.turn is not None and calls:
        why = "the rule calls it"
    elif calls:
        why = "the request forces or suggests a call; see the settings [tools]"
    elif offered:
        why = "the request neither forces nor suggests a call"
    else:
        why = "the request offers no tools"
    for segment in calls:
        text = f"{printable(segment.call.name)}({printable(segment.arguments.text)[:_SHOWN]})"
        add("tool", text, why)
    if not calls:
        add("tool", "none", why)


def _add_latency(
    add: _Add,
    default: str | None,
    planned: Turn | Fault | None,
    profile: str,
    choice: Choice,
    sent: TurnOverrides | None,
) -> None:
    latency = None if choice.overrides is None else choice.overrides.latency
    if latency is not None:
        figures = [("ttft", latency.ttft_ms), ("itl", latency.itl_ms)]
        shown = latency.profile or ", ".join(
            f"{name} {value:g} ms" for name, value in figures if value is not None
        )
        add("latency", shown, _origin(choice, "latency", sent))
        return
    if default is not None:
        add("latency", default, "the setting latency.profile")
    else:
        add("latency", profile, "the model's own profile; settings of [latency] may change its figures")
    if isinstance(planned, Turn):
        add(
            "first token",
            f"{planned.schedule.ttft * 1000:.0f} ms",
            "drawn once; the next request gets another one",
        )
