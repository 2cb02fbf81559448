"""Start and hold an embedded PostgreSQL."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from oban_sync.embedded import supervisor
from oban_sync.embedded.binaries import Account, can_enter, find_binaries, readable_by
from oban_sync.embedded.holding import EXCLUSIVE, SHARED, LockFile
from oban_sync.errors import ConfigError, EmbeddedError

_SHORT = "/tmp"  # noqa: S108 - a socket's path has some 100 bytes, and $TMPDIR may be long or closed to others
_WAIT_SECONDS = 60.0
_NOBODY = 65534
_OURS = "holders.lock"
_FIXED = frozenset(
    {"data_directory", "hba_file", "listen_addresses", "port", "unix_socket_directories", "unix_socket_permissions"}
)
_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class Server:
    """A PostgreSQL that this process holds; `start()` makes one."""

    def __init__(self, home: Path, account: Account | None, private: bool) -> None:
        self._home = home
        self._account = account
        self._private = private
        self._holding: LockFile | None = None
        self._socket = ""

    def dsn(self, dbname: str = "postgres") -> str:
        """Return the conninfo string of database `dbname`; nothing is created.

        Example:
            >>> with start() as server:
            ...     server.dsn("mydb").split()[1:]
            ['port=5432', 'dbname=mydb', 'user=postgres']
        """
        return make_conninfo(host=self._socket, port=5432, dbname=dbname, user="postgres")

    def create_database(self, name: str) -> str:
        """Create database `name` if it is not there, and return its conninfo string.

        Raises:
            psycopg.Error: PostgreSQL refused.

        Example:
            >>> with start() as server, psycopg.connect(server.create_database("mydb")) as conn:
            ...     conn.execute("select current_database()").fetchone()
            ('mydb',)
        """
        with psycopg.connect(self.dsn(), autocommit=True) as conn:
            try:
                conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
            except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                pass  # there already, or another process was first
        return self.dsn(name)

    @property
    def directory(self) -> Path:
        """The directory with the cluster (`pgdata`), the log and the locks."""
        return self._home

    @property
    def log(self) -> Path:
        """The file that PostgreSQL logs to."""
        return self._home / "postgres.log"

    @property
    def pid(self) -> int:
        """The process id of the postmaster, a new one after every restart.

        Raises:
            EmbeddedError: the server is not running at the moment.
        """
        try:
            return int((self._home / "pgdata" / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError) as error:
            raise EmbeddedError(f"the PostgreSQL in {self._home} is not running") from error

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop PostgreSQL and return when it answers again, at the same address.

        "fast" disconnects everybody and shuts down in order, "immediate" lets it crash and recover.

        Raises:
            EmbeddedError: it did not come back in time, or this process does not hold it.

        Example:
            >>> with start() as server:
            ...     before = server.pid
            ...     server.restart("immediate")
            ...     server.pid == before
            False
        """
        if mode not in _SIGNALS:
            raise ConfigError(f"expected mode to be 'fast' or 'immediate', got {mode!r}")
        self._check_held()
        with self._lock("start.lock").lock(EXCLUSIVE):
            old = self.pid
            if supervisor.is_postmaster(old, self._home / "pgdata"):
                os.kill(old, _SIGNALS[mode])
            deadline = time.monotonic() + _WAIT_SECONDS
            while self._refusal(besides=old):
                if time.monotonic() > deadline:
                    raise EmbeddedError(f"PostgreSQL in {self._home} did not restart in {_WAIT_SECONDS:.0f} s")
                time.sleep(0.01)

    def stop(self) -> None:
        """Let go of the server; PostgreSQL stops when the last holder does, and then this waits for the end.

        Does nothing the second time, and in a child forked from the process that called `start()`.

        Raises:
            EmbeddedError: PostgreSQL did not stop in time.

        Example:
            >>> server = start()
            >>> server.stop()
            >>> server.directory.exists()
            False
        """
        if self._holding is None or self._holding.closed:
            return
        try:
            with self._lock("supervisor.lock") as alive:
                supervised_by = alive.read()
                if self._let_go(self._holding):
                    _await_release(alive, supervised_by, self._home)
        except FileNotFoundError:
            pass  # somebody removed the directory; PostgreSQL stops when it notices, its supervisor when this closes
        finally:
            self._holding.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _lock(self, name: str) -> LockFile:
        return LockFile(self._home / name, self._account)

    def _check_held(self) -> None:
        if self._holding is None or self._holding.closed:
            raise EmbeddedError(f"this process does not hold the PostgreSQL in {self._home}")

    def _take_hold(self, settings: Mapping[str, str]) -> None:
        """Hold the directory, waiting for a predecessor to stop, and have a server that answers."""
        with self._lock("start.lock").lock(EXCLUSIVE):
            self._holding = self._lock(_OURS).lock(SHARED)
            try:
                self._ensure_running(settings)
            except BaseException:
                self._holding.close()
                if self._private:
                    shutil.rmtree(self._home, ignore_errors=True)  # the supervisor's work, if there is one
                raise

    def _ensure_running(self, settings: Mapping[str, str]) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            with self._lock("supervisor.lock") as alive:
                supervised = not alive.try_lock(SHARED)
            if not supervised:
                self._supervise(settings)
            refusal = self._refusal()
            if refusal is None:
                return
            if time.monotonic() > deadline:
                raise EmbeddedError(f"PostgreSQL in {self._home} did not answer in {_WAIT_SECONDS:.0f} s: {refusal}")
            time.sleep(0.02)

    def _supervise(self, settings: Mapping[str, str]) -> None:
        """Start the supervisor, which starts PostgreSQL, and wait for its word."""
        plan = supervisor.Plan(
            home=str(self._home),
            binaries=str(readable_by(find_binaries(_major(self._home)), self._account)),
            account=self._account,
            private=self._private,
            short=_SHORT,
            settings=dict(settings),
        )
        done = subprocess.run(  # noqa: S603 - this package's own program
            [_python(), "-I", "-S", "-W", "ignore", supervisor.__file__, plan.home],
            input=json.dumps(plan._asdict()).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
            check=False,
        )
        answer = done.stdout.decode(errors="replace")
        if answer.splitlines()[-1:] != ["ready"]:
            raise EmbeddedError(f"no PostgreSQL in {self._home}: {answer.strip() or 'the supervisor died'}")

    def _refusal(self, besides: int = 0) -> str | None:
        """Connect; return why that failed, None if it did not and the server has another pid than `besides`."""
        self._socket = os.path.realpath(self._home / "socket")
        try:
            psycopg.connect(self.dsn(), connect_timeout=10).close()
            return None if self.pid != besides else f"pid {besides} still runs"
        except (psycopg.OperationalError, EmbeddedError) as error:
            return str(error)

    def _let_go(self, holding: LockFile) -> bool:
        """Give the hold up; return whether it was the last one."""
        with self._lock("start.lock").lock(EXCLUSIVE), self._lock(_OURS) as probe:
            holding.close()
            alone = probe.try_lock(EXCLUSIVE)
            return alone or not probe.try_lock(SHARED)  # a refused shared lock: the supervisor has it and is stopping


