"""The list of periodic jobs, for people and for programs."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from tests.cli.test_commands import command, refused


def test_schedules_are_listed_with_their_next_tick(tmp_path: Path) -> None:
    (tmp_path / "oban.toml").write_text('[scheduler]\ntimezone = "Europe/Paris"\ncatch_up = "once"\n')
    done = command("schedules", "--import", "tests.cron_work", cwd=tmp_path)
    heading, row = done.stdout.splitlines()
    assert heading.split() == ["worker", "cron", "timezone", "catch_up", "next"]
    assert re.fullmatch(r"cron.everyMinute  \* \* \* \* \*  Europe/Paris  once      \S+", row)


def test_schedules_are_json_for_programs(tmp_path: Path) -> None:
    (row,) = command("schedules", "--import", "tests.cron_work", "--json", cwd=tmp_path).stdout.splitlines()
    found = json.loads(row)
    due = datetime.fromisoformat(found.pop("next"))
    assert (due.second, due.utcoffset()) == (0, datetime.now(UTC).utcoffset())
    assert found == {"worker": "cron.everyMinute", "cron": "* * * * *", "timezone": "UTC", "catch_up": "skip"}


def test_without_schedules_it_says_so(tmp_path: Path) -> None:
    done = command("schedules", "--import", "tests.nodes_work", cwd=tmp_path)
    assert done.stdout == "no worker of these modules has cron=\n"
    assert "expected workers to run, found none" in refused(command("schedules", cwd=tmp_path))
