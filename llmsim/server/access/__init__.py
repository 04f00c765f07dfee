"""Who may ask for what: the guard of the control API, API keys, and what browsers may read."""