def start(data: str | os.PathLike[str] | None = None, *, settings: Mapping[str, str] | None = None) -> Server:
    """Start a PostgreSQL, or join the one that runs in `data`, and hold it until `stop()` or the end of this process.

    Without `data` the server is private and its directory temporary: it is removed when the server stops. With `data`
    all processes that start the same directory share one server, and the data stays. The server stops when the last
    holder is gone: returned, killed or crashed. A forked child does not hold it: call `start(data)` there if it is to
    outlive its parent.

    `settings` are PostgreSQL's own (`{"shared_buffers": "256MB"}`); those of the process that starts the server count,
    not those of one that joins it. As root, PostgreSQL runs as the owner of `data`, or as nobody. A service manager
    that signals every process of a service signals PostgreSQL too, which then takes no new connections: under systemd,
    set `KillMode=mixed`.

    Raises:
        EmbeddedError: PostgreSQL was not found or did not start, or the directory is not for this; the message says
            which, with the last lines of the log.
        ConfigError: a setting has no valid name, or is one that this module sets itself.

    Example:
        >>> with start() as server, psycopg.connect(server.dsn()) as conn:
        ...     conn.execute("select 1").fetchone()
        (1,)
    """
    checked = _checked(settings or {})
    try:
        home = Path(tempfile.mkdtemp(prefix="oban-data-", dir=_SHORT)) if data is None else _claim(data)
        server = Server(home, _own(home), private=data is None)
        server._take_hold(checked)
    except OSError as error:
        raise EmbeddedError(f"cannot run PostgreSQL in {data or _SHORT}: {error}") from error
    return server


def _checked(settings: Mapping[str, str]) -> dict[str, str]:
    for name, value in settings.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", name) or name.lower() in _FIXED:
            raise ConfigError(f"expected a PostgreSQL setting other than {sorted(_FIXED)}, got {name!r}")
        if not isinstance(value, str) or "\0" in value:
            raise ConfigError(f"expected the setting {name} to be a string, got {value!r}")
    return dict(settings)


def _claim(data: str | os.PathLike[str]) -> Path:
    """Make the directory `data`, or check that it is empty or was made here."""
    home = Path(os.path.realpath(data))
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = {entry.name for entry in home.iterdir()} - {"lost+found", "start.lock"}
    if names and _OURS not in names:
        raise EmbeddedError(
            f"expected {home} to be empty or a directory that start() made, got one with {min(names)!r}; "
            "nothing was changed"
        )
    return home


def _own(home: Path) -> Account | None:
    """As root, find the account to run PostgreSQL as, which is the owner of `home`; give root's own to nobody."""
    if os.geteuid() != 0:
        return None
    status = home.stat()
    if status.st_uid != 0:
        account = status.st_uid, status.st_gid
    else:
        account = _nobody()
        os.chown(home, *account)
    if not can_enter(home, account):
        raise EmbeddedError(f"expected a directory that uid {account[0]} can enter (PostgreSQL refuses root): {home}")
    return account


def _nobody() -> Account:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return _NOBODY, _NOBODY
    return entry.pw_uid, entry.pw_gid


def _python() -> str:
    """Find the interpreter for the supervisor; a server that embeds Python says its own name in sys.executable."""
    known = (sys.executable, os.path.join(sys.base_prefix, "bin", "python3"), "/usr/bin/python3")
    for path in known:
        if path and "python" in os.path.basename(path) and os.access(path, os.X_OK):
            return path
    raise EmbeddedError(f"expected a Python that this process may run among {known}")


def _major(home: Path) -> int | None:
    """Return the major version of the cluster in `home`; None when there is none yet."""
    try:
        return int((home / "pgdata" / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None


def _await_release(alive: LockFile, supervised_by: str, home: Path) -> None:
    """Wait until the supervisor is gone; one with another pid is a successor's."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while not alive.try_lock(SHARED) and alive.read() == supervised_by:
        if time.monotonic() > deadline:
            raise EmbeddedError(f"PostgreSQL in {home} did not stop in {_WAIT_SECONDS:.0f} s")
        time.sleep(0.005)
