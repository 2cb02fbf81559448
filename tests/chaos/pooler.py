"""PgBouncer in transaction mode in front of a server, where Debian's package is there."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

MISSING = "PgBouncer is not installed (Debian: apt-get install pgbouncer)"
START_SECONDS = 20.0


def program() -> str | None:
    """Find the program."""
    return shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")


@contextmanager
def pooled(dsn: str, *, sessions: int = 5) -> Iterator[str]:
    """Run a PgBouncer for as long as the block lasts, and give the way through it.

    Args:
        dsn: The server's.
        sessions: How many sessions of the server all clients share.
    """
    with psycopg.connect(dsn) as connection:
        info = connection.info
        user, account = info.user, _account(info.host, info.port)
        upstream = f"host={info.host} port={info.port} user={user}"
        if info.password:
            upstream += f" password={info.password}"
    with tempfile.TemporaryDirectory(prefix="oban-pooler-", dir="/tmp") as name:
        folder = Path(name)
        (folder / "users").write_text(f'"{user}" ""\n')
        (folder / "ini").write_text(_INI.format(folder=folder, upstream=upstream, sessions=sessions))
        for path in (folder, *folder.iterdir()):
            os.chown(path, *account)
        process = _start(folder, account)
        try:
            through = make_conninfo(dsn, host=str(folder), port=6432, user=user)
            _await(through, process, folder)
            yield through
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=START_SECONDS)


_INI = """
[databases]
* = {upstream}
[pgbouncer]
server_login_retry = 1
client_login_timeout = 5
listen_addr =
listen_port = 6432
unix_socket_dir = {folder}
auth_type = any
admin_users = postgres
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 500
logfile = {folder}/log
pidfile = {folder}/pid
"""


def _account(host: str, port: int) -> tuple[int, int]:
    """Give the user and group that it runs as: those of the server, since it refuses to be root."""
    if os.getuid():
        return os.getuid(), os.getgid()
    if host.startswith("/"):
        found = Path(host, f".s.PGSQL.{port}").stat()
        return found.st_uid, found.st_gid
    postgres = pwd.getpwnam("postgres")
    return postgres.pw_uid, postgres.pw_gid


def _start(folder: Path, account: tuple[int, int]) -> subprocess.Popen[bytes]:
    found = program()
    assert found is not None, MISSING
    root = os.getuid() == 0
    return subprocess.Popen(
        [found, "-q", str(folder / "ini")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=account[0] if root else None,
        group=account[1] if root else None,
        extra_groups=[] if root else None,
    )


def _await(dsn: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(dsn, prepare_threshold=None).close()
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                log = folder / "log"
                raise RuntimeError(f"PgBouncer: {error}; {log.read_text() if log.exists() else ''}") from error
            time.sleep(0.05)
        else:
            return
