"""Jobs are found by what they are, page by page, and a filter that chooses everything by mistake is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from oban_sync import Job, JobState, Oban, job, worker
from oban_sync.errors import FilterError, JobError
from tests.store.callers import AUTOCOMMIT, TRANSACTIONAL

NOW = datetime.now(UTC)


def _named(value: object) -> str:
    """Name a test after its filters, without the times in them: each process that runs tests has its own."""
    return ",".join(value) if isinstance(value, dict) else str(value)


@worker(name="query.Mail")
class Mail:
    def process(self, job: Job) -> None:
        """Only its row matters."""


@job(name="query.count")
def count_stock(sku: str) -> None:
    """Only its row matters."""


@pytest.fixture
def jobs(oban: Oban, db: psycopg.Connection) -> list[Job]:
    """Five jobs that differ in everything, the last of them completed."""
    made = oban.enqueue_many(
        Mail.new({"to": "a", "more": {"cc": ["x", "y"]}}, queue="mail", tags=["vip", "new"]),
        Mail.new({"to": "b"}, queue="mail", tags=["new"], scheduled_in=3600),
        count_stock.new("A-1", queue="stock", meta={"source": "shop"}),
        Job("other", state="suspended"),
        Job("other", queue="old"),
    )
    db.execute(
        "UPDATE oban_jobs SET state = 'completed', completed_at = '2020-01-01', attempted_at = '2020-01-01', "
        "attempted_by = ARRAY['n', 'o'], attempt = 1, errors = '[{\"attempt\": 1}]', inserted_at = '2019-01-01' "
        "WHERE id = %s",
        (made[-1].id,),
    )
    return made


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"state": "available"}, [0, 2]),
        ({"state": [JobState.SCHEDULED, "suspended"]}, [1, 3]),
        ({"state": []}, []),
        ({"queue": "mail"}, [0, 1]),
        ({"queue": {"stock", "old"}}, [2, 4]),
        ({"queue": "it's"}, []),
        ({"worker": Mail}, [0, 1]),
        ({"worker": [Mail, count_stock]}, [0, 1, 2]),
        ({"worker": count_stock}, [2]),
        ({"worker": "other"}, [3, 4]),
        ({"tags": "New "}, [0, 1]),
        ({"tags": ["new", "vip"]}, [0]),
        ({"args": {"to": "b"}}, [1]),
        ({"args": {"more": {"cc": ["y"]}}}, [0]),
        ({"meta": {"source": "shop"}}, [2]),
        ({"scheduled_at": (NOW + timedelta(minutes=50), None)}, [1]),
        ({"inserted_at": (None, NOW - timedelta(days=1))}, [4]),
        ({"completed_at": (datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC))}, [4]),
        ({"completed_at": (None, datetime(2020, 1, 1, tzinfo=UTC))}, []),
        ({"queue": "mail", "state": "available", "tags": "vip"}, [0]),
        ({"queue": "mail", "state": "suspended"}, []),
    ],
    ids=_named,
)
def test_a_job_is_found_if_it_fits_every_filter(
    oban: Oban, jobs: list[Job], filters: dict[str, Any], expected: list[int]
) -> None:
    assert [found.id for found in oban.list_jobs(**filters)] == [jobs[at].id for at in expected]
    assert oban.count_jobs(**filters) == len(expected)


def test_jobs_are_read_page_by_page_in_either_direction(oban: Oban, jobs: list[Job]) -> None:
    ids = [found.id for found in jobs]
    first = oban.list_jobs(limit=2)
    second = oban.list_jobs(limit=2, after=first[-1].id)
    assert [[found.id for found in page] for page in (first, second)] == [ids[:2], ids[2:4]]
    newest = oban.list_jobs(limit=2, order="desc")
    older = oban.list_jobs(limit=10, order="desc", after=newest[-1].id)
    assert [found.id for found in newest + older] == ids[::-1]
    assert oban.list_jobs(after=ids[-1]) == []
    assert [found.id for found in oban.list_jobs(ids=[ids[3], ids[0], -5])] == [ids[0], ids[3]]


def test_a_job_comes_back_whole(oban: Oban, jobs: list[Job]) -> None:
    found = oban.get_job(jobs[4].id)
    assert isinstance(found, Job)
    assert (found.id, found.worker, found.queue, found.state) == (jobs[4].id, "other", "old", JobState.COMPLETED)
    assert (found.attempt, found.max_attempts, found.priority) == (1, 20, 0)
    assert found.attempted_by == ["n", "o"]
    assert found.errors == [{"attempt": 1}]
    assert found.completed_at == found.attempted_at == datetime(2020, 1, 1, tzinfo=UTC)
    assert found.cancelled_at is found.discarded_at is None
    again = oban.get_job(jobs[0].id)
    assert (again.args, again.meta, again.tags) == (jobs[0].args, {}, ["new", "vip"])
    assert (again.inserted_at, again.scheduled_at) == (jobs[0].inserted_at, jobs[0].scheduled_at)
    assert oban.get_job(10**9) is None


def test_times_beyond_those_of_python_become_the_nearest(oban: Oban, jobs: list[Job], db: psycopg.Connection) -> None:
    db.execute(
        "UPDATE oban_jobs SET scheduled_at = 'infinity', inserted_at = '-infinity', completed_at = '0044-03-15 BC', "
        "cancelled_at = '20000-01-01'"
    )
    found = oban.get_job(jobs[0].id)
    assert found.scheduled_at == found.cancelled_at == datetime.max.replace(tzinfo=UTC)
    assert found.inserted_at == found.completed_at == datetime.min.replace(tzinfo=UTC)


def test_tables_of_oban_for_elixir_are_read(oban: Oban, jobs: list[Job], db: psycopg.Connection) -> None:
    db.execute(
        "ALTER TABLE oban_jobs ALTER errors DROP DEFAULT, ALTER errors TYPE jsonb[] USING ARRAY[errors], "
        "ALTER meta DROP NOT NULL, ALTER tags DROP NOT NULL, ALTER attempted_by DROP NOT NULL, ADD COLUMN extra int"
    )
    db.execute(
        "UPDATE oban_jobs SET errors = ARRAY['{\"attempt\": 7}'::jsonb], meta = NULL, tags = NULL, attempted_by = NULL"
    )
    found = oban.get_job(jobs[0].id)
    assert (found.errors, found.meta, found.tags, found.attempted_by) == ([{"attempt": 7}], {}, [], [])


WRONG: list[dict[str, Any]] = [
    {"colour": "red"},
    {"state": "asleep"},
    {"state": 5},
    {"state": None},
    {"queue": None},
    {"queue": ""},
    {"queue": ["a", 5]},
    {"queue": "a\0"},
    {"queue": "\ud800"},
    {"queue": b"a"},
    {"worker": int},
    {"tags": []},
    {"args": {}},
    {"args": None},
    {"args": "a"},
    {"args": {"a": float("nan")}},
    {"args": {1: 2}},
    {"meta": {1: 2}},
    {"meta": {"a": {2}}},
    {"ids": 5},
    {"ids": "5"},
    {"ids": [True]},
    {"ids": [2**63]},
    {"inserted_at": NOW},
    {"inserted_at": (None, None)},
    {"inserted_at": (NOW.replace(tzinfo=None), None)},
    {"inserted_at": ("2020", None)},
]


@pytest.mark.parametrize("filters", WRONG, ids=_named)
def test_a_filter_that_cannot_choose_is_refused(oban: Oban, jobs: list[Job], filters: dict[str, Any]) -> None:
    for verb in (oban.list_jobs, oban.count_jobs, oban.cancel_many_jobs, oban.retry_many_jobs, oban.delete_many_jobs):
        with pytest.raises((FilterError, JobError), match="expected"):
            verb(**filters)
    assert oban.count_jobs(state="cancelled") == 0
    assert oban.count_jobs() == 5


@pytest.mark.parametrize(
    "page", [{"limit": 0}, {"limit": True}, {"limit": 2**63}, {"after": "5"}, {"order": "random"}], ids=str
)
def test_a_page_that_cannot_be_is_refused(oban: Oban, page: dict[str, Any]) -> None:
    with pytest.raises(FilterError, match="expected"):
        oban.list_jobs(**page)


@pytest.mark.parametrize("wrong", [0, -1, True, 2**63, "5", None, Job("w")], ids=str)
def test_what_is_no_id_is_refused(oban: Oban, wrong: Any) -> None:
    with pytest.raises(JobError, match="expected a job that was enqueued, or its id"):
        oban.get_job(wrong)


@pytest.mark.parametrize("name", sorted(TRANSACTIONAL))
def test_a_transaction_sees_its_own_jobs(oban: Oban, dsn: str, name: str) -> None:
    with TRANSACTIONAL[name](dsn) as case:
        made = oban.enqueue(Mail.new({"to": "%s"}, tags=["x"]), conn=case.conn)
        filters: dict[str, Any] = {"state": "available", "queue": "default", "tags": "x", "args": {"to": "%s"}}
        assert [found.id for found in oban.list_jobs(conn=case.conn, **filters)] == [made.id]
        assert oban.count_jobs(conn=case.conn, inserted_at=(NOW - timedelta(1), None), ids=[made.id]) == 1
        assert oban.get_job(made.id, conn=case.conn).args == {"to": "%s"}
        case.rollback()
    assert oban.count_jobs() == 0


@pytest.mark.parametrize("name", sorted(AUTOCOMMIT))
@pytest.mark.filterwarnings("ignore::oban_sync.store.handles.AutocommitWarning")
def test_a_connection_in_autocommit_reads_too(oban: Oban, dsn: str, name: str) -> None:
    made = oban.enqueue(Mail.new())
    with AUTOCOMMIT[name](dsn) as case:
        assert oban.get_job(made.id, conn=case.conn).id == made.id
