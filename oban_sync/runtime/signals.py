"""Signals: what nodes tell each other of queues and jobs, in the words of Oban.

A signal is a JSON object on the channel `oban_signal`, such as `{"action": "pause", "queue": "mail", "ident": "any"}`.
`ident` names one node as `instance.node`, or is `any`. Whoever may connect can send one, so each value is checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from oban_sync.config import QueueConfig, positive_integer, queue_name
from oban_sync.errors import ConfigError
from oban_sync.job import MAX_NAME
from oban_sync.runtime import threads
from oban_sync.runtime.producers import Producers

ANY = "any"
EVERY_QUEUE = "*"
MAX_LIMIT = 2**31 - 1
BACK_SECONDS = 1.0
"""Longest wait for a signal of one's own, which comes in milliseconds unless the node does not listen."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One command to nodes.

    Attributes:
        action: pause, resume, scale, start, stop or pkill.
        queue: Queue it is about; * for every one.
        ident: Node it is for.
        limit: Jobs at once, for scale and start.
        paused: Whether a queue starts without fetching.
        job_id: Job to stop, for pkill.
        settled: For resume, whether the sender ended durable pauses by itself; Oban's nodes know of none.
    """

    action: str
    queue: str = EVERY_QUEUE
    ident: str = ANY
    limit: int | None = None
    paused: bool | None = None
    job_id: int | None = None
    settled: bool | None = None

    def encode(self) -> str:
        """Write it as other nodes read it, without keys that its action does not have: Oban's would stumble on them."""
        named = {name: getattr(self, name) for name in self.__slots__}
        return orjson.dumps({name: value for name, value in named.items() if value is not None}).decode()


def read(payload: Any) -> Signal:
    """Check a signal that was received.

    Raises:
        ValueError: It is none, or has values that its action cannot have.
    """
    if not isinstance(payload, dict):
        raise ValueError(f"expected a signal to be an object, got {payload!r:.100}")
    signal = Signal(
        payload.get("action", ""),
        queue=payload.get("queue", EVERY_QUEUE),
        ident=payload.get("ident", ANY),
        limit=payload.get("limit", payload.get("local_limit")),
        paused=payload.get("paused"),
        job_id=payload.get("job_id"),
        settled=payload.get("settled"),
    )
    texts = (signal.action, signal.queue, signal.ident)
    valid = all(isinstance(text, str) for text in texts) and 0 < len(signal.queue) <= MAX_NAME
    if not valid or signal.action not in _NEEDS or not _NEEDS[signal.action](signal):
        raise ValueError(f"expected a signal of Oban's, got {payload!r:.200}")
    return signal


def one_queue(name: object) -> str:
    """Give the name of one queue back.

    Raises:
        ConfigError: It is none, or stands for all.
    """
    found = queue_name(name)
    if found == EVERY_QUEUE:
        raise ConfigError(f"expected the name of one queue, got {found!r}: all have verbs of their own")
    return found


def queue_limit(value: object) -> int:
    """Give a limit of a queue back.

    Raises:
        ConfigError: It is none that a queue can have.
    """
    found = positive_integer("limit", value)
    if found > MAX_LIMIT:
        raise ConfigError(f"expected limit to be at most {MAX_LIMIT:,}, got {found:,}")
    return found


class Signals:
    """What one node gets and sends.

    A node gets its own signals too, in one order with those of others. So a command waits until its signal is back:
    then nothing that was sent before can undo it.

    Args:
        ident: Name of the node in signals.
        producers: Its queues.
        lift: Has the durable pause of a queue end, or with * of all, when another Oban resumed it everywhere.
    """

    def __init__(self, ident: str, producers: Producers, lift: Callable[[str], None]) -> None:
        self._ident = ident
        self._producers = producers
        self._lift = lift
        self._awaited: list[tuple[Signal, threads.Event]] = []  # appends and removals are atomic

    def receive(self, payload: Any) -> None:
        """Do what a payload says, if it is for this node; on the notifier thread, so it never waits.

        Raises:
            ValueError: It is no signal.
        """
        signal = read(payload)
        if signal.ident in (ANY, self._ident):
            _obey(signal, self._producers)
        if signal.action == "resume" and signal.ident == ANY and not signal.settled:
            self._lift(signal.queue)
        for sent, back in list(self._awaited):
            if sent == signal:
                back.set()

    def command(self, signal: Signal, tell: Callable[[], None] | None) -> None:
        """Do what a signal says; where there is a `tell`, have it send the signal, and wait until it is back."""
        _obey(signal, self._producers)
        if tell is None:
            return
        awaited = signal, threads.Event()
        self._awaited.append(awaited)
        try:
            tell()
            awaited[1].wait(BACK_SECONDS)
        finally:
            self._awaited.remove(awaited)


def _obey(signal: Signal, producers: Producers) -> None:
    """Do what a signal to this node says. A queue that does not run here is left out."""
    match signal:
        case Signal("pause"):
            producers.pause(signal.queue)
        case Signal("resume"):
            producers.resume(signal.queue)
        case Signal("scale", limit=int(limit)):
            producers.scale(signal.queue, limit)
        case Signal("start", limit=int(limit)):
            producers.start(signal.queue, QueueConfig(limit=limit, paused=bool(signal.paused)))
        case Signal("stop"):
            producers.stop(signal.queue)
        case Signal("pkill", job_id=int(job_id)):
            producers.cancel([job_id])


def _whole(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most


_NEEDS: dict[str, Callable[[Signal], bool]] = {
    "pause": lambda _: True,
    "resume": lambda signal: signal.settled in (None, True, False),
    "scale": lambda signal: _whole(signal.limit, MAX_LIMIT),
    "start": lambda signal: (
        signal.queue != EVERY_QUEUE and signal.paused in (None, True, False) and _whole(signal.limit, MAX_LIMIT)
    ),
    "stop": lambda signal: signal.queue != EVERY_QUEUE,
    "pkill": lambda signal: _whole(signal.job_id, 2**63 - 1),
}
"""What the values of each action must be."""
