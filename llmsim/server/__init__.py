"""Clock, event loop and sockets."""
