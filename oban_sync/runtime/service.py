"""The parts of a running node, in the order in which they start and stop. Nobody else knows that order."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable
from functools import cache, partial
from typing import Any
from uuid import UUID

from oban_sync import clock
from oban_sync.config import Config, QueueConfig
from oban_sync.current import current_job
from oban_sync.errors import DatabaseRefused, DatabaseUnavailable
from oban_sync.lifecycle.complete import transaction
from oban_sync.lifecycle.run import Place
from oban_sync.runtime import threads
from oban_sync.runtime.children import Children
from oban_sync.runtime.context import House
from oban_sync.runtime.heartbeat import Heartbeat
from oban_sync.runtime.notifier import Notifier
from oban_sync.runtime.producer import Producer
from oban_sync.runtime.producers import Producers, report_shutdown, row_meta
from oban_sync.runtime.reporter import Reporter
from oban_sync.runtime.scheduler import Scheduler
from oban_sync.runtime.signals import Signal, Signals
from oban_sync.runtime.steward import Steward
from oban_sync.runtime.watch import Watch
from oban_sync.runtime.watchdog import Watchdog
from oban_sync.store.connection import Link
from oban_sync.store.source import Source
from oban_sync.store.statements import OWNER_MARK, Statements

logger = logging.getLogger(__name__)

LISTEN_SECONDS = 5.0
WATCH_SECONDS = 0.1
LOCK_TIMEOUT = "1s"
"""How long a statement of a node waits for a row that somebody else holds: a queue has other jobs to write."""
HAND_BACK_SECONDS = 1.5
"""Time for the last act of a process, which a silent server or a locked row must not hold up."""

_services: weakref.WeakSet[Service] = weakref.WeakSet()


class Service:
    """Runs the queues of one instance in this process, from construction until `stop`.

    Raises:
        DatabaseUnavailable: PostgreSQL cannot be reached; nothing was started.
    """

    def __init__(self, config: Config, source: Source, statements: Statements) -> None:
        self.process = os.getpid()
        self._config, self._source, self._statements, self._name = config, source, statements, f"oban-{config.name}"
        self._scheduler: Scheduler | None = None
        self._listened = False  # the notifier thread only
        self._ending = threads.Lock()  # taken once, by who ends what the jobs needed
        self._ended = threads.Event()
        self._watch, self._watchdog = Watch(self._name), Watchdog(self._name)
        self._children = Children(self._child_setup)
        owners = {new_owner(): (queue, options) for queue, options in config.queues.items()}
        self._heartbeat = self._beating(owners)
        self.producers = Producers(owners, heartbeat=self._heartbeat, build=self._producing, new_owner=new_owner)
        self._scheduler = self._scheduling()
        self._signals = Signals(f"{config.name}.{config.node}", self.producers, self._scheduler.lift)
        self._steward = self._stewarding()
        self._reporter = self._reporting()
        self._notifier = self._listening(self._scheduler)
        self._notifier.wait(LISTEN_SECONDS)
        _watch_exit(self)

    @property
    def node(self) -> str:
        """Name of this node."""
        return self._config.node

    def leads(self) -> bool:
        """Say whether this node is the leader."""
        return self._steward is not None and self._steward.leads()

    def stop(self, *, grace: float | None, exiting: bool) -> None:
        """Fetch nothing more, wait for the jobs that run, and end. Called by a job, it waits for none.

        Args:
            grace: Seconds to wait; None: for ever.
            exiting: Whether the process ends next. Jobs that still run then go to other nodes as the last act of this
                one; otherwise their lease is kept, and what they did written, until their threads end.
        """
        began = clock.monotonic()
        self._stop_fetching()
        if current_job() is not None:
            grace = 0.0
        running = self._join_producers(None if grace is None else began + grace)
        self._report_shutdown(began)
        if not running:
            self._end()
        elif exiting:
            handing = threads.spawn(f"{self._name}-hand-back", self._hand_back)
            until = clock.monotonic() + HAND_BACK_SECONDS
            threads.join_all(self._stewards(), until)
            if threads.join_all([handing], until):
                logger.error("could not hand jobs back in %g s, other nodes will take them", HAND_BACK_SECONDS)
        else:
            unfinished = [job.id for producer in self.producers.every() for job in producer.queue.running()]
            logger.warning(
                "stopped, but %d jobs still run and are kept until they end: %s", len(unfinished), unfinished
            )
            threads.spawn(f"{self._name}-reaper", self._end_later)

    def command(self, signal: Signal, tell: Callable[[], None] | None) -> None:
        """Do what a signal says, here and now, and tell others; a queue that stops gets the grace for its jobs.

        A job may stop the queue that runs it: then nobody waits.
        """
        producer = self.producers.get(signal.queue)
        self._signals.command(signal, tell)
        job = current_job()
        if signal.action == "stop" and producer is not None and (job is None or job.queue != signal.queue):
            began, grace = clock.monotonic(), self._config.shutdown_grace_period
            threads.join_all([producer.thread], None if grace is None else began + grace)
            report_shutdown(producer, began)

    def finish(self) -> None:
        """Stop at the end of the interpreter, which waits for running jobs in any case; their ends get the grace."""
        began = clock.monotonic()
        self._stop_fetching()
        while any(producer.queue.running() for producer in self.producers.every()):
            self._join_producers(clock.monotonic() + WATCH_SECONDS)
        self._report_shutdown(began)
        grace = self._config.shutdown_grace_period
        if self._join_producers(None if grace is None else clock.monotonic() + grace):
            logger.error("the ends of some runs could not be written: other nodes will run these jobs again")
        self._end()

    def _stop_fetching(self) -> None:
        assert self._scheduler is not None  # noqa: S101 - set by the constructor
        self._scheduler.stop()
        if self._steward is not None:
            self._steward.stop()
        if self._reporter is not None:
            self._reporter.stop()
        self.producers.close()

    def _report_shutdown(self, began: float) -> None:
        for producer in self.producers.values():
            report_shutdown(producer, began)

    def _join_producers(self, deadline: float | None = None) -> list[threads.Thread]:
        return threads.join_all([producer.thread for producer in self.producers.every()], deadline)

    def _end_later(self) -> None:
        self._join_producers()
        self._end()

    def _end(self) -> None:
        """End what the jobs needed, once; who comes second waits for the first."""
        if not self._ending.acquire(blocking=False):
            self._ended.wait()
            return
        self._heartbeat.stop()
        self._notifier.stop()
        self._watch.stop()
        self._watchdog.stop()
        self._children.close()
        own = (self._heartbeat, self._notifier, self._watch, self._watchdog, self._scheduler)
        ending = [part.thread for part in own if part is not None and part.thread is not None]
        threads.join_all([*ending, *self._stewards()], clock.monotonic() + LISTEN_SECONDS)
        _services.discard(self)
        self._ended.set()

    def _hand_back(self) -> None:
        self._children.leave()
        link, whole = self._link("hand-back"), True
        for producer in self.producers.every():
            queue = producer.place.queue
            try:
                unfinished, back = producer.hand_back(link)
                if unfinished:
                    ids = [job.id for job in unfinished]
                    logger.warning("handed back %d jobs of queue %s that did not end in time: %s", back, queue, ids)
                if back < len(unfinished):
                    whole = False  # others hold the rows of some: these are taken back once this node is dead
                else:
                    link.execute(self._statements["delete_producer"], {"owner": producer.place.owner})
            except (DatabaseUnavailable, DatabaseRefused) as error:
                whole = False
                logger.error("could not hand back jobs of queue %s, other nodes will take them: %s", queue, error)
                if isinstance(error, DatabaseUnavailable):
                    break
        link.close()
        if whole:
            self._children.left()  # else their ends would be those of jobs that are still ours

    def _beating(self, owners: dict[str, tuple[str, QueueConfig]]) -> Heartbeat:
        described = {
            owner: (queue, row_meta(options, limit=options.limit, paused=options.paused))
            for owner, (queue, options) in owners.items()
        }
        try:
            return Heartbeat(
                self._name,
                instance=self._config.name,
                node=self._config.node,
                owners=described,
                link=self._link("heartbeat", direct=True),
                statements=self._statements,
            )
        except Exception:
            self._watchdog.stop()  # the only thread so far
            raise

    def _producing(self, queue: str, owner: str, options: QueueConfig, changed: Callable[[Producer], None]) -> Producer:
        transact = partial(transaction, source=self._source, statements=self._statements, owner=owner)
        place = Place(queue, self._config.node, owner)
        return Producer(
            f"{self._name}-{queue}",
            place,
            options=options,
            poll_seconds=self._config.stage_interval,
            link=self._link(queue),
            statements=self._statements,
            house=House(partial(self._heartbeat.lease, owner), transact, self._watch, place, self._children),
            delayed=self._delayed,
            changed=changed,
            deaf=self._deaf,
        )

    def _scheduling(self) -> Scheduler:
        return Scheduler(
            self._name,
            interval=self._config.stage_interval,
            limit=self._config.stage_limit,
            rescue_interval=self._config.rescue_interval,
            rescue_after=self._config.rescue_after,
            link=self._link("scheduler"),
            statements=self._statements,
            producers=self.producers,
            heartbeat=self._heartbeat,
            node=self._config.node,
        )

    def _listening(self, scheduler: Scheduler) -> Notifier:
        handlers = {
            self._statements.insert_channel: self._inserted,
            self._statements.due_channel: scheduler.due_at,
            self._statements.probe_channel: scheduler.probe.hear,
            self._statements.leader_channel: self._resigned,
            self._statements.signal_channel: self._signals.receive,
        }
        link = self._link("notifier", direct=True)
        return Notifier(
            self._name,
            link=link,
            handlers=handlers,
            reconnected=self._look,
            lost=scheduler.probe.lose,
            ping_seconds=self._config.notifier_interval,
        )

    def _stewarding(self) -> Steward | None:
        if not self._config.leadership:
            return None
        return Steward(self._name, self._config, link=self._link("steward"), statements=self._statements)

    def _reporting(self) -> Reporter | None:
        if self._config.metrics is None:
            return None
        return Reporter(
            self._name,
            self._config.metrics,
            instance=self._config.name,
            node=self._config.node,
            link=self._link("reporter"),
            statements=self._statements,
            producers=self.producers,
            leads=self.leads,
        )

    def _stewards(self) -> list[threads.Thread]:
        return [part.thread for part in (self._steward, self._reporter) if part is not None]

    def _link(self, role: str, *, direct: bool = False) -> Link:
        dsn = self._config.notifier_dsn if direct else None
        name = f"oban_sync:{self._config.node}:{role}"[:63]
        return self._watchdog.add(self._source.link(name, dsn=dsn, lock_timeout=LOCK_TIMEOUT))

    def _child_setup(self) -> dict[str, Any]:
        """Give what a child process needs of us: the way to the database, as far as JSON can say it."""
        conninfo, kwargs = self._source.link_source()
        plain = {key: value for key, value in kwargs.items() if isinstance(value, str | int | float | None)}
        level = logging.getLogger().getEffectiveLevel()
        found = {"conninfo": conninfo, "kwargs": plain, "level": level}
        most = self._config.max_args_bytes
        return {**found, "name": self._config.name, "prefix": self._config.prefix, "max_args_bytes": most}

    def _inserted(self, payload: Any) -> None:
        producer = self.producers.get(payload["queue"])
        if producer is not None:
            producer.look()

    def _resigned(self, payload: Any) -> None:
        if self._steward is not None and payload["name"] == self._config.name:
            self._steward.contend()

    def _delayed(self, seconds: float) -> None:
        if self._scheduler is not None:
            self._scheduler.due_in(seconds)

    def _deaf(self) -> bool:
        return self._scheduler is not None and self._scheduler.probe.deaf

    def _look(self) -> None:
        """Look for what may have been missed while no connection listened."""
        if self._listened:
            threads.spawn(f"{self._name}-pool-check", self._source.check)
        self._listened = True
        self.producers.recheck()
        if self._scheduler is not None:
            self._scheduler.probe.listen()
            self._scheduler.look()


def new_owner() -> str:
    """Make the name of one start of one queue: a UUID of version 8 that begins with our mark."""
    random = int.from_bytes(os.urandom(12), "big")
    bits = (int(OWNER_MARK, 16) << 96) | random
    bits = (bits & ~(0xF << 76)) | (8 << 76)
    return str(UUID(int=(bits & ~(0x3 << 62)) | (0x2 << 62)))


def _watch_exit(service: Service) -> None:
    _services.add(service)
    _register_exit()


@cache
def _register_exit() -> None:
    """Have the end of the interpreter stop the services; once is enough."""
    threads.at_exit(_stop_all)


def _stop_all() -> None:
    """Stop what runs when the interpreter ends. It waits for the threads of jobs anyway, so wait for their acks."""
    for service in list(_services):
        if service.process == os.getpid():
            service.finish()
