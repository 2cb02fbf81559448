"""Input of somebody who means harm: names, notifications, packed data, and roles that may do little."""

from __future__ import annotations

import ast
import base64
import gzip
import re
import threading
import tracemalloc
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import oban_sync
from oban_sync import Job, Oban, etf, worker
from oban_sync.errors import ConfigError, JobError, ObanError
from oban_sync.runtime import notifier
from oban_sync.store.statements import Statements
from tests.chaos.counted import Counted
from tests.chaos.fleet import Fleet
from tests.chaos.proxy import proxied
from tests.chaos.server import Stage

ATTACKS = [
    "'; DROP TABLE oban_jobs; --",
    '"; DROP TABLE oban_jobs; --',
    "x'); DELETE FROM oban_jobs; SELECT ('",
    "%s",
    "%(queue)s",
    "{schema}",
    "$1",
    "\\'; SELECT 1; --",
    "$$; SELECT 1; $$",
    "a\nb",
    "E'\\x27'",
    '{"queue": "x"}',
    "\u202eevil",
    "é" * 60,
]
NAMES = st.one_of(st.sampled_from([*ATTACKS, "*", "", "a\0b", "a\ud800"]), st.text(max_size=200))
WAIT_SECONDS = 20.0
_ended = threading.Semaphore(0)


@worker(name="hostile.Note")
class Note:
    """Tells that it ran."""

    def process(self, job: Job) -> None:
        _ended.release()


def identifiers(stage: Stage, _directory: Path, *, examples: int) -> Iterator[Counted]:
    """Give hostile names to everything that takes one, and compare the statements that reach the server (S1)."""
    counts: Counter[str] = Counter()
    said: set[str] = set()
    with proxied(stage.dsn) as proxy:
        proxy.cut = said.add  # it gives None: no connection is cut
        oban = Oban(dsn=proxy.dsn, name="hostile")
        for _ in range(8):  # often enough for whatever happens after some executions
            _use(oban, "plain", "plain")
        known = set(said) | {"ROLLBACK"}

        @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(NAMES, NAMES)
        def attempt(queue: str, name: str) -> None:
            counts["tried"] += 1
            try:
                _use(oban, queue, name)
            except ObanError:
                counts["refused"] += 1

        attempt()
        oban.stop()
        counts["extra statements"] = len(said - known)
        counts["nodes of such names"] = sum(_runs(stage.dsn, name) for name in ATTACKS)
    counts["wrong prefixes accepted"] = _prefixes(examples)
    counts["tables left"] = stage.one(
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename ~ '^oban'"
    )
    kept = not counts["extra statements"] and not counts["wrong prefixes accepted"] and counts["tables left"] == 6
    claim, line = "no identifier reaches SQL unquoted", "extra statements 0"
    fault = "hostile queues, workers, nodes, instances and prefixes"
    yield Counted("S1", claim, fault, f"{counts['tried']:,} pairs of names", None, dict(counts), line, kept)


def _use(oban: Oban, queue: str, name: str) -> None:
    """Do with these names what takes names, and see that they come back as they were."""
    job = oban.enqueue(Job(name, queue=queue))
    found = oban.get_job(job.id or 0)
    assert found is not None, job
    assert (found.worker, found.queue) == (name, queue)
    oban.enqueue_many([Job(name, queue=queue), Job(name, queue=queue)])
    assert oban.count_jobs(queue=queue, worker=name) >= 3
    oban.pause_queue(queue, durable=True)
    oban.resume_queue(queue)
    oban.cancel_many_jobs(queue=queue, worker=name)
    oban.delete_many_jobs(queue=queue, worker=name)


def _runs(dsn: str, name: str) -> bool:
    """Say whether a node, an instance and a queue of that name run a job."""
    with Oban(dsn=dsn, name=name, node=name, queues={name: 1}) as oban:
        oban.enqueue(Job("hostile.Note", queue=name))
        return _ended.acquire(timeout=WAIT_SECONDS)


