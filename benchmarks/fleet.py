"""A model of a fleet: processes of oban_sync that drain the queues of PostgreSQL servers. No clock, no I/O.

A process does two things at the same time. It runs a group of jobs, which takes CPU of one core at most, since Python
runs one thread at a time. Meanwhile it has the server write the ends of the group before and give it the next, which
takes CPU of the server, and waits for the commit, which takes none. Both are done before it goes on to the next group.
Whatever wants CPU of one machine at the same time shares its cores equally.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

ROUNDS = 40
"""Groups that a process takes on average in a simulation, after as many that are not counted."""
_NOTHING = 1e-12


@dataclass(frozen=True, slots=True)
class Costs:
    """What a job costs, as measured.

    Attributes:
        server: Seconds of PostgreSQL's CPU.
        python: Seconds of the process's CPU.
        group: Jobs that one transaction takes and ends.
        commit: Seconds that a transaction waits, for the network and the disk.
        wal: Bytes of the write-ahead log.
    """

    server: float
    python: float
    group: float
    commit: float
    wal: float


@dataclass(frozen=True, slots=True)
class Machines:
    """The cores that there are.

    Attributes:
        server: Cores of PostgreSQL's machine.
        shared: Whether the processes run on that machine too; else each has a core of its own.
    """

    server: float
    shared: bool


@dataclass(slots=True)
class _Process:
    """What is left of each step of the group in hand, in seconds, and how many groups are done."""

    run: float
    fetch: float
    wait: float
    done: int = 0

    def ended(self) -> bool:
        return max(self.run, self.fetch, self.wait) <= _NOTHING


def rate(costs: Costs, machines: Machines, processes: int, primaries: int = 1) -> float:
    """Give the jobs a second of so many processes, shared equally among servers that have machines of their own.

    A process may have queues on several servers: then a part of it counts for each.
    """
    each, more = divmod(processes, primaries)
    found = (primaries - more) * _one(costs, machines, each) if each else 0.0
    return found + (more * _one(costs, machines, each + 1) if more else 0.0)


def most(costs: Costs, cores: float, wal: float) -> float:
    """Give the jobs a second that one server can take, by its cores and by the bytes a second of its log."""
    return min(cores / costs.server, wal / costs.wal)


def needed(costs: Costs, cores: float, wanted: float) -> int:
    """Give the fewest processes, each with a core of its own, that reach a rate on one server.

    Raises:
        ValueError: It is over nine tenths of what the server's cores can do, which no plan should be.
    """
    highest = 0.9 * cores / costs.server
    if wanted > highest:
        raise ValueError(f"expected at most {highest:,.0f} jobs/s on one server, got {wanted:,.0f}")
    processes = max(1, math.ceil(wanted * max(costs.python, costs.server)))
    while rate(costs, Machines(cores, shared=False), processes) < wanted * (1 - 1e-6):
        processes += 1
    return processes


def _one(costs: Costs, machines: Machines, processes: int) -> float:
    """Simulate one server. The processes begin one after the other, since in life they are not in step."""
    run, fetch = costs.group * costs.python, costs.group * costs.server
    fleet = [_Process(run * place / processes, fetch, costs.commit) for place in range(1, processes + 1)]
    now, begin, first, total = 0.0, 0.0, 0, ROUNDS * processes
    while (done := sum(process.done for process in fleet)) < 2 * total:
        if done >= total and not first:
            begin, first = now, done
        now += _advance(fleet, machines)
        for process in fleet:
            if process.ended():
                process.run, process.fetch, process.wait = run, fetch, costs.commit
                process.done += 1
    return (done - first) * costs.group / (now - begin)


def _advance(fleet: list[_Process], machines: Machines) -> float:
    """Let all processes go on until the first has ended a step, and give the seconds."""
    running = [process for process in fleet if process.run > _NOTHING]
    fetching = [process for process in fleet if process.fetch > _NOTHING]
    waiting = [process for process in fleet if process.fetch <= _NOTHING < process.wait]
    served = len(fetching) + (len(running) if machines.shared else 0)
    speed = min(1.0, machines.server / served) if served else 1.0
    own = speed if machines.shared else 1.0
    steps = [process.run / own for process in running] + [process.fetch / speed for process in fetching]
    seconds = min(steps + [process.wait for process in waiting])
    for process in running:
        process.run -= seconds * own
    for process in fetching:
        process.fetch -= seconds * speed
    for process in waiting:
        process.wait -= seconds
    return seconds
