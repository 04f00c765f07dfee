"""What must be the same for all workers and is not a counter."""
