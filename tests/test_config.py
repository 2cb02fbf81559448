"""Options: where they come from, in which order, and what is said of those that cannot work."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from oban_sync import Oban, config
from oban_sync.config import OPTIONS, Metrics, QueueConfig, Retention, load
from oban_sync.errors import ConfigError, ObanError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to be in, and no variable of ours."""
    monkeypatch.chdir(tmp_path)
    for variable in [name for name in os.environ if name.startswith("OBAN_")]:
        monkeypatch.delenv(variable)
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Callable[[str], None]:
    return lambda text: (folder / "oban.toml").write_text(text) and None


# Sources -------------------------------------------------------------------------------------------------------------


def test_without_any_source_each_option_has_its_default() -> None:
    assert load() == {name: option.default for name, option in OPTIONS.items()}
    found = load()
    assert (found["name"], found["prefix"], found["shutdown_grace_period"]) == ("Oban", "public", 15.0)
    assert (found["pool_min_size"], found["pool_max_size"], found["pool_timeout"]) == (1, 10, 30.0)
    assert (found["pool_max_lifetime"], found["pool_max_idle"], found["pool_check"]) == (3600.0, 600.0, False)
    assert (found["dsn"], found["queues"]) == (None, None)


def test_arguments_come_before_the_environment_and_that_before_the_file(
    write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write('dsn = "dbname=file"\nnode = "file"\nprefix = "file"\npool_max_size = 3\n[queues]\ndefault = 5\n')
    monkeypatch.setenv("OBAN_NODE", "environment")
    monkeypatch.setenv("OBAN_PREFIX", "environment")
    found = load(prefix="argument", node=None)
    assert (found["dsn"], found["node"], found["prefix"]) == ("dbname=file", "environment", "argument")
    assert (found["pool_max_size"], found["queues"]) == (3, {"default": QueueConfig(limit=5)})


def test_an_empty_variable_is_as_if_it_were_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBAN_DSN", "")
    assert load()["dsn"] is None


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("OBAN_DSN", "dbname=app", "dsn", "dbname=app"),
        ("OBAN_NODE", "web.1", "node", "web.1"),
        ("OBAN_PREFIX", "jobs", "prefix", "jobs"),
        ("OBAN_QUEUES", "a:1, b:2,", "queues", {"a": QueueConfig(1), "b": QueueConfig(2)}),
        ("OBAN_SHUTDOWN_GRACE_PERIOD", "2.5", "shutdown_grace_period", 2.5),
        ("OBAN_SHUTDOWN_GRACE_PERIOD", "0", "shutdown_grace_period", 0.0),
        ("OBAN_SHUTDOWN_GRACE_PERIOD", "infinity", "shutdown_grace_period", None),
        ("OBAN_POOL_MIN_SIZE", "2", "pool_min_size", 2),
        ("OBAN_POOL_MAX_SIZE", "20", "pool_max_size", 20),
        ("OBAN_POOL_TIMEOUT", "1.5", "pool_timeout", 1.5),
        ("OBAN_POOL_MAX_LIFETIME", "60", "pool_max_lifetime", 60.0),
        ("OBAN_POOL_MAX_IDLE", "60", "pool_max_idle", 60.0),
        ("OBAN_POOL_CHECK", "true", "pool_check", True),
        ("OBAN_POOL_CHECK", "True", "pool_check", True),
        ("OBAN_POOL_CHECK", "0", "pool_check", False),
        ("OBAN_CRON_MODULES", "shop.mail, shop.tidy,", "cron_modules", ["shop.mail", "shop.tidy"]),
        ("OBAN_CRON_PATHS", "shop", "cron_paths", ["shop"]),
        ("OBAN_NOTIFIER", "postgres", "notifier", {"type": "postgres"}),
    ],
)
def test_a_variable_sets_its_option(
    variable: str, text: str, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)
    assert load()[name] == value


def test_the_file_may_hold_tables(write: Callable[[str], None]) -> None:
    write(
        'queues = { default = 10, mail = { limit = 5, paused = true, note = "slow" } }\n'
        "shutdown_grace_period = 3\n[stager]\ninterval = 0.5\n[notifier]\ndsn = 'host=direct'\n"
    )
    found = load()
    assert found["queues"]["mail"] == QueueConfig(limit=5, paused=True, meta={"note": "slow"})
    assert (found["stager"], found["notifier"]) == ({"interval": 0.5}, {"dsn": "host=direct"})


