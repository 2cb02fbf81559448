"""Run PostgreSQL for as long as some process holds its directory, then stop it and go.

A program of its own, started by path with nothing but the standard library, so that it is small and quick. One thread
waits for the holders' lock; the main thread waits for signals: a child that ended is started again, SIGUSR1 (sent by
the thread when no holder is left) ends the program. SIGTERM does not: holders that were told to end as well still need
the server to finish their work. The last line of standard output is "ready", or the output says why there is no
server; it is then closed.

As root this program works in a directory that belongs to an unprivileged account: it follows no link in there.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, NamedTuple

START_SECONDS = 600.0  # recovery after a crash is part of the start and may have much to do
_PR_SET_PDEATHSIG = 1
SOCKET_PREFIX = "oban-socket-"
_SOCKET_DIRECTORY_BYTES = 88  # sun_path has 104 bytes (macOS), the socket's name needs 15
_LOG_LIMIT = 16 * 1024 * 1024
_ALONE = signal.SIGUSR1
_WAKE = {signal.SIGCHLD, _ALONE}
_UNHEARD = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_STOP = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))  # fast, immediate, and the hammer


class Plan(NamedTuple):
    """What to run and where, as the starting process decided it."""

    home: str
    binaries: str
    account: tuple[int, int] | None  # uid and gid to run PostgreSQL as, when this program is root
    private: bool  # remove the home at the end
    short: str  # where to make the socket's directory when the home has a long path or no sockets
    settings: dict[str, str]


class Refused(Exception):
    """PostgreSQL does not start; the message is for the starting process."""


class Supervisor:
    """Starts, watches and stops one PostgreSQL; used by the main thread only."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._home = Path(plan.home)
        self._pgdata = self._home / "pgdata"
        self._log = self._home / "postgres.log"
        self._socket = self._home / "socket"  # the socket's directory, or a link to it
        self._sockets = self._socket  # the directory itself
        self._postgres: subprocess.Popen[bytes] | None = None
        self._libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def run(self) -> None:
        """Serve until no holder is left; say "ready" or the reason for a refusal."""
        try:
            if self._start():
                self._watch()
        finally:
            self._stop()
            self._clean_up()

    def _start(self) -> bool:
        try:
            self._prepare()
            self._launch()
            self._await_ready()
        except (Refused, OSError) as refusal:
            _report(str(refusal), self._log)
            return False
        _report("\nready", self._log)
        return True

    def _prepare(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self._log.stat().st_size > _LOG_LIMIT:
                self._log.replace(self._log.with_suffix(".log.1"))
        if self._pgdata.exists():
            self._end_predecessor()
        else:
            self._create_cluster()
        self._make_socket_directory()

    def _create_cluster(self) -> None:
        """Run initdb beside the final place and rename, so that a cluster is there whole or not at all."""
        new = self._home / "pgdata.new"
        shutil.rmtree(new, ignore_errors=True)
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--data-checksums"]
        if self._plan.private:
            options.append("--no-sync")  # does not outlive a crash of the machine anyway
        with self._open_log() as log:
            done = self._spawn(["initdb", "-D", str(new), *options], log).wait()
        if done != 0:
            raise Refused(f"initdb ended with status {done}; its last lines:\n{self._log_tail()}")
        new.rename(self._pgdata)
        fd = os.open(self._home, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    def _end_predecessor(self) -> None:
        """Stop a server that lost its supervisor; remove the pid file of one that lost its machine.

        PostgreSQL trusts a stale pid file whose number another process has by now, and would not start.
        """
        pid = self._recorded_pid()
        for number, seconds in _STOP:
            deadline = time.monotonic() + seconds
            if pid and self._is_postmaster(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            while pid and self._is_postmaster(pid) and time.monotonic() < deadline:
                time.sleep(0.02)
        if pid and self._is_postmaster(pid):
            raise Refused(f"a PostgreSQL that nobody supervises (pid {pid}) runs in {self._pgdata} and does not stop")
        (self._pgdata / "postmaster.pid").unlink(missing_ok=True)

    def _is_postmaster(self, pid: int) -> bool:
        return is_postmaster(pid, self._pgdata)

    def _make_socket_directory(self) -> None:
        """Make the socket's directory in the home, or elsewhere and link it when the path is too long for a socket."""
        link = self._socket
        if self._is_ours_elsewhere():
            self._sockets = link.readlink()  # the address that other holders may know
            return
        if link.is_symlink():
            link.unlink()
        shutil.rmtree(link, ignore_errors=True)
        if len(os.fsencode(link)) <= _SOCKET_DIRECTORY_BYTES:
            link.mkdir(mode=0o700)
            self._give(link)
            if _has_sockets(link):
                return
            link.rmdir()
        self._sockets = Path(tempfile.mkdtemp(prefix=SOCKET_PREFIX, dir=self._plan.short))
        self._give(self._sockets)
        link.symlink_to(self._sockets)

    def _is_ours_elsewhere(self) -> bool:
        """Return whether a predecessor left a link to a directory that it made and that still is as it made it."""
        try:
            target = self._socket.readlink()
            status = target.lstat()
        except OSError:
            return False
        made_here = str(target.parent) == self._plan.short and target.name.startswith(SOCKET_PREFIX)
        return made_here and status.st_uid == self._uid() and status.st_mode == stat.S_IFDIR | 0o700

    def _uid(self) -> int:
        return self._plan.account[0] if self._plan.account else os.geteuid()

    def _give(self, path: Path) -> None:
        if self._plan.account:
            os.chown(path, *self._plan.account, follow_symlinks=False)

    def _launch(self) -> None:
        settings = {
            "fsync": "on",
            "full_page_writes": "on",
            "synchronous_commit": "on",
            "max_connections": "100",
            **self._plan.settings,
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with self._open_log() as log:
            self._postgres = self._spawn(["postgres", "-D", str(self._pgdata), *options], log)

    def _spawn(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        account = self._plan.account
        return subprocess.Popen(  # noqa: S603 - PostgreSQL's own programs
            [os.path.join(self._plan.binaries, command[0]), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self._home,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            user=account[0] if account else None,
            group=account[1] if account else None,
            extra_groups=[] if account else None,
            preexec_fn=self._before_exec,
        )

    def _before_exec(self) -> None:
        """Let the child see signals again, and end it (fast shutdown) if this program is killed."""
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if self._libc:
            self._libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT))

    def _await_ready(self) -> None:
        assert self._postgres  # noqa: S101 - for the type checker
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready() and _ALONE not in signal.sigpending():
            if self._postgres.poll() is not None:
                raise Refused(f"PostgreSQL did not start; its last lines:\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise Refused(f"PostgreSQL was not ready after {START_SECONDS:.0f} s:\n{self._log_tail()}")
            time.sleep(0.005)

    def _is_ready(self) -> bool:
        assert self._postgres  # noqa: S101 - for the type checker
        lines = self._pid_file()
        return len(lines) > 7 and lines[0] == str(self._postgres.pid) and lines[7].strip() == "ready"

    def _pid_file(self) -> list[str]:
        try:
            return (self._pgdata / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _recorded_pid(self) -> int:
        lines = self._pid_file()
        return int(lines[0]) if lines and lines[0].isdigit() else 0

    def _watch(self) -> None:
        """Start PostgreSQL again whenever it ends, until no holder is left."""
        assert self._postgres  # noqa: S101 - for the type checker
        pause = 0.0
        born = time.monotonic()
        while signal.sigwait(_WAKE) == signal.SIGCHLD:
            status = self._postgres.poll()
            if status is not None:
                crashed_early = status != 0 and time.monotonic() - born < 5
                pause = min(2 * pause + 0.1, 2.0) if crashed_early else 0.0
                time.sleep(pause)
                born = time.monotonic()
                self._launch()

    def _stop(self) -> None:
        for number, seconds in _STOP:
            if self._postgres and self._postgres.poll() is None:
                self._postgres.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._postgres.wait(seconds)

    def _clean_up(self) -> None:
        shutil.rmtree(self._sockets, ignore_errors=True)
        if self._socket.is_symlink():
            self._socket.unlink()
        if self._plan.private:
            shutil.rmtree(self._home, ignore_errors=True)

    def _open_log(self) -> IO[bytes]:
        fd = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        if self._plan.account:
            os.fchown(fd, *self._plan.account)
        return os.fdopen(fd, "ab")

    def _log_tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])


def is_postmaster(pid: int, pgdata: Path) -> bool:
    """Return whether process `pid` is the PostgreSQL of the cluster in `pgdata`."""
    if sys.platform == "linux":
        try:
            return os.path.samefile(f"/proc/{pid}/cwd", pgdata)
        except OSError:  # no such process, or another account's
            return False
    command = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    found = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - the system's ps
    return os.fsencode(pgdata) in found.stdout


def _has_sockets(directory: Path) -> bool:
    """Return whether the file system of `directory` can hold a unix socket; some shared ones cannot."""
    name = directory / ".s.PGSQL.probe"
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.bind(str(name))
        except OSError:
            return False
    name.unlink()
    return True


def _report(text: str, log: Path) -> None:
    """Tell the starting process, then send what this program may still say to PostgreSQL's log."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, text.encode())
    try:
        fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
    except OSError:
        fd = os.open(os.devnull, os.O_WRONLY)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)


def _leave_when_alone(fd: int) -> None:
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.kill(os.getpid(), _ALONE)


def main() -> None:
    """Read the plan from standard input, leave the starting process, and supervise."""
    plan = Plan(**json.load(sys.stdin))
    if os.fork():
        os._exit(0)
    os.umask(0o077)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # an ignored signal may not wake a sigwait
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAKE | _UNHEARD)
    # The lock that says "supervised" has the lower number: if this program is killed, it is the first that is released.
    alive = os.open(os.path.join(plan.home, "supervisor.lock"), os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(alive, fcntl.LOCK_EX)
    os.pwrite(alive, f"{os.getpid():<20}".encode(), 0)
    holders = os.open(os.path.join(plan.home, "holders.lock"), os.O_RDWR | os.O_CLOEXEC)
    threading.Thread(target=_leave_when_alone, args=(holders,), name="oban-embedded-holders", daemon=True).start()
    Supervisor(plan).run()
    os._exit(0)  # the thread may still wait for the holders of a server that did not start


if __name__ == "__main__":
    main()
