"""What the command line says."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from benchmarks import venvs
from benchmarks.peers import PEERS
from benchmarks.sizes import FULL, QUICK, Sizes

SLOW = ("backlog", "snapshot", "memory", "scaling")
"""Groups that take minutes by what they are about: a quick run has them only where they are named."""
GROUPS = ("enqueue", "bulk", "drain", "short", "sleep", "mixed", "latency", "scheduled", "idle", *SLOW)
CHAOS = "chaos"
"""The group that measures no speed: it is run alone, where it is named."""


_JOIN = "show figures of an earlier --json beside these, where this run does not measure them"


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
    peers: tuple[str, ...]
    venvs: Path
    joined: tuple[Path, ...]
    quick: bool
    promises: frozenset[str]


def parse(arguments: list[str] | None = None) -> Options:
    """Read the command line; an error ends the process with a message."""
    parser = _parser()
    found = parser.parse_args(arguments)
    try:
        peers = _peers(found.peers)
    except ValueError as error:
        parser.error(str(error))
    if CHAOS in found.workloads and len(found.workloads) > 1:
        parser.error(f"expected {CHAOS} alone, got it with {len(found.workloads) - 1} more")
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
        peers=peers,
        venvs=found.venvs,
        joined=tuple(found.joined),
        quick=found.quick,
        promises=frozenset(name for name in found.promises.split(",") if name),
    )


_HELP = f"{', '.join(GROUPS)}; or {CHAOS} alone, which counts what faults do"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description="Measure oban_sync beside bare SQL and other queues."
    )
    parser.add_argument("workloads", nargs="*", metavar="workload", choices=(*GROUPS, CHAOS, []), help=_HELP)
    parser.add_argument("--quick", action="store_true", help="smaller sizes: done in two minutes, and less exact")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each figure; the median counts (3)")
    parser.add_argument("--scale", type=float, default=1, metavar="FACTOR", help="multiply all sizes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md; a full run does so by itself")
    parser.add_argument("--join", type=Path, dest="joined", action="append", default=[], metavar="FILE", help=_JOIN)
    parser.add_argument("--dsn", help="measure on this server, as a user that may create databases (embedded)")
    parser.add_argument("--cpus", default="", metavar="0,1", help="pin the measured processes to these CPUs")
    parser.add_argument("--peers", default="", metavar="A,B", help=f"other queues: {', '.join(PEERS)}, or all")
    parser.add_argument("--promises", default="", metavar="R1,R5", help=f"of {CHAOS}: only these, and `beside` a peer")
    parser.add_argument("--venvs", type=Path, default=venvs.HOME, metavar="DIR", help=f"their homes ({venvs.HOME})")
    return parser


def _peers(text: str) -> tuple[str, ...]:
    """Read a list of peers.

    Raises:
        ValueError: It names one that is not known.
    """
    if text == "all":
        return tuple(PEERS)
    names = tuple(dict.fromkeys(name for name in text.split(",") if name))
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise ValueError(f"expected --peers to be of {', '.join(PEERS)}, or all, got {', '.join(unknown)}")
    return names
