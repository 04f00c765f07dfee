"""Bytes ready for the wire: framing and JSON, shared by all providers."""
