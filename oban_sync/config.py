"""Every option: its name, where it may come from, its default, and what it must be.

Arguments come before the environment, and that before `oban.toml` in the current directory. Nothing else of the package
reads the environment.
"""

from __future__ import annotations

import os
import socket
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oban_sync import codec
from oban_sync.cron import WINDOW, check_catch_up, zone_of
from oban_sync.errors import ArgsError, ConfigError, ConfigTypeError
from oban_sync.job import ENDED, MAX_NAME
from oban_sync.pace import MAX_READY

Check = Callable[[str, Any], Any]


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """How one queue runs.

    Attributes:
        limit: Jobs that run at once on this node.
        paused: Whether it begins without fetching.
        prefetch: Most jobs held ready beyond those that run, where they are short; 0: none.
        meta: Further options, shown to other nodes.
    """

    limit: int = 10
    paused: bool = False
    prefetch: int = MAX_READY
    meta: Mapping[str, Any] = field(default_factory=dict)


Ages = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Retention:
    """How long jobs are kept after they ended.

    Attributes:
        interval: Seconds between two prunings.
        limit: Most jobs that one statement deletes.
        ages: Seconds by state; None: for ever.
        queues: The same for queues that have ages of their own.
    """

    interval: float
    limit: int
    ages: Ages
    queues: Mapping[str, Ages]


@dataclass(frozen=True, slots=True)
class Metrics:
    """What is told to dashboards, and how often.

    Attributes:
        interval: Seconds between two reports.
        estimate_limit: Jobs of a state above which they are guessed and not counted.
        cronitor_interval: Seconds between two lists of the periodic jobs.
        counts_enabled: Whether the leader counts jobs at all.
    """

    interval: float
    estimate_limit: int
    cronitor_interval: float
    counts_enabled: bool


@dataclass(frozen=True, slots=True)
class Config:
    """The checked options of one instance."""

    name: str
    node: str
    prefix: str
    queues: Mapping[str, QueueConfig]
    shutdown_grace_period: float | None
    stage_interval: float
    stage_limit: int
    rescue_interval: float
    rescue_after: float
    leadership: bool
    retention: Retention | None
    refresh_interval: float
    refresh_age: float
    timezone: str
    catch_up: str
    catch_up_window: float
    metrics: Metrics | None
    notifier_dsn: str | None = field(repr=False)  # it may hold a password
    notifier_interval: float
    max_args_bytes: int


def default_node() -> str:
    """Name this process among all nodes: host and process."""
    return f"{socket.gethostname()}.{os.getpid()}"


def positive(name: str, value: Any) -> float:
    """Check a number above zero; digits in a str are one."""
    number = _number(name, value)
    if not 0 < number < float("inf"):
        raise ConfigError(f"expected {name} to be positive, got {value!r}")
    return number


def positive_integer(name: str, value: Any) -> int:
    """Check a whole number above zero; digits in a str are one."""
    number = positive(name, value)
    if number != int(number):
        raise ConfigError(f"expected {name} to be a positive integer, got {value!r}")
    return int(number)


def whole(name: str, value: Any) -> int:
    """Check a whole number from zero; digits in a str are one."""
    number = _number(name, value)
    if not 0 <= number < 2**31 or number != int(number):
        raise ConfigError(f"expected {name} to be a whole number from 0, got {value!r}")
    return int(number)


def grace(name: str, value: Any) -> float | None:
    """Check a time to wait: None, or seconds from zero."""
    if value is None or value == "infinity":
        return None
    number = _number(name, value)
    if not 0 <= number < float("inf"):
        raise ConfigError(f"expected {name} to be None or zero or more seconds, got {value!r}")
    return number


def boolean(name: str, value: Any) -> bool:
    """Check a truth value; the words true and false are one."""
    known = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}
    wanted = value.lower() if isinstance(value, str) else value
    if not isinstance(wanted, bool | str) or wanted not in known:
        raise ConfigError(f"expected {name} to be true or false, got {value!r}")
    return known[wanted]


def text(name: str, value: Any) -> str:
    """Check a str that is not blank."""
    if isinstance(value, str) and value.strip() and "\0" not in value:
        return value
    wrong = ConfigError if isinstance(value, str) else ConfigTypeError
    raise wrong(f"expected {name} to be a str that is not blank, got {value!r}")


