"""The Responses API, as far as its dialects agree: requests, the response object, events, and what is stored."""
