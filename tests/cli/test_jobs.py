"""Jobs are listed, shown, retried, cancelled and deleted from the command line."""

from __future__ import annotations

import pytest
from psycopg import Connection

from oban_sync import Job, Oban
from tests.cli.ran import ran, rows


@pytest.fixture
def jobs(oban: Oban) -> list[Job]:
    """Three jobs of two queues."""
    return oban.enqueue_many(
        Job("shop.Mail", queue="mail", args={"to": {"id": 1}}, tags=["vip"], meta={"from": "web"}),
        Job("shop.Mail", queue="mail", args={"to": {"id": 2}}, scheduled_in=3600),
        Job("shop.Tidy", queue="night", priority=3),
    )


def listed(dsn: str, *arguments: object) -> list[int]:
    return [row["id"] for row in rows(dsn, "jobs", "list", *arguments)]


def states(db: Connection) -> list[str]:
    return [state for (state,) in db.execute("SELECT state::text FROM oban_jobs ORDER BY id").fetchall()]


def test_the_newest_come_first_in_a_table(dsn: str, jobs: list[Job]) -> None:
    heading, *lines = ran(dsn, "jobs", "list").stdout.splitlines()
    assert heading.split() == ["id", "state", "queue", "worker", "attempt", "priority", "scheduled_at", "args"]
    assert [line.split()[:6] for line in lines] == [
        [str(jobs[2].id), "available", "night", "shop.Tidy", "0/20", "3"],
        [str(jobs[1].id), "scheduled", "mail", "shop.Mail", "0/20", "0"],
        [str(jobs[0].id), "available", "mail", "shop.Mail", "0/20", "0"],
    ]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--state", "scheduled"], [1]),
        (["--state", "scheduled", "--state", "available", "--queue", "mail"], [1, 0]),
        (["--queue", "night", "--queue", "other"], [2]),
        (["--worker", "shop.Tidy"], [2]),
        (["--tag", "vip"], [0]),
        (["--args", '{"to": {"id": 2}}'], [1]),
        (["--meta", '{"from": "web"}'], [0]),
        (["--inserted-after", "1h"], [2, 1, 0]),
        (["--inserted-before", "1h"], []),
        (["--scheduled-after", "2999-01-01"], []),
        (["--scheduled-before", "2999-01-01T00:00+02:00", "--limit", "2"], [2, 1]),
        (["--completed-after", "7d"], []),
        (["--order", "asc", "--limit", "1"], [0]),
    ],
)
def test_filters(dsn: str, jobs: list[Job], arguments: list[str], wanted: list[int]) -> None:
    assert listed(dsn, *arguments) == [jobs[at].id for at in wanted]


def test_pages_ids_and_counts(dsn: str, jobs: list[Job]) -> None:
    assert listed(dsn, "--after", jobs[1].id) == [jobs[0].id]
    assert listed(dsn, "--id", jobs[0].id, "--id", jobs[2].id) == [jobs[2].id, jobs[0].id]
    assert rows(dsn, "jobs", "list", "--queue", "mail", "--count") == [{"count": 2}]
    assert ran(dsn, "jobs", "list", "--queue", "none").stdout == "no job fits\n"


def test_a_job_is_shown_whole(dsn: str, jobs: list[Job]) -> None:
    (row,) = rows(dsn, "jobs", "show", jobs[0].id)
    assert (row["args"], row["tags"], row["meta"]) == ({"to": {"id": 1}}, ["vip"], {"from": "web"})
    lines = ran(dsn, "jobs", "show", jobs[0].id, jobs[2].id).stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("worker ")] == ["shop.Mail", "shop.Tidy"]


def test_a_job_is_shown_with_its_errors(dsn: str, db: Connection, jobs: list[Job]) -> None:
    db.execute("""UPDATE oban_jobs SET errors = '[{"attempt": 1, "at": "now", "error": "a\\n  b\\u001b[31m"}]'""")
    lines = ran(dsn, "jobs", "show", jobs[0].id).stdout.splitlines()
    assert lines[-4:] == ["", "attempt 1 at now:", "    a", "      b [31m"]


def test_a_job_that_is_not_there_is_no_success(dsn: str, jobs: list[Job]) -> None:
    done = ran(dsn, "jobs", "show", jobs[0].id, 999, status=1)
    assert done.stderr == "oban-sync: expected jobs that are there, found none of id 999\n"


def test_what_is_there_is_changed_and_an_id_that_is_not_is_an_error(dsn: str, db: Connection, jobs: list[Job]) -> None:
    error = "oban-sync: expected jobs that are there, found none of id 998, 999\n"
    for action, past in (("cancel", "cancelled"), ("retry", "retried"), ("delete", "deleted")):
        done = ran(dsn, "jobs", action, jobs[0].id, 998, 999, "--dry-run", status=1)
        assert (done.stdout.splitlines()[0], done.stderr) == (f"would {action} 1 job", error)
        done = ran(dsn, "jobs", action, jobs[0].id, 998, 999, status=1)
        assert (done.stdout, done.stderr) == (f"{past} 1 job\n", error)
    assert len(states(db)) == 2


