"""Generators: texts, exact to the token."""

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
from llmsim.planning.generators import Generator, LineNumbers, build_generator
from llmsim.planning.planner import Planner
from llmsim.planning.tokens import Tokenizer, load_tokenizer

NAMES = ["cl100k_base", "o200k_base"]


@pytest.fixture(params=NAMES)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return load_tokenizer(request.param)


def built(name: str, tokens: int = 100) -> Generator:
    return build_generator(ResponseSettings(generator=name, target_tokens=tokens))


def asked(*messages: Message) -> Prompt:
    return Prompt(model="gpt-4o", messages=messages)


HELLO = asked(Message("user", ("Hello",)))


def generate(
    by: Generator,
    tokenizer: Tokenizer,
    rng: random.Random,
    prompt: Prompt = HELLO,
    lines: LineNumbers | None = None,
) -> TokenizedText:
    return by(prompt, tokenizer, rng, lines or LineNumbers(None))


@pytest.mark.parametrize(
    ("name", "targets"), [("lorem", [*range(1, 41), 99, 100, 256, 300]), ("random", [*range(1, 301), 2345])]
)
def test_generated_texts_are_exact(tokenizer: Tokenizer, name: str, targets: list[int]) -> None:
    """CHAT-2.6: A text of n target tokens is n tokens of the model's own tokenizer, for every n."""
    rng = random.Random(7)
    lengths = {}
    for tokens in targets:
        text = generate(built(name, tokens), tokenizer, rng)
        lengths[tokens] = (text.tokens, tokenizer.count(text.text))

    assert lengths == {tokens: (tokens, tokens) for tokens in lengths}


@given(st.integers(1, 200), st.integers(0, 2**32), st.sampled_from(NAMES))
def test_random_words_have_the_pieces_of_the_tokenizer(tokens: int, seed: int, name: str) -> None:
    """CHAT-3.5: Texts concatenated from words have the pieces of the whole text."""
    tokenizer = load_tokenizer(name)
    text = generate(built("random", tokens), tokenizer, random.Random(seed))
    again = tokenizer.tokenize(text.text)

    assert (text.pieces, text.cumulative_tokens) == (again.pieces, again.cumulative_tokens)


def test_lorem_has_the_pieces_of_the_tokenizer(tokenizer: Tokenizer) -> None:
    """CHAT-3.5: All texts of the pool have the pieces of the tokenizer."""
    lorem, rng = built("lorem", 120), random.Random(7)
    texts = {generate(lorem, tokenizer, rng) for _ in range(1000)}

    assert len(texts) == 64
    for text in texts:
        again = tokenizer.tokenize(text.text)
        assert (text.pieces, text.cumulative_tokens) == (again.pieces, again.cumulative_tokens)


def test_generated_texts_are_sentences(tokenizer: Tokenizer) -> None:
    """CHAT-2.6: A text of more than one token begins with a capital and ends with a full stop."""
    for name in ("lorem", "random"):
        for tokens in (2, 3, 10, 50):
            text = generate(built(name, tokens), tokenizer, random.Random(tokens)).text
            assert text[0].isupper()
            assert text.endswith(".")
            assert ".." not in text


def test_lorem_is_shared(tokenizer: Tokenizer) -> None:
    """ARCH-3.2: Pooled texts are generated once and are the same objects for all requests."""
    lorem = built("lorem")
    lorem.prepare(tokenizer)

    assert generate(lorem, tokenizer, random.Random(5)) is generate(lorem, tokenizer, random.Random(5))


def test_lorem_is_the_same_in_every_process(tokenizer: Tokenizer) -> None:
    """ARCH-3.7: Two servers with the same settings have the same pool."""
    texts = [generate(built("lorem"), tokenizer, random.Random(5)).text for _ in range(2)]

    assert texts[0] == texts[1]


def test_a_pool_of_long_texts_is_small(tokenizer: Tokenizer) -> None:
    """ARCH-4.3: However long the texts, the pool takes bounded memory."""
    lorem, rng = built("lorem", 100_000), random.Random(7)
    texts = {generate(lorem, tokenizer, rng) for _ in range(50)}

    assert len(texts) <= 2
    assert {text.tokens for text in texts} == {100_000}