def names(name: str, value: Any) -> list[str]:
    """Check names: in a list, or in a str with commas.

    Example:
        >>> names("cron_modules", "shop.mail, shop.tidy")
        ['shop.mail', 'shop.tidy']
    """
    found = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(found, list):
        raise ConfigError(f"expected {name} to be names in a list, or with commas, got {value!r}")
    return [text(name, each) for each in found]


def queues(name: str, value: Any) -> dict[str, QueueConfig]:
    """Check queues: `{"default": 10, "mail": {"limit": 5, "paused": True}}` or `"default:10,mail:5"`.

    Example:
        >>> queues("queues", "default:10,mail:5")["mail"].limit
        5
    """
    if isinstance(value, str):
        value = dict(_pair(part) for part in value.split(",") if part.strip())
    if not isinstance(value, Mapping):
        raise ConfigError(f"expected {name} to map names to limits, got {value!r}")
    return {queue_name(queue): _queue(queue, options) for queue, options in value.items()}


@dataclass(frozen=True, slots=True)
class Option:
    """One option as it may be given from outside: how it is checked, and its variable in the environment."""

    check: Check
    variable: str | None = None
    default: Any = None


def mapping(name: str, value: Any) -> dict[str, Any]:
    """Check a table of options."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"expected {name} to be a table of options, got {value!r}")
    return dict(value)


def notifier(name: str, value: Any) -> dict[str, Any]:
    """Check a table of options, or the type alone as Oban's environment has it."""
    return mapping(name, {"type": value} if isinstance(value, str) else value)


def notifier_type(_: str, value: Any) -> str:
    """Check how nodes notify each other: through PostgreSQL."""
    if value != "postgres":
        raise ConfigError(f"unknown notifier type: {value!r}; expected 'postgres'")
    return "postgres"


def timezone(name: str, value: Any) -> str:
    """Check the name of a time zone."""
    return zone_of(text(name, value)).key


def mapping_or_false(name: str, value: Any) -> dict[str, Any] | bool:
    """Check a table of options, or a truth value for the defaults or none."""
    return value if isinstance(value, bool) else mapping(name, value)


def ages(name: str, value: Any) -> dict[str, float | None]:
    """Check how long jobs are kept: seconds for every state, or by state; `"infinity"` is for ever.

    Example:
        >>> ages("max_age", {"completed": 3600, "discarded": "infinity"})
        {'completed': 3600.0, 'discarded': None}
    """
    given = value if isinstance(value, Mapping) else dict.fromkeys(ENDED, value)
    if unknown := given.keys() - set(ENDED):
        raise ConfigError(f"expected states of {name} out of {', '.join(ENDED)}, got {', '.join(map(str, unknown))}")
    return {
        str(state): None if age == "infinity" else positive(name if given is not value else f"{name}.{state}", age)
        for state, age in given.items()
    }


def queue_ages(name: str, value: Any) -> dict[str, dict[str, float | None]]:
    """Check ages by queue."""
    return {queue_name(queue): ages(f"{name}.{queue}", given) for queue, given in mapping(name, value).items()}


OPTIONS: dict[str, Option] = {
    "dsn": Option(text, "OBAN_DSN"),
    "name": Option(text, None, "Oban"),
    "node": Option(text, "OBAN_NODE"),
    "prefix": Option(text, "OBAN_PREFIX", "public"),
    "queues": Option(queues, "OBAN_QUEUES"),
    "shutdown_grace_period": Option(grace, "OBAN_SHUTDOWN_GRACE_PERIOD", 15.0),
    "stager": Option(mapping),
    "lifeline": Option(mapping),
    "notifier": Option(notifier, "OBAN_NOTIFIER"),
    "leadership": Option(boolean),
    "pruner": Option(mapping_or_false),
    "refresher": Option(mapping),
    "scheduler": Option(mapping),
    "metrics": Option(mapping_or_false),
    "cron_modules": Option(names, "OBAN_CRON_MODULES", []),
    "cron_paths": Option(names, "OBAN_CRON_PATHS", []),
    "pool_min_size": Option(positive_integer, "OBAN_POOL_MIN_SIZE", 1),
    "pool_max_size": Option(positive_integer, "OBAN_POOL_MAX_SIZE", 10),
    "pool_timeout": Option(positive, "OBAN_POOL_TIMEOUT", 30.0),
    "pool_max_lifetime": Option(positive, "OBAN_POOL_MAX_LIFETIME", 3600.0),
    "pool_max_idle": Option(positive, "OBAN_POOL_MAX_IDLE", 600.0),
    "pool_check": Option(boolean, "OBAN_POOL_CHECK", False),
}

