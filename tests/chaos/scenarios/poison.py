"""Results, errors and rows that are poison: each costs only its own job."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from random import Random

from psycopg import sql

from oban_sync import Job
from tests.chaos import corpus
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet
from tests.chaos.server import Stage

SABOTAGE = ("timeout", "backoff", "job", "nothing")
CLIPPED = 20_000
"""Bytes that an error with all that surrounds it may have."""


def poison(stage: Stage, directory: Path, seed: int, *, jobs: int) -> Iterator[Counted]:
    """Run poison one to one with good jobs, and hostile names (R6, R9).

    Args:
        stage: Where.
        directory: For logs.
        seed: Draws the order.
        jobs: Poison jobs, and good ones.
    """
    with Fleet(stage.dsn, directory, "tests.chaos.poison_work") as fleet:
        node = fleet.start()
        _look(stage, 0)
        _run_good(stage, jobs, _IDLE)  # makes the node warm
        idle = _run_good(stage, jobs, _IDLE), _run_mixed(stage, Random(seed), jobs, _IDLE)
        stage.ask("TRUNCATE oban_jobs")
        clean = _run_good(stage, jobs, _GOOD_ROW)
        mixed = _run_mixed(stage, Random(seed), jobs, _GOOD_ROW)
        _look(stage, 1)
        yield _cost(stage, seed, jobs, alive=node.alive, idle=idle, clean=clean, mixed=mixed)
        yield _imported(stage, seed)


_GOOD = "worker = 'chaos.Good' AND args @> '{\"good\": true}'"
_IDLE = {"worker": "chaos.Good", "args": '{"good": true}'}
_GOOD_ROW = {"worker": "chaos.Good", "args": '{"good": true, "seconds": 0.002}'}
"""Good jobs: one that does nothing, and one that takes as long as a commit or two."""


def _waiting(stage: Stage, which: str) -> bool:
    found = f"SELECT 1 FROM oban_jobs WHERE state = '%s' AND {which}"
    return bool(stage.one(f"SELECT EXISTS ({found % 'available'}) OR EXISTS ({found % 'executing'})"))


def _run_good(stage: Stage, jobs: int, good: dict[str, str]) -> float:
    """Run good jobs and nothing else, and give the seconds."""
    insert(stage, [good] * jobs)
    stage.need(lambda: not _waiting(stage, "true"))
    seconds = _seconds(stage)
    stage.ask("TRUNCATE oban_jobs")
    return seconds


def _run_mixed(stage: Stage, random: Random, jobs: int, good: dict[str, str]) -> float:
    """Run them with as many poison jobs among them, and give the seconds until the last good one ended."""
    _mix(stage, random, jobs, good)
    stage.wait(lambda: not _waiting(stage, _GOOD), 120)
    seconds = _seconds(stage)
    stage.wait(lambda: not _waiting(stage, "true"), 60)
    return seconds


def _seconds(stage: Stage) -> float:
    """Give the time from the first begin of any job to the last end of a good one, by the database's clock."""
    last = f"max(completed_at) FILTER (WHERE {_GOOD})"
    return float(
        stage.one(f"SELECT coalesce(extract(epoch FROM {last} - min(attempted_at)), 'infinity') FROM oban_jobs")
    )


def _look(stage: Stage, number: int) -> None:
    stage.enqueue([Job("chaos.Look", args={"look": number})])
    stage.need(lambda: not _waiting(stage, "worker = 'chaos.Look'"))


def _mix(stage: Stage, random: Random, jobs: int, good: dict[str, str]) -> None:
    """Store the poison and the good jobs in one random order, all at once."""
    named = [{"worker": "chaos.Poison", "args": f'{{"poison": "{name}"}}'} for name in corpus.ENDS | corpus.ERRORS]
    broken = [{"worker": "chaos.Sabotage", "args": f'{{"in": "{part}"}}'} for part in SABOTAGE]
    rows = [{"worker": "chaos.Good", **row} for row in corpus.ROWS.values()]
    hostile = [{"worker": name or "-"} for name in corpus.HOSTILE]
    kinds = [*named, *broken, *rows, *hostile, {"worker": "chaos.Unbuilt"}]
    mixed = [*islice(cycle(kinds), jobs), *[good] * jobs]
    random.shuffle(mixed)
    insert(stage, mixed)


def insert(stage: Stage, rows: list[dict[str, str]]) -> None:
    """Store rows as anybody may who can write to the table."""
    names = ("worker", "args", "meta", "tags", "errors", "attempt", "inserted_at", "scheduled_at")
    values = [json_of(row, names) for row in rows]
    statement = sql.SQL("INSERT INTO oban_jobs ({}) SELECT {} FROM unnest({}) AS given ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.SQL(", ").join(
            sql.SQL("coalesce(given.{0}::{1}, {2})").format(sql.Identifier(n), *_TYPES[n]) for n in names
        ),
        sql.SQL(", ").join([sql.SQL("%s::text[]")] * len(names)),
        sql.SQL(", ").join(map(sql.Identifier, names)),
    )
    stage.ask(statement, [list(column) for column in zip(*values, strict=True)])  # type: ignore[arg-type]


def json_of(row: dict[str, str], names: tuple[str, ...]) -> list[str | None]:
    """Give the columns of a row in an order."""
    return [row.get(name) for name in names]


