"""Measures oban_sync beside bare SQL, and beside other queues, in one run: `python -m benchmarks --help`.

A *workload* (`workloads/`) says what is done and what is measured. A *system* (`systems/`) does it, in processes of its
own that may have an interpreter of their own. `registry.py` joins them.
"""
