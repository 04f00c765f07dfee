"""Embeddings: vectors of texts, and refused requests."""

import array
import hashlib
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.planning import count_prompt, plan, plan_turn

from llmsim.catalogue import load_catalogue
from llmsim.config import ErrorSettings, ResponseSettings, Settings
from llmsim.domain import Choice, Embedding, Fault, FinishReason, Message, Prompt, Turn
from llmsim.errors import (
    InputError,
    InputLengthError,
    InvalidFieldError,
    ModelUseError,
    RequestTokensError,
    ShortenedError,
)
from llmsim.planning import embeddings
from llmsim.planning.embeddings import embed
from llmsim.planning.planner import Planner
from llmsim.planning.tokens import load_tokenizer

SMALL, LARGE, ADA = "text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"
WORDS = load_tokenizer("cl100k_base")


def planner(*, rate: float = 0.0, enforce: bool = True) -> Planner:
    settings = Settings(
        response=ResponseSettings(enforce_context_window=enforce),
        errors=ErrorSettings(server_error_rate=rate),
    )
    return Planner(settings, load_catalogue(), lambda: 1_750_000_000.9)


PLANNER = planner()


def asked(
    *inputs: str | list[int], model: str = SMALL, dimensions: int | None = None, limit: int | None = None
) -> Prompt:
    messages = tuple(
        Message("input", (one,)) if isinstance(one, str) else Message("input", (), token_ids=tuple(one))
        for one in inputs
    )
    return Prompt(model=model, messages=messages, silent=True, embedding=Embedding(dimensions, limit))


def planned(prompt: Prompt, plans: Planner = PLANNER) -> Turn:
    return plan_turn(plans, prompt)


def numbers(vector: bytes) -> list[float]:
    found = array.array("f", vector)
    if sys.byteorder == "big":
        found.byteswap()
    return found.tolist()


def nearness(one: str, other: str, *, model: str = SMALL, dimensions: int = 1536) -> float:
    """Return the cosine of the angle between the vectors of two texts."""
    vectors = [numbers(embed(text, model, 1536, dimensions)) for text in (one, other)]
    return math.sumprod(*vectors) if sys.version_info >= (3, 12) else sum(map(float.__mul__, *vectors))


