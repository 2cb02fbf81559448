"""Why a job is not running, for people and for programs."""

from __future__ import annotations

from oban_sync import Job, Oban
from tests.cli.ran import ran, rows


def test_each_reason_comes_with_its_evidence_and_advice(dsn: str, oban: Oban) -> None:
    job = oban.enqueue(Job("shop.Mail", queue="mail", scheduled_in=3600))
    lines = ran(dsn, "explain", job.id).stdout.splitlines()
    assert lines[0] == f"job {job.id} of worker shop.Mail is scheduled in queue mail"
    assert lines[1].startswith("note: not_due: it is due in ")
    assert lines[2].startswith("    seen: state=scheduled, scheduled_at=")
    assert lines[3] == f"    do: run it now: oban-sync jobs retry {job.id}"
    assert lines[4] == "wrong: no_node: no node runs queue mail"
    assert [row["name"] for row in rows(dsn, "explain", job.id)] == ["not_due", "no_node"]


def test_a_job_that_is_not_there(dsn: str) -> None:
    assert "found none of id 7" in ran(dsn, "explain", 7, status=1).stderr