_NOW = sql.SQL("timezone('UTC', now())")
_TYPES = {
    "worker": (sql.SQL("text"), sql.SQL("''")),
    "args": (sql.SQL("jsonb"), sql.SQL("'{}'")),
    "meta": (sql.SQL("jsonb"), sql.SQL("'{}'")),
    "tags": (sql.SQL("text[]"), sql.SQL("'{}'")),
    "errors": (sql.SQL("jsonb"), sql.SQL("'[]'")),
    "attempt": (sql.SQL("smallint"), sql.SQL("0")),
    "inserted_at": (sql.SQL("timestamp"), _NOW),
    "scheduled_at": (sql.SQL("timestamp"), _NOW),
}


_STUCK = """
SELECT count(*) FROM oban_jobs
WHERE state = 'executing' AND attempted_at < timezone('UTC', clock_timestamp()) - interval '5 s'
"""
_LISTED = "CASE WHEN jsonb_typeof(errors) = 'array' THEN errors ELSE '[]' END"


def _cost(
    stage: Stage, seed: int, jobs: int, *, alive: bool, idle: tuple[float, float], clean: float, mixed: float
) -> Counted:
    longest = f"SELECT max(length(error::text)) FROM oban_jobs, jsonb_array_elements({_LISTED}) AS error"
    counts = {
        "good completed": stage.one(f"SELECT count(*) FROM oban_jobs WHERE {_GOOD} AND state = 'completed'"),
        "left executing": stage.one(_STUCK),
        "left waiting": stage.states().get("available", 0),
        "processes ended": int(not alive),
        "longest error": stage.one(longest),
        "seconds clean": clean,
        "mixed": mixed,
        "good ones that do nothing: clean": idle[0],
        "so mixed": idle[1],
    }
    kept = counts["good completed"] == jobs and alive and not counts["left executing"] and not counts["left waiting"]
    size = len(corpus.ENDS) + len(corpus.ERRORS) + len(corpus.ROWS) + len(corpus.HOSTILE) + len(SABOTAGE) + 1
    return Counted(
        "R6",
        "no job, result, error or row stops its queue",
        f"{size} kinds of poison, telemetry handlers that raise",
        f"{jobs:,} poison jobs, {jobs:,} good ones of 2 ms",
        seed,
        counts,
        "good 100 % within 2x the clean time, none left executing, process alive, errors clipped",
        kept and counts["longest error"] <= CLIPPED and mixed <= 2 * clean,
    )


def _imported(stage: Stage, seed: int) -> Counted:
    new = "SELECT name FROM modules WHERE look = 1 EXCEPT SELECT name FROM modules WHERE look = 0"
    names = [name or "-" for name in corpus.HOSTILE]
    unknown = "worker = ANY (%s) AND state IN ('scheduled', 'available', 'executing') AND meta ? 'unknown_worker'"
    counts = {
        "rows": stage.one("SELECT count(*) FROM oban_jobs WHERE worker = ANY (%s)", (names,)),
        "recorded as unknown": stage.one(f"SELECT count(*) FROM oban_jobs WHERE {unknown}", (names,)),
        "modules imported by rows": len([name for (name,) in stage.ask(new) if _of_a_row(name)]),
    }
    kept = counts["rows"] == counts["recorded as unknown"] and counts["modules imported by rows"] == 0
    sizes, line = f"{len(names)} names", "new modules 0, recorded as unknown workers"
    return Counted("R9", "a row's text never imports anything", "hostile worker names", sizes, seed, counts, line, kept)


def _of_a_row(module: str) -> bool:
    """Say whether a module is one that a hostile name begins with; others, the standard library imports as it runs."""
    return any(name == module or name.startswith(f"{module}.") for name in corpus.HOSTILE)


_REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'not to be stored' USING ERRCODE = 'data_exception'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON oban_jobs FOR EACH ROW
WHEN (NEW.state = 'completed' AND NEW.args ? 'refused') EXECUTE FUNCTION refuse()
"""


def unstorable(stage: Stage, directory: Path, *, jobs: int) -> Iterator[Counted]:
    """Have PostgreSQL refuse the end of one job among so many that end together (R7)."""
    stage.ask(_REFUSE)
    stage.enqueue(Job("chaos.Good", args={"refused": True} if n == jobs // 2 else {}) for n in range(jobs))
    with Fleet(stage.dsn, directory, "tests.chaos.poison_work", f"default:{jobs}") as fleet:
        node = fleet.start()
        stage.wait(lambda: not _waiting(stage, "true"))
        reason = "state = 'retryable' AND args ? 'refused' AND errors::text LIKE '%not to be stored%'"
        counts = {
            "completed": stage.states().get("completed", 0),
            "retryable with the reason": stage.one(f"SELECT count(*) FROM oban_jobs WHERE {reason}"),
        }
        line = f"{jobs - 1} completed, 1 retryable with the reason"
        kept = counts["completed"] == jobs - 1 and counts["retryable with the reason"] == 1 and node.alive
        claim = "an end that cannot be stored costs only its own job"
        yield Counted("R7", claim, "a data error for one of a group", f"{jobs} jobs", None, counts, line, kept)
