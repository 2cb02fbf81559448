"""What runs jobs: `@worker` for a class, `@job` for a function, and the registry that knows them by name.

A job's row holds its worker's name as text. That text is looked up in the registry and never imported, so only what
this process has imported and decorated can run.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import update_wrapper
from typing import Any, ClassVar, Generic, Literal, ParamSpec, Protocol, TypeVar

from oban_sync import instances, periodic, schedule, typed
from oban_sync.errors import JobTimeoutError as JobTimeoutError
from oban_sync.errors import UnknownWorker, WorkerError
from oban_sync.job import FIELDS, Job

Timeout = float | timedelta | None
Isolation = Literal["thread", "process"]

WorkerResolutionError = UnknownWorker
"""Oban's name of the error."""

P = ParamSpec("P")
R = TypeVar("R")


class Worker(Protocol):
    """What `@worker` makes of a class: `new` and `enqueue` beside the `process` of your own.

    Two more methods are optional: `backoff(self, job) -> float` gives the seconds until the next attempt, and
    `timeout(self, job) -> float | None` the most seconds of a run.
    """

    _opts: ClassVar[dict[str, Any]] = {}
    _oban_name: ClassVar[str] = "Oban"
    _worker_name: ClassVar[str] = ""
    _args_type: ClassVar[Any] = None

    @classmethod
    def new(cls, args: typed.Args | None = None, /, **params: Any) -> Job:
        """Build a job without storing it.

        Args:
            args: A mapping, or an object of the type that `@worker(args=...)` names.
            **params: Fields of `Job`; others go to `Job.extra`.
        """
        if "_worker_name" not in cls.__dict__:
            inherited = f"it on {cls._worker_name}, from which it inherits" if cls._worker_name else "none"
            raise WorkerError(f"expected @worker on {cls.__qualname__} itself, got {inherited}")
        if cls._args_type is None:
            return _build(cls._worker_name, cls._opts, args, params)
        stored, value = typed.dump(cls._args_type, {} if args is None else args, "args")
        job = _build(cls._worker_name, cls._opts, stored, params)
        job.typed = value
        return job

    @classmethod
    def enqueue(cls, args: typed.Args | None = None, /, conn: Any = None, **overrides: Any) -> Job:
        """Build a job and store it, in the caller's transaction where `conn` is given."""
        made = cls.new(args, **overrides)
        return instances.get(cls._oban_name).enqueue(made, conn=conn)

    def process(self, job: Job) -> Any:
        """Do the work. Return Snooze, Cancel or Record to end otherwise than completed; raise to fail."""
        return _unimplemented(self, job)


class Performer(Protocol):
    """What the registry holds: anything that makes an object with `process`."""

    def __call__(self) -> Worker:
        """Make the object that processes one job."""


_registry: dict[str, Performer] = {}  # this and what follows: written by the decorators only
_homes: dict[str, str] = {}
_isolated: set[str] = set()


def resolve(name: str) -> Performer:
    """Look a worker up by the name in a row.

    Raises:
        UnknownWorker: Nothing that this process imported has that name.
    """
    try:
        return _registry[name]
    except KeyError:
        raise UnknownWorker(f"worker {name[:200]!r} is not registered in this process") from None


def registered() -> list[str]:
    """List the names of the workers that this process can run."""
    return sorted(_registry)


def isolated(name: str) -> bool:
    """Say whether the jobs of a worker run in a process of their own."""
    return name in _isolated


def home(name: str) -> str:
    """Give the module that registered a worker, for another process to import.

    Raises:
        WorkerError: It is the script that is run.
    """
    if _homes[name] == "__main__":
        raise WorkerError(
            f"expected worker {name} in a module, which another process can import, to run in a process of its own, "
            f"got one in the script that is run"
        )
    return _homes[name]


_METHODS = {name: Worker.__dict__[name] for name in ("new", "enqueue")}


