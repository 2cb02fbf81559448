"""What the figures depend on: the machine, the versions, the load of others."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import psycopg

ROOT = Path(__file__).parent.parent
_TICKS = os.sysconf("SC_CLK_TCK")


def describe(cpus: frozenset[int]) -> dict[str, str]:
    """Give what a reader must know beside the figures."""
    usable = f"{os.cpu_count()} cores"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "machine": f"{_cpu_model()}, {usable}, {memory:.0f} GB, {platform.system()} {platform.release()}",
        "cores": str(len(os.sched_getaffinity(0))),
        "pinned to": ", ".join(map(str, sorted(cpus))) or "nothing",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "psycopg": f"{psycopg.__version__} ({psycopg.pq.__impl__})",
    }


def cpu(process: int) -> dict[int, float]:
    """Give the CPU seconds of each thread of a process so far, by its id."""
    return {int(task.name): _seconds(task) for task in Path(f"/proc/{process}/task").iterdir()}


def cpu_of_family(parent: int) -> dict[int, float]:
    """Give the CPU seconds of a process and its children so far; under 0, of children that ended, in whole ticks."""
    found = {0: sum(int(field) for field in _stat(parent)[13:15]) / _TICKS}
    for process in (parent, *map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())):
        try:
            found |= cpu(process)
        except OSError:
            pass  # ended meanwhile
    return found


def spent(before: dict[int, float], after: dict[int, float]) -> float:
    """Give the CPU seconds between two looks."""
    return sum(max(0.0, seconds - before.get(process, 0.0)) for process, seconds in after.items())


def busy() -> float:
    """Give the CPU seconds of all cores together that were not idle so far, those that a host took away included."""
    user, nice, system, _, _, *rest = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9])
    return (user + nice + system + sum(rest)) / _TICKS


def memory(process: int) -> float:
    """Give the megabytes of a process that are its own: without files and without what it shares, as the tally."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"expected /proc/{process}/status to have RssAnon, got none")


def parent_of(process: int) -> int:
    """Give the parent of a process."""
    return int(_stat(process)[1])


def name_of(process: int) -> str:
    """Give the name of a process's program."""
    return Path(f"/proc/{process}/comm").read_text().strip()


def _seconds(task: Path) -> float:
    """Read what the scheduler measured, in nanoseconds; ticks would miss what runs for less than one at a time."""
    return int((task / "schedstat").read_text().split()[0]) / 1e9


def _stat(process: int) -> list[str]:
    """Give the fields of /proc/PID/stat after the name."""
    return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "oban_sync", "benchmarks/*.py", "tests/chaos")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + (" and changes" if changed else "")
