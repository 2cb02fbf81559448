"""What the queues in Redis need of the tool, where there is no Redis and none of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.redis_server import redis
from benchmarks.servers import Missing
from benchmarks.tally import Tally, duplicates

ROOT = Path(__file__).parent.parent
WRITE = """
import json, sys
from benchmarks.shared_lane import SharedLane
lane = SharedLane(json.loads(sys.argv[1]))
for number in range(int(sys.argv[2]), 1001, 2):
    lane.start(number)
"""


def test_a_missing_redis_is_told_with_what_would_help(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(Missing, match=r"needs redis-server, found none on PATH.*apt-get install redis-server"), redis():
        raise AssertionError("started")


def test_a_redis_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\nfor last; do :; done\necho 'out of sockets' > \"$last\"\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(Missing, match="did not start: out of sockets"), redis():
        raise AssertionError("started")


def test_processes_that_share_a_lane_lose_no_start() -> None:
    with Tally(1000) as tally:
        command = [sys.executable, "-c", WRITE, json.dumps(tally.lane(0))]
        writers = [subprocess.Popen([*command, str(first)], cwd=ROOT) for first in (1, 2)]
        assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
        starts = tally.starts()

    assert {start.id for start in starts} == set(range(1, 1001))
    assert duplicates(starts) == []
