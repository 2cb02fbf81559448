"""Options of Oban's, under its names, from the places where Oban takes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from oban_sync import Oban, cli, config
from oban_sync.config import OPTIONS, QueueConfig, load


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to be in, and no variable of ours."""
    monkeypatch.chdir(tmp_path)
    for variable in [name for name in os.environ if name.startswith("OBAN_")]:
        monkeypatch.delenv(variable)
    return tmp_path


FILE = """
dsn leadership name node notifier prefix queues shutdown_grace_period lifeline metrics pruner refresher scheduler stager
pool_min_size pool_max_size pool_timeout pool_max_lifetime pool_max_idle pool_check
"""
VARIABLES = """
OBAN_DSN OBAN_QUEUES OBAN_NODE OBAN_PREFIX OBAN_NOTIFIER OBAN_SHUTDOWN_GRACE_PERIOD OBAN_POOL_MIN_SIZE
OBAN_POOL_MAX_SIZE OBAN_POOL_TIMEOUT OBAN_POOL_MAX_LIFETIME OBAN_POOL_MAX_IDLE OBAN_POOL_CHECK OBAN_CRON_MODULES
OBAN_CRON_PATHS
"""
TABLES: dict[str, dict[str, Any]] = {
    "lifeline": {"interval": 60.0, "rescue_after": 300.0},
    "metrics": {"interval": 1.0, "estimate_limit": 50_000, "cronitor_interval": 30.0, "counts_enabled": True},
    "notifier": {"type": "postgres", "beat_interval": 30.0},
    "pruner": {"max_age": 86_400.0, "interval": 60.0, "limit": 20_000},
    "refresher": {"interval": 15.0, "max_age": 60.0},
    "scheduler": {"timezone": "UTC"},
    "stager": {"interval": 1.0, "limit": 20_000},
}


def test_every_option_of_theirs_is_known() -> None:
    assert set(FILE.split()) <= set(OPTIONS)
    assert set(VARIABLES.split()) == {option.variable for option in OPTIONS.values()} - {None}
    found = config.config(**TABLES)
    assert (found.rescue_interval, found.rescue_after, found.notifier_interval) == (60.0, 300.0, 30.0)
    assert (found.stage_interval, found.stage_limit, found.timezone) == (1.0, 20_000, "UTC")


def test_the_notifier_is_a_table_with_a_type(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.config(notifier={"type": "postgres"}) == config.config()
    with pytest.raises(ValueError, match="unknown notifier type: 'redis'"):
        Oban(dsn="dbname=nowhere", name="refused", notifier={"type": "redis"})
    monkeypatch.setenv("OBAN_NOTIFIER", "redis")
    assert load()["notifier"] == {"type": "redis"}


def test_tables_of_several_sources_are_joined(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "oban.toml").write_text('[notifier]\ndsn = "host=direct"\n[stager]\nlimit = 5\n')
    monkeypatch.setenv("OBAN_NOTIFIER", "postgres")
    found = load(stager={"interval": 2.0}, lifeline={"interval": 30.0})
    assert found["notifier"] == {"dsn": "host=direct", "type": "postgres"}
    assert (found["stager"], found["lifeline"]) == ({"limit": 5, "interval": 2.0}, {"interval": 30.0})


def test_a_queue_takes_a_debounce_interval() -> None:
    assert config.queues("queues", {"a": {"limit": 2, "debounce_interval": 0.01}}) == {"a": QueueConfig(2)}
    with pytest.raises(ValueError, match="expected debounce_interval of queue 'a' to be positive, got 0"):
        config.queues("queues", {"a": {"debounce_interval": 0}})


COMMANDS = {
    "version": "",
    "install": "--config --dsn --prefix",
    "uninstall": "--config --dsn --prefix",
    "start": "--config --dsn --queues --prefix --node --pool-min-size --pool-max-size --log-level --cron-modules"
    " --cron-paths --dry-run",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_take_the_options_of_theirs(command: str) -> None:
    found = cli.main.commands[command]
    assert set(COMMANDS[command].split()) <= {name for option in found.params for name in option.opts}
