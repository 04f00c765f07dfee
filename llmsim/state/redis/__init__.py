"""State that several hosts share, on Valkey or Redis.

`redis_state.py` is where the ports are put together, `client.py` is how the server is reached, `pipeline.py` one connection to it,
`script.py` how an operation is made one atomic step and one round trip. What every port keeps to:

* Keys are `{PREFIX}:PART` and `{PREFIX}:PART:…`, from `RedisClient.key`. The braces make all keys of a simulator one hash slot, so that
  scripts may touch any of them. Texts of clients in keys are digested where they may be long.
* Every operation that reads and writes is one `Script`. The time in it is that of the Redis server, `now()`, so that hosts whose
  clocks differ agree; tests give the client a clock instead.
* A store takes the client and its bounds; it keeps nothing in the process that another host could change.
* What other hosts must learn at once is published, and received by `State.follow`; see `pushes.py`.
* What a host holds is renewed by `State.renew` each second and expires 5 s after, so that a host that is gone holds nothing.
"""
