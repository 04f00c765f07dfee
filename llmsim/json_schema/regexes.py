r"""Regular expressions of schemas: whether they are valid, and their syntax trees.

Decisions:
* Patterns are Python's: OpenAI compiles them with `re`, too, and refuses syntax of JavaScript alone, e.g. `\p{L}`.
* They are parsed here, in linear time. `re` compiles in unbounded time and memory: 7 ms and more for a set after `(?i)`. It is asked
  only about short patterns that seem invalid, so that no pattern is refused that it accepts; those fail before they are compiled.
* Texts are searched with `budgets.WorkBudget`, never with `re`, which cannot be interrupted.
* Patterns that are too long or nested too deep to be parsed count as valid, and match any text.
"""

import re
import warnings

from llmsim.budgets import LIMITS, remembered
from llmsim.json_schema.regex_parser import InvalidPatternError, PatternParser, PatternTooDeepError, Sequence


@remembered(maxsize=1024)
def is_valid(pattern: str) -> bool:
    """Return whether `pattern` is a regular expression, or too long to know."""
    if len(pattern) > LIMITS.pattern_chars:
        return True
    try:
        PatternParser(pattern).parse()
    except PatternTooDeepError:
        return True
    except InvalidPatternError:
        with warnings.catch_warnings():
            # Warnings about a client's pattern, such as possible nested sets, are of no use here.
            warnings.simplefilter("ignore")
            try:
                re.compile(pattern)
            except (re.error, ValueError, OverflowError, RecursionError, MemoryError):
                return False
    return True


@remembered(maxsize=128)
def parse_pattern(pattern: str) -> Sequence | None:
    """Return the syntax tree of `pattern`; None if it is invalid, too long or too deep."""
    if len(pattern) > LIMITS.pattern_chars:
        return None
    try:
        return PatternParser(pattern).parse()
    except (InvalidPatternError, PatternTooDeepError):
        return None
