"""Classes and functions as workers, what a call may say, and the registry that knows them by name."""

from __future__ import annotations

import functools
import importlib
import inspect
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import psycopg
import pytest

from oban_sync import Job, JobState, Oban, current_job, job, worker
from oban_sync.errors import ConfigError, JobError, UnknownWorker, WorkerError
from oban_sync.worker import registered, resolve

pytestmark = pytest.mark.usefixtures("forgotten_workers")


def process(self: Any, job: Job) -> None: ...


# @worker on a class --------------------------------------------------------------------------------------------------


def test_a_decorated_class_makes_jobs_of_its_name_and_options() -> None:
    @worker(queue="mail", priority=2, max_attempts=5, tags=["news"], meta={"team": "a"})
    class Email:
        process = process

    made = Email.new({"to": "ann"})
    assert made.worker == f"{__name__}.test_a_decorated_class_makes_jobs_of_its_name_and_options.<locals>.Email"
    assert (made.queue, made.priority, made.max_attempts, made.tags) == ("mail", 2, 5, ["news"])
    assert (made.args, made.meta, made.id) == ({"to": "ann"}, {"team": "a"}, None)
    assert resolve(made.worker) is Email
    assert Email.new().args == {}


def test_a_name_of_ones_own_is_what_rows_hold() -> None:
    @worker(name="emails")
    class Email:
        process = process

    assert Email.new().worker == "emails"
    assert resolve("emails") is Email
    assert "emails" in registered()


def test_what_a_call_says_comes_before_what_the_worker_says() -> None:
    @worker(name="calls", queue="mail", priority=2, scheduled_in=60, tags=["a"])
    class Email:
        process = process

    made = Email.new({"a": 1}, queue="bulk", priority=9, scheduled_in=5, tags=["b"], max_attempts=3, meta={"m": 1})
    assert (made.queue, made.priority, made.tags, made.max_attempts, made.meta) == ("bulk", 9, ["b"], 3, {"m": 1})
    assert made.delay == 5
    assert Email.new().delay == 60


def test_an_override_that_no_field_has_goes_to_extra() -> None:
    @worker(name="extra", colour="red", size=1)
    class Email:
        process = process

    assert Email.new().extra == {"colour": "red", "size": 1}
    assert Email.new(size=2, shape="round").extra == {"colour": "red", "size": 2, "shape": "round"}


def test_a_class_enqueues_by_the_instance_that_it_names(oban: Oban, dsn: str, db: Any) -> None:
    other = Oban(dsn=dsn, name="other", max_args_bytes=20)

    @worker(name="here")
    class Here:
        process = process

    @worker(name="there", oban="other")
    class There:
        process = process

    Here.enqueue({"a": "x" * 50})
    There.enqueue({"a": 1}, priority=3)
    with pytest.raises(JobError, match="at most 20 bytes"):
        There.enqueue({"a": "x" * 50})
    other.stop()
    rows = db.execute("SELECT worker, priority FROM oban_jobs ORDER BY id").fetchall()
    assert rows == [("here", 0), ("there", 3)]


def test_enqueue_takes_conn_for_the_caller_s_transaction(oban: Oban, dsn: str, db: Any) -> None:
    @worker(name="conn")
    class Email:
        process = process

    @job(name="conn function")
    def send(to: str) -> None: ...

    with psycopg.connect(dsn) as connection:
        Email.enqueue({"to": "ann"}, connection)
        Email.enqueue({"to": "bob"}, conn=connection, priority=1)
        send.enqueue("eve", conn=connection)
        assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (0,)
        connection.commit()
        assert db.execute("SELECT count(*) FROM oban_jobs").fetchone() == (3,)


def test_a_class_without_process_says_so_when_it_is_run() -> None:
    @worker(name="bare")
    class Bare:
        pass

    with pytest.raises(NotImplementedError, match="Worker must implement process method"):
        Bare().process(Bare.new())


def test_an_inherited_process_is_enough() -> None:
    class Base:
        def process(self, job: Job) -> str:
            return f"{type(self).__name__} ran"

    @worker(name="inherits")
    class Child(Base):
        pass

    assert Child().process(Child.new()) == "Child ran"


def test_a_subclass_is_a_worker_only_when_it_is_decorated_itself() -> None:
    @worker(name="parent", queue="mail")
    class Parent:
        process = process

    class Undecorated(Parent):
        pass

    @worker(name="child")
    class Child(Parent):
        pass

    with pytest.raises(WorkerError, match=r"expected @worker on .*Undecorated itself, got it on parent"):
        Undecorated.new()
    with pytest.raises(WorkerError, match="itself"):
        Undecorated.enqueue()
    assert (Child.new().worker, Child.new().queue) == ("child", "default")
    assert (Parent.new().worker, Parent.new().queue) == ("parent", "mail")


async def awaits(self: Any, job: Job) -> None: ...


async def yields(self: Any, job: Job) -> Any:
    yield 1


