"""Which scenario a request plays, and which step of it: a function of its messages alone.

Decisions:
* A marker holds until the next user message. A message that holds nothing but tool results does not count, whatever its role;
  nor does one with results and what a harness adds to them.
* The step is the number of answers since that message. Ids of calls that scenarios have made say their step, too: they count where
  more, for histories lose messages when they are shortened.
* Where an API has a turn sent back as several items, neighbouring ones are one turn; so are calls of one step that their
  results have separated.
"""

import math
import re
from collections.abc import Iterator, Sequence

import msgspec

from llmsim.domain import Message, Prompt
from llmsim.domain.question import question_of

_MARKER = "[[llmsim:"
_MODEL = "llmsim-scenario-"
_CALL_ID = "call_llmsim_"
_OWN_ID = re.compile(r"call_llmsim_([a-z0-9-]+)_(\d{1,9})_\d{1,9}_[^_]*")

_MOST_SEED = (1 << 64) - 1


class RequestedScenario(msgspec.Struct, frozen=True):
    """A scenario that a request names beside its messages.

    Attributes:
        name: Its name, known or not.
        seed: Seed of what is drawn.
        speed: Factor on all times; > 0.
    """

    name: str
    seed: int = 0
    speed: float = 1.0


class Selection(msgspec.Struct, frozen=True):
    """Which scenario a request plays.

    Attributes:
        name: Its name, known or not.
        seed: Seed of what is drawn; 0 if not given.
        speed: Factor on all times; 1 if not given.
        user_text: Text of the last user message; empty without one.
        user_messages: Number of user messages.
        step: How many steps were played since the last one.
    """

    name: str
    seed: int
    speed: float
    user_text: str
    user_messages: int
    step: int


def select_scenario(
    prompt: Prompt, *, splits_turns: bool = False, requested: RequestedScenario | None = None
) -> Selection | None:
    """Return which scenario a request plays; None if it chooses none.

    Args:
        prompt: The request.
        splits_turns: Whether the API has a turn sent back as several items.
        requested: The scenario that it names beside its messages; comes before a marker. None if it names none.
    """
    messages = prompt.messages
    last = next((index for index in range(len(messages) - 1, -1, -1) if _is_user(messages[index])), -1)
    text = "\n".join(messages[last].texts) if last >= 0 else ""
    marked = _read_marker(text)
    if requested is not None:
        marked = (requested.name, requested.seed, requested.speed)
    if marked is None:
        if not prompt.model.startswith(_MODEL):
            return None
        marked = (prompt.model.removeprefix(_MODEL), 0, 1.0)
    name, seed, speed = marked
    step = _count_steps(messages[last + 1 :], name, splits_turns=splits_turns)
    return Selection(name, seed, speed, text, sum(map(_is_user, messages)), step)


def _is_user(message: Message) -> bool:
    """Return whether a message is the user's, and not what a harness adds to tool results."""
    if message.author != "user":
        return False
    return not message.results or bool(question_of(message.texts))


def _read_marker(text: str) -> tuple[str, int, float] | None:
    """Return name, seed and speed of the first marker; None if there is none."""
    _, found, rest = text.partition(_MARKER)
    content, closed, _ = rest.partition("]]")
    if not found or not closed:
        return None
    name, *pairs = content.split() or [""]
    seed, speed = 0, 1.0
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key == "seed":
            seed = int(value) if value.isascii() and value.isdigit() and len(value) <= 20 else 0
            seed = seed if seed <= _MOST_SEED else 0
        elif key == "speed":
            speed = _read_speed(value)
    return name, seed, speed


def _read_speed(value: str) -> float:
    try:
        speed = float(value)
    except ValueError:
        return 1.0
    return speed if math.isfinite(speed) and speed > 0 else 1.0


def call_id(name: str, step: int, number: int, nonce: str) -> str:
    """Return the id of a call that a scenario makes."""
    return f"{_CALL_ID}{name}_{step}_{number}_{nonce}"


def _count_steps(messages: Sequence[Message], name: str, *, splits_turns: bool) -> int:
    answers = sum(message.author == "assistant" for message in messages)
    if splits_turns:
        answers = _count_turns(messages, name)
    shown = (step for message in messages for step in _steps_of(message, name))
    return max(answers, max(shown, default=-1) + 1)


def _count_turns(messages: Sequence[Message], name: str) -> int:
    """Count turns that are sent as several items."""
    turns = 0
    is_open = False
    known: set[int] = set()
    for message in messages:
        if message.author != "assistant":
            is_open = False
            continue
        if not (message.texts or message.calls or message.notes):
            # What stands for a shortened conversation.
            continue
        steps = set(_steps_of(message, name))
        if not is_open and not (steps and steps <= known):
            turns += 1
        is_open = True
        known |= steps
    return turns


def _steps_of(message: Message, name: str) -> Iterator[int]:
    """Yield the steps of a scenario that the ids of a message's calls and results show."""
    for own in (*(call.id for call in message.calls), *(result.call for result in message.results)):
        if own.startswith(_CALL_ID) and (match := _OWN_ID.fullmatch(own)) and match[1] == name:
            yield int(match[2])
