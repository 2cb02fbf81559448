"""Callers of every kind enqueue in their transactions, which end in every way (R18)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

from oban_sync import Job, Oban
from tests.chaos.counted import Counted
from tests.chaos.server import Stage
from tests.store import callers
from tests.store.callers import TRANSACTIONAL, Case


def atomic(stage: Stage, _directory: Path, seed: int, *, rounds: int) -> Iterator[Counted]:
    """Write an order and enqueue its job in transactions of every kind of caller, and compare both tables (R18).

    Args:
        stage: Where.
        seed: Draws how each transaction ends, and what is rolled back within.
        rounds: Transactions of each kind.
    """
    stage.ask(callers.ORDERS)
    oban, random = Oban(dsn=stage.dsn, name="atomic"), Random(seed)
    counts: Counter[str] = Counter()
    wanted: list[str] = []
    for name, make in TRANSACTIONAL.items():
        for number in range(rounds):
            with make(stage.dsn) as case:
                wanted += _transact(oban, case, random, f"{name} {number}", counts)
    oban.stop()
    jobs = [note for (note,) in stage.ask("SELECT args ->> 'order' FROM oban_jobs ORDER BY 1")]
    orders = [note for (note,) in stage.ask("SELECT note FROM orders ORDER BY 1")]
    counts["jobs that a commit made"] = len(wanted)
    counts["missing"] = sum((Counter(wanted) - Counter(jobs)).values())
    counts["left over"] = sum((Counter(jobs) - Counter(wanted)).values())
    counts["that differ from the caller's rows"] = sum((Counter(jobs) - Counter(orders)).values())
    counts["that differ from the caller's rows"] += sum((Counter(orders) - Counter(jobs)).values())
    kept = not any(counts[name] for name in ("missing", "left over", "that differ from the caller's rows"))
    kept = kept and min(counts["commits"], counts["rollbacks"], counts["savepoints rolled back"]) > 0
    claim, line = "enqueue is atomic with the caller's transaction", "jobs = the caller's own rows = commits"
    fault = "commits, rollbacks, savepoints that are rolled back"
    sizes = f"{len(TRANSACTIONAL)} kinds of callers, {rounds} transactions each"
    yield Counted("R18", claim, fault, sizes, seed, dict(counts), line, kept)


def _transact(oban: Oban, case: Case, random: Random, name: str, counts: Counter[str]) -> list[str]:
    """Make one transaction; give the orders that it leaves."""
    made = [f"{name} first"]
    _order(oban, case, made[0])
    if case.savepoint is not None and random.random() < 0.7:
        counts["savepoints rolled back"] += 1
        with case.savepoint():
            _order(oban, case, f"{name} undone")
            raise callers.Undo
    if random.random() < 0.5:
        made.append(f"{name} last")
        _order(oban, case, made[1])
    if random.random() < 0.5:
        counts["commits"] += 1
        case.commit()
        return made
    counts["rollbacks"] += 1
    case.rollback()
    return []


def _order(oban: Oban, case: Case, note: str) -> None:
    case.order(note)
    oban.enqueue(Job("shop.Ship", args={"order": note}), conn=case.conn)