@pytest.mark.parametrize("method", [awaits, yields, staticmethod(awaits)])
def test_an_async_process_is_refused_where_it_is_decorated_with_the_reason(method: Any) -> None:
    class Email:
        process = method

    before = registered()
    with pytest.raises(WorkerError, match=r"Email\.process to be a plain def, got an async def") as caught:
        worker(name="async")(Email)
    assert "threads" in str(caught.value)
    assert "asyncio.run(" in str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert registered() == before


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"priority": 10}, "priority must be between 0 and 9"),
        ({"queue": ""}, "queue must not be blank"),
        ({"max_attempts": 0}, "max_attempts must be greater than 0"),
        ({"scheduled_in": -1}, "expected scheduled_in"),
        ({"schedule_in": 1, "scheduled_in": 1}, "expected one of"),
        ({"tags": "urgent"}, "expected tags"),
    ],
)
@pytest.mark.parametrize("decorate", [worker, job])
def test_defaults_that_no_job_could_have_are_refused_when_they_are_declared(
    decorate: Any, overrides: dict[str, Any], words: str
) -> None:
    with pytest.raises(JobError, match=words):
        decorate(**overrides)


@pytest.mark.parametrize("decorate", [worker, job])
def test_a_schedule_that_cannot_work_is_refused_when_it_is_declared(decorate: Any) -> None:
    with pytest.raises(ConfigError, match="expected cron to have 5 fields"):
        decorate(cron="every day")


def test_each_decorator_says_when_the_other_is_meant() -> None:
    with pytest.raises(WorkerError, match="use @job on a function"):
        worker()(lambda: None)  # type: ignore[arg-type]
    with pytest.raises(WorkerError, match="use @worker on a class"):
        job()(type("Email", (), {}))
    with pytest.raises(WorkerError, match="expected @job on a function"):
        job()(functools.partial(print))


# @job on a function --------------------------------------------------------------------------------------------------


def run(function: Any, made: Job) -> Any:
    """Run a job as a queue does, from what its row holds."""
    assert resolve(made.worker)().process(made) is not NotImplemented
    return resolve(made.worker)().process(made)


def test_a_function_makes_jobs_of_its_arguments_with_its_defaults() -> None:
    @job(name="send", queue="mail", priority=1)
    def send(to: str, subject: str = "Hello", *, urgent: bool = False) -> tuple[Any, ...]:
        """Send."""
        return to, subject, urgent

    made = send.new("ann", urgent=True)
    assert made.args == {"to": "ann", "subject": "Hello", "urgent": True}
    assert (made.worker, made.queue, made.priority) == ("send", "mail", 1)
    assert run(send, made) == ("ann", "Hello", True)
    assert send("ann") == ("ann", "Hello", False)  # called, it runs here and now
    assert send.__doc__ == "Send."
    assert list(inspect.signature(send).parameters) == ["to", "subject", "urgent"]


def test_a_function_is_named_by_its_module_and_qualified_name() -> None:
    @job()
    def send() -> None: ...

    assert send.new().worker == f"{__name__}.{send.__qualname__}"


@pytest.mark.parametrize("given", [((), {}), (("a", "b", "c"), {}), (("a",), {"colour": 1})])
def test_arguments_that_the_function_does_not_take_are_refused_at_once(given: Any) -> None:
    @job(name="strict")
    def send(to: str, subject: str = "") -> None: ...

    with pytest.raises(TypeError):
        send.new(*given[0], **given[1])


def test_a_call_of_a_function_may_say_how_its_job_is() -> None:
    @job(name="overrides", queue="mail")
    def send(to: str) -> None: ...

    made = send.new("ann", scheduled_in=60, priority=3, queue="bulk", tags=["x"], meta={"m": 1}, max_attempts=2)
    assert made.args == {"to": "ann"}
    assert (made.delay, made.priority, made.queue, made.tags, made.meta) == (60, 3, "bulk", ["x"], {"m": 1})
    assert (made.max_attempts, made.state) == (2, JobState.SCHEDULED)
    assert send.new("ann", schedule_in=5).delay == 5


def test_a_parameter_of_the_function_wins_over_a_field_of_that_name(oban: Oban, db: Any) -> None:
    @job(name="wins", priority=4)
    def rate(priority: str, conn: str = "none", queue: str = "q") -> tuple[str, str, str]:
        return priority, conn, queue

    made = rate.enqueue(priority="high", conn="wifi", tags=["t"])
    assert made.args == {"priority": "high", "conn": "wifi", "queue": "q"}
    assert (made.priority, made.queue, made.tags) == (4, "default", ["t"])
    assert run(rate, made) == ("high", "wifi", "q")
    assert db.execute("SELECT args FROM oban_jobs").fetchone() == (made.args,)


def test_positional_only_parameters_get_their_values_back() -> None:
    @job(name="positional")
    def add(a: int, b: int = 2, /, c: int = 3, *, d: int = 4) -> tuple[int, ...]:
        return a, b, c, d

    assert run(add, add.new(1)) == (1, 2, 3, 4)
    assert run(add, add.new(1, 5, 6, d=7)) == (1, 5, 6, 7)


