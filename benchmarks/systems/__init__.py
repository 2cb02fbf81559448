"""The queues that are measured. Each module has `make(dsn)`, which gives a `benchmarks.agent.System`.

A system may live in a virtual environment of its own, so its module imports nothing of this package beside `agent` and
`tally`, which need the standard library only.
"""
