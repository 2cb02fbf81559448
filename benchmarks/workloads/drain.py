"""A full queue is drained: no-op jobs, from the first start to the last row completed."""

from __future__ import annotations

from benchmarks.agent import Checked
from benchmarks.remote import BenchmarkError
from benchmarks.subject import Subject
from benchmarks.tally import Start, Tally


def drain(
    subject: Subject, jobs: int, *, slots: int, processes: int = 1, kind: str = "noop", mode: str = "drain"
) -> float:
    """Give the jobs a second."""
    subject.fill(jobs, kind)
    with Tally(jobs, processes) as tally, subject.processes(processes) as nodes:
        for number, node in enumerate(nodes):
            node.ask("start", slots=slots, mode=mode, lane=tally.lane(number))
        for node in nodes:
            node.answer()
        checked, starts = subject.finished(jobs, tally)
        for node in nodes:
            node.call("stop")
    return _rate(checked, starts, processes)


def _rate(checked: Checked, starts: list[Start], processes: int) -> float:
    """Divide what started since all processes ran by the time from then to the last end."""
    firsts: dict[int, float] = {}
    for start in starts:
        firsts.setdefault(start.lane, start.wall)
    if len(firsts) < processes or checked["last"] is None:
        raise BenchmarkError(f"expected {processes} processes to share the jobs, got {len(firsts)} that ran any")
    begin = max(firsts.values())
    return sum(start.wall >= begin for start in starts) / (checked["last"] - begin)