def test_stars_get_their_values_back() -> None:
    @job(name="stars")
    def many(a: int, *rest: int, b: int = 0, **named: Any) -> tuple[Any, ...]:
        return a, rest, b, named

    assert run(many, many.new(1)) == (1, (), 0, {})
    made = many.new(1, 2, 3, b=4, colour="red", priority=5)
    assert made.args == {"a": 1, "rest": (2, 3), "b": 4, "colour": "red"}
    assert made.priority == 5
    assert run(many, made) == (1, (2, 3), 4, {"colour": "red"})


def test_a_name_among_the_stars_that_hides_a_parameter_is_refused() -> None:
    @job(name="hides")
    def send(to: str, /, *rest: int, **named: Any) -> None: ...

    with pytest.raises(TypeError, match="several values for to"):
        send.new("ann", to="bob")
    with pytest.raises(TypeError, match="several values for rest"):
        send.new("ann", rest=1)


def test_arguments_come_back_from_a_row_as_json_has_them(oban: Oban, db: Any) -> None:
    @job(name="row")
    def many(a: int, /, b: Any, *rest: int, **named: Any) -> tuple[Any, ...]:
        return a, b, rest, named

    made = many.enqueue(1, {"x": (1, 2)}, 3, 4, word="w")
    row = db.execute("SELECT args FROM oban_jobs WHERE id = %s", (made.id,)).fetchone()
    assert run(many, Job("row", args=row[0])) == (1, {"x": [1, 2]}, (3, 4), {"word": "w"})


@pytest.mark.parametrize("function", [awaits, yields])
def test_an_async_function_is_refused_where_it_is_decorated(function: Any) -> None:
    with pytest.raises(WorkerError, match=r"to be a plain def, got an async def: jobs run on threads"):
        job(name="async function")(function)


def test_there_is_no_current_job_outside_of_jobs() -> None:
    assert current_job() is None


# The registry --------------------------------------------------------------------------------------------------------


def test_two_workers_cannot_have_one_name() -> None:
    @worker(name="taken")
    class First:
        process = process

    with pytest.raises(WorkerError, match=r"names to differ, got 'taken' for both .*First and .*Second"):

        @worker(name="taken")
        class Second:
            process = process

    with pytest.raises(WorkerError, match=r"'taken' for both .*First and .*third"):

        @job(name="taken")
        def third() -> None: ...

    assert resolve("taken") is First


def test_a_module_that_is_loaded_again_replaces_its_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "reloaded_workers.py").write_text(
        "from oban_sync import job, worker\n"
        "@worker(name='reloaded')\nclass Email:\n    def process(self, job): return 1\n"
        "@job()\ndef send(): return 2\n"
    )
    module = importlib.import_module("reloaded_workers")
    first = resolve("reloaded")
    importlib.reload(module)
    assert resolve("reloaded") is module.Email is not first
    assert resolve("reloaded_workers.send")() is module.send
    del sys.modules["reloaded_workers"]


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.exec",
        "antigravity.fly",
        "this.is",
        "__main__.main",
        "oban_sync.worker.resolve",
        "tests.test_worker.run",
        "../../etc/passwd",
        "os\nsystem",
        "",
        "." * 1000,
        "a" * 100_000,
        "xml.dom.minidom.parse",
    ],
)
def test_a_name_that_nobody_registered_is_looked_up_and_nothing_is_imported(name: str) -> None:
    before = set(sys.modules)
    with pytest.raises(UnknownWorker, match="is not registered in this process") as caught:
        resolve(name)
    assert set(sys.modules) == before
    assert len(str(caught.value)) < 500
    assert isinstance(caught.value, LookupError)


SCRIPT = """
import warnings
from oban_sync import job, worker

@worker(name="script.Fixed")
class Fixed:
    def process(self, job): ...

{decorated}
"""


@pytest.mark.parametrize(
    "decorated",
    ["@worker()\nclass Email:\n    def process(self, job): ...", "@job(queue='mail')\ndef send(): ..."],
    ids=["worker", "job"],
)
def test_a_worker_of_the_script_that_is_run_warns_at_its_line(decorated: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(decorated=decorated))
    line = script.read_text().splitlines().index(decorated.splitlines()[0]) + 1
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    first = done.stderr.splitlines()[0]
    assert first.startswith(f"{script}:{line}: UserWarning: worker __main__.")
    assert "name=..." in first
    assert done.stderr.count("UserWarning") == 1


def test_a_worker_of_an_imported_module_does_not_warn(tmp_path: Path) -> None:
    (tmp_path / "imported.py").write_text(SCRIPT.format(decorated="@worker()\nclass Email:\n    process = print"))
    code = textwrap.dedent("""
        import warnings; warnings.simplefilter("error")
        import imported
        print(imported.Email.new().worker)
    """)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "imported.Email\n"