def test_a_file_that_is_named_takes_the_place_of_the_one_here(write: Callable[[str], None], folder: Path) -> None:
    write('node = "here"')
    (folder / "other.toml").write_text('name = "there"')
    assert load("other.toml")["name"] == "there"
    assert load(folder / "other.toml")["node"] is None
    with pytest.raises(ConfigError, match=r"expected a file of options at missing\.toml, found none"):
        load("missing.toml")


@pytest.mark.parametrize("text", [b"node = ", b"\xff\xfe", b"[queues\n"])
def test_a_file_that_is_no_toml_is_named(text: bytes, folder: Path) -> None:
    (folder / "oban.toml").write_bytes(text)
    with pytest.raises(ConfigError, match=r"expected oban\.toml to be TOML, got"):
        load()


def test_a_directory_in_the_place_of_the_file_is_named(folder: Path) -> None:
    (folder / "oban.toml").mkdir()
    with pytest.raises(ConfigError, match=r"expected oban\.toml to be TOML, got"):
        load()


@pytest.mark.parametrize(
    ("file", "variables", "given", "message"),
    [
        ("colour = 1", {}, {}, r"expected options out of dsn, name, .*, got colour in oban\.toml"),
        ("pool_max_size = 0", {}, {}, r"expected pool_max_size to be positive, got 0 in oban\.toml"),
        ("", {"OBAN_POOL_TIMEOUT": "soon"}, {}, "expected pool_timeout to be a number, got 'soon' in the environment"),
        ("", {"OBAN_QUEUES": "10"}, {}, "expected queues as name:limit,name:limit, got '10' in the environment"),
        ("", {"OBAN_QUEUES": "a:x"}, {}, "expected limit of queue 'a' to be a number, got 'x' in the environment"),
        ("", {"OBAN_POOL_CHECK": "yes"}, {}, "expected pool_check to be true or false, got 'yes' in the environment"),
        ("", {}, {"node": " "}, "expected node to be a str that is not blank, got ' '$"),
        ("", {}, {"pool_min_size": 1.5}, r"expected pool_min_size to be a positive integer, got 1\.5$"),
        ("", {}, {"colour": 1}, "expected options out of .*, got colour$"),
    ],
)
def test_a_value_that_cannot_work_is_named_with_where_it_came_from(
    file: str,
    variables: dict[str, str],
    given: dict[str, Any],
    message: str,
    write: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(file)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=message):
        load(**given)


