"""Periodic jobs while leaders and PostgreSQL die at the minute, and on days on which clocks are set (R17)."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from oban_sync import cron
from tests import cron_node
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet
from tests.chaos.server import Stage, private

CLAIM = "a periodic job is enqueued once a tick"
NODES = 3
_MINUTE = timedelta(minutes=1)
_TICKS = """
SELECT count(*), count(DISTINCT at), min(at), max(at), coalesce(max(extract(epoch FROM inserted - at)), 0)::float8
FROM (
    SELECT (meta ->> 'cron_at')::timestamptz AS at, timezone('UTC', inserted_at) AS inserted FROM oban_jobs
    WHERE meta ? 'cron_at'
) AS ticks
"""
_LEADER = "SELECT node FROM oban_leaders WHERE expires_at > timezone('UTC', clock_timestamp())"
_SECOND = "SELECT (extract(epoch FROM clock_timestamp()) % 60)::float8"


def over_the_minute(directory: Path, *, kills: int, crashes: int) -> Iterator[Counted]:
    """Kill the leader a moment before each of some minutes, and crash PostgreSQL over each of some more.

    Args:
        directory: For logs.
        kills: Of leaders, at 59.9 s.
        crashes: Of PostgreSQL, from 59.9 s on.
    """
    with private() as stage, Fleet(stage.dsn, directory, "tests.cron_work", "default:1") as fleet:
        for _ in range(NODES):
            fleet.start()
        stage.need(lambda: stage.one("SELECT count(DISTINCT node) FROM oban_producers") == NODES)
        for number in range(kills + crashes):
            stage.need(lambda: stage.ask(_LEADER), 30)
            stage.need(lambda: stage.one(_SECOND) > 59.88, 70)
            if number < kills:
                ((leader,),) = stage.ask(_LEADER)
                next(node for node in fleet.living() if node.name == leader).kill()
                fleet.start()
            else:
                stage.restart()
            stage.need(lambda: 15 < stage.one(_SECOND) < 50, 70)
        now = stage.one("SELECT date_trunc('minute', clock_timestamp())")
        counts = _ticks(stage, now)
    exact = counts["jobs"] == counts["ticks with a job"] == counts["ticks"] >= kills + crashes
    kept = exact and counts["latest s"] <= 10
    fault = "SIGKILL of the leader at 59.9 s, crashes of PostgreSQL over the minute"
    sizes = f"{kills} kills, {crashes} crashes, {NODES} nodes"
    yield Counted("R17", CLAIM, fault, sizes, None, counts, "one job a tick, at most 10 s late", kept)


def _ticks(stage: Stage, until: datetime) -> dict[str, float]:
    """Count jobs and ticks from the first that has a job until an instant."""
    ((jobs, different, first, _, late),) = stage.ask(_TICKS)
    ticks = 0 if first is None else int((until - first) / _MINUTE) + 1
    return {"ticks": ticks, "ticks with a job": different, "jobs": jobs, "latest s": late}


def in_haste(stage: Stage, directory: Path, seed: int, *, kills: int) -> Iterator[Counted]:
    """Kill leaders for whom a minute goes by in a tenth of a second, where every tick is to be caught up on.

    Args:
        stage: Where.
        directory: For logs.
        seed: Draws after how many ticks.
        kills: How many.
    """
    random = Random(seed)
    now = cron_node.fast(stage.one("SELECT extract(epoch FROM clock_timestamp())::float8"))
    stage.ask("INSERT INTO oban_sync_crons VALUES (%s, %s)", (cron_node.ENTRY.name, now))
    names = [f"node{number}" for number in range(NODES + kills)]
    stage.ask(_NODES, (names,))
    with Fleet(stage.dsn, directory) as fleet:
        for name in names:
            fleet.launch(name, [sys.executable, "-m", "tests.cron_node", stage.dsn, name])
        for _ in range(kills):
            _more(stage, random.randrange(5, 30))
            stage.need(lambda: stage.ask(_LEADER), 30)
            ((leader,),) = stage.ask(_LEADER)
            next(node for node in fleet.nodes if node.name == leader).kill()
        _more(stage, 100)
        for node in fleet.living():
            node.send(signal.SIGKILL)
        jobs, different, first, last, _ = stage.ask(_TICKS)[0]
    counts = {"ticks": int((last - first) / _MINUTE) + 1, "ticks with a job": different, "jobs": jobs}
    kept = counts["ticks"] == different == jobs
    fault = "SIGKILL of leaders for whom a minute takes 0.1 s"
    yield Counted("R17", CLAIM, fault, f"{kills} kills, {len(names)} nodes", seed, counts, "one job a tick", kept)


_NODES = """
INSERT INTO oban_producers (uuid, name, node, queue, meta)
SELECT gen_random_uuid(), 'Oban', node, 'q', '{"oban_sync": "0"}' FROM unnest(%s::text[]) AS node
"""


def _more(stage: Stage, jobs: int) -> None:
    count = "SELECT count(*) FROM oban_jobs"
    enough = stage.one(count) + jobs
    stage.need(lambda: stage.one(count) >= enough)


ZONES = ("America/New_York", "Europe/London", "Australia/Lord_Howe", "Africa/Cairo", "America/Santiago")
_TIMES = ("30 0 * * *", "15 1 * * *", "30 1 * * *", "45 1 * * *", "0 2 * * *", "30 2 * * *", "59 23 * * *")
_DAY = timedelta(days=1)


def clocks_set(*, around: int) -> Iterator[Counted]:
    """Ask as a leader does, over the days on which clocks are set, for the ticks of jobs of every day and minute.

    Args:
        around: How many days before and after each of those.
    """
    counts: Counter[str] = Counter()
    days = 2 * around
    for name in ZONES:
        zone = ZoneInfo(name)
        for begin in (shift - around * _DAY for shift in _shifts(zone)):
            counts["shifts of clocks"] += 1
            for expression in _TIMES:
                found = Counter(tick.astimezone(zone).date() for tick in _asked(expression, name, begin, days))
                wrong = sum(found[(begin + day * _DAY).date()] != 1 for day in range(1, days - 1))
                counts["local days"] += days - 2
                counts["days with another number of jobs"] += wrong
            minutely = _asked("* * * * *", name, begin, days)
            counts["minutes"] += days * 1440
            counts["minutes missed or doubled"] += days * 1440 + len(minutely) - 2 * len(set(minutely))
    wrong = counts["days with another number of jobs"] + counts["minutes missed or doubled"]
    line = "one job a local day, one a minute"
    fault = "clocks of zones are set, while jobs are due at the hours that are skipped or come twice"
    yield Counted("R17", CLAIM, fault, f"{len(ZONES)} zones", None, dict(counts), line, not wrong)


def _shifts(zone: ZoneInfo) -> list[datetime]:
    """Give the days of 2026, by UTC, on which clocks are set."""
    days = [datetime(2026, 1, 1, tzinfo=UTC) + number * _DAY for number in range(365)]
    return [day for day in days if day.astimezone(zone).utcoffset() != (day + _DAY).astimezone(zone).utcoffset()]


def _asked(expression: str, zone: str, begin: datetime, days: int) -> list[datetime]:
    """Give the ticks as one who asks every 47 minutes gets them; the first instant is one of them."""
    schedule = cron.parse({"expr": expression, "timezone": zone})
    step, last = timedelta(minutes=47), begin + days * _DAY - timedelta(microseconds=1)
    at, found = begin - timedelta(microseconds=1), list[datetime]()
    while at < last:
        until = min(at + step, last)
        found += schedule.ticks(at, until)
        at = until
    return found
