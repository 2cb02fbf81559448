"""Why a job is not running, for people and for programs."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from oban_sync import Job, Oban
from oban_sync.cli import main
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


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)]
)
def test_levels_are_coloured_on_a_terminal_unless_it_is_unwanted(
    dsn: str, oban: Oban, environment: dict[str, str], coloured: bool
) -> None:
    job = oban.enqueue(Job("shop.Mail", queue="mail"))
    done = CliRunner().invoke(main, ["explain", str(job.id), "--dsn", dsn], color=True, env=environment)
    assert ("\x1b[31mwrong" in done.output, "\x1b" in done.output) == (coloured, coloured)


def test_names_do_not_reach_the_terminal_unseen(dsn: str, oban: Oban) -> None:
    job = oban.enqueue(Job("shop.Mail", queue="ma\x1b[31mil"))
    for command in ("explain", job.id), ("doctor",), ("queues", "list"), ("queues", "pause", job.queue, "--dry-run"):
        done = CliRunner().invoke(main, [*map(str, command), "--dsn", dsn], color=False)
        assert "ma [31mil" in done.output
        assert "\x1b" not in done.output


def test_a_job_that_is_not_there(dsn: str) -> None:
    assert "found none of id 7" in ran(dsn, "explain", 7, status=1).stderr
