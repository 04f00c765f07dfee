"""The settings of `[budgets]`: what one request may cost. The budgets themselves are in `llmsim.budgets`."""

from typing import Annotated

import msgspec

from llmsim.config.metadata import milliseconds, setting


class BudgetSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one request may cost the worker that answers it."""

    json_depth: Annotated[
        int,
        setting(
            "Levels of nesting in JSON; deeper JSON is refused (400). So are integers of more than 64 bits.",
            unit="levels",
            ge=20,
            le=200,
        ),
    ] = 200
    pattern_chars: Annotated[
        int,
        setting(
            "Longest regular expression of a schema that is obeyed; a longer one counts as matching any text. In a script it "
            "is a mistake.",
            unit="characters",
            ge=0,
            le=10_000,
        ),
    ] = 1000
    pattern_ms: Annotated[
        int,
        milliseconds(
            "Processor time of all regular expressions of a request. What is not matched by then counts as conforming to a "
            "schema, and as not met by a script's expectation.",
            maximum=10_000,
        ),
    ] = 100
    schema_steps: Annotated[
        int,
        setting(
            "Work on the schemas of a request: values generated, schemas checked. Beyond it values are the simplest, and not "
            "checked. 40,000 steps take some 50 ms.",
            unit="steps",
            ge=100,
            le=10_000_000,
        ),
    ] = 40_000
