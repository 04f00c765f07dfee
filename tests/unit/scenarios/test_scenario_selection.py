"""Which scenario a request plays, and which step."""

import pytest

from llmsim.domain import Message, PriorToolCall, Prompt, ToolResult
from llmsim.scenarios import Selection, select_scenario

GO = Message("user", ("Go. [[llmsim:walk]]",))
DONE = Message("assistant", ("Done.",))


def select(*messages: Message, model: str = "gpt-4o", splits_turns: bool = False) -> Selection | None:
    return select_scenario(Prompt(model=model, messages=messages), splits_turns=splits_turns)


def step_of(*messages: Message, splits_turns: bool = False) -> int:
    found = select(GO, *messages, splits_turns=splits_turns)
    assert found is not None
    assert found.name == "walk"
    return found.step


def call(step: int, number: int = 0, name: str = "walk", text: str = "") -> Message:
    own = PriorToolCall(f"call_llmsim_{name}_{step}_{number}_0a1b2c3d", "read", "{}")
    return Message("assistant", (text,) if text else (), calls=(own,))


def result(step: int, number: int = 0) -> Message:
    return Message("tool", (), results=(ToolResult(f"call_llmsim_walk_{step}_{number}_0a1b2c3d", "ok"),))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[[llmsim:walk]]", ("walk", 0, 1.0)),
        ("before [[llmsim:walk seed=7 speed=0.5]] after", ("walk", 7, 0.5)),
        ("[[llmsim:walk]] [[llmsim:run]]", ("walk", 0, 1.0)),
        ("[[llmsim:walk colour=red speed=fast seed=-1 x]]", ("walk", 0, 1.0)),
        ("[[llmsim:walk speed=0]]", ("walk", 0, 1.0)),
        ("[[llmsim:walk speed=nan seed=99999999999999999999]]", ("walk", 0, 1.0)),
        ("[[llmsim:  walk\tseed=18446744073709551615 ]]", ("walk", 18446744073709551615, 1.0)),
        ("[[llmsim:]]", ("", 0, 1.0)),
        ("[[llmsim:walk]", None),
        ("[llmsim:walk]]", None),
        ("[[LLMSIM:walk]]", None),
    ],
)
def test_the_first_marker_chooses(text: str, found: tuple[str, int, float] | None) -> None:
    """SCEN-2.1: With seed and speed; what is unknown or malformed in it is ignored."""
    selection = select(Message("user", (text,)))

    assert (None if selection is None else (selection.name, selection.seed, selection.speed)) == found


def test_a_marker_holds_until_the_next_user_message() -> None:
    """SCEN-2.1: It may be in any text of the message; the messages of others choose nothing."""
    parts = Message("user", ("Look at this.", "[[llmsim:walk]]"))

    assert select(parts, DONE, Message("tool", (), results=(ToolResult("1", "[[llmsim:run]]"),))) is not None
    assert select(GO, DONE, Message("user", ("Thanks.",))) is None
    assert select(Message("system", ("[[llmsim:walk]]",)), Message("user", ("Hi",))) is None
    assert select(Message("user", ("Hi",)), Message("assistant", ("[[llmsim:walk]]",))) is None


@pytest.mark.parametrize(
    "texts",
    [
        (),
        ("<system-reminder>\nTwo todos are left.\n</system-reminder>",),
        ("  <environment_context></environment_context>\n",),
    ],
)
def test_tool_results_are_no_user_message(texts: tuple[str, ...]) -> None:
    """SCEN-2.2: As Anthropic's have the role `user`, with what an agent adds to them."""
    results = Message("user", texts, results=(ToolResult("1", "ok"),))

    assert step_of(call(0), results) == 1


def test_a_question_beside_tool_results_is_a_user_message() -> None:
    """SCEN-2.2: The marker of the message before no longer holds."""
    reminder = "<system-reminder>x</system-reminder>"
    mixed = Message("user", (reminder, "And now?"), results=(ToolResult("1", "ok"),))

    assert select(GO, call(0), mixed) is None


def test_a_model_id_chooses_where_no_marker_does() -> None:
    """SCEN-2.3: Without any user message, too."""
    found = select(Message("user", ("Hi",)), DONE, model="llmsim-scenario-run")

    assert found is not None
    assert (found.name, found.step, found.user_messages) == ("run", 1, 1)
    marked = select(GO, model="llmsim-scenario-run")
    assert marked is not None
    assert marked.name == "walk"
    alone = select(model="llmsim-scenario-run")
    assert alone is not None
    assert (alone.user_text, alone.user_messages, alone.step) == ("", 0, 0)


def test_the_step_is_the_number_of_answers() -> None:
    """SCEN-3.1: Since the last user message; each message counts."""
    assert step_of() == 0
    assert step_of(DONE, DONE) == 2
    assert step_of(Message("assistant", ()), call(1), result(1)) == 2


def test_ids_show_a_later_step() -> None:
    """SCEN-3.1: Of calls and of results, of this scenario alone; less than the answers they count for nothing."""
    assert step_of(call(4), result(4)) == 5
    assert step_of(result(2)) == 3
    assert step_of(call(0), result(0), DONE, DONE) == 3
    assert step_of(call(4, name="run")) == 1
    assert step_of(Message("assistant", (), calls=(PriorToolCall("call_llmsim_walk_9", "read", "{}"),))) == 1


def test_items_of_one_turn_are_one_answer() -> None:
    """SCEN-3.2: Text and calls that were sent back one after another, and calls with their results in between."""
    text = Message("assistant", ("Let me look.",))
    foreign = Message("assistant", (), calls=(PriorToolCall("call_x", "read", "{}"),))
    compacted = Message("assistant", (), extra_tokens=10)

    assert step_of(text, call(0), call(0, 1), result(0), result(0, 1), splits_turns=True) == 1
    assert step_of(call(0), result(0), call(0, 1), result(0, 1), splits_turns=True) == 1
    assert step_of(text, call(0), result(0), text, call(1), result(1), splits_turns=True) == 2
    assert step_of(foreign, result(7), splits_turns=True) == 8
    assert (
        step_of(foreign, Message("tool", (), results=(ToolResult("call_x", "1"),)), text, splits_turns=True)
        == 2
    )
    assert step_of(compacted, splits_turns=True) == 0
    assert step_of(text, call(0)) == 2
