"""What the command line says."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sizes import FULL, QUICK, Sizes

SLOW = ("backlog", "snapshot", "memory")
"""Groups that take minutes by what they are about: a quick run has them only where they are named."""
GROUPS = ("enqueue", "bulk", "drain", "short", "sleep", "mixed", "latency", "scheduled", "idle", *SLOW)


@dataclass(frozen=True, slots=True)
class Options:
    """The checked command line."""

    groups: tuple[str, ...]
    sizes: Sizes
    rounds: int
    dsn: str | None
    json: Path | None
    write: bool
    cpus: frozenset[int]


def parse(arguments: list[str] | None = None) -> Options:
    """Read the command line; an error ends the process with a message."""
    found = _parser().parse_args(arguments)
    sizes = QUICK if found.quick else FULL
    if found.scale != 1:
        sizes = sizes.scaled(found.scale)
    return Options(
        groups=tuple(found.workloads) or tuple(group for group in GROUPS if not (found.quick and group in SLOW)),
        sizes=sizes,
        rounds=found.rounds,
        dsn=found.dsn,
        json=found.json,
        write=found.write or not (found.quick or found.workloads or found.scale != 1),
        cpus=frozenset(int(cpu) for cpu in found.cpus.split(",") if cpu),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure oban_sync beside bare SQL.")
    parser.add_argument("workloads", nargs="*", metavar="workload", choices=(*GROUPS, []), help=", ".join(GROUPS))
    parser.add_argument("--quick", action="store_true", help="smaller sizes: done in two minutes, and less exact")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each figure; the median counts (3)")
    parser.add_argument("--scale", type=float, default=1, metavar="FACTOR", help="multiply all sizes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md; a full run does so by itself")
    parser.add_argument("--dsn", help="measure on this server, as a user that may create databases (embedded)")
    parser.add_argument("--cpus", default="", metavar="0,1", help="pin the measured processes to these CPUs")
    return parser
