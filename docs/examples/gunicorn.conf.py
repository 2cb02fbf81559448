"""gunicorn's settings for both web examples: two workers of four threads, and queues in each worker."""

from oban_sync.integrations.gunicorn import post_worker_init, pre_fork, worker_exit

__all__ = ["post_worker_init", "pre_fork", "threads", "worker_exit", "workers"]

workers = 2
threads = 4
