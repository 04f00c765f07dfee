"""Draws recorded times and those of the fitted model."""

from llmsim.calibration.fitting import Calibration
from loadtest.charts import render_file
from loadtest.time_charts import build_charts


def render_plot(calibration: Calibration) -> str:
    """Return an SVG file: of requests by arrival, of points by concurrency, and cumulative distributions."""
    data = calibration.data
    predictions = calibration.chosen.predict(data)
    found: dict[str, list[tuple[float, tuple[float, float]]]] = {"ttft": [], "tpot": [], "e2e": []}
    for request, prediction in zip(data.requests, predictions, strict=False):
        for name in ("ttft", "e2e"):
            if (recorded := getattr(request, name)) is not None:
                found[name].append((request.arrival, (recorded, getattr(prediction, name))))
    for point, prediction in zip(
        data.points, predictions[len(predictions) - len(data.points) :], strict=True
    ):
        for name in ("ttft", "tpot"):
            pair = (getattr(point, name), getattr(prediction, name))
            found[name].append((float(point.concurrency), pair))
    by = "arrival" if data.traces else "concurrency"
    return render_file(build_charts(found, calibration.chosen.name, by=by))
