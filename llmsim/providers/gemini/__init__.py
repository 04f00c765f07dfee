"""Google's Gemini API. Start reading in `provider.py`."""