# Arguments of an instance --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"queues": {"default": 0}}, "expected limit of queue 'default' to be positive, got 0"),
        ({"queues": {"default": -1}}, "expected limit of queue 'default' to be positive, got -1"),
        ({"queues": {"default": 1.5}}, "expected limit of queue 'default' to be a positive integer, got 1.5"),
        ({"queues": {"default": True}}, "expected limit of queue 'default' to be a number, got True"),
        ({"queues": {"default": None}}, "expected limit of queue 'default' to be a number, got None"),
        ({"queues": {"default": {"limit": "many"}}}, "expected limit of queue 'default' to be a number, got 'many'"),
        ({"queues": {"default": {"paused": 1}}}, "expected paused of queue 'default' to be true or false, got 1"),
        ({"queues": {"default": {"prefetch": -1}}}, "expected prefetch of queue 'default' to be a whole number from 0"),
        ({"queues": {"default": {"prefetch": "x"}}}, "expected prefetch of queue 'default' to be a number, got 'x'"),
        ({"queues": {"default": {"note": {1}}}}, "expected options of queue 'default'.note to be a value"),
        ({"queues": {"": 1}}, "expected queue to be a str that is not blank, got ''"),
        ({"queues": {" ": 1}}, "expected queue to be a str that is not blank"),
        ({"queues": {5: 1}}, "expected queue to be a str that is not blank, got 5"),
        ({"queues": {"q" * 128: 1}}, "expected a queue's name of at most 127 characters, got 128"),
        ({"queues": ["default"]}, "expected queues to map names to limits, got ['default']"),
        ({"queues": 5}, "expected queues to map names to limits, got 5"),
        ({"name": ""}, "expected name to be a str that is not blank, got ''"),
        ({"name": 5}, "expected name to be a str that is not blank, got 5"),
        ({"node": "a\0"}, "expected node to be a str that is not blank"),
        ({"prefix": "my jobs"}, "expected prefix to be a schema's name of letters, digits and _"),
        ({"shutdown_grace_period": -1}, "expected shutdown_grace_period to be None or zero or more seconds, got -1"),
        ({"shutdown_grace_period": float("nan")}, "expected shutdown_grace_period to be None or zero or more"),
        ({"shutdown_grace_period": float("inf")}, "expected shutdown_grace_period to be None or zero or more"),
        ({"shutdown_grace_period": "soon"}, "expected shutdown_grace_period to be a number, got 'soon'"),
        ({"stager": {"interval": 0}}, "expected stager.interval to be positive, got 0"),
        ({"stager": {"interval": float("nan")}}, "expected stager.interval to be positive, got nan"),
        ({"stager": {"limit": 0.5}}, "expected stager.limit to be a positive integer, got 0.5"),
        ({"stager": {"every": 1}}, "expected options of stager out of interval, limit, got every"),
        ({"stager": 5}, "expected stager to be a table of options, got 5"),
        ({"lifeline": {"rescue_after": -1}}, "expected lifeline.rescue_after to be positive, got -1"),
        ({"notifier": {"dsn": 5}}, "expected notifier.dsn to be a str that is not blank, got 5"),
        ({"leadership": "maybe"}, "expected leadership to be true or false, got 'maybe'"),
        ({"pruner": 5}, "expected pruner to be a table of options, got 5"),
        ({"pruner": {"interval": 0}}, "expected pruner.interval to be positive, got 0"),
        ({"pruner": {"limit": 0}}, "expected pruner.limit to be positive, got 0"),
        ({"pruner": {"max_age": -1}}, "expected pruner.max_age to be positive, got -1"),
        ({"pruner": {"max_age": "never"}}, "expected pruner.max_age to be a number, got 'never'"),
        ({"pruner": {"max_age": {"completed": 0}}}, "expected pruner.max_age.completed to be positive, got 0"),
        (
            {"pruner": {"max_age": {"executing": 1}}},
            "expected states of pruner.max_age out of completed, cancelled, discarded, got executing",
        ),
        ({"pruner": {"queues": {"mail": {"done": 1}}}}, "expected states of pruner.queues.mail out of completed,"),
        ({"pruner": {"queues": {"": 1}}}, "expected queue to be a str that is not blank"),
        ({"refresher": {"max_age": 0}}, "expected refresher.max_age to be positive, got 0"),
        (
            {"scheduler": {"timezone": "Mars"}},
            "expected timezone to be the name of one, such as Europe/Paris, got 'Mars'",
        ),
        ({"scheduler": {"catch_up": True}}, "expected scheduler.catch_up to be one of skip, once, all, got True"),
        ({"scheduler": {"window": 0}}, "expected scheduler.window to be positive, got 0"),
        ({"metrics": {"interval": 0}}, "expected metrics.interval to be positive, got 0"),
        ({"metrics": "all"}, "expected metrics to be a table of options, got 'all'"),
        ({"max_args_bytes": 0}, "expected max_args_bytes to be positive, got 0"),
        ({"max_args_bytes": 10**400}, "expected max_args_bytes to be a number, got 1000"),
    ],
)
def test_an_argument_that_cannot_work_is_refused_in_these_words(given: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, ValueError)) as caught:
        Oban(**{"dsn": "dbname=nowhere", "name": "refused", **given})
    assert message in str(caught.value)
    assert isinstance(caught.value, ObanError)
    with pytest.raises(RuntimeError, match="not found"):
        Oban.get_instance("refused")


