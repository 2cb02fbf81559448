"""Events of a job's life, and who listens to them.

| event | metadata |
|---|---|
| `oban.job.start` | job, monotonic_time (ns) |
| `oban.job.stop` | job, state, monotonic_time, duration (ns), queue_time (ns) |
| `oban.job.exception` | the same, and error_type, error_message, traceback |
"""

from oban_sync.telemetry.core import EVENTS, attach, detach, execute

__all__ = ["EVENTS", "attach", "detach", "execute"]