def _prefixes(examples: int) -> int:
    wrong = []

    @settings(max_examples=examples, deadline=None, database=None)
    @given(st.one_of(NAMES, st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,60}\Z")))
    def attempt(prefix: str) -> None:
        try:
            text = Statements(prefix)["insert_job"]
        except ConfigError:
            return
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,48}", prefix) or f'"{prefix}".oban_jobs' not in text:
            wrong.append(prefix)

    attempt()
    return len(wrong)


def bombs(*, megabytes: int) -> Iterator[Counted]:
    """Unpack what grows beyond measure, and look for ways to run what was stored (S2)."""
    packed = [_packed(megabytes), _packed(megabytes // 2)]  # of 1 GB the first is too long, the second has to be read
    tries: list[Callable[[], Any]] = [*(partial(notifier.decode, payload) for payload in packed), *_terms()]
    tracemalloc.start()
    refused = sum(map(_refuses, tries))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    dangers = [found for path in Path(oban_sync.__file__).parent.rglob("*.py") for found in _dangers(path)]
    counts = {
        "refused": refused,
        "most memory MB": peak / 2**20,
        "pickle, eval and the like": len(dangers),
    }
    kept = refused == len(tries) and peak < 4 * 2**20 and not dangers
    claim, line = "what is stored is read within bounds and runs nothing", "all refused, memory < 4 MB, none"
    fault = f"gzip bombs of {megabytes:,} and {megabytes // 2:,} MB; terms that promise gigabytes, nest, or are packed"
    yield Counted("S2", claim, fault, f"{refused} payloads", None, counts, line, kept)


def _packed(megabytes: int) -> str:
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    zeros = bytes(2**20)
    return base64.b64encode(b"".join(packer.compress(zeros) for _ in range(megabytes)) + packer.flush()).decode()


def _terms() -> list[Callable[[], Any]]:
    """Give readings of Erlang terms that must not be believed."""
    huge = b"\xff\xff\xff\xff"
    bodies = [
        b"\x6d" + huge,  # a binary of 4 GB
        b"\x6c" + huge,  # a list of 4 billion
        b"\x74" + huge,  # a map of as many
        b"\x6f" + huge + b"\x00",  # an integer of 4 GB
        b"\x68\x01" * 5000 + b"\x6a",  # 5,000 tuples in each other
        b"\x50" + huge + zlib.compress(bytes(2**24)),  # a packed term
    ]
    return [lambda body=body: etf.decode(base64.b64encode(b"\x83" + body).decode()) for body in bodies]  # type: ignore[misc]


def _refuses(act: Callable[[], Any]) -> bool:
    try:
        act()
    except (ValueError, JobError):
        return True
    return False


_MODULES = {"pickle", "marshal", "shelve", "dill", "yaml", "cloudpickle"}
_CALLS = {"eval", "exec", "compile"}


def _dangers(path: Path) -> Iterator[str]:
    """Find imports and calls that could run what they read."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
        if isinstance(node, ast.ImportFrom):
            names = {node.module or ""}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            names = {node.func.id} & _CALLS
            yield from (f"{path}:{name}" for name in names)
        yield from (f"{path}:{name}" for name in names & _MODULES)


PAYLOADS = [
    "",
    "{",
    "null",
    "[]",
    "5",
    "-1",
    "1e999",
    "NaN",
    '"x"',
    "x" * 7999,
    "[" * 7999,
    '{"a":' * 1500,
    '{"queue": 5}',
    '{"queue": ["a"]}',
    '{"queue": null}',
    '{"name": 5}',
    '{"name": ["hostile"]}',
    '{"action": "explode"}',
    '{"action": "scale", "queue": "default", "limit": -1}',
    '{"action": "pkill", "job_id": "1; DROP TABLE oban_jobs"}',
    '{"queue": "' + "q" * 7900 + '"}',
    base64.b64encode(gzip.compress(bytes(3 * notifier.MAX_PAYLOAD))).decode(),
    "H4sIAAAA",
    "\u202e\ufffd",
]

_LISTENERS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name ~ ':notifier$'"


def notifications(stage: Stage, _directory: Path) -> Iterator[Counted]:
    """Send what is malformed, huge, of the wrong type or forged on every channel (S9)."""
    statements = Statements()
    channels = [getattr(statements, f"{name}_channel") for name in ("insert", "due", "probe", "leader", "signal")]
    with Oban(dsn=stage.dsn, name="hostile", queues={"default": 2}, stager={"interval": 600}) as oban:
        before = stage.ask(_LISTENERS)
        for channel in (*channels, "public.oban_gossip", "public.oban_metrics"):
            for payload in PAYLOADS:
                stage.ask("SELECT pg_notify(%s, %s)", (channel, payload))
        oban.enqueue_many(Job("hostile.Note") for _ in range(10))
        ran = sum(_ended.acquire(timeout=WAIT_SECONDS) for _ in range(10))
        service = oban._service
        assert service is not None
        counts = {
            "sent": len(PAYLOADS) * (len(channels) + 2),
            "ignored": service._notifier.ignored,
            "listener alive": int(service._notifier.thread.is_alive()),
            "connections lost": int(stage.ask(_LISTENERS) != before),
            "jobs that a notification woke": ran,
        }
    kept = counts["listener alive"] == 1 and ran == 10 and counts["ignored"] > 40 and not counts["connections lost"]
    claim, line = "a notification is untrusted", "listener alive, ignored, counted"
    fault = "malformed, 8 KB, wrong types, forged"
    yield Counted("S9", claim, fault, f"{len(channels) + 2} channels", None, counts, line, kept)


GRANTS = Path(oban_sync.__file__).parents[1] / "docs" / "security.md"


@contextmanager
def roles(stage: Stage) -> Iterator[tuple[str, str]]:
    """Make the roles that docs/security.md describes, under names of their own, and give the DSN of each."""
    tail = uuid.uuid4().hex[:8]
    names = {name: f"{name}_{tail}" for name in ("oban_worker", "oban_enqueuer")}
    for block in re.findall(r"^```sql\n(.*?)^```$", GRANTS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        stage.ask(re.sub("|".join(names), lambda found: names[found[0]], block))
    try:
        for name in names.values():
            stage.ask(sql.SQL("ALTER ROLE {} PASSWORD 'x'").format(sql.Identifier(name)).as_string(None))
        worker_dsn, enqueuer_dsn = (make_conninfo(stage.dsn, user=name, password="x") for name in names.values())  # noqa: S106
        yield worker_dsn, enqueuer_dsn
    finally:
        for name in names.values():
            stage.ask(f"DROP OWNED BY {name}; DROP ROLE {name}")


WAYS = ("complete", "error", "cancel", "record", "snooze")


def least_privilege(stage: Stage, directory: Path) -> Iterator[Counted]:
    """Run nodes and clients under the roles of docs/security.md (S8)."""
    with roles(stage) as (ours, enqueuers):
        stage.ask(f"GRANT INSERT ON effects TO {conninfo_to_dict(ours)['user']}")  # which is the user's own
        with Fleet(ours, directory, ledger=stage.dsn) as fleet:
            node = fleet.start()
            done = _worker_role(stage, ours)
            done += _enqueuer_role(enqueuers)
            stage.wait(lambda: stage.unended() == 0)
            orphans = stage.enqueue([Job("chaos.Orphan")])
            begun = "SELECT count(*) FROM ledger WHERE job = ANY (%s) AND attempt = %s"
            stage.need(lambda: stage.one(begun, (orphans, 1)))
            fleet.start()
            node.kill()
            stage.wait(lambda: stage.one(begun, (orphans, 2)) == 1, 40)
            again = stage.one(begun, (orphans, 2))
            stage.wait(lambda: stage.unended() == 0)
            denied = sum(each.log().count("permission denied") for each in fleet.nodes)
        forbidden = sum(_denied(ours, text) for text in _TOO_MUCH)
        forbidden += sum(_denied(enqueuers, text) for text in (*_TOO_MUCH, *_TOO_MUCH_TO_ENQUEUE))
        counts = {
            "verbs that worked": done,
            "completed": stage.states().get("completed", 0),
            "unended": stage.unended(),
            "orphans run again": again,
            "refusals in logs": denied,
            "refused as it should": forbidden,
        }
    wanted = 2 * len(_TOO_MUCH) + len(_TOO_MUCH_TO_ENQUEUE)
    kept = forbidden == wanted and not denied and not counts["unended"] and again == 1
    claim, line = "least privilege works", f"no refusal in logs, all {wanted} attempts at more refused"
    fault = "a role with rows only, and one that may only enqueue"
    yield Counted("S8", claim, fault, "2 roles", None, counts, line, kept)


_TOO_MUCH = (
    "DROP TABLE oban_jobs",
    "TRUNCATE oban_jobs",
    "CREATE TABLE mine (n int)",
    "ALTER TABLE oban_jobs ADD n int",
)
_TOO_MUCH_TO_ENQUEUE = (
    "SELECT args FROM oban_jobs",
    "UPDATE oban_jobs SET state = 'completed'",
    "DELETE FROM oban_jobs",
    "DELETE FROM oban_producers",
)


def _denied(dsn: str, text: str) -> bool:
    with psycopg.connect(dsn, autocommit=True) as connection:
        try:
            connection.execute(text)
        except psycopg.errors.InsufficientPrivilege:
            return True
    return False


def _worker_role(stage: Stage, dsn: str) -> int:
    """Use what a client has under the role of a node; give how many verbs that was."""
    oban = Oban(dsn=dsn, name="hostile")
    oban.enqueue_many(Job("chaos.Ending", args={"way": way, "seconds": 0}, max_attempts=1) for way in WAYS)
    oban.enqueue_many(Job("chaos.Effect", args={"seconds": 0}) for _ in range(5))
    jobs = oban.enqueue_many(Job("nobody", queue="elsewhere", schedule_in=3600) for _ in range(2_500))
    first, second, third, *_ = (job.id or 0 for job in jobs)
    verbs: list[Callable[[], object]] = [
        lambda: oban.list_jobs(queue="elsewhere"),
        lambda: oban.count_jobs(state="scheduled"),
        lambda: oban.update_job(first, {"priority": 3}),
        lambda: oban.cancel_job(first),
        lambda: oban.retry_job(first),
        lambda: oban.delete_job(second),
        lambda: oban.explain_job(third),
        oban.overview,
        oban.diagnose,
        lambda: oban.pause_queue("elsewhere", durable=True),
        lambda: oban.resume_queue("elsewhere"),
        lambda: oban.delete_many_jobs(queue="elsewhere"),
    ]
    for verb in verbs:
        verb()
    oban.stop()
    return len(verbs) + 3


def _enqueuer_role(dsn: str) -> int:
    oban = Oban(dsn=dsn, name="hostile")
    job = oban.enqueue(Job("chaos.Sibling", args={"seconds": 0}))
    oban.enqueue(Job("chaos.Sibling", args={"seconds": 0}, schedule_in=1))
    oban.enqueue_many(Job("chaos.Sibling", args={"seconds": 0}) for _ in range(3))
    oban.enqueue_many(Job("chaos.Innocent") for _ in range(2_500))  # by COPY
    with psycopg.connect(dsn) as connection:
        oban.enqueue(Job("chaos.Sibling", args={"seconds": 0}), conn=connection)
    oban.stop()
    return 5 if job.id else 0
