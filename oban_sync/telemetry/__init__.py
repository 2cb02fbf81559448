"""Events of jobs and of the parts of a node, and who listens to them.

Each of these begins with `.start`, which has `system_time` (ns of the monotonic clock), and ends with `.stop`, which
has `duration` (ns) too, or with `.exception`, which also has `error_type`, `error_message` and `traceback`. Those of
jobs have `monotonic_time` instead of `system_time`.

| event | metadata, beside that of all |
|---|---|
| `oban.job` | job; at its end state, queue_time (ns) |
| `oban.producer.get`, `oban.producer.ack` | queue; at its end count |
| `oban.stager.stage` | at its end staged_count, available_queues |
| `oban.lifeline.rescue` | at its end rescued_count |
| `oban.refresher.refresh` | at its end refreshed_count, restored_count |
| `oban.refresher.cleanup` | at its end cleanup_count |
| `oban.leader.election` | leader |
| `oban.pruner.prune` | at its end pruned_count |
| `oban.scheduler.evaluate` | cron_at; at its end enqueued_count |
| `oban_sync.enqueue` | jobs |

`oban.queue.shutdown` stands alone: queue, elapsed (ns), orphaned (ids of the jobs that still ran).
"""

from oban_sync.telemetry.core import ENQUEUE_EVENTS, EVENTS, Collector, attach, detach, execute, heard, span

__all__ = ["ENQUEUE_EVENTS", "EVENTS", "Collector", "attach", "detach", "execute", "heard", "span"]
