"""Whoever knows Oban for Python knows this package: its names are here, and take what they take there.

What differs on purpose has its sentence in docs/differences.md. What the names do is shown by tests that
tests/parity/test_lines.py lists.
"""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DIFFERENCES = " ".join((ROOT / "docs" / "differences.md").read_text().split())

CLASS, PROPERTY, LIST, TEXT = "class", "property", "list", "str"


def _job(
    worker,
    *,
    id=None,
    state="available",
    queue="default",
    attempt=0,
    max_attempts=20,
    priority=0,
    args=None,
    meta=None,
    errors=None,
    tags=None,
    attempted_by=None,
    inserted_at=None,
    attempted_at=None,
    cancelled_at=None,
    completed_at=None,
    discarded_at=None,
    scheduled_at=None,
    scheduled_in=None,
    schedule_in=None,
    extra=None,
    _validate=True,
): ...


def _oban(
    *,
    pool,
    dispatcher=None,
    leadership=None,
    lifeline=None,
    metrics=None,
    name=None,
    node=None,
    notifier=None,
    prefix=None,
    pruner=None,
    queues=None,
    refresher=None,
    scheduler=None,
    shutdown_grace_period=15.0,
    stager=None,
): ...


def _drain(queue="default", oban="Oban", with_recursion=True, with_safety=False, with_scheduled=True): ...


NAMES: dict[str, Any] = {
    "Cancel": lambda reason: ...,
    "Job": _job,
    "Job.cancelled": lambda self: ...,
    "Job.update": lambda self, changes: ...,
    "Oban": _oban,
    "Oban._connection": lambda self: ...,
    "Oban.cancel_job": lambda self, job: ...,
    "Oban.cancel_many_jobs": lambda self, jobs: ...,
    "Oban.check_all_queues": lambda self: ...,
    "Oban.check_queue": lambda self, queue: ...,
    "Oban.create_pool": lambda dsn=None, *, min_size=None, max_size=None, timeout=None: ...,
    "Oban.delete_job": lambda self, job: ...,
    "Oban.delete_many_jobs": lambda self, jobs: ...,
    "Oban.enqueue": lambda self, job, *, conn=None: ...,
    "Oban.enqueue_many": lambda self, jobs_or_first, /, *rest, conn=None: ...,
    "Oban.get_instance": lambda cls, name="Oban": ...,
    "Oban.get_job": lambda self, job_id: ...,
    "Oban.is_leader": PROPERTY,
    "Oban.pause_all_queues": lambda self, *, node=None: ...,
    "Oban.pause_queue": lambda self, queue, *, node=None: ...,
    "Oban.resume_all_queues": lambda self, *, node=None: ...,
    "Oban.resume_queue": lambda self, queue, *, node=None: ...,
    "Oban.retry_job": lambda self, job: ...,
    "Oban.retry_many_jobs": lambda self, jobs: ...,
    "Oban.scale_queue": lambda self, *, queue, node=None, **kwargs: ...,
    "Oban.start": lambda self: ...,
    "Oban.start_queue": lambda self, *, queue, limit, paused=False, node=None: ...,
    "Oban.stop": lambda self: ...,
    "Oban.stop_queue": lambda self, queue, *, node=None: ...,
    "Oban.update_job": lambda self, job, changes: ...,
    "Oban.update_many_jobs": lambda self, jobs, changes: ...,
    "Record": lambda value, limit=64_000_000: ...,
    "Snooze": lambda seconds, meta=None: ...,
    "Worker": CLASS,
    "Worker.backoff": lambda self, job: ...,
    "Worker.enqueue": lambda cls, args=None, /, conn=None, **overrides: ...,
    "Worker.new": lambda cls, args=None, /, **params: ...,
    "Worker.process": lambda self, job: ...,
    "Worker.timeout": lambda self, job: ...,
    "current_job": lambda: ...,
    "job": lambda *, oban="Oban", cron=None, **overrides: ...,
    "job.JobState": CLASS,
    "__version__": TEXT,
    "schema.install": lambda pool, prefix="public": ...,
    "schema.install_sql": lambda prefix="public": ...,
    "schema.uninstall": lambda pool, prefix="public": ...,
    "schema.uninstall_sql": lambda prefix="public": ...,
    "telemetry.Collector": lambda: ...,
    "telemetry.Collector.add": lambda self, metadata: ...,
    "telemetry.Collector.get_all": lambda self: ...,
    "telemetry.EVENTS": LIST,
    "telemetry.attach": lambda id, events, handler: ...,
    "telemetry.detach": lambda id: ...,
    "telemetry.execute": lambda name, metadata: ...,
    "telemetry.logger.attach": lambda *, level=20, logger=None, events=None: ...,
    "telemetry.logger.detach": lambda: ...,
    "telemetry.span": lambda prefix, start_metadata: ...,
    "testing.all_enqueued": lambda *, oban="Oban", **filters: ...,
    "testing.assert_enqueued": lambda *, oban="Oban", timeout=0, **filters: ...,
    "testing.drain_queue": _drain,
    "testing.mode": lambda testing_mode: ...,
    "testing.process_job": lambda job: ...,
    "testing.refute_enqueued": lambda *, oban="Oban", timeout=0, **filters: ...,
    "testing.reset_oban": lambda oban="Oban": ...,
    "worker": lambda *, oban="Oban", cron=None, **overrides: ...,
    "worker.JobTimeoutError": CLASS,
    "worker.WorkerResolutionError": CLASS,
}
"""The names of Oban for Python 0.7.0, and what each can be called with, as far as it can be called."""

