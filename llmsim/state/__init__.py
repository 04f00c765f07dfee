"""State that all workers share, apart from the stats block.

`ports` has the protocols that the server programs against; `embedded` is where their implementation for the processes of one
machine is put together.
"""