class TestVectors:
    """Properties of vectors."""

    @given(st.text(min_size=1, max_size=200), st.integers(1, 40))
    def test_every_text_has_a_vector_of_unit_length(self, text: str, dimensions: int) -> None:
        """EMBD-3.1, EMBD-3.6: For any text, and any number of dimensions."""
        vector = numbers(embed(text, SMALL, 40, dimensions))

        assert len(vector) == dimensions
        assert math.hypot(*vector) == pytest.approx(1, abs=1e-6)

    @pytest.mark.parametrize("dimensions", [1, 2, 256, 1024, 3071])
    def test_fewer_dimensions_are_the_first_ones(self, dimensions: int) -> None:
        """EMBD-3.1: A shorter vector has the direction of the first part of the whole one."""
        whole = numbers(embed("The quick brown fox", LARGE, 3072, 3072))[:dimensions]
        short = numbers(embed("The quick brown fox", LARGE, 3072, dimensions))

        length = math.hypot(*whole)
        assert short == pytest.approx([number / length for number in whole], abs=1e-6)

    def test_vectors_are_dense(self) -> None:
        """EMBD-3.1: No part of a vector is zero, not even for one word."""
        vector = numbers(embed("hello", SMALL, 1536, 1536))

        assert sum(number == 0 for number in vector) < 8
        assert all(math.hypot(*vector[start : start + 64]) > 0.1 for start in range(0, 1536, 64))

    def test_vectors_are_the_same_everywhere(self) -> None:
        """EMBD-3.2: A vector is pinned: no machine, process or version of Python gives another."""
        digest = hashlib.sha256(
            embed("Wo ist der Bahnhof, wo ist er, wo? 駅はどこ", ADA, 1536, 1536)
        ).hexdigest()

        assert digest == PINNED

    def test_another_process_gives_the_same(self) -> None:
        """EMBD-3.2: Nothing depends on the hashes of a process."""
        code = "import sys; from llmsim.planning.embeddings import embed; sys.stdout.buffer.write(embed('a b c', 'm', 99, 9))"
        outputs = {
            subprocess.run(
                [sys.executable, "-c", code],
                env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
                capture_output=True,
                check=True,
            ).stdout
            for seed in ("1", "2")
        }

        assert outputs == {embed("a b c", "m", 99, 9)}

    @given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=4))
    def test_a_vector_does_not_depend_on_other_texts(self, texts: list[str]) -> None:
        """EMBD-3.2: Many texts in one request have the vectors they have alone."""
        vectors = planned(asked(*texts, dimensions=8)).vectors

        assert vectors == tuple(planned(asked(text, dimensions=8)).vectors[0] for text in texts)

    @given(st.text(min_size=1, max_size=60).filter(lambda text: "\ufffd" not in text))
    def test_token_ids_are_their_text(self, text: str) -> None:
        """EMBD-3.3: The token ids of a text give its vector and cost as much."""
        ids = WORDS._encoding.encode_ordinary(text)
        by_text, by_ids = planned(asked(text, dimensions=8)), planned(asked(ids, dimensions=8))

        assert by_ids.vectors == by_text.vectors
        assert by_ids.usage == by_text.usage

    @pytest.mark.parametrize("dimensions", [1536, 256])
    @pytest.mark.parametrize(
        ("text", "near", "far"),
        [
            (
                "How do I reset my password?",
                "I forgot my password, can it be reset?",
                "It is sunny in Paris.",
            ),
            ("running shoes for women", "women's shoe for runners", "quantum chromodynamics on a lattice"),
            ("the cat sat on the mat", "a cat sits on a mat", "stocks fell sharply in early trading"),
            ("Rechnungsnummer fehlt", "Rechnungsnummern fehlen", "Blumen liefern lassen"),
            ("東京は日本の首都です", "日本の首都は東京", "猫が好きな人"),
            ("Refund policy", "REFUND POLICIES", "shipping times"),
        ],
    )
    def test_near_texts_are_nearer_than_far_ones(
        self, text: str, near: str, far: str, dimensions: int
    ) -> None:
        """EMBD-3.4: Texts with shared words, beginnings and letters are near, also in the first dimensions."""
        for model in (SMALL, ADA, "anything"):
            assert nearness(text, near, model=model, dimensions=dimensions) > 0.2 + nearness(
                text, far, model=model, dimensions=dimensions
            )

    def test_case_makes_no_difference(self) -> None:
        """EMBD-3.4: Upper and lower case are the same."""
        assert embed("STRAẞE nach Köln", SMALL, 64, 64) == embed("straße NACH KÖLN", SMALL, 64, 64)

    def test_order_makes_a_small_difference(self) -> None:
        """EMBD-3.4: The same words in another order are near, and not the same."""
        assert 0.85 < nearness("dog bites man", "man bites dog") < 0.999

    def test_a_long_text_is_near_to_its_topic(self) -> None:
        """EMBD-3.4: A question is nearer to the paragraph that answers it than to another."""
        refunds = "A refund is paid within ten days. To ask for a refund, send us the number of your order. "
        travel = "The train leaves at noon from platform nine. Bicycles travel free of charge on all trains. "

        question = "When is my refund paid?"
        assert nearness(question, refunds * 20) > 0.2 + nearness(question, travel * 20)

    @given(st.text(min_size=1, max_size=30))
    def test_models_have_vectors_of_their_own(self, text: str) -> None:
        """EMBD-3.5: The same text has other vectors in another model."""
        assert len({embed(text, model, 64, 64) for model in (SMALL, LARGE, ADA, "mine", "yours")}) == 5

    def test_names_of_one_model_have_its_vectors(self) -> None:
        """EMBD-3.5: A vendor's prefix does not make another model."""
        assert planned(asked("hello", model=f"openai/{SMALL}")).vectors == planned(asked("hello")).vectors

    def test_caches_are_bounded(self) -> None:
        """EMBD-5.2: New words in new models fill the caches up to their size, no further."""
        for number in range(300):
            embed(f"word{number} other{number} {'x' * number}", f"model-{number}", 32, 32)

        for memo in (embeddings._features, embeddings._direction, embeddings._full):
            assert memo.cache_info().maxsize is not None
            assert memo.cache_info().currsize <= memo.cache_info().maxsize  # type: ignore[operator]


PINNED = "2802f05e6de9e7290c9aa0746bc3b8157d07c5c4ef701780c6c26b88d23d42be"


