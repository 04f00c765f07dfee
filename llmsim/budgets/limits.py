"""The figures of the budgets, one set a process.

Decisions:
* They are configured once, before the first request, and not handed from call to call: decoders are built when modules are
  imported, long before any setting is read.
"""

import msgspec


class Limits(msgspec.Struct, kw_only=True):
    """What one request may cost.

    Attributes:
        json_depth: Levels of nesting of its JSON.
        json_values: Values in its JSON.
        pattern_chars: Characters of a regular expression; a longer one matches any text.
        pattern_ms: Milliseconds of processor time of all its regular expressions together.
        schema_steps: Steps of work on its schemas: values generated, schemas checked.
    """

    json_depth: int = 200
    json_values: int = 500_000
    pattern_chars: int = 1000
    pattern_ms: int = 100
    schema_steps: int = 40_000

    def configure(
        self, *, json_depth: int, json_values: int, pattern_chars: int, pattern_ms: int, schema_steps: int
    ) -> None:
        """Set all of them."""
        self.json_depth = json_depth
        self.json_values = json_values
        self.pattern_chars = pattern_chars
        self.pattern_ms = pattern_ms
        self.schema_steps = schema_steps


LIMITS = Limits()
"""The limits of this process."""
