"""A PostgreSQL that can be killed for good, alone or with a streaming standby that takes over then."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from oban_sync.embedded.binaries import find_binaries, readable_by
from oban_sync.errors import EmbeddedError

MISSING = "there is no pg_basebackup beside PostgreSQL's binaries"
WAIT_SECONDS = 60.0
_SETTINGS = {"listen_addresses": "", "port": "5432", "fsync": "off", "max_connections": "60", "hot_standby": "on"}


def binaries() -> Path | None:
    """Find server binaries with what makes a standby."""
    try:
        found = find_binaries()
    except EmbeddedError:
        return None
    return found if (found / "pg_basebackup").exists() else None


class Cluster:
    """One PostgreSQL, started by hand so that it can be killed for good.

    Args:
        home: Its directory, short enough for a socket's path.
        programs: Where the binaries are.
    """

    def __init__(self, home: Path, programs: Path) -> None:
        self.home, self.programs = home, programs
        self.data = home / "data"
        self._process: subprocess.Popen[bytes] | None = None
        home.mkdir(mode=0o700)
        if os.getuid() == 0:
            account = _account()
            os.chown(home, *account)

    def run(self, program: str, *arguments: str) -> None:
        """Run a program to its end."""
        subprocess.run(
            [str(self.programs / program), *arguments], check=True, capture_output=True, cwd=self.home, **_identity()
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        command = [str(self.programs / "postgres"), "-D", str(self.data), "-k", str(self.home), *settings]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.home, **_identity())
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                psycopg.connect(self.dsn).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    @property
    def dsn(self) -> str:
        """The way to it alone."""
        return f"host={self.home} port=5432 user=postgres dbname=postgres"

    def kill(self) -> None:
        """End it as a crash of the machine would; its other processes see that and end too."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Execute a statement."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def single() -> Iterator[Cluster]:
    """Give a PostgreSQL that runs."""
    programs = binaries()
    assert programs is not None, MISSING
    folder = Path(tempfile.mkdtemp(prefix="oban-pair-", dir="/tmp"))
    folder.chmod(0o755)
    found = Cluster(folder / "a", readable_by(programs, _account() if os.getuid() == 0 else None))
    try:
        found.run("initdb", "-D", str(found.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        found.start()
        yield found
    finally:
        found.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def pair() -> Iterator[tuple[Cluster, Cluster]]:
    """Give a primary and a standby that has all that the primary acknowledged."""
    with single() as first:
        second = Cluster(first.home.with_name("b"), first.programs)
        way = ("-h", str(first.home), "-p", "5432", "-U", "postgres")
        second.run("pg_basebackup", *way, "-D", str(second.data), "-R", "-X", "stream", "-c", "fast", "--no-sync")
        try:
            second.start()
            first.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
            first.ask("SELECT pg_reload_conf()")
            deadline = time.monotonic() + WAIT_SECONDS
            while first.ask("SELECT sync_state FROM pg_stat_replication") != [("sync",)]:
                assert time.monotonic() < deadline, "the standby does not stream"
                time.sleep(0.05)
            yield first, second
        finally:
            second.kill()


def _account() -> tuple[int, int]:
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _identity() -> dict[str, Any]:
    """Give whom programs run as: PostgreSQL refuses root."""
    if os.getuid():
        return {}
    user, group = _account()
    return {"user": user, "group": group, "extra_groups": []}