DIFFERENT = {
    ("Oban", "dispatcher"): "`dispatcher` and the extension points",
    ("Oban.scale_queue", "kwargs"): "`scale_queue` takes `limit` alone",
    ("Oban.scale_queue", "limit"): "`scale_queue` takes `limit` alone",
    ("Worker.backoff", ""): "`backoff` and `timeout` are no part of the type `Worker`",
    ("Worker.timeout", ""): "`backoff` and `timeout` are no part of the type `Worker`",
    ("telemetry.Collector", "meta"): "A `Collector` is made by `telemetry.span` alone",
    ("telemetry.Collector", "prefix"): "A `Collector` is made by `telemetry.span` alone",
}
"""Name, and the parameter that one of both lacks, to the words in docs/differences.md that say so."""

ADDED = {
    "args": "`@worker(args=)`",
    "conn": "All verbs for jobs take `conn=`",
    "dsn": "or `dsn=`",
    "durable": "`pause_queue(durable=True)`",
    "engine": "`engine=`",
    "exiting": "`Oban.stop(exiting=True)`",
    "filters": "take filters too",
    "grace": "`stop(grace=)`",
    "isolation": '`isolation="process"`',
    "max_args_bytes": "`max_args_bytes`",
    "name": "`@worker(name=)`",
    "timeout": "`timeout` may be given to the decorators too",
}
"""Parameters of ours that theirs do not take, to the words in docs/differences.md that say so."""

HELPERS = [
    *("oban.job.Result", "oban.job.T", "oban.job.scheduled_from_now"),
    *("oban.worker.register_worker", "oban.worker.resolve_worker", "oban.worker.worker_name"),
]
"""What is public in their modules by its name only, and has no counterpart here."""


def found(name: str) -> Any:
    """Give what a name of theirs is here; None: nothing."""
    module, *rest = "oban_sync", *name.split(".")
    value: Any = importlib.import_module(module)
    for part in rest:
        inner = f"{module}.{part}"
        if part != rest[-1] and value.__name__ == module and _is_module(inner):
            module, value = inner, importlib.import_module(inner)
        else:
            value = inspect.getattr_static(value, part, None) if isinstance(value, type) else getattr(value, part, None)
    return getattr(value, "__func__", value)


def _is_module(name: str) -> bool:
    return (ROOT / f"{name.replace('.', '/')}.py").exists() or (ROOT / name.replace(".", "/")).is_dir()


def missing(ours: Any, theirs: Callable[..., Any]) -> Iterator[str]:
    """Give the parameters of theirs that ours does not take as theirs does, and what ours needs beyond them."""
    here = list(inspect.signature(ours).parameters.values())
    for at, wanted in enumerate(inspect.signature(theirs).parameters.values()):
        if wanted.kind in (wanted.VAR_POSITIONAL, wanted.VAR_KEYWORD):
            fits = any(parameter.kind is wanted.kind for parameter in here)
        elif wanted.kind is wanted.KEYWORD_ONLY:
            fits = any(_takes(parameter, wanted) for parameter in here)
        else:
            fits = at < len(here) and _takes(here[at], wanted)
        if not fits:
            yield wanted.name
    known = inspect.signature(theirs).parameters
    for parameter in here:
        needed = parameter.default is parameter.empty and parameter.kind not in (2, 4)  # *rest and **rest are not
        if needed and parameter.name not in known:
            yield parameter.name


def _takes(ours: inspect.Parameter, theirs: inspect.Parameter) -> bool:
    default = ours.default.value if isinstance(ours.default, Enum) else ours.default
    optional = theirs.default is theirs.empty or default == theirs.default
    return ours.name == theirs.name and ours.kind is theirs.kind and optional


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_theirs_is_here_and_takes_what_it_takes_there(name: str) -> None:
    theirs, ours = NAMES[name], found(name)
    if (name, "") in DIFFERENT:
        assert ours is None
    elif theirs == CLASS:
        assert isinstance(ours, type)
    elif theirs == PROPERTY:
        assert isinstance(ours, property)
    elif theirs in (LIST, TEXT):
        assert type(ours).__name__ == theirs
    else:
        assert ours is not None
        assert not inspect.iscoroutinefunction(ours)
        differences = {parameter for where, parameter in DIFFERENT if where == name}
        assert set(missing(ours, theirs)) == differences


@pytest.mark.parametrize("words", sorted({*DIFFERENT.values(), *ADDED.values(), "`oban.worker.resolve_worker`"}))
def test_a_name_that_differs_is_in_the_differences(words: str) -> None:
    assert words in DIFFERENCES


def test_what_ours_take_beyond_theirs_is_known() -> None:
    added: set[str] = set()
    for name, theirs in NAMES.items():
        ours = found(name)
        if callable(theirs) and ours is not None:
            known = inspect.signature(theirs).parameters.keys() | {other for where, other in DIFFERENT if where == name}
            added |= inspect.signature(ours).parameters.keys() - known
    assert added == ADDED.keys()


def test_the_names_are_those_of_the_package_itself(peer_python: str) -> None:
    names = json.dumps([f"oban.{name}" for name in NAMES])
    command = [peer_python, "-c", "from tests.interop.names import main; main()"]
    done = subprocess.run(command, cwd=ROOT, input=names, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    signatures, others = json.loads(done.stdout)
    assert signatures == {
        f"oban.{name}": theirs if isinstance(theirs, str) else str(inspect.signature(theirs))
        for name, theirs in NAMES.items()
    }
    assert others == HELPERS
