"""Plausible instances of JSON schemas: what stands in forms, and what tools are called with.

`making` puts a value together, `shapes` tell what a schema asks for, `scalars`, `formats` and `patterns` make its leaves, and
`hints` take them from what the user said.
"""
