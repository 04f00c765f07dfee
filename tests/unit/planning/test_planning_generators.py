"""Generators: what is said, exact to the token."""

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.planning import FakeCounters, plan_turn
from support.turns import shown_text

from llmsim.catalogue import load_catalogue
from llmsim.config import ResponseSettings, Settings
from llmsim.domain import Message, Prompt, TokenizedText, Turn
from llmsim.errors import ConfigError
from llmsim.planning.generators import Generator, LineNumbers, generator
from llmsim.planning.planner import Planner
from llmsim.planning.tokens import Tokenizer, tokenizer

NAMES = ["cl100k_base", "o200k_base"]


@pytest.fixture(params=NAMES)
def words(request: pytest.FixtureRequest) -> Tokenizer:
    return tokenizer(request.param)


def built(name: str, tokens: int = 100) -> Generator:
    return generator(ResponseSettings(generator=name, target_tokens=tokens))


def asked(*messages: Message) -> Prompt:
    return Prompt(model="gpt-4o", messages=messages)


HELLO = asked(Message("user", ("Hello",)))


def generate(
    by: Generator,
    words: Tokenizer,
    rng: random.Random,
    prompt: Prompt = HELLO,
    lines: LineNumbers | None = None,
) -> TokenizedText:
    return by(prompt, words, rng, lines or LineNumbers(None))


@pytest.mark.parametrize(
    ("name", "targets"), [("lorem", [*range(1, 41), 99, 100, 256, 300]), ("random", [*range(1, 301), 2345])]
)
def test_generated_texts_are_exact(words: Tokenizer, name: str, targets: list[int]) -> None:
    """CHAT-2.6: A text of n target tokens is n tokens of the model's own tokenizer, for every n."""
    dice = random.Random(7)
    lengths = {}
    for tokens in targets:
        passage = generate(built(name, tokens), words, dice)
        lengths[tokens] = (passage.tokens, words.count(passage.text))

    assert lengths == {tokens: (tokens, tokens) for tokens in lengths}


@given(st.integers(1, 200), st.integers(0, 2**32), st.sampled_from(NAMES))
def test_random_words_are_cut_as_the_tokenizer_cuts_them(tokens: int, seed: int, name: str) -> None:
    """CHAT-3.5: Texts put together from words stream in the pieces in which the whole text falls."""
    words = tokenizer(name)
    passage = generate(built("random", tokens), words, random.Random(seed))
    again = words.passage(passage.text)

    assert (passage.pieces, passage.cumulative_tokens) == (again.pieces, again.cumulative_tokens)


def test_lorem_is_cut_as_the_tokenizer_cuts_it(words: Tokenizer) -> None:
    """CHAT-3.5: So do all texts of the pool."""
    lorem, dice = built("lorem", 120), random.Random(7)
    texts = {generate(lorem, words, dice) for _ in range(1000)}

    assert len(texts) == 64
    for passage in texts:
        again = words.passage(passage.text)
        assert (passage.pieces, passage.cumulative_tokens) == (again.pieces, again.cumulative_tokens)


def test_generated_texts_are_sentences(words: Tokenizer) -> None:
    """CHAT-2.6: A text of more than one token begins with a capital and ends with a full stop."""
    for name in ("lorem", "random"):
        for tokens in (2, 3, 10, 50):
            text = generate(built(name, tokens), words, random.Random(tokens)).text
            assert text[0].isupper()
            assert text.endswith(".")
            assert ".." not in text


def test_lorem_is_shared(words: Tokenizer) -> None:
    """ARCH-3.2: Pooled texts are made once and are the same objects for all requests."""
    lorem = built("lorem")
    lorem.prepare(words)

    assert generate(lorem, words, random.Random(5)) is generate(lorem, words, random.Random(5))


def test_lorem_is_the_same_in_every_process(words: Tokenizer) -> None:
    """ARCH-3.7: Two servers with the same settings have the same pool."""
    texts = [generate(built("lorem"), words, random.Random(5)).text for _ in range(2)]

    assert texts[0] == texts[1]


def test_a_pool_of_long_texts_is_small(words: Tokenizer) -> None:
    """ARCH-4.3: However long the texts, the pool takes bounded memory."""
    lorem, dice = built("lorem", 100_000), random.Random(7)
    texts = {generate(lorem, words, dice) for _ in range(50)}

    assert len(texts) <= 2
    assert {text.tokens for text in texts} == {100_000}


def test_random_words_vary(words: Tokenizer) -> None:
    """CHAT-2.4: Without a seed, texts vary."""
    dice = random.Random(7)
    made = built("random", 30)

    assert len({generate(made, words, dice).text for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([Message("user", ("Hello", " 🦜\n"))], "Hello 🦜\n"),
        ([Message("user", ("one",)), Message("assistant", ("two",)), Message("user", ("three",))], "three"),
        ([Message("user", ("one",)), Message("tool", ("two",))], "one"),
        ([Message("system", ("be kind",)), Message("developer", ("be brief",))], "be brief"),
        ([Message("user", ())], ""),
    ],
)
def test_echo_says_the_last_user_message(words: Tokenizer, messages: list[Message], said: str) -> None:
    """CHAT-2.6: `echo` answers with what the user said last; where no user speaks, with what was said last."""
    passage = generate(built("echo"), words, random.Random(7), asked(*messages))

    assert passage.text == said
    assert passage.tokens == words.count(said)


