"""Measures oban_sync beside bare SQL, and beside other queues, in one run: `python -m benchmarks --help`.

A *workload* (`workloads/`) says what is done and what is measured. A *system* (`systems/`) does it, in processes of its
own (`agent.py`, and `remote.py` at the other end) that may have an interpreter of their own. `registry.py` joins them:
a further queue is a module with the methods of `agent.System` that it can offer, and a line in `SYSTEMS` with the
interpreter of its virtual environment.

A figure counts only if what was done is right: each job completed, at its first attempt, without errors, started once
and not early; ids in the order given. What fails is told, leaves its figure out, and makes the exit status 1.
"""
