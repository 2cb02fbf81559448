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
    assert found.pop("ticks") == [due.isoformat()]
    assert found == {"worker": "cron.everyMinute", "cron": "* * * * *", "timezone": "UTC", "catch_up": "skip"}


def test_without_schedules_it_says_so(tmp_path: Path) -> None:
    done = command("schedules", "--import", "tests.nodes_work", cwd=tmp_path)
    assert done.stdout == "no worker of these modules has cron=\n"
    assert "expected workers to run, found none" in refused(command("schedules", cwd=tmp_path), 2)


def test_next_ticks_and_modules_are_found_by_their_decorators(tmp_path: Path) -> None:
    package = tmp_path / "src" / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "tidy.py").write_text(
        'import oban_sync\n\n\n@oban_sync.job(name="shop.tidy", cron="0 9 1 1 *")\ndef tidy() -> None: ...\n'
        '\n\n@oban_sync.job(name="shop.first", cron="@reboot")\ndef first() -> None: ...\n'
    )
    (package / "broken.py").write_text("cron = (")
    (package / "loud.py").write_text('"""It knows cron= by its docstring only."""\nraise SystemExit("imported")\n')
    done = command("cron", "list", "--cron-paths", "src", "--ticks", "3", "--json", cwd=tmp_path)
    first, row = map(json.loads, done.stdout.splitlines())
    assert (first["worker"], first["next"], first["ticks"]) == ("shop.first", None, [])
    ticks = [datetime.fromisoformat(tick) for tick in row["ticks"]]
    assert [(tick.month, tick.day, tick.hour, tick.year - ticks[0].year) for tick in ticks] == [
        *((1, 1, 9, 0), (1, 1, 9, 1), (1, 1, 9, 2))
    ]
    done = command("schedules", cwd=tmp_path, OBAN_CRON_PATHS="src/shop/tidy.py")
    assert "shop.tidy" in done.stdout, done
    assert re.search(r"^shop.first  @reboot .* when the cluster starts$", done.stdout, re.MULTILINE)
    done = command("schedules", "--cron-modules", "src.shop.tidy", cwd=tmp_path)
    assert "shop.tidy" in done.stdout, done