def test_fixed_says_the_same_always(words: Tokenizer) -> None:
    """CHAT-2.4: `fixed:TEXT` answers TEXT, colons and all, from a passage cut once."""
    fixed = built("fixed:It is: 5 o'clock")
    fixed.prepare(words)
    first = generate(fixed, words, random.Random(1))

    assert first.text == "It is: 5 o'clock"
    assert first is generate(fixed, words, random.Random(2))


def test_sequence_says_the_lines_in_turn(tmp_path: Path, words: Tokenizer) -> None:
    """ARCH-3.8: `sequence:FILE` answers line by line, leaves blank lines out, and begins again after the last."""
    path = tmp_path / "lines.txt"
    path.write_text("one\n\n  two: 🦜\r\nthree", encoding="utf-8")
    sequence = built(f"sequence:{path}")
    sequence.prepare(words)

    lines = LineNumbers(None)
    texts = [generate(sequence, words, random.Random(1), lines=lines).text for _ in range(7)]

    assert lines.taken == 7
    assert texts == ["one", "  two: 🦜", "three", "one", "  two: 🦜", "three", "one"]


def sequence_planner(tmp_path: Path, **response: Any) -> Planner:
    """Build a planner that plays the lines one to four."""
    path = tmp_path / "lines.txt"
    path.write_text("one\ntwo\nthree\nfour", encoding="utf-8")
    settings = Settings(response=ResponseSettings(generator=f"sequence:{path}", **response))
    return Planner(settings, load_catalogue(), lambda: 0.0)


def texts_of(turn: Turn) -> list[str]:
    return [text.text for choice in turn.choices for one in choice.segments if (text := shown_text(one))]


def test_workers_share_the_lines_of_a_sequence(tmp_path: Path) -> None:
    """ARCH-3.8: Two workers that share counters answer each line once; several choices take several lines."""
    workers, counters = [sequence_planner(tmp_path) for _ in range(2)], FakeCounters()
    prompts = [msgspec.structs.replace(HELLO, choices=choices) for choices in (1, 2, 1)]

    turns = [plan_turn(workers[turn % 2], prompt, counters) for turn, prompt in enumerate(prompts)]

    assert [texts_of(turn) for turn in turns] == [["one"], ["two", "three"], ["four"]]


def test_a_choice_without_text_takes_no_line(tmp_path: Path) -> None:
    """ARCH-3.8: Choices that are refused take no line, and reserving lines changes nothing of what was drawn."""
    planner, counters = sequence_planner(tmp_path, refusal_rate=0.5, refusal_text="no"), FakeCounters()
    texts = [
        text
        for _ in range(20)
        for text in texts_of(plan_turn(planner, msgspec.structs.replace(HELLO, choices=3), counters))
    ]

    lines = [text for text in texts if text != "no"]
    assert lines == [("one", "two", "three", "four")[number % 4] for number in range(len(lines))]
    assert counters.taken["sequence"] == len(lines)
    assert 0 < len(lines) < 60


def test_a_long_file_keeps_few_lines_cut(tmp_path: Path, words: Tokenizer) -> None:
    """ARCH-4.3: Of a file of many lines a bounded number is remembered, and all are said."""
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(f"line {number}" for number in range(3000)), encoding="utf-8")
    sequence = built(f"sequence:{path}")

    lines = LineNumbers(None)
    texts = [generate(sequence, words, random.Random(1), lines=lines).text for _ in range(3000)]

    assert texts == [f"line {number}" for number in range(3000)]
    assert sequence._passage.cache_info().maxsize == 1024  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "cannot read"), (b"", "no line"), (b"\n \n\t\n", "no line"), (b"\xff\xfe", "cannot read")],
    ids=["missing", "empty", "blank", "not UTF-8"],
)
def test_a_file_that_cannot_be_played_is_refused(
    tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    """CONF-2.4: A sequence without a line to say is refused at the start, by setting and file."""
    path = tmp_path / "lines.txt"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match=complaint) as refused:
        built(f"sequence:{path}")

    assert str(path) in str(refused.value)
    assert str(refused.value).startswith("response.generator: ")


def test_a_directory_is_no_file_to_play(tmp_path: Path) -> None:
    """CONF-2.4: What cannot be read as a file is refused likewise."""
    with pytest.raises(ConfigError, match="cannot read"):
        built(f"sequence:{tmp_path}")


def test_a_generator_that_does_not_exist_is_refused() -> None:
    """CONF-2.3: Whoever builds settings by hand meets the same refusal."""
    with pytest.raises(ConfigError, match="lorum"):
        built("lorum")


def test_the_pieces_of_all_generators_join(words: Tokenizer) -> None:
    """CHAT-3.5: A passage is its pieces, whoever made it."""
    for name in ("lorem", "random", "echo", "fixed:A 👩‍👧 b"):
        passage: TokenizedText = generate(built(name), words, random.Random(1))
        assert passage.text == "".join(passage.pieces)
        assert len(passage.pieces) == len(passage.cumulative_tokens)
