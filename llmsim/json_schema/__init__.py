"""JSON Schema: `document` parses and checks schemas, `validation` checks values, `strictness` has OpenAI's extra rules."""
