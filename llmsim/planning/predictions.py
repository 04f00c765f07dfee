"""How much of a text that a client predicts is in the response.

Decisions:
* The two are compared token by token, in their order. A predicted token that the response lacks is rejected; after a difference the
  comparison goes on with the next prediction of the same token, if it is near.
* Rejected tokens were generated too, so they are part of the completion.
* The first choice is compared: a prediction and several choices exclude each other.

Source: OpenAI, guides/predicted-outputs; openai SDK 3.57, types/completion_usage.py.
"""

from bisect import bisect_left
from collections import defaultdict

from msgspec.structs import replace

from llmsim.domain import Choice, TextSegment, Usage
from llmsim.planning.tokens import Tokenizer

_NEAR = 32
"""Most predicted pieces that are passed over to find the next one that is the same."""


def with_prediction(
    usage: Usage, prediction: str, choices: tuple[Choice, ...], tokenizer: Tokenizer
) -> Usage:
    """Return the usage of a response whose text was predicted as `prediction`."""
    predicted = tokenizer.tokenize(prediction)
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, piece in enumerate(predicted.pieces):
        places[piece].append(place)
    ends = (0, *predicted.cumulative_tokens)
    accepted = following = 0
    for segment in choices[0].segments:
        if not isinstance(segment, TextSegment):
            continue
        for piece in segment.text.pieces:
            known = places.get(piece)
            if known is None:
                continue
            index = bisect_left(known, following)
            if index < len(known) and known[index] - following <= _NEAR:
                following = known[index] + 1
                accepted += ends[following] - ends[following - 1]
    rejected = predicted.tokens - accepted
    return replace(
        usage,
        completion=usage.completion + rejected,
        accepted_prediction=accepted,
        rejected_prediction=rejected,
    )
