"""Load tests for servers that speak the OpenAI or the Anthropic API.

Decisions:
* Nothing of llmsim is imported: these are the eyes of a client, and they may look at any server.
* Modules that import Locust (`asking locustfile transport tuning users watching`) are loaded by Locust's own
  process only, for gevent patches sockets and ssl on import. All others are plain and can be imported anywhere.
"""
