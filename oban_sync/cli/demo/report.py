"""The third part: the figures, and the checks that decide the exit code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.orm import Session

from oban_sync.cli.demo.count import Counts, wc
from oban_sync.cli.demo.guide import Played, lateness
from oban_sync.cli.demo.tables import File, Sessions, runs, states, stored
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
        with Sessions() as session:
            return cls(played, worked, expected, loop_seconds, stored(session, list(expected)))

    def facts(self) -> list[tuple[str, str]]:
        """Give the figures."""
        files = self.files.values()
        slowest = max(files, key=lambda file: file.seconds, default=None)
        jobs, loop = len(self.expected) / self.worked.seconds, len(self.expected) / self.loop_seconds
        with Sessions() as session:
            quiet = runs(session, [job.id for job in self.played.timed])
            busy = runs(session, [job.id for job in self.worked.clocks])
        return [
            ("files", f"{len(files):,}, {sum(file.problem is not None for file in files)} of them no valid Python"),
            ("lines", f"{self.lines:,}"),
            ("functions", f"{sum(file.functions for file in files):,}"),
            ("classes", f"{sum(file.classes for file in files):,}"),
            ("by jobs", f"{jobs:,.0f} jobs/s ({self.worked.seconds:.1f} s, from the enqueue to the last job's end)"),
            ("by a loop", f"{loop:,.0f} files/s ({self.loop_seconds:.1f} s, no queue, nothing stored)"),
            ("slowest file", f"{slowest.path}, {slowest.seconds * 1000:.0f} ms" if slowest else "none"),
            (f"{len(quiet)} scheduled jobs", lateness(quiet)),
            (f"{len(busy)} more, while parsing", lateness(busy)),
        ]

    @property
    def lines(self) -> int:
        """Lines that the jobs counted."""
        return sum(file.lines for file in self.files.values())

    def checks(self) -> list[Check]:
        """Give what must hold."""
        with Sessions() as session:
            return [
                self._completed(session),
                self._unwanted(session),
                self._never_early(session),
                self._equal_to_loop(),
                self._equal_to_wc(),
            ]

    def _completed(self, session: Session) -> Check:
        ids = [job.id for job in self.played.jobs + self.worked.jobs]
        found = states(session, ids)
        rest = ", ".join(f"{number} {state}" for state, number in found.items() if state != "completed")
        evidence = f"{found['completed']:,} of {len(ids):,}" + (f"; {rest}" if rest else "")
        return Check(found["completed"] == len(ids), "every job completed", evidence)

    def _unwanted(self, session: Session) -> Check:
        ids = [job.id for job in self.played.unwanted]
        stored, ran = states(session, ids).total(), len(runs(session, ids))
        evidence = f"job {ids[0]}: {stored} rows in oban_jobs, {ran} runs"
        return Check(not stored and not ran, "the rolled-back job never ran", evidence)

    def _never_early(self, session: Session) -> Check:
        timed = runs(session, [job.id for job in self.played.timed + self.worked.clocks])
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
