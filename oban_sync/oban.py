"""The Oban class: the one place where the parts are built and joined."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, Unpack

from oban_sync import clock, config, instances, mode, periodic, telemetry
from oban_sync.errors import ConfigError, JobError
from oban_sync.job import Job
from oban_sync.lifecycle import bulk, control, diagnose, enqueue, explain, inline, overview, query, queues, stage
from oban_sync.lifecycle.control import Changes
from oban_sync.lifecycle.finding import Finding
from oban_sync.lifecycle.overview import Overview
from oban_sync.lifecycle.query import Filters
from oban_sync.runtime import threads
from oban_sync.runtime.announcer import Announcer
from oban_sync.runtime.producers import QueueInfo
from oban_sync.runtime.service import Service
from oban_sync.runtime.signals import EVERY_QUEUE, Signal, one_queue, queue_limit
from oban_sync.store import handles, schema
from oban_sync.store.connection import ConnectionPool, create_pool
from oban_sync.store.filters import Chosen
from oban_sync.store.handles import Handle
from oban_sync.store.source import Source
from oban_sync.store.statements import Statements


class Oban:
    """A job queue on a PostgreSQL database: a client that enqueues, and with `queues` a server that runs jobs too.

    Give one of `pool`, `dsn` and `engine`. Making an instance connects to nothing and starts nothing.

    Args:
        pool: A `psycopg_pool.ConnectionPool`, such as `Oban.create_pool` makes.
        dsn: A libpq connection string or URI, for a pool that the instance makes and closes by itself.
        engine: A SQLAlchemy engine over psycopg or psycopg2; the queues' own connections are made with its parameters,
            or with `dsn` where that is given beside it.
        name: Name by which workers find the instance; a later one of the same name takes its place.
        node: Name of this process among all nodes, by default host and process.
        prefix: Schema that holds the tables.
        queues: Queue names to limits, or to options: `{"default": 10, "mail": {"limit": 5, "paused": True}}`.
        shutdown_grace_period: Seconds that `stop` waits for running jobs; None: for ever.
        stager: `interval`, the longest seconds between two looks for due jobs; `limit`, most jobs a look stages.
        lifeline: `interval`, most seconds between two looks for dead nodes (2); `rescue_after`, seconds after which a
            job of another Oban's dead node is taken back (300).
        notifier: `dsn`, a direct way to the database where the usual one goes through a transaction pooler;
            `beat_interval`, seconds of silence after which the listening connection is tried (5).
        leadership: Whether this node may lead, by default where it runs queues. The leader prunes and enqueues periodic
            jobs.
        pruner: `max_age`, seconds that ended jobs are kept, or such by state; `queues`, the same by queue; `interval`,
            seconds between two prunings; `limit`, most jobs that a statement deletes. False: keep all.
        refresher: `interval` and `max_age`, seconds after which a silent queue of another Oban's is forgotten.
        scheduler: `timezone` of periodic jobs (UTC); `catch_up`, which ticks that nobody led at are enqueued late:
            skip, once or all; `window`, seconds for which they are.
        metrics: True, or options, by which Oban's dashboards are told of this node and its jobs: `interval` (1 second),
            `counts_enabled`, `estimate_limit` (50,000 jobs of a state), `cronitor_interval`. By default they are not.
        max_args_bytes: Most bytes of one job's args as JSON.

    Raises:
        ConfigError: An option cannot work.

    Example:
        >>> oban = Oban(dsn="postgresql://localhost/app", queues={"default": 10})
        >>> with oban:  # doctest: +SKIP
        ...     oban.enqueue(Email.new({"to": "a@example.com"}))
    """

    def __init__(
        self,
        *,
        pool: ConnectionPool | None = None,
        dsn: str | None = None,
        engine: Any = None,
        name: str | None = None,
        node: str | None = None,
        prefix: str | None = None,
        queues: dict[str, Any] | None = None,
        shutdown_grace_period: float | None = 15.0,
        stager: dict[str, Any] | None = None,
        lifeline: dict[str, Any] | None = None,
        notifier: dict[str, Any] | None = None,
        leadership: bool | None = None,
        pruner: dict[str, Any] | bool | None = None,
        refresher: dict[str, Any] | None = None,
        scheduler: dict[str, Any] | None = None,
        metrics: dict[str, Any] | bool | None = None,
        max_args_bytes: int = 1_000_000,
    ) -> None:
        self._config = config.config(
            name=name,
            node=node,
            prefix=prefix,
            queues=queues,
            shutdown_grace_period=shutdown_grace_period,
            stager=stager,
            lifeline=lifeline,
            notifier=notifier,
            leadership=leadership,
            pruner=pruner,
            refresher=refresher,
            scheduler=scheduler,
            metrics=metrics,
            max_args_bytes=max_args_bytes,
        )
        self._names_node = node is None
        self._tables = Statements(self._config.prefix)
        self._source = Source(pool=pool, dsn=dsn, engine=engine)
        self._announcer = Announcer()
        self._service: Service | None = None  # written by start(), under _starting, and by stop()
        self._starting: dict[int, AbstractContextManager[Any]] = {}  # a lock by process: a fork may inherit a held one
        instances.register(self._config.name, self)

    @staticmethod
    def create_pool(
        dsn: str | None = None,
        *,
        min_size: int | None = None,
        max_size: int | None = None,
        timeout: float | None = None,
    ) -> ConnectionPool:
        """Make a pool from arguments, the environment (`OBAN_DSN`, ...) and `oban.toml`; it opens at its first use.

        Args:
            dsn: Connection string.
            min_size: Connections kept open (1).
            max_size: Most connections at once (10).
            timeout: Seconds to wait for a free one (30).

        Raises:
            ConfigError: No DSN is given anywhere, or an option cannot work.
        """
        options = config.load(dsn=dsn, pool_min_size=min_size, pool_max_size=max_size, pool_timeout=timeout)
        if options["dsn"] is None:
            raise ConfigError("expected a dsn as an argument, in OBAN_DSN or in oban.toml, got none")
        return create_pool(options["dsn"], check=options["pool_check"], **config.pool_options(options))

    @classmethod
    def get_instance(cls, name: str = "Oban") -> Oban:
        """Give the instance of that name.

        Raises:
            InstanceNotFound: None was made in this process.
        """
        found = instances.get(name)
        assert isinstance(found, Oban)  # noqa: S101 - only instances of this class register
        return found

    @property
    def name(self) -> str:
        """Name by which workers find this instance."""
        return self._config.name

    @property
    def is_leader(self) -> bool:
        """Whether this node leads those of its name now: one at most does, and none for some seconds after it died."""
        service = self._service
        return service is not None and service.process == os.getpid() and service.leads()

    @property
    def running(self) -> bool:
        """Whether queues run in this process, or it takes part in elections."""
        return self._service is not None and self._service.process == os.getpid()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Start the queues, if there are any; a second call changes nothing, nor do calls of several threads at once.

        In a testing mode it starts nothing.
        Call it in the process that is to run the jobs: after a fork, not before.

        Raises:
            SchemaMissing: The tables are not installed.
            DatabaseUnavailable: PostgreSQL cannot be reached.
        """
        wanted = bool(self._config.queues) or self._config.leadership
        if wanted and not self.running and mode.active() is None:
            with self._starting.setdefault(os.getpid(), threads.Lock()):
                if not self.running:
                    self._service = self._serve()
        return self

    def _serve(self) -> Service:
        with closing(self._source.link("oban_sync:verify")) as link:
            schema.verify(link, self._statements, crons=self._config.leadership and bool(periodic.every()))
        node = config.default_node() if self._names_node else self._config.node
        return Service(replace(self._config, node=node), self._source, self._statements)

    def stop(self, *, grace: float | None = None, exiting: bool = False) -> None:
        """Stop the queues: fetch nothing more, wait for running jobs up to `shutdown_grace_period`, and let go.

        A second call changes nothing, nor does one without `start`. Jobs that were fetched and not begun go back at
        once. A job that runs on keeps its lease, and its end is written, although this call returns.

        Args:
            grace: Seconds to wait instead of `shutdown_grace_period`, for a host that has a deadline of its own.
            exiting: Promise that the process ends right after: jobs that still run go to other nodes as its last act.
        """
        service, self._service = self._service, None
        if service is not None and service.process == os.getpid():
            service.stop(grace=self._config.shutdown_grace_period if grace is None else grace, exiting=exiting)
        self._source.close()

    def enqueue(self, job: Job, *, conn: Any = None) -> Job:
        """Insert one job.

        Args:
            job: What a worker's `new` made.
            conn: The transaction that it belongs to: a psycopg or psycopg2 connection or cursor, a SQLAlchemy Session
                or Connection, a Django connection, or anything with `execute(sql, params)`. It is neither committed
                nor rolled back nor changed. Without it, the job is stored at once.

        Returns:
            The job, with its id, state and times.

        Raises:
            JobError: The job cannot be stored; nothing was written.
            HandleError: `conn` cannot carry it.
            DatabaseUnavailable: No connection of ours can be had; with `conn`, errors of its driver come as they are.
        """
        return self.enqueue_many(job, conn=conn)[0]

    def enqueue_many(self, jobs_or_first: Iterable[Job] | Job, /, *rest: Job, conn: Any = None) -> list[Job]:
        """Insert many jobs at once, all of them or none; from 1,000 on by COPY, where the connection is psycopg's.

        Args:
            jobs_or_first: Jobs in any iterable, or the first of several.
            *rest: The others.
            conn: As for `enqueue`.

        Returns:
            The jobs in the order given, with ids that rise in that order.

        Raises:
            JobError: One of them cannot be stored; nothing was written.
            HandleError: `conn` cannot carry them.
            DatabaseUnavailable: No connection of ours can be had; with `conn`, errors of its driver come as they are.
        """
        jobs = [jobs_or_first, *rest] if isinstance(jobs_or_first, Job) else _listed(jobs_or_first, rest)
        with telemetry.span("oban_sync.enqueue", {"jobs": jobs}):
            return self._enqueue(jobs, conn)

    def _enqueue(self, jobs: list[Job], conn: Any) -> list[Job]:
        most = self._config.max_args_bytes
        if mode.active() == "inline":
            return inline.live_all(enqueue.checked(jobs), max_bytes=most, source=self._source)
        if conn is not None:
            return enqueue.enqueue(jobs, handles.adapt(conn), self._statements, max_bytes=most)
        return self._store(enqueue.checked(jobs))

    def _store(self, jobs: list[Job]) -> list[Job]:
        """Store checked jobs in a transaction of their own; few of them are encoded before a connection is taken."""
        most = self._config.max_args_bytes
        if len(jobs) >= bulk.FEWEST:
            with self._source.handle() as handle:
                return enqueue.store(jobs, handle, self._statements, max_bytes=most)
        return self._insert(jobs) if jobs else []

    def _insert(self, jobs: list[Job]) -> list[Job]:
        with self._announcer.call() as call:
            quiet = call.quiet and all(job.scheduled_at is None for job in jobs)
            batch = enqueue.encode(jobs, max_bytes=self._config.max_args_bytes, quiet=quiet)
            with self._source.handle() as handle:
                stored = enqueue.insert(batch, handle, self._statements)
                queues = {job.queue for job in jobs} if quiet else ()
                call.stored(queues, partial(stage.notify, handle, self._statements))
        return stored

    @property
    def _statements(self) -> Statements:
        """The statements for our tables; in a testing mode they go by the clock of this process."""
        return self._tables if mode.active() is None else self._tables.at(clock.now())

    def get_job(self, job_id: int, *, conn: Any = None) -> Job | None:
        """Give the job of that id, or None.

        Args:
            job_id: Its id.
            conn: As for `enqueue`; so for all that follow.

        Raises:
            JobError: That is no id.
        """
        found = self.list_jobs(conn=conn, ids=[query.job_id(job_id)])
        return found[0] if found else None

    def list_jobs(
        self,
        *,
        after: int | None = None,
        limit: int = 100,
        order: Literal["asc", "desc"] = "asc",
        conn: Any = None,
        **filters: Unpack[Filters],
    ) -> list[Job]:
        """Give a page of the jobs that fit all filters, in the order of their ids.

        Args:
            after: Id of the last job of the page before.
            limit: Most jobs of a page.
            order: asc, the oldest first, or desc.
            conn: As for `enqueue`.
            **filters: `ids`, `state`, `queue` and `worker` (one or several), `tags` (all of them), `args` and `meta`
                (what they hold), and ranges of times such as `inserted_at=(start, None)`.

        Raises:
            FilterError: A filter cannot choose jobs.
        """
        chosen = query.choose(None, filters, every=True)
        paged = query.page(chosen, after=after, limit=limit, order=order)
        with self._handle(conn) as handle:
            return query.select(handle, self._statements, paged, order=order)

    def count_jobs(self, *, conn: Any = None, **filters: Unpack[Filters]) -> int:
        """Count the jobs that fit all filters, those of `list_jobs`."""
        chosen = query.choose(None, filters, every=True)
        with self._handle(conn) as handle:
            return query.count(handle, self._statements, chosen)

    def retry_job(self, job: Job | int, *, conn: Any = None) -> None:
        """Make a job available now, with one attempt more if it has none left; one that is or runs is left alone.

        Args:
            job: A job that was enqueued, or its id.
            conn: As for `enqueue`.

        Raises:
            JobError: The job was not enqueued yet.
        """
        self.retry_many_jobs([job], conn=conn)

    def retry_many_jobs(
        self, jobs: Iterable[Job | int] | None = None, *, conn: Any = None, **filters: Unpack[Filters]
    ) -> int:
        """Make jobs available now, as `retry_job` does, and count them.

        Args:
            jobs: Jobs or ids; None: all that fit the filters.
            conn: As for `enqueue`.
            **filters: As for `list_jobs`.

        Raises:
            JobError: One of the jobs was not enqueued yet.
            FilterError: Neither jobs nor filters are given, or a filter cannot choose jobs.
        """
        return self._control(control.retry, jobs, filters, conn)

    def cancel_job(self, job: Job | int, *, conn: Any = None) -> None:
        """Cancel a job that has not ended.

        One that runs is not stopped: `job.cancelled()` turns true where it runs, and its row holds the time in
        `meta.cancel_attempted_at`.

        Args:
            job: A job that was enqueued, or its id.
            conn: As for `enqueue`.

        Raises:
            JobError: The job was not enqueued yet.
        """
        self.cancel_many_jobs([job], conn=conn)

    def cancel_many_jobs(
        self, jobs: Iterable[Job | int] | None = None, *, conn: Any = None, **filters: Unpack[Filters]
    ) -> int:
        """Cancel jobs that have not ended, as `cancel_job` does, and count them; arguments as for `retry_many_jobs`."""
        return self._control(control.cancel, jobs, filters, conn)

    def delete_job(self, job: Job | int, *, conn: Any = None) -> None:
        """Delete a job; one that runs is left alone.

        Args:
            job: A job that was enqueued, or its id.
            conn: As for `enqueue`.

        Raises:
            JobError: The job was not enqueued yet.
        """
        self.delete_many_jobs([job], conn=conn)

    def delete_many_jobs(
        self, jobs: Iterable[Job | int] | None = None, *, conn: Any = None, **filters: Unpack[Filters]
    ) -> int:
        """Delete jobs that do not run, and count them; arguments as for `retry_many_jobs`."""
        return self._control(control.delete, jobs, filters, conn)

    def update_job(self, job: Job | int, changes: Changes, *, conn: Any = None) -> Job:
        """Change fields of a job, whose row is locked meanwhile.

        Args:
            job: A job that was enqueued, or its id.
            changes: Fields to values, as for `Job.update`, or a function that gives them for the job as it is now.
            conn: As for `enqueue`; the row stays locked until your transaction ends.

        Returns:
            The job as it is now; an object that was given is written over.

        Raises:
            JobNotFound: The job is not there.
            JobError: A value cannot be stored; nothing was written.
        """
        return self.update_many_jobs([job], changes, conn=conn)[0]

    def update_many_jobs(
        self, jobs: Iterable[Job | int] | None, changes: Changes, *, conn: Any = None, **filters: Unpack[Filters]
    ) -> list[Job]:
        """Change fields of jobs, as `update_job` does, all of them or none.

        Args:
            jobs: Jobs or ids; None: all that fit the filters.
            changes: As for `update_job`; a function is called once a job.
            conn: As for `enqueue`.
            **filters: As for `list_jobs`. Beside them, `jobs` may name some that do not fit or are not there.

        Returns:
            The jobs in the order given, or of their ids.

        Raises:
            JobNotFound: One of the jobs is not there.
            JobError: A value cannot be stored; nothing was written.
            FilterError: As for `retry_many_jobs`.
        """
        named = query.listed(jobs)
        chosen = query.choose(named, filters)
        most = self._config.max_args_bytes
        with self._transaction(conn) as handle:
            return control.update(
                handle, self._statements, chosen, changes, jobs=named, partial=bool(filters), max_bytes=most
            )

    def explain_job(self, job: Job | int, *, conn: Any = None) -> list[Finding]:
        """Say why a job is not running: each reason with its evidence and what to do, the first matters most.

        Args:
            job: A job that was enqueued, or its id.
            conn: As for `enqueue`.

        Raises:
            JobNotFound: The job is not there.
        """
        wanted = query.job_id(job)
        with self._handle(conn) as handle:
            return explain.explain(handle, self._statements, wanted)

    def overview(self, *, conn: Any = None) -> Overview:
        """Say what the cluster does now: jobs by state and queue, nodes with their beats, leaders, the longest runs.

        Args:
            conn: As for `enqueue`.
        """
        with self._handle(conn) as handle:
            return overview.look(handle, self._statements)

    def diagnose(self) -> list[Finding]:
        """Check the tables, the server and the nodes, and change nothing; a connection is waited for up to 5 seconds.

        Returns:
            What each check found, on what evidence, and what to do.

        Raises:
            SchemaMissing: The tables are not installed.
            DatabaseUnavailable: PostgreSQL cannot be reached.
        """
        way = self._config.notifier_dsn
        with (
            closing(self._source.link("oban_sync:doctor")) as link,
            closing(self._source.link("oban_sync:doctor-listen", dsn=way)) as ears,
        ):
            found = diagnose.diagnose(
                link,
                ears,
                partial(self._source.handle, timeout=diagnose.WAIT_SECONDS),
                self._statements,
                limits={name: queue.limit for name, queue in self._config.queues.items()},
                pool_size=self._source.pool_size,
                direct=way is not None,
                rescue_after=self._config.rescue_after,
            )
            return list(found)

    def pause_queue(self, queue: str, *, node: str | None = None, durable: bool = False) -> None:
        """Have a queue fetch nothing more; jobs that run go on.

        This instance does it at once, other nodes when they get the signal.

        Args:
            queue: Its name; one that does not run is left out.
            node: The node that is to pause it; None: all.
            durable: Whether it is to be paused wherever it starts too, until `resume_queue` without `node`.

        Raises:
            ConfigError: An argument cannot work; so for the verbs that follow.
            SchemaMissing: `durable` needs a table that is not installed.
            DatabaseUnavailable: Other nodes could not be told; so for the verbs that follow.
        """
        if durable and node is not None:
            raise ConfigError(f"expected a durable pause to be for all nodes, got node={node!r}")
        keep = queues.keep_paused if durable else None
        self._command(Signal("pause", one_queue(queue)), node, keep)

    def resume_queue(self, queue: str, *, node: str | None = None) -> None:
        """Have a queue fetch again, on all nodes or one; on all, a durable pause ends too."""
        self._resume(one_queue(queue), node)

    def pause_all_queues(self, *, node: str | None = None) -> None:
        """Have every queue fetch nothing more, on all nodes or one."""
        self._command(Signal("pause"), node)

    def resume_all_queues(self, *, node: str | None = None) -> None:
        """Have every queue fetch again, on all nodes or one; on all, every durable pause ends too."""
        self._resume(EVERY_QUEUE, node)

    def _resume(self, queue: str, node: str | None) -> None:
        if node is None:
            self._command(Signal("resume", queue, settled=True), None, queues.let_resume)
        else:
            self._command(Signal("resume", queue), node)

    def scale_queue(self, *, queue: str, limit: int, node: str | None = None) -> None:
        """Have a queue run at most `limit` jobs at once, on all nodes or one; more that run already go on."""
        self._command(Signal("scale", one_queue(queue), limit=queue_limit(limit)), node)

    def start_queue(self, *, queue: str, limit: int, paused: bool = False, node: str | None = None) -> None:
        """Start a queue, on all nodes that run queues or on one; one that runs is left as it is.

        Args:
            queue: Its name.
            limit: Jobs that run at once.
            paused: Whether it begins without fetching.
            node: The node that is to start it; None: all.
        """
        paused = config.boolean("paused", paused)
        self._command(Signal("start", one_queue(queue), limit=queue_limit(limit), paused=paused), node)

    def stop_queue(self, queue: str, *, node: str | None = None) -> None:
        """Stop a queue, on all nodes or one.

        Here, it waits for jobs that run up to `shutdown_grace_period`; those that need longer run on and keep their
        lease, and their ends are written.
        """
        self._command(Signal("stop", one_queue(queue)), node)

    def check_queue(self, queue: str) -> QueueInfo | None:
        """Give the state of a queue as it runs here, or None if it does not."""
        found = self._check(one_queue(queue))
        return found[0] if found else None

    def check_all_queues(self) -> list[QueueInfo]:
        """Give the state of every queue that runs here."""
        return self._check(EVERY_QUEUE)

    def _check(self, queue: str) -> list[QueueInfo]:
        service = self._service if self.running else None
        return [] if service is None else service.producers.check(queue)

    def _command(
        self, signal: Signal, node: str | None, keep: Callable[[Handle, Statements, str], None] | None = None
    ) -> None:
        """Write what is to last, do what a signal says if this node is meant, and tell the others."""
        service = self._service if self.running else None
        if node is not None:
            signal = replace(signal, ident=f"{self.name}.{config.text('node', node)}")
        if keep is not None:
            with self._source.transaction_handle() as handle:
                keep(handle, self._statements, signal.queue)
        if service is None or node not in (None, service.node):
            self._tell(signal)
        else:
            service.command(signal, partial(self._tell, signal) if node is None else None)

    def _tell(self, signal: Signal) -> None:
        with self._source.handle() as handle:
            queues.tell(handle, self._statements, signal.encode())

    def _control(
        self,
        act: Callable[[Handle, Statements, Chosen], int],
        jobs: Iterable[Job | int] | None,
        filters: Filters,
        conn: Any,
    ) -> int:
        chosen = query.choose(query.listed(jobs), filters)
        with self._handle(conn) as handle:
            return act(handle, self._statements, chosen)

    def _handle(self, conn: Any) -> AbstractContextManager[Handle]:
        """Give a way to run one statement: in the caller's transaction, or in one of its own."""
        return self._source.handle() if conn is None else nullcontext(handles.adapt(conn))

    @contextmanager
    def _transaction(self, conn: Any) -> Iterator[Handle]:
        """Lend a way to run several statements, of which all are done or none."""
        if conn is None:
            with self._source.transaction_handle() as handle:
                yield handle
        else:
            handle = handles.adapt(conn)
            with handle.atomic():
                yield handle

    def _connection(self) -> AbstractContextManager[Any]:
        """Lend a connection of the pool or engine, in a transaction that commits at the end of the block."""
        return self._source.connection()


def _listed(jobs: Iterable[Job], rest: tuple[Job, ...]) -> list[Job]:
    try:
        listed = list(jobs)
    except TypeError:
        raise JobError(
            f"expected jobs, or an iterable of them, got {type(jobs).__name__}; nothing was written"
        ) from None
    return [*listed, *rest]
