"""Nodes whose clocks are wrong, by libfaketime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from oban_sync import Job
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet
from tests.chaos.server import Stage

MISSING = "libfaketime is not installed (Debian: apt-get install faketime)"
SKEWS = ("-1h", "+0", "+1h")


def library() -> Path | None:
    """Find the library."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found else None


def skewed(stage: Stage, directory: Path, *, each: int, seconds: float) -> Iterator[Counted]:
    """Run nodes whose clocks are hours apart: on each, jobs fail, retry, and schedule others (R16).

    Args:
        stage: Where.
        directory: For logs.
        each: Jobs of each kind a node.
        seconds: How long the long ones run.
    """
    found = library()
    assert found is not None, MISSING
    with Fleet(stage.dsn, directory, queues=f"default:{each}") as fleet:
        for skew in SKEWS:
            fleet.start(
                skew, f"default:2,own{skew}:{2 * each}", LD_PRELOAD=str(found), FAKETIME=skew, DONT_FAKE_MONOTONIC="1"
            )
        stage.need(lambda: stage.one("SELECT count(DISTINCT node) FROM oban_producers") == len(SKEWS))
        stage.enqueue(
            job
            for skew in SKEWS
            for _ in range(each)
            for job in (
                Job("chaos.Clock", queue=f"own{skew}"),
                Job("chaos.Sibling", queue=f"own{skew}", args={"seconds": seconds}),
                Job("chaos.Sibling", queue=f"own{skew}", args={"seconds": 0}, schedule_in=3),
            )
        )
        stage.wait(lambda: stage.unended() == 0, 60 + seconds)
        counts = {
            "jobs": sum(stage.states().values()),
            "completed": stage.states().get("completed", 0),
            "begun early": stage.one(_EARLY),
            "begun over 5 s late": stage.one(_LATE),
            "scheduled by a wrong clock": stage.one(_WRONG),
            "rescued": stage.one("SELECT count(*) FROM oban_jobs WHERE meta ? 'rescued'"),
            "starts of long jobs": stage.one(_STARTS, (seconds,)),
            "hours between clocks": stage.one(_APART),
        }
    exact = counts["completed"] == counts["jobs"] and counts["starts of long jobs"] == each * len(SKEWS)
    harmless = not any(counts[name] for name in ("begun early", "begun over 5 s late", "rescued"))
    kept = exact and harmless and not counts["scheduled by a wrong clock"] and counts["hours between clocks"] >= 2
    claim, line = "clock skew is harmless", "no early run, no false rescue"
    fault = f"clocks of nodes at {', '.join(SKEWS)}"
    yield Counted("R16", claim, fault, f"{counts['jobs']} jobs", None, counts, line, kept)


_DUE = """
SELECT count(*) FROM oban_jobs JOIN LATERAL (
    SELECT max(began) AS began FROM ledger WHERE job = oban_jobs.id
) AS run ON true WHERE {}
"""
_EARLY = _DUE.format("run.began < timezone('UTC', scheduled_at)")
_LATE = _DUE.format("run.began > timezone('UTC', scheduled_at) + interval '5 s'")
_WRONG = """
SELECT count(*) FROM oban_jobs
WHERE worker = 'chaos.Sibling' AND scheduled_at > inserted_at AND scheduled_at - inserted_at > interval '4 s'
"""
_STARTS = "SELECT count(*) FROM ledger JOIN oban_jobs ON oban_jobs.id = job WHERE (args ->> 'seconds')::float = %s"
_APART = "SELECT coalesce(round(extract(epoch FROM max(said) - min(said)) / 3600), 0)::int FROM clocks"