def worker(
    *,
    oban: str = "Oban",
    cron: str | Mapping[str, Any] | None = None,
    name: str | None = None,
    args: Any = None,
    timeout: Timeout = None,
    isolation: Isolation = "thread",
    **overrides: Any,
) -> Callable[[type], type[Worker]]:
    """Decorate a class with a `process(self, job)` method to make it a worker.

    Args:
        oban: Name of the instance that `enqueue` uses.
        cron: When to enqueue a job by itself: an expression such as "0 9 * * MON-FRI" or "@daily", or a mapping with
            `expr` and perhaps `timezone`, `catch_up` ("skip", "once", "all") and `window` (seconds).
        name: Name to store in rows, instead of `module.Class`; set one to be free to move the class.
        args: The type of its args, such as a dataclass: `new` and `enqueue` take objects of it, checked, and a job that
            runs has one as `job.typed`. With `cron` it must need no values.
        timeout: Most seconds of a run, instead of a method `timeout(self, job)` that says it of each job.
        isolation: Where it runs: in a "thread", or in a "process" of its own, which can be killed.
        **overrides: Fields of its jobs: `queue`, `priority`, `max_attempts`, `tags`, `scheduled_in`, ...

    Raises:
        WorkerError: `process` is no plain method, another worker has that name, or `args` cannot be rebuilt, or needs
            values with `cron`.
        ConfigError: `cron` is no schedule, or is never due.

    Example:
        >>> @worker(queue="mailers", name="docs.Email")
        ... class Email:
        ...     def process(self, job):
        ...         print("to", job.args["to"])
        >>> Email.new({"to": "a@example.com"}, priority=2)
        Job(id=None, worker='docs.Email', queue='mailers', state='available')
    """
    _check_declared(overrides)
    schedule.timeout_seconds(timeout)
    scheduled = periodic.declared(cron)
    if args is not None:
        _check_args(args, scheduled is not None)

    def decorate(cls: type) -> type[Worker]:
        if not isinstance(cls, type):
            raise WorkerError(f"expected @worker on a class, got {cls!r}; use @job on a function")
        if not hasattr(cls, "process"):
            cls.process = _unimplemented  # type: ignore[attr-defined]
        _check_blocking(cls.process, f"{cls.__qualname__}.process")  # type: ignore[attr-defined]
        stored = name or f"{cls.__module__}.{cls.__qualname__}"
        members: dict[str, Any] = {"_opts": overrides, "_oban_name": oban, "_worker_name": stored, "_args_type": args}
        if timeout is not None:
            if "timeout" in cls.__dict__:
                raise WorkerError(f"expected one timeout of {cls.__qualname__}, got timeout= and a method of that name")
            members["timeout"] = lambda *_: timeout
        for member, value in {**members, **_METHODS}.items():
            setattr(cls, member, value)
        _register(stored, cls, fixed=name is not None, callers=3, isolation=isolation)
        periodic.register(stored, scheduled, oban, cls.new)  # type: ignore[attr-defined]
        return cls

    return decorate


def job(
    *,
    oban: str = "Oban",
    cron: str | Mapping[str, Any] | None = None,
    name: str | None = None,
    timeout: Timeout = None,
    isolation: Isolation = "thread",
    **overrides: Any,
) -> Callable[[Callable[P, R]], JobFunction[P, R]]:
    """Decorate a function to make it a job.

    `new` and `enqueue` take the function's own arguments; names that the function has no parameter for may be fields
    of the job (`priority=`, `scheduled_in=`, ...) or `conn=`. Calling it runs it here and now.

    Args:
        oban: Name of the instance that `enqueue` uses.
        cron: When to enqueue a job by itself, as for `@worker`; the function must need no arguments then.
        name: Name to store in rows, instead of `module.function`.
        timeout: Most seconds of a run.
        isolation: Where it runs: in a "thread", or in a "process" of its own, which can be killed.
        **overrides: Fields of its jobs.

    Raises:
        WorkerError: It is no plain function, another worker has that name, a parameter's type cannot be rebuilt, or it
            needs arguments with `cron`.
        ConfigError: `cron` is no schedule, or is never due.

    Example:
        >>> @job(queue="mailers", name="docs.send")
        ... def send(to: str, subject: str = "Hello"):
        ...     return f"{subject}, {to}"
        >>> send.new("ann", priority=3).args
        {'to': 'ann', 'subject': 'Hello'}
        >>> send("ann")
        'Hello, ann'
    """
    _check_declared(overrides)
    schedule.timeout_seconds(timeout)
    scheduled = periodic.declared(cron)

    def decorate(function: Callable[P, R]) -> JobFunction[P, R]:
        if scheduled is not None:
            periodic.check_needs_nothing(function)
        made = JobFunction(function, oban, name, overrides, timeout, isolation, sys._getframe(1).f_locals)
        periodic.register(made._worker_name, scheduled, oban, made.new)
        return made

    return decorate


