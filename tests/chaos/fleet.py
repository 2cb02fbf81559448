"""Real worker processes: `oban-sync start`, each with a log of its own, killed, stopped and replaced."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.family import end_with_parent

ROOT = Path(__file__).parents[2]
_REFUSED = re.compile(r"(\d+) ends of runs were written before, or the jobs are no longer ours")


class Node:
    """One process.

    Args:
        name: Its name as a node.
        command: What it runs.
        environment: Added to ours.
        log: Where its output goes.
    """

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.name = name
        self._log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
                preexec_fn=end_with_parent,
            )

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it by SIGKILL, which a stopped process obeys too."""
        self.process.kill()
        self.process.wait()

    def seconds_to_exit(self, timeout: float) -> float | None:
        """Wait for its end; None: it did not come."""
        began = time.monotonic()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        return time.monotonic() - began

    def log(self) -> str:
        """Give what it said."""
        return self._log.read_text(errors="replace")

    def refused(self) -> int:
        """Count the ends of runs that the fence refused, as its log says."""
        return sum(int(count) for count in _REFUSED.findall(self.log()))


class Fleet:
    """The processes of a scenario, of which none outlives it.

    Args:
        dsn: The database.
        directory: For their logs.
        module: Defines the workers.
        queues: What each runs where nothing else is said.
        ledger: Another way to the database, for what jobs write themselves.
    """

    def __init__(
        self,
        dsn: str,
        directory: Path,
        module: str = "tests.chaos.work",
        queues: str = "default:10",
        ledger: str | None = None,
    ) -> None:
        self._dsn, self.directory, self._module, self._queues = dsn, directory, module, queues
        self._ledger = ledger or dsn
        self.nodes: list[Node] = []

    def start(self, name: str = "", queues: str = "", *options: str, **environment: str) -> Node:
        """Start a node, without waiting for it."""
        name = name or f"node{len(self.nodes)}"
        command = [sys.executable, "-m", "oban_sync", "start", "--dsn", self._dsn, "--node", name]
        command += ["--queues", queues or self._queues, "--import", self._module, "--log-level", "WARNING", *options]
        return self.launch(name, command, **environment)

    def launch(self, name: str, command: list[str], **environment: str) -> Node:
        """Start any program as a node."""
        log = self.directory / f"{len(self.nodes)}-{name}.log"
        self.nodes.append(Node(name, command, {"CHAOS_DSN": self._ledger, **environment}, log))
        return self.nodes[-1]

    def living(self) -> list[Node]:
        """Give those that run."""
        return [node for node in self.nodes if node.alive]

    def revive(self) -> int:
        """Start a node for each that ended by itself since; say for how many."""
        fallen = [node for node in self.nodes if not node.alive]
        self.nodes = self.living()
        for node in fallen:
            self.start(f"{node.name.split('+')[0]}+{node.process.pid}")
        return len(fallen)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            if node.alive:
                node.kill()
