"""Prompts of an exact number of tokens, no two of which begin alike.

Decisions:
* A prompt is made of words that are one token each, with the space before them, in the vocabularies of OpenAI, Llama,
  Qwen, Mistral and DeepSeek: so no tokenizer is needed here, and the server's own count is the judge.
* It begins with its number in such words, after words of the run: a prefix cache never finds one prompt, or one run,
  in another. Source for blocks of 16 tokens: vLLM, automatic prefix caching.
"""

from collections.abc import Sequence

WORDS = (
    "time people way day man thing woman life child world school state family student group country problem hand part "
    "place case week company system program question work government number night point home water room mother area "
    "money story fact month lot right study book eye job word business issue side kind head house service friend father "
    "power hour game line end member law car"
).split()

_PREFIX_WORDS = 8


def write_prompt(words: int, number: int, run: int) -> str:
    """Return a prompt.

    Args:
        words: How many words it has; at least 1.
        number: Which of the run's prompts it is.
        run: A number that other runs do not have.
    """
    digits = [*_digits(number, 3), *_digits(run, _PREFIX_WORDS - 3)]
    filler = (WORDS[(number + 7 * place) % len(WORDS)] for place in range(words))
    text = [*(WORDS[digit] for digit in digits), *filler][: max(1, words)]
    return " ".join(text)


def _digits(value: int, places: int) -> Sequence[int]:
    found = []
    for _ in range(places):
        value, digit = divmod(value, len(WORDS))
        found.append(digit)
    return found
