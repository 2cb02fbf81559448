"""The error family of oban_sync, on one screen.

Each error is also the built-in that its neighbours in the field raise, so `except ValueError` keeps working.
"""

from __future__ import annotations


class ObanError(Exception):
    """Any error that oban_sync raises on purpose."""


class ConfigError(ObanError, ValueError):
    """An option has a value that cannot work."""


class ConfigTypeError(ConfigError, TypeError):
    """An option has a value of a type that cannot work."""


class JobError(ObanError, ValueError):
    """A job's field has a value that cannot be stored or run; nothing was written."""


class JobNotFound(JobError):
    """No job has that id; nothing was written."""


class FilterError(ObanError, ValueError):
    """What was passed to choose jobs by cannot choose any, or would choose all; nothing was read or written."""


class ArgsError(JobError):
    """A value in a job's args or meta cannot be stored as JSON; the message names its path."""


class WorkerError(ObanError, TypeError):
    """A class or function cannot be a worker."""


class JobCancelled(ObanError):
    """Somebody asked the running job to stop; raised by `Job.check`, and the job ends as cancelled."""


class JobTimeoutError(ObanError, TimeoutError):
    """A run took longer than its worker's timeout; the attempt failed."""


class JobInterrupted(BaseException):
    """Raised in the thread of a job at its deadline; no `Exception`, so that `except Exception` does not stop it."""


class LeaseLost(ObanError, RuntimeError):
    """This process does not hold the running job any more; what its transaction did was rolled back."""


class ProcessDied(ObanError, RuntimeError):
    """The process of its own in which a job ran ended before the job did; the attempt failed."""


class UnknownWorker(ObanError, LookupError):
    """A job names a worker that this process has not registered."""


class HandleError(ObanError, TypeError):
    """What was passed as `conn=` cannot carry a job into the caller's transaction."""


class HandleClosed(HandleError):
    """The connection or session passed as `conn=` is closed."""


class InstanceNotFound(ObanError, RuntimeError):
    """No Oban instance has that name in this process."""


class EmbeddedError(ObanError, RuntimeError):
    """The embedded PostgreSQL could not be found, started or stopped."""


class DatabaseUnavailable(ObanError, ConnectionError):
    """PostgreSQL cannot be reached, or dropped the connection; what was sent last may or may not have been done."""


class DatabaseRefused(ObanError):
    """PostgreSQL refused a statement and did nothing of it.

    Attributes:
        data: Whether a value was the reason, so that the rest of a group can go on without it.
        locked: Whether somebody held a lock on something for longer than the session waits.
    """

    def __init__(self, message: str, *, data: bool, locked: bool = False) -> None:
        super().__init__(message)
        self.data = data
        self.locked = locked


class SchemaMissing(DatabaseRefused, RuntimeError):
    """The tables of oban_sync are not in the database, or lack what this version needs."""

    def __init__(self, message: str) -> None:
        super().__init__(message, data=False)
