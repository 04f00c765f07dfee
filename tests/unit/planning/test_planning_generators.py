"""Generators: texts, exact to the token."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import counting_tickets

from llmsim.config import ResponseSettings
from llmsim.domain import Message, Prompt, TokenizedText
from llmsim.errors import ConfigError
from llmsim.planning.generators import Generator, build_generator
from llmsim.planning.tokens import Tokenizer, load_tokenizer

NAMES = ["cl100k_base", "o200k_base"]


@pytest.fixture(params=NAMES)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return load_tokenizer(request.param)


def built(name: str, tokens: int = 100) -> Generator:
    return build_generator(ResponseSettings(generator=name, target_tokens=tokens), counting_tickets())


def asked(*messages: Message) -> Prompt:
    return Prompt(model="gpt-4o", messages=messages)


HELLO = asked(Message("user", ("Hello",)))


@pytest.mark.parametrize(
    ("name", "targets"), [("lorem", [*range(1, 41), 99, 100, 256, 300]), ("random", [*range(1, 301), 2345])]
)
def test_generated_texts_are_exact(tokenizer: Tokenizer, name: str, targets: list[int]) -> None:
    """CHAT-2.6: A text of n target tokens is n tokens of the model's own tokenizer, for every n."""
    rng = random.Random(7)
    lengths = {}
    for tokens in targets:
        text = built(name, tokens)(HELLO, tokenizer, rng)
        lengths[tokens] = (text.tokens, tokenizer.count(text.text))

    assert lengths == {tokens: (tokens, tokens) for tokens in lengths}


@given(st.integers(1, 200), st.integers(0, 2**32), st.sampled_from(NAMES))
def test_random_words_have_the_pieces_of_the_tokenizer(tokens: int, seed: int, name: str) -> None:
    """CHAT-3.5: Texts concatenated from words have the pieces of the whole text."""
    tokenizer = load_tokenizer(name)
    text = built("random", tokens)(HELLO, tokenizer, random.Random(seed))
    again = tokenizer.tokenize(text.text)

    assert (text.pieces, text.cumulative_tokens) == (again.pieces, again.cumulative_tokens)


def test_lorem_has_the_pieces_of_the_tokenizer(tokenizer: Tokenizer) -> None:
    """CHAT-3.5: All texts of the pool have the pieces of the tokenizer."""
    lorem, rng = built("lorem", 120), random.Random(7)
    texts = {lorem(HELLO, tokenizer, rng) for _ in range(1000)}

    assert len(texts) == 64
    for text in texts:
        again = tokenizer.tokenize(text.text)
        assert (text.pieces, text.cumulative_tokens) == (again.pieces, again.cumulative_tokens)


def test_generated_texts_are_sentences(tokenizer: Tokenizer) -> None:
    """CHAT-2.6: A text of more than one token begins with a capital and ends with a full stop."""
    for name in ("lorem", "random"):
        for tokens in (2, 3, 10, 50):
            text = built(name, tokens)(HELLO, tokenizer, random.Random(tokens)).text
            assert text[0].isupper()
            assert text.endswith(".")
            assert ".." not in text


def test_lorem_is_shared(tokenizer: Tokenizer) -> None:
    """ARCH-3.2: Pooled texts are generated once and are the same objects for all requests."""
    lorem = built("lorem")
    lorem.prepare(tokenizer)

    assert lorem(HELLO, tokenizer, random.Random(5)) is lorem(HELLO, tokenizer, random.Random(5))


def test_lorem_is_the_same_in_every_process(tokenizer: Tokenizer) -> None:
    """ARCH-3.7: Two servers with the same settings have the same pool."""
    texts = [built("lorem")(HELLO, tokenizer, random.Random(5)).text for _ in range(2)]

    assert texts[0] == texts[1]


def test_a_pool_of_long_texts_is_small(tokenizer: Tokenizer) -> None:
    """ARCH-4.3: However long the texts, the pool takes bounded memory."""
    lorem, rng = built("lorem", 100_000), random.Random(7)
    texts = {lorem(HELLO, tokenizer, rng) for _ in range(50)}

    assert len(texts) <= 2
    assert {text.tokens for text in texts} == {100_000}


def test_random_words_vary(tokenizer: Tokenizer) -> None:
    """CHAT-2.4: Without a seed, texts vary."""
    rng = random.Random(7)
    generate = built("random", 30)

    assert len({generate(HELLO, tokenizer, rng).text for _ in range(20)}) == 20


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
    text = built("echo")(asked(*messages), tokenizer, random.Random(7))

    assert text.text == echoed
    assert text.tokens == tokenizer.count(echoed)


def test_fixed_always_returns_its_text(tokenizer: Tokenizer) -> None:
    """CHAT-2.4: `fixed:TEXT` returns TEXT with its colons, tokenized once."""
    fixed = built("fixed:It is: 5 o'clock")
    fixed.prepare(tokenizer)
    first = fixed(HELLO, tokenizer, random.Random(1))

    assert first.text == "It is: 5 o'clock"
    assert first is fixed(HELLO, tokenizer, random.Random(2))


def test_sequence_returns_the_lines_in_turn(tmp_path: Path, tokenizer: Tokenizer) -> None:
    """ARCH-3.8: `sequence:FILE` returns line by line, skips blank lines, and starts again after the last."""
    path = tmp_path / "lines.txt"
    path.write_text("one\n\n  two: 🦜\r\nthree", encoding="utf-8")
    sequence = built(f"sequence:{path}")
    sequence.prepare(tokenizer)

    texts = [sequence(HELLO, tokenizer, random.Random(1)).text for _ in range(7)]

    assert texts == ["one", "  two: 🦜", "three", "one", "  two: 🦜", "three", "one"]


def test_sequences_share_their_counters(tmp_path: Path, tokenizer: Tokenizer) -> None:
    """ARCH-3.8: Two workers that share counters return each line once."""
    path = tmp_path / "lines.txt"
    path.write_text("one\ntwo\nthree\nfour", encoding="utf-8")
    settings, counters = ResponseSettings(generator=f"sequence:{path}"), counting_tickets()
    workers = [build_generator(settings, counters) for _ in range(2)]

    texts = [workers[turn % 2](HELLO, tokenizer, random.Random(turn)).text for turn in range(4)]

    assert texts == ["one", "two", "three", "four"]


def test_the_cache_of_lines_is_bounded(tmp_path: Path, tokenizer: Tokenizer) -> None:
    """ARCH-4.3: Of a file of many lines a bounded number is cached, and all are returned."""
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(f"line {number}" for number in range(3000)), encoding="utf-8")
    sequence = built(f"sequence:{path}")

    texts = [sequence(HELLO, tokenizer, random.Random(1)).text for _ in range(3000)]

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
        text: TokenizedText = built(name)(HELLO, tokenizer, random.Random(1))
        assert text.text == "".join(text.pieces)
        assert len(text.pieces) == len(text.cumulative_tokens)
