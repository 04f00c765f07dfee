"""The processes of a server: gunicorn's master, its workers and their listening sockets, from start to stop."""