def test_cancel_retry_and_delete(dsn: str, db: Connection, jobs: list[Job]) -> None:
    assert ran(dsn, "jobs", "cancel", jobs[0].id, jobs[2].id).stdout == "cancelled 2 jobs\n"
    assert states(db) == ["cancelled", "scheduled", "cancelled"]
    assert rows(dsn, "jobs", "retry", "--queue", "mail", "--state", "cancelled") == [
        {"action": "retry", "dry_run": False, "count": 1}
    ]
    assert states(db) == ["available", "scheduled", "cancelled"]
    assert ran(dsn, "jobs", "delete", jobs[2].id).stdout == "deleted 1 job\n"
    assert len(states(db)) == 2


def test_a_dry_run_changes_nothing_and_counts_what_would_change(dsn: str, db: Connection, jobs: list[Job]) -> None:
    db.execute("UPDATE oban_jobs SET state = 'executing' WHERE id = %s", (jobs[0].id,))
    before = states(db)
    for action, wanted in (("retry", [1]), ("cancel", [0, 1]), ("delete", [1])):
        ids = [jobs[at].id for at in wanted]
        assert rows(dsn, "jobs", action, "--queue", "mail", "--dry-run") == [
            {"action": action, "dry_run": True, "count": len(ids), "first": ids}
        ]
    lines = ran(dsn, "jobs", "cancel", "--queue", "mail", "--dry-run").stdout.splitlines()
    assert (lines[0], len(lines)) == ("would cancel 2 jobs", 4)
    assert states(db) == before


def test_many_are_deleted_only_after_a_question(dsn: str, db: Connection, jobs: list[Job]) -> None:
    done = ran(dsn, "jobs", "delete", "--queue", "mail", status=1, answer="n\n")
    assert "Delete 2 jobs?" in done.stderr
    assert len(states(db)) == 3
    done = ran(dsn, "jobs", "delete", "--state", "executing")
    assert (done.stdout, done.stderr) == ("deleted 0 jobs\n", "")
    assert ran(dsn, "jobs", "delete", "--queue", "mail", "--yes").stdout == "deleted 2 jobs\n"
    assert states(db) == ["available"]


STRANGE = """
    INSERT INTO oban_jobs (worker, state, args, meta, errors, tags, attempted_by, scheduled_at) VALUES
    ('w', 'available', '[1, 2]', '[1, 2]', '{"a": 1}', '{}', '{}', '-infinity'),
    ('w', 'executing', 'null', '7', '[1]', '{NULL,a}', '{a}', 'infinity'),
    ('w', 'executing', '"x"', '"renewed_at"', '[{"error": 5, "at": null}]', '{}', '{NULL,NULL}', '20000-01-01'),
    ('w', 'discarded', '{}', 'null', '[{"error": 5}]', '{}', '{NULL}', '0044-03-15 BC'),
    ('w', 'cancelled', '{}', '{"renewed_at": null}', '{"a": 1}', '{}', '{}', now());
    UPDATE oban_jobs SET attempted_at = '-infinity' WHERE args = '"x"';
    INSERT INTO oban_producers (uuid, name, node, queue, meta, updated_at) VALUES
    (gen_random_uuid(), 'x', 'y', 'default', '[]', 'infinity'),
    (gen_random_uuid(), 'x', 'y', 'default', '{"local_limit": "many", "locks": [], "oban_sync": 7}', '-infinity');
    INSERT INTO oban_leaders (name, node, elected_at, expires_at) VALUES
    ('x', 'y', 'infinity', '-infinity'), ('y', 'y', '-infinity', 'infinity')
"""


def test_rows_that_other_tools_made_strange_hide_nothing(dsn: str, db: Connection) -> None:
    db.execute(STRANGE)
    ids = sorted(listed(dsn))
    assert len(ids) == 5
    assert len(ran(dsn, "jobs", "list").stdout.splitlines()) == 6
    for id in ids:
        assert rows(dsn, "jobs", "show", id)[0]["worker"] == "w"
        assert ran(dsn, "jobs", "show", id).stdout.startswith("field")
        assert rows(dsn, "explain", id)
    for command in ("status", "queues list", "top --frames 1"):
        assert rows(dsn, *command.split())
        assert "default  2      0" in ran(dsn, *command.split()).stdout
    assert rows(dsn, "doctor", status=1)


def test_what_a_terminal_would_obey_is_not_printed(dsn: str, oban: Oban) -> None:
    job = oban.enqueue(Job("shop.\x1b[31mRed", queue="mail"))
    for arguments in (("jobs", "list"), ("jobs", "show", job.id), ("explain", job.id)):
        assert "\x1b" not in ran(dsn, *arguments).stdout
