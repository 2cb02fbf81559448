"""The programme of the demo: the place, the three parts, the exit code."""

from __future__ import annotations

import signal
import warnings
from typing import NamedTuple

from sqlalchemy.exc import DBAPIError

from oban_sync import __version__, clock
from oban_sync.cli.demo import count, guide, place, work
from oban_sync.cli.demo.report import Report
from oban_sync.cli.demo.screen import Screen
from oban_sync.errors import ObanError


class Wishes(NamedTuple):
    """What the command line says."""

    dsn: str | None
    prefix: str
    files: int | None
    keep: bool


def play(wishes: Wishes) -> int:
    """Play the demo and give the exit code.

    Raises:
        ConfigError: An option cannot work.
        EmbeddedError: The demo's own server cannot run.
        DatabaseUnavailable: The given server cannot be reached.
        ObanError: It refused a statement of the demo, or went away.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does, with everything cleaned up
    warnings.simplefilter("ignore", SyntaxWarning)  # of the files that are parsed
    screen = Screen()
    screen.title(f"oban_sync {__version__}", "a blocking job queue on PostgreSQL")
    try:
        return _play(wishes, screen)
    except DBAPIError as error:
        raise ObanError(f"the demo ended early, since PostgreSQL said: {str(error.orig).splitlines()[0]}") from error


def _play(wishes: Wishes, screen: Screen) -> int:
    started = clock.monotonic()
    with place.prepared(wishes.dsn, wishes.prefix, keep=wishes.keep) as here:
        _introduce(here, screen, clock.monotonic() - started)
        report = _perform(here, count.files(wishes.files), screen)
        return _conclude(report, screen)


def _introduce(here: place.Place, screen: Screen, seconds: float) -> None:
    kind = "the demo's own" if here.embedded else "yours"
    screen.say(f"PostgreSQL {here.version}, {kind}, with schema {here.prefix}: ready in {seconds:.1f} s")


def _perform(here: place.Place, paths: list[str], screen: Screen) -> Report:
    with here.running() as oban:
        screen.heading("1. The guide: ways to enqueue a job")
        played = guide.play(oban, screen)
        screen.heading("2. The work: parse the standard library, one job a file")
        screen.say(f"  {count.ROOT}, site-packages left out")
        worked = work.work(oban, paths, screen)
    screen.say("  the same once more by a plain loop in one thread, to check the counts")
    expected, seconds = work.loop_alone(paths, screen)
    return Report.read(played, worked, expected, seconds)


def _conclude(report: Report, screen: Screen) -> int:
    screen.heading("3. The result")
    screen.facts(report.facts())
    screen.say("")
    screen.say(_HONESTLY)
    screen.heading("Checks")
    checks = report.checks()
    screen.checks(checks)
    failed = [check.name for check in checks if not check.ok]
    screen.end(f"Not so: {'; '.join(failed)}." if failed else "Every check holds.", ok=not failed)
    return 1 if failed else 0


_HONESTLY = (
    "Late is from the due instant to the job's first statement, by the database's clock. A line is a newline byte, as "
    "for wc -l. ast.parse holds the interpreter: threads do not make it faster, so jobs/s stay below the loop's "
    "files/s, the more so as each job also stores its counts in a transaction of its own; and jobs that fall due "
    "while it parses wait their turn. More processes use more cores: run oban-sync start several times."
)