class JobFunction(Generic[P, R]):
    """A function that is also a worker; made by `@job`."""

    def __init__(
        self,
        function: Callable[P, R],
        oban: str,
        name: str | None,
        overrides: dict[str, Any],
        timeout: Timeout,
        isolation: Isolation,
        scope: Mapping[str, Any],
    ) -> None:
        self._function: Callable[P, R] = function
        if not inspect.isroutine(function) or isinstance(function, type):
            raise WorkerError(f"expected @job on a function, got {function!r}; use @worker on a class")
        update_wrapper(self, function)
        _check_blocking(function, function.__qualname__)
        self._signature = inspect.signature(function)
        self._types = typed.parameters(function, self._signature, scope)
        self._oban_name, self._opts = oban, overrides
        self._worker_name = name or f"{function.__module__}.{function.__qualname__}"
        if timeout is not None:
            self.timeout = lambda *_: timeout
        self._taken = {"conn", *FIELDS} & set(self._signature.parameters)
        _register(self._worker_name, self._processor, fixed=name is not None, callers=4, isolation=isolation)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now."""
        return self._function(*args, **kwargs)

    def new(self, *args: Any, **kwargs: Any) -> Job:
        """Build a job from the function's arguments and overrides of the job's fields, without storing it."""
        overrides = {key: kwargs.pop(key) for key in list(kwargs) if key in FIELDS and key not in self._taken}
        return _build(self._worker_name, self._opts, self._as_args(args, kwargs), overrides)

    def enqueue(self, *args: Any, **kwargs: Any) -> Job:
        """Build a job and store it, in the caller's transaction where `conn=` is given."""
        conn = None if "conn" in self._taken else kwargs.pop("conn", None)
        made = self.new(*args, **kwargs)
        return instances.get(self._oban_name).enqueue(made, conn=conn)

    def process(self, job: Job) -> R:
        """Call the function with a job's args."""
        positional, named = [], self._types.loaded(job.args) if self._types else dict(job.args)
        for parameter in self._signature.parameters.values():
            if parameter.kind is parameter.POSITIONAL_ONLY and parameter.name in named:
                positional.append(named.pop(parameter.name))
            elif parameter.kind is parameter.VAR_POSITIONAL:
                positional.extend(named.pop(parameter.name, ()))
            elif self._spreads and parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.name in named:
                positional.append(named.pop(parameter.name))
        return self._function(*positional, **named)  # type: ignore[call-arg, unused-ignore]

    @property
    def _spreads(self) -> bool:
        """Whether the function takes `*args`, so that what stands before them must be positional."""
        return any(parameter.kind is parameter.VAR_POSITIONAL for parameter in self._signature.parameters.values())

    def _as_args(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        named: dict[str, Any] = dict(bound.arguments)
        for parameter in self._signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                rest = named.pop(parameter.name)
                if clash := rest.keys() & named.keys():
                    raise TypeError(f"{self._worker_name} got several values for {', '.join(sorted(clash))}")
                named.update(rest)
        return self._types.dumped(named) if self._types else named

    def _processor(self) -> Any:
        return self


def _build(name: str, defaults: dict[str, Any], args: Any, params: dict[str, Any]) -> Job:
    """Join a worker's defaults with one call's overrides: what the call says about time replaces all of theirs."""
    if not params.keys().isdisjoint(schedule.KEYS):
        defaults = {key: value for key, value in defaults.items() if key not in schedule.KEYS}
    merged = {**defaults, **params}
    unknown = merged.keys() - FIELDS
    extra = {key: merged.pop(key) for key in unknown} if unknown else None
    return Job(merged.pop("worker", name), args=args, extra=extra, **merged)


def _register(name: str, performer: Any, *, fixed: bool, callers: int, isolation: Isolation) -> None:
    if isolation not in ("thread", "process"):
        raise WorkerError(f"expected isolation of {name} to be 'thread' or 'process', got {isolation!r}")
    if not fixed and name.startswith("__main__."):
        warnings.warn(
            f"worker {name} is defined in the script that is run, so other processes do not know it by that name: "
            f"import it from a module, or fix its name by name=...",
            stacklevel=callers,
        )
    held = _registry.get(name)
    if held is not None and _origin(held) != _origin(performer):
        both = f"{_origin(held)} and {_origin(performer)}"
        raise WorkerError(f"expected worker names to differ, got {name!r} for both {both}")
    _registry[name] = performer
    _homes[name] = sys._getframe(callers - 1).f_globals.get("__name__", "__main__")
    (_isolated.add if isolation == "process" else _isolated.discard)(name)
    if isolation == "process":
        home(name)


def _origin(performer: Any) -> str:
    """Where a worker was defined: the same for a module that is loaded again."""
    owner = getattr(performer, "__self__", performer)
    return f"{owner.__module__}.{owner.__qualname__}"


def _check_declared(overrides: dict[str, Any]) -> None:
    """Refuse defaults that no job could have, when they are declared rather than at the first enqueue."""
    _build("declared", overrides, None, {})


def _check_args(kind: Any, scheduled: bool) -> None:
    typed.check(kind, "args")
    if scheduled:
        typed.check_needs_nothing(kind)


def _check_blocking(function: object, shown: str) -> None:
    if inspect.isgeneratorfunction(function):
        raise WorkerError(f"expected {shown} to be a plain def, got a generator, which nothing would iterate")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise WorkerError(
            f"expected {shown} to be a plain def, got an async def: jobs run on threads and nothing would await it. "
            f"Write def, and asyncio.run(...) inside where you need a coroutine"
        )


def _unimplemented(self: Any, job: Job) -> Any:
    raise NotImplementedError("Worker must implement process method")
