"""How good a fit is: predicted times beside measured ones.

Decisions:
* A fit is judged on requests that it was not fitted to: the second half of each trace, every second of the points.
"""

import statistics
from collections.abc import Sequence

import msgspec

from loadtest.distances import Measure, build_measure, time_per_token
from loadtest.recordings import Point, Recording, TimedRequest, Trace


class Prediction(msgspec.Struct, frozen=True):
    """What a model gives for one request or point, in seconds.

    Attributes:
        ttft: Time to first token.
        tpot: Time per output token.
        e2e: Time to the last token.
    """

    ttft: float
    tpot: float
    e2e: float


class Data(msgspec.Struct, frozen=True):
    """What a fit is made from, and which of it counts.

    Attributes:
        traces: All requests of each run, and the places of those that count.
        points: The points that count.
    """

    traces: tuple[tuple[Trace, tuple[int, ...]], ...] = ()
    points: tuple[Point, ...] = ()

    @property
    def requests(self) -> list[TimedRequest]:
        """The requests that count."""
        return [recorded.requests[place] for recorded, places in self.traces for place in places]

    @property
    def count(self) -> int:
        """Requests or points that count."""
        return len(self.points) + sum(len(places) for _, places in self.traces)


class Judgement(msgspec.Struct, frozen=True):
    """How good a model is.

    Attributes:
        measures: TTFT, TPOT and E2E, as far as they were measured.
    """

    measures: tuple[Measure, ...]

    @property
    def score(self) -> float:
        """One number to compare models by, the smaller the better: median errors and distances of distributions."""
        judged = [measure for measure in self.measures if measure.name != "tpot" or len(self.measures) < 3]
        return sum(min(1.0, measure.median_error) + measure.ks for measure in judged) / max(1, len(judged))


def gather(recordings: Sequence[Recording], most: int) -> Data:
    """Return all data, of which all requests with times count.

    Args:
        recordings: What the files hold.
        most: Most requests of a trace, and most points: the first of a trace, and points evenly spread.
    """
    traces = []
    points: list[Point] = []
    for recording in recordings:
        points += recording.points
        for recorded in recording.traces:
            kept = Trace(recorded.name, recorded.requests[:most])
            places = tuple(place for place, request in enumerate(kept.requests) if request.is_judged)
            if places:
                traces.append((kept, places))
    ordered = _merge(points)
    stride = max(1, -(-len(ordered) // most))
    return Data(tuple(traces), tuple(ordered[::stride]))


def _merge(points: Sequence[Point]) -> list[Point]:
    """Return points by prompt, output and concurrency; those that are alike become one with their median times."""
    alike: dict[tuple[int, int, int], list[Point]] = {}
    for point in points:
        alike.setdefault((point.prompt_tokens, point.completion_tokens, point.concurrency), []).append(point)
    return [
        Point(
            *key,
            ttft=statistics.median(point.ttft for point in found),
            tpot=statistics.median(point.tpot for point in found),
        )
        for key, found in sorted(alike.items())
    ]


def split(data: Data) -> tuple[Data, Data]:
    """Return the half to fit to and the half to judge by."""
    cut = [(recorded, places, len(places) // 2) for recorded, places in data.traces]
    return (
        Data(tuple((recorded, places[:at]) for recorded, places, at in cut if at), data.points[::2]),
        Data(tuple((recorded, places[at:]) for recorded, places, at in cut if at), data.points[1::2]),
    )


def judge(
    data: Data, predictions: Sequence[Prediction], spread: Sequence[Prediction] | None = None
) -> Judgement:
    """Judge predictions of what counts in the data.

    Args:
        data: The measurements.
        predictions: One for each request, then one for each point.
        spread: Draws from a distribution of which `predictions` are the middle, as many; None for single predictions.
    """
    drawn = predictions if spread is None else spread
    measured: list[tuple[float | None, float | None, float | None]] = [
        (
            request.ttft,
            time_per_token(request.ttft, request.e2e, request.completion_tokens),
            request.e2e,
        )
        for request in data.requests
    ]
    measured += [(point.ttft, point.tpot, None) for point in data.points]
    measures = []
    for index, name in enumerate(("ttft", "tpot", "e2e")):
        rows = [
            (times[index], getattr(one, name), getattr(other, name))
            for times, one, other in zip(measured, predictions, drawn, strict=True)
            if times[index] is not None
        ]
        if rows:
            recorded, found, distribution = (list(column) for column in zip(*rows, strict=True))
            measures.append(build_measure(name, recorded, found, distribution=distribution))
    return Judgement(tuple(measures))
