"""The queues that are measured. Each module has `make(dsn)`, which gives a `benchmarks.agent.System`
or what it can of one.

A module that serves several variants of a queue has `make(dsn, variant)`. A peer, `<name>_peer.py`, lives in a virtual
environment of its own, so its module imports nothing of this package beside `agent`, `tally`, `crowd`, `eventloop`,
`rows` and `systems.oban_table`, which need the standard library and psycopg only, or `family`,
`shared_lane` and `systems.redis_queue`, which need redis.
"""
