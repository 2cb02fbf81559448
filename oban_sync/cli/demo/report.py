"""The third part: the figures, and the checks that decide the exit code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from oban_sync.cli.demo.count import Counts, wc
from oban_sync.cli.demo.guide import Played, lateness
from oban_sync.cli.demo.tables import File, runs, states, stored
from oban_sync.cli.demo.work import Worked


class Check(NamedTuple):
    """One thing that must hold."""

    ok: bool
    name: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Report:
    """What the demo did, read back from the tables.

    Attributes:
        played: The jobs of the guide.
        worked: The jobs of the files.
        expected: Counts by a plain loop over the same files.
        loop_seconds: What that loop took.
        files: What the jobs stored.
    """

    played: Played
    worked: Worked
    expected: dict[str, Counts]
    loop_seconds: float
    files: dict[str, File]

    @classmethod
    def read(cls, played: Played, worked: Worked, expected: dict[str, Counts], loop_seconds: float) -> Report:
        """Read the stored counts."""
        return cls(played, worked, expected, loop_seconds, stored(expected))

    def facts(self) -> list[tuple[str, str]]:
        """Give the figures."""
        files = self.files.values()
        slowest = max(files, key=lambda file: file.seconds, default=None)
        jobs, loop = len(self.expected) / self.worked.seconds, len(self.expected) / self.loop_seconds
        quiet, busy = runs(self.played.timed), runs(self.worked.clocks)
        return [
            ("files", f"{len(files):,}"),
            ("not parsed", _unparsed(self.files)),
            ("lines", f"{self.lines:,}"),
            ("functions", f"{sum(file.functions for file in files):,}"),
            ("classes", f"{sum(file.classes for file in files):,}"),
            ("by jobs", f"{jobs:,.0f} jobs/s ({self.worked.seconds:.1f} s, from the enqueue to the last end)"),
            ("by a loop", f"{loop:,.0f} files/s ({self.loop_seconds:.1f} s, one thread, no queue, nothing stored)"),
            ("slowest file", f"{slowest.path}, {slowest.seconds * 1000:.0f} ms" if slowest else "none"),
            (f"{len(quiet)} scheduled", lateness(quiet)),
            (f"{len(busy)} while parsing", lateness(busy)),
        ]

    @property
    def lines(self) -> int:
        """Lines that the jobs counted."""
        return sum(file.lines for file in self.files.values())

    def checks(self) -> list[Check]:
        """Give what must hold."""
        return [
            self._completed(),
            self._unwanted(),
            self._never_early(),
            self._equal_to_loop(),
            self._equal_to_wc(),
        ]

    def _completed(self) -> Check:
        jobs = self.played.jobs + self.worked.jobs
        found = states(jobs)
        rest = ", ".join(f"{number} {state}" for state, number in found.items() if state != "completed")
        evidence = f"{found['completed']:,} of {len(jobs):,}" + (f"; {rest}" if rest else "")
        return Check(found["completed"] == len(jobs), "every job completed", evidence)

    def _unwanted(self) -> Check:
        unwanted = self.played.unwanted
        stored, ran = states(unwanted).total(), len(runs(unwanted))
        evidence = f"job {unwanted[0].id}: {stored} rows in oban_jobs, {ran} runs"
        return Check(not stored and not ran, "the rolled-back job never ran", evidence)

    def _never_early(self) -> Check:
        timed = runs(self.played.timed + self.worked.clocks)
        early = [run for run in timed if run.late < 0]
        return Check(bool(timed) and not early, "no scheduled job was early", f"{len(early)} of {len(timed)} early")

    def _equal_to_loop(self) -> Check:
        equal = sum(self.files[path].counts == counts for path, counts in self.expected.items() if path in self.files)
        differing = len(self.expected) - equal
        return Check(not differing, "counts are those of the loop", f"{equal:,} files equal, {differing} differing")

    def _equal_to_wc(self) -> Check:
        counted = wc(self.expected)
        if counted is None:
            return Check(True, "lines are those of wc -l", "not checked: no xargs and wc here")
        return Check(counted == self.lines, "lines are those of wc -l", f"{counted:,} by wc, {self.lines:,} by jobs")


def _unparsed(files: dict[str, File]) -> str:
    """Say which files are no Python, as the library's samples of bad syntax are."""
    bad = [(path, file.problem) for path, file in sorted(files.items()) if file.problem is not None]
    if not bad:
        return "0"
    path, problem = bad[0]
    return f"{len(bad)}, such as {path}: {problem.partition(':')[0]}"