_PARTS: dict[str, dict[str, Option]] = {
    "stager": {"interval": Option(positive, None, 1.0), "limit": Option(positive_integer, None, 20_000)},
    "lifeline": {"interval": Option(positive, None, 2.0), "rescue_after": Option(positive, None, 300.0)},
    "notifier": {
        "type": Option(notifier_type, None, "postgres"),
        "dsn": Option(text),
        "beat_interval": Option(positive, None, 5.0),
    },
    "pruner": {
        "interval": Option(positive, None, 60.0),
        "limit": Option(positive_integer, None, 20_000),
        "max_age": Option(ages, None, {}),
        "queues": Option(queue_ages, None, {}),
    },
    "scheduler": {
        "timezone": Option(timezone, None, "UTC"),
        "catch_up": Option(check_catch_up, None, "skip"),
        "window": Option(positive, None, WINDOW),
    },
    "metrics": {
        "interval": Option(positive, None, 1.0),
        "estimate_limit": Option(positive_integer, None, 50_000),
        "cronitor_interval": Option(positive, None, 30.0),
        "counts_enabled": Option(boolean, None, True),
    },
    "refresher": {"interval": Option(positive, None, 15.0), "max_age": Option(positive, None, 60.0)},
}
MAX_AGE = 86_400.0
"""Seconds that jobs are kept after they ended, where nothing else is said."""


def load(path: str | Path | None = None, **given: Any) -> dict[str, Any]:
    """Join arguments, environment and `oban.toml` into one checked set of options.

    Args:
        path: The file, instead of `oban.toml` here; it must exist then.
        **given: Arguments; None stands for not given.

    Raises:
        ConfigError: An option is unknown, or has a value that it cannot have; the message says where it came from.
    """
    found: dict[str, Any] = {name: option.default for name, option in OPTIONS.items()}
    for source, values in (("oban.toml", _from_file(path)), ("the environment", _from_environment()), ("", given)):
        for name, value in values.items():
            if value is None:
                continue
            try:
                checked = _option(name).check(name, value)
            except ConfigError as error:
                raise type(error)(f"{error} in {source}" if source else str(error)) from None
            tables = name in _PARTS and isinstance(checked, dict) and isinstance(found[name], dict)
            found[name] = {**found[name], **checked} if tables else checked
    return found


def config(
    *,
    name: Any = None,
    node: Any = None,
    prefix: Any = None,
    queues: Any = None,
    shutdown_grace_period: Any = 15.0,
    stager: Any = None,
    lifeline: Any = None,
    notifier: Any = None,
    leadership: Any = None,
    pruner: Any = None,
    refresher: Any = None,
    scheduler: Any = None,
    metrics: Any = None,
    max_args_bytes: Any = codec.MAX_BYTES,
) -> Config:
    """Check the arguments of an instance.

    Raises:
        ConfigError: One of them cannot work.
    """
    stage, life, notify = _part("stager", stager), _part("lifeline", lifeline), _part("notifier", notifier)
    refresh, periodic = _part("refresher", refresher), _part("scheduler", scheduler)
    ours = OPTIONS["queues"].check("queues", queues or {})
    return Config(
        name=text("name", "Oban" if name is None else name),
        node=default_node() if node is None else text("node", node),
        prefix="public" if prefix is None else prefix,
        queues=ours,
        shutdown_grace_period=grace("shutdown_grace_period", shutdown_grace_period),
        stage_interval=stage["interval"],
        stage_limit=stage["limit"],
        rescue_interval=life["interval"],
        rescue_after=life["rescue_after"],
        leadership=bool(ours) if leadership is None else boolean("leadership", leadership),
        retention=_retention(pruner),
        refresh_interval=refresh["interval"],
        refresh_age=refresh["max_age"],
        timezone=periodic["timezone"],
        catch_up=periodic["catch_up"],
        catch_up_window=periodic["window"],
        metrics=_metrics(metrics),
        notifier_dsn=notify["dsn"],
        notifier_interval=notify["beat_interval"],
        max_args_bytes=positive_integer("max_args_bytes", max_args_bytes),
    )