class TestPlans:
    """Planned turns and refusals."""

    def test_a_turn_has_no_content(self) -> None:
        """EMBD-2.4: One empty choice, due with its time to first token."""
        turn = planned(asked("hello", "world"))

        assert turn.choices == (Choice((), FinishReason.STOP),)
        assert turn.due == turn.schedule.ttft > 0
        assert len(turn.vectors) == 2

    @pytest.mark.parametrize(
        ("inputs", "tokens"), [(["hello"], 1), (["hello world", [15339]], 3), ([" "], 1)]
    )
    def test_only_texts_are_counted(self, inputs: list[str | list[int]], tokens: int) -> None:
        """EMBD-2.3: No message costs more than its text."""
        turn = planned(asked(*inputs))

        assert (turn.usage.prompt, turn.usage.completion, turn.usage.total) == (tokens, 0, tokens)
        assert count_prompt(asked(*inputs), WORDS) == tokens

    def test_a_silent_prompt_is_not_an_embedding(self) -> None:
        """EMBD-2.3: A silent prompt without embeddings is a conversation, and counted as one."""
        messages = (Message("user", ("Hello",)),)
        spoken, silent = (
            planned(Prompt(model="gpt-4o", messages=messages, silent=one)) for one in (False, True)
        )

        assert silent.usage.prompt == spoken.usage.prompt == 8
        assert (silent.choices, silent.vectors) == ((Choice((), FinishReason.STOP),), ())

    @pytest.mark.parametrize(("model", "size"), [(SMALL, 1536), (LARGE, 3072), (ADA, 1536), ("mine", 1536)])
    def test_a_vector_has_the_dimensions_of_its_model(self, model: str, size: int) -> None:
        """EMBD-4.1, EMBD-4.4: Those of the catalogue, or 1,536."""
        assert len(planned(asked("hello", model=model)).vectors[0]) == size * 4

    @pytest.mark.parametrize(("model", "size"), [(SMALL, 1536), (LARGE, 3072), ("mine", 1536)])
    def test_fewer_dimensions_may_be_requested(self, model: str, size: int) -> None:
        """EMBD-1.5: Up to the model's own, and no more."""
        for dimensions in (1, 256, size):
            turn = planned(asked("hello", model=model, dimensions=dimensions))
            assert len(turn.vectors[0]) == dimensions * 4
        with pytest.raises(InvalidFieldError) as refused:
            planned(asked("hello", model=model, dimensions=size + 1))

        assert (refused.value.path, refused.value.rule, refused.value.wanted) == (
            ("dimensions",),
            "maximum",
            size,
        )

    def test_some_models_make_no_shorter_vectors(self) -> None:
        """EMBD-1.5: They refuse any number of dimensions, even their own."""
        with pytest.raises(ShortenedError):
            planned(asked("hello", model=ADA, dimensions=1536))

    def test_the_window_holds_for_each_text(self) -> None:
        """EMBD-1.3: Many texts may be longer together, but none by itself."""
        full = [15339] * 8192
        assert planned(asked(full, full)).usage.prompt == 2 * 8192
        with pytest.raises(InputLengthError) as one:
            planned(asked([*full, 1]))
        with pytest.raises(InputLengthError) as second:
            planned(asked("hello", " hello" * 9000))

        assert (one.value.index, one.value.window, one.value.tokens) == (None, 8192, 8193)
        assert second.value.index == 1

    def test_a_request_has_a_limit(self) -> None:
        """EMBD-1.4: Texts are accepted up to the limit, and not a token more."""
        assert planned(asked("a", "b", limit=2)).usage.prompt == 2
        with pytest.raises(RequestTokensError) as refused:
            planned(asked("a", "b", "c", limit=2))

        assert (refused.value.limit, refused.value.tokens) == (2, 3)

    def test_limits_can_be_lifted(self) -> None:
        """EMBD-1.6: Without an enforced window no text is too long."""
        turn = planned(asked([15339] * 9000, "b", dimensions=4, limit=2), planner(enforce=False))

        assert turn.usage.prompt == 9001

    @pytest.mark.parametrize("ids", [[100_256], [15339, 10**9], [-1], [2**80]])
    def test_unknown_tokens_are_refused(self, ids: list[int]) -> None:
        """EMBD-1.2: Token ids that the vocabulary lacks are invalid."""
        with pytest.raises(InputError):
            planned(asked(ids))

    @pytest.mark.parametrize("model", ["gpt-4o", "o3", "claude-sonnet-4-5", "openai/gpt-5"])
    def test_chat_models_do_not_embed(self, model: str) -> None:
        """EMBD-4.2: A known model of another kind is refused."""
        with pytest.raises(ModelUseError) as refused:
            planned(asked("hello", model=model))

        assert (refused.value.model, refused.value.embeds) == (model, True)

    @pytest.mark.parametrize("model", [SMALL, LARGE, ADA])
    def test_embedding_models_do_not_chat(self, model: str) -> None:
        """EMBD-4.3: A known embedding model is refused for chat."""
        with pytest.raises(ModelUseError) as refused:
            planned(Prompt(model=model, messages=(Message("user", ("Hello",)),)))

        assert (refused.value.model, refused.value.embeds) == (model, False)

    def test_unknown_models_do_both(self) -> None:
        """EMBD-4.4: An unknown model may be of any kind."""
        assert planned(asked("hello", model="mine")).vectors
        assert planned(Prompt(model="mine", messages=(Message("user", ("Hello",)),))).length > 0

    def test_a_fault_makes_no_vectors(self) -> None:
        """EMBD-2.5: Faults are drawn as for every prompt, after refusals."""
        failing = planner(rate=1.0)

        assert isinstance(plan(failing, asked("hello")), Fault)
        with pytest.raises(ModelUseError):
            plan(failing, asked("hello", model="gpt-4o"))
