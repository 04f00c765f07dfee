"""Which turn of a script plays."""

import itertools

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from llmsim.scripts import Expectation, OnExhausted, Script, ScriptStep, ScriptTurn, TurnKind


def script(repeats: list[int], on_exhausted: OnExhausted = OnExhausted.REPEAT_LAST) -> Script:
    turns = tuple(
        ScriptTurn(kind=TurnKind.ASSISTANT, text=f"turn {number}", repeat=repeat)
        for number, repeat in enumerate(repeats)
    )
    return Script(name="test", on_exhausted=on_exhausted, turns=turns)


def unrolled(repeats: list[int], on_exhausted: OnExhausted, cursor: int) -> tuple[int, int] | None:
    """Play a script request by request: number of the turn, and how often it was played before."""
    once = [number for number, repeat in enumerate(repeats) for _ in range(repeat)]
    rest: itertools.cycle[int] | itertools.repeat[int]
    match on_exhausted:
        case OnExhausted.REPEAT_LAST:
            rest = itertools.repeat(once[-1])
        case OnExhausted.LOOP:
            rest = itertools.cycle(once)
        case OnExhausted.ERROR:
            rest = itertools.repeat(once[-1], 0)
    played = list(itertools.islice(itertools.chain(once, rest), cursor + 1))
    return (played[cursor], played[:cursor].count(played[cursor])) if cursor < len(played) else None


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.sampled_from(OnExhausted), st.integers(0, 120))
def test_a_script_plays_like_its_expansion(
    repeats: list[int], on_exhausted: OnExhausted, cursor: int
) -> None:
    """SCRIPT-2.1, SCRIPT-2.2, SCRIPT-2.3: The turn at any cursor is that of a script played request by request."""
    made = script(repeats, on_exhausted)

    step = made.at(cursor)

    expected = unrolled(repeats, on_exhausted, cursor)
    assert (step and (step.number, step.repetition)) == expected
    assert step is None or step.turn is made.turns[step.number]


def test_turns_play_in_order() -> None:
    """SCRIPT-2.1: A turn answers one request, or `repeat` in a row."""
    made = script([1, 2, 1])

    assert [step.number for step in map(made.at, range(4)) if step] == [0, 1, 1, 2]
    assert made.length == 4


def test_the_last_turn_is_repeated_unless_the_script_says_otherwise() -> None:
    """SCRIPT-2.3: `repeat_last` is the default."""
    made = script([1, 1])

    assert made.at(2) == ScriptStep(1, made.turns[1], 1)
    assert made.at(10**30) == ScriptStep(1, made.turns[1], 10**30 - 1)


def test_an_exhausted_script_can_be_an_error() -> None:
    """SCRIPT-2.3: With `error`, nothing plays after the last turn."""
    made = script([2], OnExhausted.ERROR)

    assert [made.at(cursor) is None for cursor in range(4)] == [False, False, True, True]


def test_a_script_can_loop() -> None:
    """SCRIPT-2.3: With `loop`, the first turn follows the last, and repetitions are counted on."""
    made = script([1, 2], OnExhausted.LOOP)

    steps = [made.at(cursor) for cursor in range(6)]

    assert [(step.number, step.repetition) for step in steps if step] == [
        (0, 0), (1, 0), (1, 1), (0, 1), (1, 2), (1, 3),
    ]  # fmt: skip


def test_a_script_can_be_stored() -> None:
    """SCRIPT-1.1: A decoded script is equal to the encoded one, whether it has played or not."""
    made = script([3, 1])
    made.at(0)

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=Script) == made


def test_what_comes_before_any_condition_is_unconditional() -> None:
    """MACH-11.10: Turns for every request are leased whichever they are; a script that ends has no turn after its last."""
    made = script([2, 1, 3])
    expecting = msgspec.structs.replace(made.turns[1], expect=Expectation())
    conditional = msgspec.structs.replace(made, turns=(made.turns[0], expecting, made.turns[2]))

    assert made.unconditional > 10**15
    assert script([2, 1, 3], OnExhausted.ERROR).unconditional == 6
    assert conditional.unconditional == 2
    assert msgspec.structs.replace(made, turns=(expecting,)).unconditional == 0
