"""Plausible instances of JSON schemas: structured responses and arguments of tool calls.

`making` generates a value, `shapes` has what a schema requires, `scalars`, `formats` and `patterns` generate the leaves, and
`argument_hints` takes them from the user's message.
"""
