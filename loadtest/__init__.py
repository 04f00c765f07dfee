"""Load tests for servers that speak the OpenAI or the Anthropic API; start reading at `cli` and `suites`.

Decisions:
* Nothing of llmsim is imported: the load tests see what a client sees, and can test any server.
* Modules that import Locust (`client locustfile monitor users`) are loaded by Locust's own process only, because
  gevent patches sockets and ssl on import. All other modules can be imported anywhere.
"""