def test_an_instance_has_the_defaults_of_oban() -> None:
    made = config.config()
    assert (made.name, made.prefix, made.queues, made.shutdown_grace_period) == ("Oban", "public", {}, 15.0)
    assert (made.stage_interval, made.stage_limit, made.rescue_after) == (1.0, 20_000, 300.0)
    assert (made.timezone, made.catch_up, made.catch_up_window) == ("UTC", "skip", 86_400.0)
    assert (made.refresh_interval, made.refresh_age, made.leadership) == (15.0, 60.0, False)
    ages = {"completed": 86_400.0, "cancelled": 86_400.0, "discarded": 86_400.0}
    assert made.retention == Retention(60.0, 20_000, ages, {})
    assert (made.notifier_dsn, made.max_args_bytes) == (None, 1_000_000)
    assert made.node == f"{socket.gethostname()}.{os.getpid()}"


def test_who_runs_queues_takes_part_in_elections_unless_told_otherwise() -> None:
    assert config.config(queues={"default": 1}).leadership
    assert not config.config(queues={"default": 1}, leadership=False).leadership
    assert config.config(leadership=True).leadership


def test_the_pruner_takes_ages_of_states_and_queues_or_false() -> None:
    assert config.config(pruner=False).retention is None
    assert config.config(pruner=True).retention == config.config().retention
    kept = config.config(pruner={"max_age": {"completed": 60}, "queues": {"mail": {"discarded": "infinity"}}}).retention
    assert kept is not None
    assert kept.ages == {"completed": 60.0, "cancelled": 86_400.0, "discarded": 86_400.0}
    assert kept.queues == {"mail": {"completed": 60.0, "cancelled": 86_400.0, "discarded": None}}


def test_metrics_are_off_unless_they_are_asked_for() -> None:
    assert config.config().metrics is None
    assert config.config(metrics=False).metrics is None
    assert config.config(metrics=True).metrics == config.config(metrics={}).metrics == Metrics(1.0, 50_000, 30.0, True)


def test_queues_take_numbers_tables_and_text() -> None:
    given = {"a": 1, "b": {"limit": 2, "paused": True, "note": "x"}, "c": {}, "d": "4", "e": QueueConfig(5)}
    assert config.queues("queues", given) == {
        "a": QueueConfig(1),
        "b": QueueConfig(2, True, meta={"note": "x"}),
        "c": QueueConfig(10),
        "d": QueueConfig(4),
        "e": QueueConfig(5),
    }
    assert config.queues("queues", "a:1,größe: x:3") == {"a": QueueConfig(1), "größe: x": QueueConfig(3)}
    assert config.queues("queues", "") == {}


def test_what_is_given_is_left_as_it_is() -> None:
    given = {"default": {"limit": 2, "note": "x"}}
    config.config(queues=given)
    assert given == {"default": {"limit": 2, "note": "x"}}


# A pool --------------------------------------------------------------------------------------------------------------


def test_a_pool_is_made_from_arguments_environment_and_file_and_opens_later(
    write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write('dsn = "dbname=file"\npool_timeout = 5\npool_max_size = 7\npool_min_size = 3\n')
    monkeypatch.setenv("OBAN_DSN", "dbname=environment")
    monkeypatch.setenv("OBAN_POOL_MAX_SIZE", "8")
    pool = Oban.create_pool(min_size=2)
    assert (pool.min_size, pool.max_size, pool.timeout) == (2, 8, 5.0)
    assert conninfo_to_dict(str(pool.conninfo))["dbname"] == "environment"
    assert pool.closed
    assert conninfo_to_dict(str(Oban.create_pool("dbname=given").conninfo))["dbname"] == "given"


def test_a_pool_without_a_dsn_says_where_one_may_be_given() -> None:
    with pytest.raises(ConfigError, match=r"expected a dsn as an argument, in OBAN_DSN or in oban\.toml, got none"):
        Oban.create_pool()


def test_a_pool_that_is_smaller_at_most_than_at_least_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected pool_min_size <= pool_max_size, got 5 > 2"):
        Oban.create_pool("dbname=x", min_size=5, max_size=2)
    with pytest.raises(ConfigError, match="expected pool_min_size <= pool_max_size, got 20 > 10"):
        Oban.create_pool("dbname=x", min_size=20)


def test_a_pool_works(dsn: str) -> None:
    with Oban.create_pool(dsn, max_size=2) as pool, pool.connection() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_password_is_not_shown_with_the_options() -> None:
    shown = repr(config.config(notifier={"dsn": "postgresql://u:s3cret@h/x"}))
    assert "s3cret" not in shown
