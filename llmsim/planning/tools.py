"""Which tools a turn calls.

Decisions:
* A turn calls what the question is about: words that it shares with a tool's name weigh more than those of its description
  and of its parameters, and most where they are the whole name. Words of grammar, and those that all tools are described
  with, count for nothing, and a name without them is not whole: "task" is not `TaskOutput`.
* Of a long word only the beginning is compared: "calculate" finds the tool `calculator`. Of a description the first sentence
  counts: agents put pages of advice behind it.
* What is asked of files and commands weighs more than words: `intents` says which tools do it.
* Of hosted tools with a schema, as those of MCP servers, one is called: a server may offer many.
* A call that the client has approved is due before anything else. One that needs approval is asked for even if hosted tools are not
  called: it is the client's part of the API that is tested.
* What was called since the last question is not called again while there is something else to call, and a tool
  whose name speaks of an end comes last: so loops that only a tool can end do end, as those of a good model do.
"""

import re
from collections.abc import Sequence

import msgspec

from llmsim.budgets import remembered
from llmsim.config import ToolSettings
from llmsim.domain import Prompt, Tool, ToolKind, ToolMode
from llmsim.domain.question import question_of
from llmsim.json_schema.document import read
from llmsim.planning.intents import described_purpose, intent_of, purpose_of
from llmsim.planning.rng import Random

_GRAMMAR = frozenset(
    """
    a about all also an and any are as at be been but by call called calls can could did do does done
    each for from get given gets had has have her here him his how i if in input into is it its just let
    like list make may me more most my new no not now of on one only optional or other our out output
    parameter parameters please provide provided provides required result return returned returning
    returns set she should so some such take takes tell than that the their them then there these they
    this to tool tools up us use used useful user uses using value values want was we were what when
    where which who why will with without would you your function functions
    """.split()
)
"""Words without meaning for what a tool does."""

_ENDS = frozenset(
    """
    answer complete completed conclude done end exit final finalize finish output reply respond response
    result results return stop submit terminate
    """.split()
)
"""Words in the name of a tool that ends the agent's loop."""

_COMMON_PARAMETERS = frozenset(
    """
    answer body content context count data description details field format id info input items key keywords kind limit
    message mode name note notes number object offset options page params path prompt q query question reason
    size source start status summary target text time title type url value values question task
    """.split()
)
"""Names of parameters that say nothing of what a tool does."""

_NAME_GRAMMAR = _GRAMMAR - {"user"}
"""Words without meaning in a name; a user is what the tool deals with there."""

_PARAMETER_GRAMMAR = _GRAMMAR | _COMMON_PARAMETERS
_NO_GRAMMAR: frozenset[str] = frozenset()

_STEM = 7
"""Letters of a word that are compared."""

_WORD = re.compile(r"[^\W\d_]+")
_PATH = re.compile(r"https?://\S+|(?<!\S)\S*[/\\]\S*|(?<!\S)[^\s.]*\w\.[a-z]\w{0,7}\b")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


PROVIDERS = (ToolKind.HOSTED, ToolKind.ON_APPROVAL)
"""Kinds of tools that the provider runs."""


class ConversationState(msgspec.Struct, frozen=True):
    """What has happened since the last user message.

    Attributes:
        question: The text of that message, without what harnesses add.
        called: Names of the tools called since then.
        answered: Whether a call has returned a result since then.
    """

    question: str
    called: frozenset[str] = frozenset()
    answered: bool = False


def conversation_state(prompt: Prompt) -> ConversationState:
    """Return what has happened since the last user message."""
    called: set[str] = set()
    answered = has_reminders = False
    for message in reversed(prompt.messages):
        answered = answered or bool(message.results)
        called.update(call.name for call in message.calls)
        if has_reminders and message.role == "assistant" and message.texts and not message.calls:
            # The question before has its answer.
            break
        # A user message with results, too, belongs to the turn that they answer, and so does one of reminders only.
        if message.role == "user" and message.texts and not message.results:
            question = question_of(message.texts)
            if question or not any(text.strip() for text in message.texts):
                return ConversationState(question, frozenset(called), answered)
            has_reminders = True
    last = prompt.messages[-1] if prompt.messages else None
    question = question_of(last.texts) if last else ""
    return ConversationState(question, frozenset(called), answered)


