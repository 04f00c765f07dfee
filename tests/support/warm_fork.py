"""What Python's fork server imports: a server without arguments, environment and files."""

from support.warm_server import warm

warm()
