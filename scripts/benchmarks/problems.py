"""What ends a benchmark early."""


class BenchError(Exception):
    """Something is missing or does not run; the message says what, and what would do."""