class ToolPicker:
    """Picks the tools that a turn calls by the settings `[tools]`."""

    def __init__(self, settings: ToolSettings) -> None:
        self._probability = settings.call_probability
        self._most = settings.max_calls
        self._hosted = settings.hosted_calls

    def pick(self, prompt: Prompt, state: ConversationState, rng: Random) -> tuple[Tool, ...]:
        """Return the tools that the next turn calls; hosted ones come first."""
        due = tuple([tool for tool in prompt.tools if tool.arguments is not None])
        if due:
            return due
        choice = prompt.tool_choice
        if choice.mode is ToolMode.NONE:
            return ()
        allowed = [tool for tool in prompt.tools if choice.names is None or tool.name in choice.names]
        forced = choice.mode is ToolMode.REQUIRED
        own = [tool for tool in allowed if tool.kind not in PROVIDERS]
        hosted = [tool for tool in allowed if tool.kind in PROVIDERS]
        if state.answered or not self._hosted:
            asked = [] if state.answered else [tool for tool in hosted if tool.kind is ToolKind.ON_APPROVAL]
            hosted = hosted if forced and not own else asked
        if len(remote := [tool for tool in hosted if tool.schema]) > 1:
            best = self._own(remote, state, rng, forced=True)[:1]
            hosted = [tool for tool in hosted if not tool.schema or tool in best]
        most = self._most if choice.parallel else 1
        called = self._own(own, state, rng, forced=forced and not hosted)[:most]
        return (*hosted[: choice.limit], *called)

    def _own(
        self, tools: Sequence[Tool], state: ConversationState, rng: Random, *, forced: bool
    ) -> Sequence[Tool]:
        """Return those of the client's tools that fit the conversation, the best first."""
        if not tools or (state.answered and not forced):
            return ()
        # The words of a path or URL are not what the question is about.
        question = _PATH.sub(" ", state.question[:_LONGEST])
        spoken = _words(question, grammar=_NAME_GRAMMAR)
        all_spoken = _words(question, grammar=_NO_GRAMMAR)
        intent = intent_of(state.question[:_LONGEST])
        fits: dict[str, tuple[bool, int, bool, int, bool]] = {}
        for tool in tools:
            purpose = purpose_of(tool)
            serves = purpose.serves(intent)
            is_shell = purpose.kind == "shell"
            fit = _fit(tool, spoken, all_spoken) + (is_shell and intent.kind == "run")
            is_allowed = bool(serves or fit) and not (intent.only_reads and purpose.changes)
            is_lost = purpose.needs_handle and not intent.has_handle
            fits[tool.name] = (is_allowed, serves, not is_lost, fit, is_shell)
        ranked = sorted(tools, key=lambda tool: (fits[tool.name], _ends(tool)), reverse=True)
        fitting = [tool for tool in ranked if fits[tool.name][0] and tool.name not in state.called]
        if not fitting and spoken:
            fitting = [tool for tool in ranked if tool.finds_tools and tool.name not in state.called]
        if not state.answered:
            if forced or (self._probability is not None and rng.random() < self._probability):
                return fitting or ranked[:1]
            return fitting if self._probability is None else ()
        return sorted(ranked, key=lambda tool: (tool.name not in state.called, _ends(tool)), reverse=True)[:1]


def _ends(tool: Tool) -> bool:
    return bool(_words(tool.name, grammar=frozenset()) & _STEMS_OF_ENDS)


def _fit(tool: Tool, spoken: frozenset[str], all_spoken: frozenset[str]) -> int:
    named = _words(tool.name, grammar=_NAME_GRAMMAR)
    is_whole = bool(named) and _words(tool.name, grammar=_NO_GRAMMAR) <= all_spoken
    described = _words(described_purpose(tool.description)) | _parameters(tool.schema)
    return 3 * (len(named & spoken) + is_whole) + len(described & spoken)


@remembered(128, max_chars=20_000)
def _parameters(schema: bytes) -> frozenset[str]:
    """Return the words of the parameters that a schema names."""
    document = read(schema).document if schema else None
    properties = document.get("properties") if isinstance(document, dict) else None
    return _words(" ".join(properties or ()).replace("_", " "), grammar=_PARAMETER_GRAMMAR)


@remembered(1024, max_chars=500)
def _stems(text: str, grammar: frozenset[str]) -> frozenset[str]:
    words = {word.lower() for word in _WORD.findall(_CAMEL.sub(" ", text))} - grammar
    # Flights are what a flight is searched for.
    singular = {word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words} - grammar
    return frozenset(word[:_STEM] for word in singular if len(word) > 1)


_STEMS_OF_ENDS = _stems(" ".join(sorted(_ENDS)), frozenset())

_LONGEST = 2_000
"""Characters of a text whose words count."""


def _words(text: str, *, grammar: frozenset[str] = _GRAMMAR) -> frozenset[str]:
    return _stems(text[:_LONGEST], grammar)
