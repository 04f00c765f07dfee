"""What SDKs do with each fault on the wire: `python_clients` and `vercel` run them, `table` writes it down."""
