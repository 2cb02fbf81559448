"""Who is under test, where the same is done to two queues: how a node is started, and what its workers are called."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import venvs
from benchmarks.peers import PEERS
from tests.chaos.fleet import Fleet, Node

SLOTS = 5


@dataclass(frozen=True, slots=True)
class System:
    """A queue.

    Attributes:
        name: In tables.
        workers: What stands before the name of a worker.
        python: Runs it, where it is a peer.
    """

    name: str
    workers: str
    python: str | None = None

    def start(self, fleet: Fleet, name: str = "", **options: Any) -> Node:
        """Start a node with these options of `Oban`, which both understand."""
        if self.python is not None:
            return start_peer(fleet, self.python, name or "peer", **options)
        config = fleet.directory / f"{name or 'node'}.toml"
        config.write_text("\n".join(_toml(options)))
        return fleet.start(name, "", "--config", str(config))


OURS = System("oban_sync", "chaos")


def peer(home: Path = venvs.HOME) -> System:
    """Give oban for Python, from PyPI.

    Raises:
        Missing: There is no Python for it, or no network to install it.
    """
    found = PEERS["oban"]
    python = venvs.prepare("oban", found.packages, found.python, home)
    _, (version, *_) = venvs.versions(python, found.distributions)
    return System(f"oban {version}", "tests.chaos.peer_node", python)


def start_peer(fleet: Fleet, python: str, name: str, **options: Any) -> Node:
    """Start a node of oban for Python."""
    given = json.dumps({"node": name, "queues": {"default": SLOTS}, **options})
    return fleet.launch(name, [python, "-c", "from tests.chaos.peer_node import main; main()", given])


def _toml(options: Mapping[str, Any]) -> list[str]:
    return [f"[{part}]\n" + "\n".join(f"{key} = {value}" for key, value in of.items()) for part, of in options.items()]
