"""`llmsim loadtest trace`: replays the arrivals and lengths of a recording, and compares the times.

Start reading at `command.py`. A run goes through `probe.py` (what the server takes), `prompts.py` (texts of exact
length), `client.py` (one connection, in asyncio), `schedule.py` (the open loop), `comparison.py` and `report.py`.

Decisions:
* Locust is not used: a replay is a few hundred requests whose instants matter, not users. So it needs no extra.
"""
