"""JSON schemas: what one asks for, whether it is one, and whether a value is an instance of it."""
