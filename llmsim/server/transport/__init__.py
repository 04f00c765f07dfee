"""HTTP and WebSocket as they come from a socket: parsed within the budgets of what a client may send, refused in few bytes."""