def test_random_words_vary(tokenizer: Tokenizer) -> None:
    """CHAT-2.4: Without a seed, texts vary."""
    rng = random.Random(7)
    made = built("random", 30)

    assert len({generate(made, tokenizer, rng).text for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("messages", "echoed"),
    [
        ([Message("user", ("Hello", " 🦜\n"))], "Hello 🦜\n"),
        ([Message("user", ("one",)), Message("assistant", ("two",)), Message("user", ("three",))], "three"),
        ([Message("user", ("one",)), Message("tool", ("two",))], "one"),
        ([Message("system", ("be kind",)), Message("developer", ("be brief",))], "be brief"),
        ([Message("user", ())], ""),
    ],
)
def test_echo_returns_the_last_user_message(
    tokenizer: Tokenizer, messages: list[Message], echoed: str
) -> None:
    """CHAT-2.6: `echo` returns the last user message; without one, the last message."""
    text = generate(built("echo"), tokenizer, random.Random(7), asked(*messages))

    assert text.text == echoed
    assert text.tokens == tokenizer.count(echoed)


def test_fixed_always_returns_its_text(tokenizer: Tokenizer) -> None:
    """CHAT-2.4: `fixed:TEXT` returns TEXT with its colons, tokenized once."""
    fixed = built("fixed:It is: 5 o'clock")
    fixed.prepare(tokenizer)
    first = generate(fixed, tokenizer, random.Random(1))

    assert first.text == "It is: 5 o'clock"
    assert first is generate(fixed, tokenizer, random.Random(2))


def test_sequence_returns_the_lines_in_turn(tmp_path: Path, tokenizer: Tokenizer) -> None:
    """ARCH-3.8: `sequence:FILE` returns line by line, skips blank lines, and starts again after the last."""
    path = tmp_path / "lines.txt"
    path.write_text("one\n\n  two: 🦜\r\nthree", encoding="utf-8")
    sequence = built(f"sequence:{path}")
    sequence.prepare(tokenizer)

    lines = LineNumbers(None)
    texts = [generate(sequence, tokenizer, random.Random(1), lines=lines).text for _ in range(7)]

    assert lines.taken == 7
    assert texts == ["one", "  two: 🦜", "three", "one", "  two: 🦜", "three", "one"]


def sequence_planner(tmp_path: Path, **response: Any) -> Planner:
    """Build a planner that returns the lines one to four."""
    path = tmp_path / "lines.txt"
    path.write_text("one\ntwo\nthree\nfour", encoding="utf-8")
    settings = Settings(response=ResponseSettings(generator=f"sequence:{path}", **response))
    return Planner(settings, load_catalogue(), lambda: 0.0)


def texts_of(turn: Turn) -> list[str]:
    return [text.text for choice in turn.choices for one in choice.segments if (text := shown_text(one))]


def test_workers_share_the_lines_of_a_sequence(tmp_path: Path) -> None:
    """ARCH-3.8: Two workers that share counters return each line once; several choices take several lines."""
    workers, counters = [sequence_planner(tmp_path) for _ in range(2)], FakeCounters()
    prompts = [msgspec.structs.replace(HELLO, choices=choices) for choices in (1, 2, 1)]

    turns = [plan_turn(workers[turn % 2], prompt, counters) for turn, prompt in enumerate(prompts)]

    assert [texts_of(turn) for turn in turns] == [["one"], ["two", "three"], ["four"]]


def test_a_choice_without_text_takes_no_line(tmp_path: Path) -> None:
    """ARCH-3.8: A refusal takes no line; a plan that waits for its lines draws the same refusals again."""
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


def test_the_cache_of_lines_is_bounded(tmp_path: Path, tokenizer: Tokenizer) -> None:
    """ARCH-4.3: Of a file of many lines a bounded number is cached, and all are returned."""
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(f"line {number}" for number in range(3000)), encoding="utf-8")
    sequence = built(f"sequence:{path}")

    lines = LineNumbers(None)
    texts = [generate(sequence, tokenizer, random.Random(1), lines=lines).text for _ in range(3000)]

    assert texts == [f"line {number}" for number in range(3000)]
    assert sequence._tokenize.cache_info().maxsize == 1024  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot read"), (b"", "no line"), (b"\n \n\t\n", "no line"), (b"\xff\xfe", "cannot read")],
    ids=["missing", "empty", "blank", "not UTF-8"],
)
def test_a_file_without_lines_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    """CONF-2.4: A sequence without a line is refused at the start; the error names setting and file."""
    path = tmp_path / "lines.txt"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match=message) as refused:
        built(f"sequence:{path}")

    assert str(path) in str(refused.value)
    assert str(refused.value).startswith("response.generator: ")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    """CONF-2.4: A directory is refused like a missing file."""
    with pytest.raises(ConfigError, match="cannot read"):
        built(f"sequence:{tmp_path}")


def test_a_generator_that_does_not_exist_is_refused() -> None:
    """CONF-2.3: Settings built in code are refused, too."""
    with pytest.raises(ConfigError, match="lorum"):
        built("lorum")


def test_the_pieces_of_all_generators_join(tokenizer: Tokenizer) -> None:
    """CHAT-3.5: The pieces of every generator join to its text."""
    for name in ("lorem", "random", "echo", "fixed:A 👩‍👧 b"):
        text: TokenizedText = generate(built(name), tokenizer, random.Random(1))
        assert text.text == "".join(text.pieces)
        assert len(text.pieces) == len(text.cumulative_tokens)