def pool_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the options of a pool, under the names that psycopg_pool has for them."""
    picked = {name: options[f"pool_{name}"] for name in ("min_size", "max_size", "timeout", "max_lifetime", "max_idle")}
    if picked["min_size"] > picked["max_size"]:
        raise ConfigError(f"expected pool_min_size <= pool_max_size, got {picked['min_size']} > {picked['max_size']}")
    return picked


def color() -> bool | None:
    """Say whether commands may print in colours: False where NO_COLOR is set; None: on a terminal."""
    return False if os.environ.get("NO_COLOR") else None


def _option(name: str) -> Option:
    if name not in OPTIONS:
        raise ConfigError(f"expected options out of {', '.join(OPTIONS)}, got {name}")
    return OPTIONS[name]


def _part(name: str, given: Any) -> dict[str, Any]:
    options = _PARTS[name]
    values = mapping(name, given or {})
    if unknown := values.keys() - options.keys():
        raise ConfigError(f"expected options of {name} out of {', '.join(options)}, got {', '.join(map(str, unknown))}")
    return {
        key: option.check(f"{name}.{key}", values[key]) if key in values else option.default
        for key, option in options.items()
    }


def _retention(given: Any) -> Retention | None:
    if given is False:
        return None
    part = _part("pruner", None if given is True else given)
    everywhere = {**dict.fromkeys(map(str, ENDED), MAX_AGE), **part["max_age"]}
    own = {queue: {**everywhere, **kept} for queue, kept in part["queues"].items()}
    return Retention(part["interval"], part["limit"], everywhere, own)


def _metrics(given: Any) -> Metrics | None:
    off = given is None or given is False
    return None if off else Metrics(**_part("metrics", None if given is True else given))


def _from_file(path: str | Path | None) -> dict[str, Any]:
    file = Path(path or "oban.toml")
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if path is None:
            return {}
        raise ConfigError(f"expected a file of options at {file}, found none") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"expected {file} to be TOML, got: {error}") from None


def _from_environment() -> dict[str, Any]:
    return {name: value for name, option in OPTIONS.items() if (value := os.environ.get(option.variable or ""))}


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ConfigTypeError(f"expected {name} to be a number, got {value!r}")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise ConfigTypeError(f"expected {name} to be a number, got {value!r}") from None


def _pair(part: str) -> tuple[str, Any]:
    queue, _, limit = part.strip().rpartition(":")
    if not queue:
        raise ConfigError(f"expected queues as name:limit,name:limit, got {part!r}")
    return queue.strip(), limit.strip()


def queue_name(value: Any) -> str:
    """Check the name of a queue."""
    name = text("queue", value)
    if len(name) > MAX_NAME:
        raise ConfigError(f"expected a queue's name of at most {MAX_NAME} characters, got {len(name)}")
    return name


def _queue(queue: str, options: Any) -> QueueConfig:
    if isinstance(options, QueueConfig):
        return options
    given = dict(options) if isinstance(options, Mapping) else {"limit": options}
    limit = positive_integer(f"limit of queue {queue!r}", given.pop("limit", 10))
    paused = boolean(f"paused of queue {queue!r}", given.pop("paused", False))
    positive(f"debounce_interval of queue {queue!r}", given.pop("debounce_interval", 1))  # queues here need none
    prefetch = whole(f"prefetch of queue {queue!r}", given.pop("prefetch", MAX_READY))
    try:
        codec.encode(given, what=f"options of queue {queue!r}")
    except ArgsError as error:
        raise ConfigError(str(error).removesuffix("; nothing was written")) from None
    return QueueConfig(limit=limit, paused=paused, prefetch=prefetch, meta=given)
