"""Whether the tables are whole, and whether PostgreSQL can keep them small."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from oban_sync.lifecycle.finding import Finding, several, span
from oban_sync.store import schema
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements

DEAD_ROWS = (10_000, 100_000)
"""Dead rows from which they are worth a note, and from which they are wrong where they outnumber the living."""
BLOATED_BYTES = 100_000_000
BLOATED_TIMES = 4.0
"""Size of a table of jobs from which it is looked at, and how many times what its rows need it may have."""
HELD_SECONDS = (30.0, 300.0)
"""Age of a snapshot from which it is worth a note, and from which it is wrong."""
HELD_TRANSACTIONS = 100_000
"""The same in transactions, where no time is known."""
BUSY_SHARE = 0.8
"""Share of the server's connections from which they are few."""


def tables(link: Link, statements: Statements) -> Iterator[Finding]:
    """Look at versions and indexes; the tables must be there."""
    server = _object(link, statements, "select_server")
    version, newest = schema.version(link, statements, noted=server["versioned"]), len(schema.VERSIONS)
    evidence = {"version": version, "newest": newest, "prefix": statements.prefix, "comment": server["comment"]}
    if version == newest:
        yield Finding("schema", "ok", f"the tables have version {version}", "", evidence)
    elif version > newest:
        says = f"the tables have version {version}, this oban_sync knows {newest}"
        yield Finding("schema", "note", says, "upgrade oban_sync on this host", evidence)
    else:
        made = f"have version {version} of {newest}" if version else "were made by another Oban"
        yield Finding("schema", "wrong", f"the tables {made}", _install(statements), evidence)
    yield _indexes(link, statements)
    yield from _server(server)


def _indexes(link: Link, statements: Statements) -> Finding:
    with link.transaction() as connection:
        lacking = schema.lacking_indexes(connection, statements)
    invalid = [name for (name,) in link.execute(statements["select_invalid_indexes"])]
    evidence = {"missing": lacking, "invalid": invalid}
    if not lacking and not invalid:
        return Finding("indexes", "ok", "all indexes are there and valid", "", evidence)
    wrong = [f"{kind}: {', '.join(names)}" for kind, names in (("missing", lacking), ("invalid", invalid)) if names]
    return Finding("indexes", "wrong", f"indexes {' and '.join(wrong)}", _install(statements), evidence)


def _server(server: dict[str, Any]) -> Iterator[Finding]:
    if server["standby"]:
        yield Finding("standby", "wrong", "this is a standby, which takes no writes", "let dsn lead to the primary")
    used, most = server["connections"], server["max_connections"]
    evidence = {"connections": used, "max_connections": most, "server": server["server"]}
    says = f"{used} of {most} connections of PostgreSQL {server['server']} are taken"
    many = used > most * BUSY_SHARE
    advice = "make pools smaller, put a pooler between, or raise max_connections" if many else ""
    yield Finding("connections", "wrong" if many else "ok", says, advice, evidence)


def rows(link: Link, statements: Statements) -> Finding:
    """Look at what deleted and changed jobs left behind."""
    return judge_rows(_object(link, statements, "select_jobs_health"))


def judge_rows(found: dict[str, Any]) -> Finding:
    """Judge the size of the jobs' table.

    Args:
        found: `live` and `dead` rows, `table_bytes`, `index_bytes`, `expected_bytes` (None: there are no statistics of
            its rows) and `vacuum_seconds` (None: no vacuum is known).
    """
    live, dead = found["live"], found["dead"]
    expected = found["expected_bytes"]
    times = None if not expected else found["table_bytes"] / expected
    evidence = found | {"bloat_times": times}
    megabytes = (found["table_bytes"] + found["index_bytes"]) / 1e6
    says = f"{several(live, 'row')} and {several(dead, 'dead row')} in {megabytes:,.1f} MB"
    if times is not None and times > BLOATED_TIMES and found["table_bytes"] > BLOATED_BYTES:
        advice = "rebuild it while little runs, by pg_repack or VACUUM FULL, and look for what holds old snapshots"
        return Finding("rows", "wrong", f"{says}: {times:.1f} times what its rows need", advice, evidence)
    if dead > DEAD_ROWS[0] and dead > live / 5:
        advice = "look for what holds old snapshots; then VACUUM oban_jobs, which autovacuum should do by itself"
        vacuum = found["vacuum_seconds"]
        says += "; no vacuum was noted" if vacuum is None else f"; the last vacuum was {span(vacuum)} ago"
        return Finding("rows", "wrong" if dead > max(DEAD_ROWS[1], live) else "note", says, advice, evidence)
    return Finding("rows", "ok", says, "", evidence)


def snapshots(link: Link, statements: Statements) -> Finding:
    """Look at who keeps vacuum from taking dead rows away."""
    holders = [orjson.loads(text) for (text,) in link.execute(statements["select_snapshots"])]
    old = [each for each in holders if _age(each) > HELD_SECONDS[0]]
    if not old:
        return Finding(
            "snapshots", "ok", f"nobody holds a snapshot for more than {HELD_SECONDS[0]:g} s", "", {"holders": []}
        )
    oldest = max(old, key=_age)
    who = f"{oldest['kind']} {oldest['name']}" + (f" of {oldest['application']}" if oldest["application"] else "")
    seconds, transactions = oldest["seconds"], oldest["transactions"]
    how_long = f"for {span(seconds)}" if seconds is not None else f"for {several(transactions, 'transaction')}"
    says = f"{who} ({oldest['state'] or 'no state'}) holds a snapshot {how_long}, and {len(old) - 1} others do"
    advice = {
        "session": f"end it if it may end: SELECT pg_terminate_backend({oldest['name']}); run reports on a standby",
        "prepared transaction": "COMMIT PREPARED or ROLLBACK PREPARED it",
        "replication slot": "drop the slot if nobody reads it any more",
    }[oldest["kind"]]
    wrong = _age(oldest) > HELD_SECONDS[1]
    return Finding("snapshots", "wrong" if wrong else "note", says, advice, {"holders": old})


def _age(holder: dict[str, Any]) -> float:
    """Give for how many seconds it holds its snapshot; of slots, and of sessions of others, only transactions tell."""
    if holder["seconds"] is not None:
        return float(holder["seconds"])
    return HELD_SECONDS[1] + 1 if holder["transactions"] > HELD_TRANSACTIONS else 0.0


def _install(statements: Statements) -> str:
    option = "" if statements.prefix == "public" else f" --prefix {statements.prefix}"
    return f"run `oban-sync install{option}`, which does what is missing, online"


def _object(link: Link, statements: Statements, name: str) -> dict[str, Any]:
    ((text,),) = link.execute(statements[name])
    found: dict[str, Any] = orjson.loads(text)
    return found
