"""What the cluster does, once and frame by frame."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict

import orjson
import pytest
from psycopg import Connection

from oban_sync import Job, Oban
from oban_sync.lifecycle import overview
from tests.cli.ran import ran, rows
from tests.cli.test_commands import ROOT

TERMINAL = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "160", "LINES": "60"}


def test_status_counts_jobs_and_names_nodes_and_the_leader(dsn: str, eventually: Callable[..., object]) -> None:
    with Oban(dsn=dsn, queues={"mail": 5}, node="web.1") as oban:
        oban.enqueue_many(Job("shop.Tidy", queue="night") for _ in range(3))
        eventually(lambda: oban.is_leader)
        (found,) = rows(dsn, "status")
        assert orjson.loads(orjson.dumps(asdict(oban.overview()), default=list)).keys() == found.keys()
        text = ran(dsn, "status").stdout
    assert found["counts"]["available"] == 3
    assert [(node["node"], node["queue"], node["limit"]) for node in found["nodes"]] == [("web.1", "mail", 5)]
    assert [(leader["node"], leader["instance"]) for leader in found["leaders"]] == [("web.1", "Oban")]
    jobs, queues, nodes, leaders = text.split("\n\n")
    assert jobs.splitlines()[:3] == ["jobs", "state      count", "available  3"]
    assert [line.split()[0] for line in queues.splitlines()] == ["queues", "queue", "mail", "night"]
    assert nodes.splitlines()[2].split()[-1] == "ok"
    assert leaders.splitlines()[2].split()[:2] == ["Oban", "web.1"]


def test_counts_that_were_cut_off_are_said_to_be(dsn: str, oban: Oban, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(overview.look.__kwdefaults__, "most", 2)
    oban.enqueue_many(Job("shop.Tidy", queue="night") for _ in range(5))
    for command in ("status", "top --frames 1"):
        lines = ran(dsn, *command.split()).stdout.splitlines()
        assert lines[2].split() == ["available", "2+"]
        assert next(line for line in lines if line.startswith("night")).split()[4:6] == ["2+", "0"]
        (found,) = rows(dsn, *command.split())
        assert (found["counts"]["available"], found["at_least"]) == (2, ["available"])
        assert found["queues"][0]["at_least"] == ["available"]
    assert rows(dsn, "queues", "list")[0]["at_least"] == ["available"]
    assert ran(dsn, "queues", "list").stdout.splitlines()[1].split()[4] == "2+"


def test_a_node_that_fell_silent_is_said_to_have(dsn: str, db: Connection) -> None:
    db.execute(
        "INSERT INTO oban_producers (uuid, node, queue, meta, updated_at)"
        " VALUES (gen_random_uuid(), 'old.1', 'mail', '{}', now() - interval '1 day')"
    )
    line = next(line for line in ran(dsn, "status").stdout.splitlines() if line.startswith("old.1"))
    assert line.split()[-3:] == ["another", "Oban", "silent"]
    db.execute("INSERT INTO oban_producers (uuid, node, queue, meta) VALUES (gen_random_uuid(), 'new.1', 'mail', '{}')")
    found = {"old.1": True, "new.1": False}
    for command in ("status", "top --frames 1"):
        (shown,) = rows(dsn, *command.split())
        assert {each["node"]: each["silent"] for each in shown["nodes"]} == found
    (queue,) = rows(dsn, "queues", "list")
    assert {each["node"]: each["silent"] for each in queue["nodes"]} == found


def test_instances_are_shown_where_they_have_names_of_their_own(dsn: str, db: Connection) -> None:
    insert = (
        "INSERT INTO oban_producers (uuid, name, node, queue, meta) VALUES (gen_random_uuid(), %s, 'web.1', %s, '{}')"
    )
    db.execute(insert, ("Oban", "mail"))
    assert "\nnode   queue  limit" in ran(dsn, "status").stdout
    db.execute(insert, ("Shop", "night"))
    lines = ran(dsn, "status").stdout.splitlines()
    at = lines.index("nodes")
    assert [line.split()[:3] for line in lines[at + 1 : at + 4]] == [
        ["node", "instance", "queue"],
        ["web.1", "Oban", "mail"],
        ["web.1", "Shop", "night"],
    ]


def test_top_shows_so_many_frames(dsn: str, oban: Oban, db: Connection) -> None:
    job = oban.enqueue(Job("shop.Tidy", queue="night"))
    db.execute("UPDATE oban_jobs SET state = 'executing', attempted_at = now(), attempted_by = ARRAY['web.1', 'x']")
    frames = rows(dsn, "top", "--frames", 2, "--interval", 0.1)
    assert [[each["id"] for each in frame["running"]] for frame in frames] == [[job.id], [job.id]]
    assert ran(dsn, "top", "--frames", 1).stdout.count("running for longest") == 1


def test_top_is_drawn_on_a_terminal_and_ends_with_an_interrupt(dsn: str) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "oban_sync", "top", "--interval", "0.1", "--dsn", dsn],
        env=TERMINAL,
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(theirs)
        seen = b""
        while b"running for longest" not in seen:
            seen += os.read(ours, 65_536)
        process.send_signal(signal.SIGINT)
        while process.poll() is None:
            try:
                os.read(ours, 65_536)
            except OSError:  # a terminal that nobody writes to any more
                process.wait(30)
        assert (process.returncode, process.stderr.read()) == (0, b"")
    os.close(ours)
    assert b"\x1b[?1049h" in seen


def test_a_reader_that_has_enough_ends_it_in_silence(dsn: str) -> None:
    command = f'set -o pipefail; {sys.executable} -m oban_sync top --json --interval 0.1 --dsn "$OBAN_DSN" | head -1'
    done = subprocess.run(
        ["bash", "-c", command], env={**TERMINAL, "OBAN_DSN": dsn}, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert orjson.loads(done.stdout)["queues"] == []


def test_tables_are_drawn_whole_on_a_narrow_terminal(dsn: str, oban: Oban) -> None:
    oban.enqueue(Job("shop.mail.SendWelcome", queue="night", args={"to": "ann@example.com"}))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "oban_sync", "jobs", "list", "--dsn", dsn]
    subprocess.run(command, env={**TERMINAL, "COLUMNS": "40"}, stdin=theirs, stdout=theirs, timeout=60, check=True)
    os.close(theirs)
    seen = os.read(ours, 65_536).decode()
    os.close(ours)
    assert "\x1b[1mstate" in seen
    row = seen.splitlines()[1]
    assert row.split()[1:4] == ["available", "night", "shop.mail.SendWelcome"]
    assert row.split()[-1] == '{"to":"ann@example.com"}'
