"""The producer thread of a queue: writes what ended, fetches what is due, in one round trip where both are wanted.

It is the queue's acker too. While it waits for PostgreSQL more jobs end, so groups grow with the load by themselves,
and a lone job is written at once. A database that does not answer stops the fetching.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum, auto
from functools import partial
from random import random

from oban_sync import clock, mode, search
from oban_sync.config import QueueConfig
from oban_sync.herd import Herd, Polling
from oban_sync.lifecycle import fetch, queues, rescue
from oban_sync.lifecycle.run import Place, run
from oban_sync.pace import Alone, Pace
from oban_sync.runtime import threads
from oban_sync.runtime.context import House
from oban_sync.runtime.ends import Ends
from oban_sync.runtime.queue import Queue, Row, Unfinished
from oban_sync.store.connection import Link
from oban_sync.store.statements import Statements

logger = logging.getLogger(__name__)

RETRY_SECONDS = (0.05, 1.0)
"""First and longest pause after an error of the database."""
RECONCILE_SECONDS = 30.0
"""Pause between two looks at whether we hold jobs without knowing; an error of the database is a reason for one too."""
LOCKED_SECONDS = 1.0
"""The same while jobs could not go back, since others hold their rows."""
GATHER_SECONDS = 0.005
"""Longest time that the end of a short run waits for others, while there are more jobs to run."""
STALL_SECONDS = 0.5
"""Time after which jobs that no thread has begun go back."""


class Message(Enum):
    """What other threads tell a producer."""

    ENDED = auto()
    LOOK = auto()
    SEARCH = auto()
    RECHECK = auto()
    PAUSE = auto()
    RESUME = auto()
    SCALE = auto()
    STOP = auto()


class Producer:
    """Feeds one queue of one node.

    Args:
        name: Name of its threads.
        place: Queue, node and owner of its jobs.
        options: How it begins.
        poll_seconds: Longest time between two looks at an idle queue.
        link: Its own connection.
        statements: Its tables.
        house: What its runs share; it says whether the lease of this process is fresh, too.
        delayed: Told the seconds after which a job that it wrote is due.
        changed: Told, on its own thread, that it was paused by itself or has ended.
        deaf: Says whether notifications do not arrive, so that it has to poll more often.
    """

    def __init__(
        self,
        name: str,
        place: Place,
        *,
        options: QueueConfig,
        poll_seconds: float,
        link: Link,
        statements: Statements,
        house: House,
        delayed: Callable[[float], None],
        changed: Callable[[Producer], None],
        deaf: Callable[[], bool],
    ) -> None:
        self.place, self.options, self.started_at = place, options, clock.now()
        self._polling = Polling(poll_seconds)
        self._link, self._statements = link, statements
        self._lease = house.lease
        self._changed, self._deaf = changed, deaf
        self._inbox = threads.Inbox()
        self._rung = False  # set by threads that end jobs, cleared by the producer: spares messages
        self.limit = options.limit  # these two by whoever commands, in one store; the producer reads them
        self.paused = options.paused
        self._asked: deque[int] = deque()  # filled by whoever cancels, emptied by the producer
        self.reported = False  # by whoever waits for its end; once more would do no harm
        self.ended = False  # this and what follows: the producer thread only
        self._stopping, self._unsettled, self._unnoted = False, True, False
        self._kept_paused = False  # whether the queue was, when this was looked up last, to be paused where it starts
        self._hungry, self._notified = True, False
        self.ends = Ends(link, statements, place.owner, place.queue, delayed)
        self._resting = False  # whether rows are ready for which no thread was asked yet
        self._retry_at = self._fetched_at = self._gather_until = self._look_at = 0.0  # 0: no time
        self._lacking = 0  # ends of runs until a fetch is worth its round trip
        self._failures = 0
        self._pace, self._alone, self._search, self._herd = Pace(options.prefetch), Alone(), search.Search(), Herd()
        self._reconcile_at = clock.monotonic() + RECONCILE_SECONDS
        self._left = 0  # jobs that could not go back yet
        self.queue = Queue(name, options.limit, partial(run, place=place), self._ended, house)
        self.thread = threads.spawn(f"{name}-producer", self._work)

    def look(self) -> None:
        """Have it look for jobs now."""
        self._inbox.put(Message.LOOK)

    def search(self) -> None:
        """Have it look now, for jobs that may be older than those which it took: staged, rescued, or handed back."""
        self._inbox.put(Message.SEARCH)

    def recheck(self) -> None:
        """Have it look for all that it may not have been told: jobs, a lasting pause, jobs asked to stop."""
        self._inbox.put(Message.RECHECK)

    def pause(self) -> None:
        """Have it fetch nothing until `resume`; jobs in hand that no thread has begun go back."""
        self.paused = True
        self._inbox.put(Message.PAUSE)

    def resume(self) -> None:
        """Have it fetch again."""
        self.paused = False
        self._inbox.put(Message.RESUME)

    def scale(self, limit: int) -> None:
        """Have it run at most `limit` jobs at once."""
        self.limit = limit
        self._inbox.put(Message.SCALE)

    def stop(self) -> None:
        """Have it fetch nothing more, give back what is not begun, write what ends, and end with the last job."""
        self._inbox.put(Message.STOP)

    def cancel(self, job_ids: Iterable[int]) -> list[int]:
        """Ask jobs to stop, from any thread; give the ids of those that are in hand here.

        A running one sees it in `Job.cancelled` and decides itself; one that was not begun ends as cancelled.
        """
        found = self.queue.cancel(wanted := set(job_ids))
        if missing := wanted.difference(found):
            self._asked.extend(missing)  # a fetch may be bringing them at this moment
            self._inbox.put(Message.ENDED)  # or may just have brought them
        return found

    def free(self) -> int:
        """Say how many more jobs it could begin now."""
        return 0 if self.paused or self._stopping else self.limit - self.queue.in_hand()

    def hand_back(self, link: Link) -> tuple[list[Unfinished], int]:
        """Give the jobs that still run to other nodes, although their threads go on: the process must end now.

        Returns:
            These jobs, and how many of them went back.
        """
        unfinished = self.queue.running()
        return unfinished, rescue.release(link, self._statements, self.place.owner, unfinished)

    def _ended(self) -> None:
        if not self._rung:
            self._rung = True
            self._inbox.put(Message.ENDED)

    def _work(self) -> None:
        while not self._done():
            messages = self._inbox.take(self._patience())
            self._hungry = self._hungry or not messages
            for message in messages:
                self._obey(message)
            self._maybe_look()
            if self._alone.stuck(self.queue.begun, clock.monotonic()):
                self.queue.employ()
            self._maybe_give_back()
            if clock.monotonic() >= self._retry_at:
                self._guarded_exchange()
        self.queue.close()
        self._link.close()
        self.ended = True
        self._changed(self)

    def _maybe_look(self) -> None:
        """Follow a notification, once the moment has passed that other nodes may need to do so first."""
        if 0.0 < self._look_at <= clock.monotonic():
            self._look_at = 0.0
            self._hungry = self._notified = True

    def _done(self) -> bool:
        """Say whether a stop has nothing left to do: no job in hand, no end unwritten, nothing to reconcile."""
        unwritten = len(self.ends) > 0 or self._left > 0 or self._reconcile_at == 0.0
        return self._stopping and not unwritten and self.queue.in_hand() == 0

    def _patience(self) -> float:
        """Say how long to wait for a message. Waiting that long without one is a reason to look for jobs."""
        if self._failures:
            return max(0.0, self._retry_at - clock.monotonic())
        if self._demand()[1]:
            return 0.0
        until = [clock.monotonic() + (self._polling.pause if self._deaf() else self._polling.longest)]
        until += [at for at in (self._gather_until, self._look_at, self.ends.due()) if at]
        if self.queue.ready():
            until += [self._fetched_at + STALL_SECONDS, self._alone.check_at or math.inf]
        return max(0.0, min(until) - clock.monotonic())

    def _obey(self, message: Message) -> None:
        if message is Message.ENDED:
            return  # the exchange takes what ended, after any message
        if message is Message.LOOK:
            self._look_at = self._look_at or clock.monotonic() + self._herd.delay(random())  # noqa: S311 - no secret
        elif message in (Message.RESUME, Message.SCALE):
            self._hungry = True
            self._unnoted = self._unnoted or message is Message.RESUME
            self.queue.resize(self.limit)
        elif message in (Message.SEARCH, Message.RECHECK):
            self._hungry = True
            self._search.hurry()
            if message is Message.RECHECK:
                self._unsettled, self._reconcile_at = True, 0.0
        else:
            self._stopping = self._stopping or message is Message.STOP
            self._unnoted = self._unnoted or message is Message.PAUSE
            self._give_back()

    def _maybe_give_back(self) -> None:
        """Let other nodes have what was held ready for threads that are busy for longer, or what they may have now."""
        if self.queue.stale():
            self._give_back()
        if self.queue.ready() and clock.monotonic() > self._fetched_at + STALL_SECONDS:
            self._pace.stall()
            self._give_back()

    def _give_back(self) -> None:
        """Let go of what no thread has begun; what cannot be written now is reconciled later."""
        unbegun = self.queue.give_back()
        self._search.hurry()
        try:
            if rescue.release(self._link, self._statements, self.place.owner, unbegun) < len(unbegun):
                self._reconcile_at = 0.0
        except Exception as error:
            self._failed(error)

    def _guarded_exchange(self) -> None:
        if self._unsettled or self._unnoted or self.ends.kept():
            self._employ()  # what is asked before the next fetch may have to wait for a lock
        try:
            self._maybe_settle()
            self._exchange()
            self._maybe_cancel()
            self._maybe_reconcile()
            self._failures = 0
        except Exception as error:
            self._failed(error)

    def _maybe_settle(self) -> None:
        """Follow a pause that outlives processes, before the first fetch, and where its begin or end was not heard.

        What was heard counts for more: a node that was resumed by itself runs on.
        """
        if not (self._unsettled or self._unnoted):
            return
        kept = queues.is_kept_paused(self._link, self._statements, self.place.queue)
        if self._unsettled and kept != self._kept_paused and kept != self.paused:
            (self.pause if kept else self.resume)()
            self._changed(self)
        self._kept_paused, self._unsettled, self._unnoted = kept, False, False

    def _maybe_cancel(self) -> None:
        """Ask jobs again that were not here when they were asked to stop; no fetch is on its way now."""
        if self._asked:
            self.queue.cancel([self._asked.popleft() for _ in range(len(self._asked))])

    def _failed(self, error: Exception) -> None:
        """Pause after an error, whatever it is: a producer that dies would keep its jobs for ever."""
        self._employ()
        self._failures += 1
        pause = min(RETRY_SECONDS[0] * 2 ** min(self._failures, 10), RETRY_SECONDS[1])
        self._retry_at = clock.monotonic() + pause
        self._hungry = True
        self._reconcile_at = 0.0
        if self._failures == 1:
            threads.report(logger, f"queue {self.place.queue} pauses", error)

    def _exchange(self) -> None:
        """Write what ended and fetch what there is room for.

        What a fetch brings that was on its way at a pause gets a lease that never holds: no thread begins it, and it
        goes back.
        """
        self._take()
        self.ends.write_kept()
        free, demand = self._demand()
        if not demand:
            self._employ()
            if not self._gathering():
                self.ends.write()
            return
        self._gather_until = 0.0
        after, lease = self._search.after(clock.monotonic()), self._lease()
        fetching = fetch.call(self.place, demand, free, self._statements, after)
        rows = self.ends.write_and_fetch(fetching, self._employ)
        found = fetch.found(rows)
        self._hungry = found >= demand or not (rows or free)
        if found - len(rows) > found // 2 or not (rows or free):
            self._pace.stall()  # mostly last attempts, which are not held ready
        self._fetched_at = clock.monotonic()
        self._learn(rows, found < demand, whole=after is None)
        self.queue.put(fetch.ordered(rows), -1 if self.paused or lease is None else lease)
        self._resting = True
        self._alone.rest()
        if not self._demand()[1]:
            self._employ()

    def _employ(self) -> None:
        """Have threads begin what is ready.

        Where more is wanted, that waits until PostgreSQL is at work on it: threads that have the interpreter keep it
        from a producer that is about to ask.
        """
        if self._resting:
            self._resting, now = False, clock.monotonic()
            employed = self._pace.threads(self.limit, now)
            self.queue.employ(employed)
            self._alone.begin(self.queue.begun, now, alone=employed == 1 < self.limit)

    def _take(self) -> None:
        """Take in what ended."""
        self._rung, self.queue.quorum = False, 1
        taken = self.queue.take()
        self.ends.add(taken.outcomes)
        self._pace.record(len(taken.outcomes), taken.busy)
        if self._alone.alone:
            self._pace.judge(taken.passed, taken.computed, clock.monotonic())

    def _gathering(self) -> bool:
        """Let the ends of short runs wait a moment for more of them, to be written along with the next fetch."""
        now = clock.monotonic()
        if self._lacking <= 0 or not self.queue.ready() or 0.0 < self._gather_until <= now:
            self._gather_until = 0.0
            return False
        self._gather_until = self._gather_until or now + GATHER_SECONDS
        self.queue.quorum = self._lacking
        return True

    def _learn(self, rows: list[Row], short: bool, *, whole: bool) -> None:
        """Take in what a fetch says of the next ones."""
        self._pace.measure(len(rows), sum(len(row[5]) for row in rows))
        self._polling.record(found=bool(rows))
        if self._notified:
            self._herd.record(found=bool(rows), now=self._fetched_at)
            self._notified = False
        if whole:
            self._search.record_whole(fetch.found(rows), fetch.searched(rows), self._fetched_at)
        elif short:
            self._search.hurry()
        if rows:
            self._search.record([search.key(row) for row in rows], taken_at=rows[0][10])

    def _maybe_reconcile(self) -> None:
        """Give back jobs of a fetch whose answer was lost; only this thread fetches, so nobody else may know them."""
        if clock.monotonic() >= self._reconcile_at:
            place = self.place
            self._left = rescue.reconcile(self._link, self._statements, place.owner, self._known, self.cancel)
            self._reconcile_at = clock.monotonic() + (LOCKED_SECONDS if self._left else RECONCILE_SECONDS)

    def _known(self) -> set[tuple[int, int]]:
        return self.queue.holds() | {(outcome.id, outcome.attempt) for outcome in self.ends}

    def _demand(self) -> tuple[int, int]:
        """Say how many threads are free, and how many jobs to fetch."""
        if self.paused or self._stopping or not self._hungry or self._lease() is None or mode.active():
            self._lacking = 0
            return 0, 0
        limit, in_hand = self.limit, self.queue.unended() + self.ends.kept()
        free, most = max(0, limit - in_hand), limit + self._pace.ready(limit)
        self._lacking = most // 2 - (most - in_hand)
        if not free and self._lacking > 0:
            return 0, 0
        # Half of what may be ready is fetched while the other half runs.
        return free, min(max(0, most - in_hand), max(limit, most // 2))
