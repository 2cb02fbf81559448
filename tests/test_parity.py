"""Whoever knows Oban for Python knows this package: its names are here, with its signatures and its behaviour.

What differs on purpose has its sentence in docs/differences.md.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import MAIN

ROOT = Path(__file__).parents[1]
DIFFERENCES = " ".join((ROOT / "docs" / "differences.md").read_text().split())

CLASS, PROPERTY = "class", "property"


def _job(
    worker,
    *,
    id=None,
    state="available",
    queue="default",
    attempt=0,
    max_attempts=20,
    priority=0,
    args=None,
    meta=None,
    errors=None,
    tags=None,
    attempted_by=None,
    inserted_at=None,
    attempted_at=None,
    cancelled_at=None,
    completed_at=None,
    discarded_at=None,
    scheduled_at=None,
    scheduled_in=None,
    schedule_in=None,
    extra=None,
    _validate=True,
): ...


def _oban(
    *,
    pool,
    dispatcher=None,
    leadership=None,
    lifeline=None,
    metrics=None,
    name=None,
    node=None,
    notifier=None,
    prefix=None,
    pruner=None,
    queues=None,
    refresher=None,
    scheduler=None,
    shutdown_grace_period=15.0,
    stager=None,
): ...


def _drain(queue="default", oban="Oban", with_recursion=True, with_safety=False, with_scheduled=True): ...


NAMES: dict[str, Any] = {
    "Cancel": lambda reason: ...,
    "Job": _job,
    "Job.cancelled": lambda self: ...,
    "Job.update": lambda self, changes: ...,
    "Oban": _oban,
    "Oban._connection": lambda self: ...,
    "Oban.cancel_job": lambda self, job: ...,
    "Oban.cancel_many_jobs": lambda self, jobs: ...,
    "Oban.check_all_queues": lambda self: ...,
    "Oban.check_queue": lambda self, queue: ...,
    "Oban.create_pool": lambda dsn=None, *, min_size=None, max_size=None, timeout=None: ...,
    "Oban.delete_job": lambda self, job: ...,
    "Oban.delete_many_jobs": lambda self, jobs: ...,
    "Oban.enqueue": lambda self, job, *, conn=None: ...,
    "Oban.enqueue_many": lambda self, jobs_or_first, /, *rest, conn=None: ...,
    "Oban.get_instance": lambda cls, name="Oban": ...,
    "Oban.get_job": lambda self, job_id: ...,
    "Oban.is_leader": PROPERTY,
    "Oban.pause_all_queues": lambda self, *, node=None: ...,
    "Oban.pause_queue": lambda self, queue, *, node=None: ...,
    "Oban.resume_all_queues": lambda self, *, node=None: ...,
    "Oban.resume_queue": lambda self, queue, *, node=None: ...,
    "Oban.retry_job": lambda self, job: ...,
    "Oban.retry_many_jobs": lambda self, jobs: ...,
    "Oban.scale_queue": lambda self, *, queue, node=None, **kwargs: ...,
    "Oban.start": lambda self: ...,
    "Oban.start_queue": lambda self, *, queue, limit, paused=False, node=None: ...,
    "Oban.stop": lambda self: ...,
    "Oban.stop_queue": lambda self, queue, *, node=None: ...,
    "Oban.update_job": lambda self, job, changes: ...,
    "Oban.update_many_jobs": lambda self, jobs, changes: ...,
    "Record": lambda value, limit=64_000_000: ...,
    "Snooze": lambda seconds, meta=None: ...,
    "Worker": CLASS,
    "Worker.backoff": lambda self, job: ...,
    "Worker.enqueue": lambda cls, args=None, /, conn=None, **overrides: ...,
    "Worker.new": lambda cls, args=None, /, **params: ...,
    "Worker.process": lambda self, job: ...,
    "Worker.timeout": lambda self, job: ...,
    "current_job": lambda: ...,
    "job": lambda *, oban="Oban", cron=None, **overrides: ...,
    "job.JobState": CLASS,
    "schema.install": lambda pool, prefix="public": ...,
    "schema.install_sql": lambda prefix="public": ...,
    "schema.uninstall": lambda pool, prefix="public": ...,
    "schema.uninstall_sql": lambda prefix="public": ...,
    "telemetry.Collector.add": lambda self, metadata: ...,
    "telemetry.Collector.get_all": lambda self: ...,
    "telemetry.attach": lambda id, events, handler: ...,
    "telemetry.detach": lambda id: ...,
    "telemetry.execute": lambda name, metadata: ...,
    "telemetry.logger.attach": lambda *, level=20, logger=None, events=None: ...,
    "telemetry.logger.detach": lambda: ...,
    "telemetry.span": lambda prefix, start_metadata: ...,
    "testing.all_enqueued": lambda *, oban="Oban", **filters: ...,
    "testing.assert_enqueued": lambda *, oban="Oban", timeout=0, **filters: ...,
    "testing.drain_queue": _drain,
    "testing.mode": lambda testing_mode: ...,
    "testing.process_job": lambda job: ...,
    "testing.refute_enqueued": lambda *, oban="Oban", timeout=0, **filters: ...,
    "testing.reset_oban": lambda oban="Oban": ...,
    "worker": lambda *, oban="Oban", cron=None, **overrides: ...,
    "worker.JobTimeoutError": CLASS,
    "worker.WorkerResolutionError": CLASS,
}
"""The names of Oban for Python 0.7.0, and what each can be called with, as far as it can be called."""

DIFFERENT = {
    ("Oban", "dispatcher"): "`dispatcher` and the extension points",
    ("Oban.scale_queue", "kwargs"): "`scale_queue` takes `limit` alone",
    ("Oban.scale_queue", "limit"): "`scale_queue` takes `limit` alone",
    ("Worker.backoff", ""): "`backoff` and `timeout` are no part of the type `Worker`",
    ("Worker.timeout", ""): "`backoff` and `timeout` are no part of the type `Worker`",
}
"""Name, and the parameter that one of both lacks, to the words in docs/differences.md that say so."""


def found(name: str) -> Any:
    """Give what a name of theirs is here; None: nothing."""
    module, *rest = "oban_sync", *name.split(".")
    value: Any = importlib.import_module(module)
    for part in rest:
        inner = f"{module}.{part}"
        if part != rest[-1] and value.__name__ == module and _is_module(inner):
            module, value = inner, importlib.import_module(inner)
        else:
            value = inspect.getattr_static(value, part, None) if isinstance(value, type) else getattr(value, part, None)
    return getattr(value, "__func__", value)


def _is_module(name: str) -> bool:
    return (ROOT / f"{name.replace('.', '/')}.py").exists() or (ROOT / name.replace(".", "/")).is_dir()


def missing(ours: Any, theirs: Callable[..., Any]) -> Iterator[str]:
    """Give the parameters of theirs that ours does not take as theirs does, and what ours needs beyond them."""
    here = list(inspect.signature(ours).parameters.values())
    for at, wanted in enumerate(inspect.signature(theirs).parameters.values()):
        if wanted.kind in (wanted.VAR_POSITIONAL, wanted.VAR_KEYWORD):
            fits = any(parameter.kind is wanted.kind for parameter in here)
        elif wanted.kind is wanted.KEYWORD_ONLY:
            fits = any(_takes(parameter, wanted) for parameter in here)
        else:
            fits = at < len(here) and _takes(here[at], wanted)
        if not fits:
            yield wanted.name
    known = inspect.signature(theirs).parameters
    for parameter in here:
        needed = parameter.default is parameter.empty and parameter.kind not in (2, 4)  # *rest and **rest are not
        if needed and parameter.name not in known:
            yield parameter.name


def _takes(ours: inspect.Parameter, theirs: inspect.Parameter) -> bool:
    default = ours.default.value if isinstance(ours.default, Enum) else ours.default
    optional = theirs.default is theirs.empty or default == theirs.default
    return ours.name == theirs.name and ours.kind is theirs.kind and optional


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_theirs_is_here_and_takes_what_it_takes_there(name: str) -> None:
    theirs, ours = NAMES[name], found(name)
    if (name, "") in DIFFERENT:
        assert ours is None
    elif theirs == CLASS:
        assert isinstance(ours, type)
    elif theirs == PROPERTY:
        assert isinstance(ours, property)
    else:
        assert ours is not None
        differences = {parameter for where, parameter in DIFFERENT if where == name}
        assert set(missing(ours, theirs)) == differences


@pytest.mark.parametrize("words", sorted(set(DIFFERENT.values())))
def test_a_name_that_differs_is_in_the_differences(words: str) -> None:
    assert words in DIFFERENCES


def test_the_names_are_those_of_the_package_itself(peer_python: str) -> None:
    names = [f"oban.{name}" for name in NAMES]
    done = subprocess.run(
        [peer_python, "-c", MAIN, "signatures"], cwd=ROOT, input=json.dumps(names), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    written = {
        f"oban.{name}": theirs if isinstance(theirs, str) else str(inspect.signature(theirs))
        for name, theirs in NAMES.items()
    }
    assert json.loads(done.stdout) == written


LINES = {
    # What changed in 0.7.0
    "scheduled_in and schedule_in": (
        "test_schedule.py::test_a_delay_is_seconds_or_a_timedelta_from_now",
        "test_worker.py::test_what_a_call_says_comes_before_what_the_worker_says",
        "test_testing.py::test_filters_fit_or_do_not",
        "parity/test_names.py::test_both_names_of_a_delay_are_taken_everywhere_without_a_warning",
    ),
    "current_job, in handlers too": ("parity/test_life.py::test_the_current_job_is_known_to_handlers_of_its_events",),
    "timeout and JobTimeoutError": (
        "runtime/test_watch.py::test_a_job_past_its_deadline_is_recorded_and_its_slot_is_open",
        "runtime/test_watch.py::test_the_error_is_a_timeout_error",
    ),
    "shutdown_grace_period and oban.queue.shutdown": (
        "test_config.py::test_a_variable_sets_its_option",
        "runtime/test_signals.py::test_a_queue_that_stops_keeps_its_jobs_until_they_end",
        "telemetry/test_logger.py::test_a_stop_is_logged_where_it_left_jobs_running",
    ),
    "notifier is a table of options": ("parity/test_options.py::test_the_notifier_is_a_table_with_a_type",),
    "the default node is host and process": ("test_config.py::test_an_instance_has_the_defaults_of_oban",),
    "start_queue and stop_queue reach all nodes": (
        "runtime/test_signals.py::test_a_queue_starts_and_stops_while_a_node_runs",
        "interop/test_signals.py::test_a_command_to_all_is_obeyed_by_both",
    ),
    "EVENTS": ("telemetry/test_core.py::test_the_events_are_those_of_oban",),
    "ends are fenced and refused ones dropped": ("lifecycle/test_ack.py::test_a_lost_job_is_left_alone",),
    "jobs without attempts left are not fetched, and discarded": (
        "parity/test_life.py::test_a_job_without_attempts_left_is_not_run",
        "lifecycle/test_rescue.py::test_cleaning_forgets_old_producers_of_ours_and_discards_spent_jobs",
    ),
    "elections": (
        "lifecycle/test_lead.py::test_the_first_leads_and_stays_leader_by_what_it_was_told",
        "lifecycle/test_lead.py::test_a_leader_of_ours_that_was_late_leads_on_where_nobody_followed",
    ),
    "rows of producers are restored": ("telemetry/test_core.py::test_a_beat_says_which_rows_it_wrote_anew",),
    "cron_at": ("lifecycle/test_cron.py::test_a_job_is_enqueued_at_its_tick_with_the_meta_of_oban",),
    "parts stop at a safe point and outlive errors": (
        "test_lives.py::test_start_and_stop_are_idempotent",
        "runtime/test_threads.py::test_a_thread_begins_anew_after_an_error",
        "parity/test_life.py::test_queues_run_while_nothing_can_be_staged",
    ),
    "debounce": ("parity/test_options.py::test_a_queue_takes_a_debounce_interval",),
    "testing": (
        "test_testing.py::test_filters_fit_or_do_not",
        "test_testing.py::test_all_enqueued_lists_what_waits_for_its_first_run_newest_first",
        "test_testing.py::test_a_drain_runs_a_queue_to_its_end",
    ),
    "extension points": ("test_parity.py::test_a_name_that_differs_is_in_the_differences",),
    "ranges in cron, tables in several sources": (
        "test_cron.py::test_what_is_no_schedule_or_never_due_is_refused",
        "parity/test_options.py::test_tables_of_several_sources_are_joined",
    ),
    # Oban
    "create_pool": (
        "test_config.py::test_a_pool_is_made_from_arguments_environment_and_file_and_opens_later",
        "test_config.py::test_without_any_source_each_option_has_its_default",
    ),
    "get_instance": ("test_instances.py::test_a_missing_instance_is_named_beside_those_that_there_are",),
    "start and stop": (
        "test_lives.py::test_start_and_stop_are_idempotent",
        "test_lives.py::test_a_missing_schema_gives_one_clear_sentence",
    ),
    "is_leader and _connection": (
        "interop/test_leading.py::test_one_leads_and_the_other_follows_when_it_stops",
        "parity/test_life.py::test_a_connection_is_lent",
    ),
    "enqueue and enqueue_many": (
        "store/test_handles.py::test_a_job_is_there_once_its_transaction_commits_with_the_callers_own_object",
        "store/test_handles.py::test_many_jobs_get_rising_ids_in_the_order_in_which_they_were_given",
        "parity/test_names.py::test_many_jobs_are_an_iterable_or_arguments",
        "test_testing.py::test_inline_runs_a_job_where_it_is_enqueued_without_a_database",
    ),
    "get_job": (
        "lifecycle/test_query.py::test_a_job_comes_back_whole",
        "lifecycle/test_query.py::test_what_is_no_id_is_refused",
    ),
    "retry_job and retry_many_jobs": (
        "lifecycle/test_control.py::test_a_retry_makes_every_job_available_that_neither_is_nor_runs",
        "lifecycle/test_control.py::test_an_attempt_is_added_only_where_none_is_left",
        "lifecycle/test_control.py::test_a_job_that_was_not_enqueued_is_refused",
        "interop/test_jobs.py::test_columns_and_keys_of_others_stay_as_they_are",
    ),
    "delete_job and delete_many_jobs": ("lifecycle/test_control.py::test_a_delete_leaves_what_runs",),
    "cancel_job and cancel_many_jobs": (
        "lifecycle/test_control.py::test_a_cancel_ends_what_waits_and_marks_what_runs",
        "runtime/test_signals.py::test_a_running_job_is_asked_to_stop_on_whatever_node_runs_it",
    ),
    "update_job and update_many_jobs": (
        "lifecycle/test_control.py::test_every_field_that_may_change_changes",
        "lifecycle/test_control.py::test_the_state_follows_the_time",
        "lifecycle/test_control.py::test_updates_of_one_row_wait_for_each_other",
        "parity/test_errors.py::test_what_oban_raises_as_a_built_in_is_that_here",
    ),
    "pause and resume": (
        "runtime/test_signals.py::test_a_queue_is_paused_on_all_nodes_or_on_one",
        "runtime/test_signals.py::test_all_queues_are_paused_and_resumed",
    ),
    "check_queue and check_all_queues": ("runtime/test_signals.py::test_a_queue_tells_its_state",),
    "start_queue, stop_queue and scale_queue": (
        "runtime/test_signals.py::test_a_queue_starts_and_stops_while_a_node_runs",
        "runtime/test_signals.py::test_a_queue_is_scaled_while_it_runs",
        "runtime/test_signals.py::test_a_signal_has_the_keys_of_obans_and_no_other",
    ),
    # Job
    "datetimes in UTC": (
        "test_schedule.py::test_an_aware_instant_is_kept_in_utc",
        "test_schedule.py::test_a_naive_instant_is_refused_with_both_ways_to_write_it",
    ),
    "tags": ("test_job.py::test_tags_are_stripped_lowered_sorted_and_without_doubles",),
    "texts of errors": ("test_job.py::test_a_field_that_cannot_be_is_refused_in_these_words",),
    "update, cancelled and str": (
        "test_job.py::test_an_update_changes_the_object_and_checks_it_as_a_new_one",
        "test_job.py::test_a_job_is_cancelled_only_when_its_run_says_so",
        "test_job.py::test_a_job_shows_its_id_worker_queue_and_state",
    ),
    "JobState": ("test_job.py::test_the_states_are_those_of_oban",),
    "Snooze, Cancel and Record": (
        "test_lives.py::test_snooze_runs_again_without_counting_the_attempt",
        "test_lives.py::test_cancel_ends_with_its_reason",
        "test_lives.py::test_record_keeps_the_result",
        "test_lives.py::test_any_other_result_completes",
        "test_job.py::test_a_record_over_its_limit_is_refused",
        "interop/test_jobs.py::test_what_one_side_writes_of_an_end_is_read_by_the_other",
    ),
    "entries of errors": (
        "test_lives.py::test_a_job_that_raises_is_retried_with_its_error",
        "interop/test_jobs.py::test_what_one_side_writes_of_an_end_is_read_by_the_other",
    ),
    "the default backoff": (
        "test_backoff.py::test_the_default_of_a_job_is_15_seconds_and_a_power_of_two_and_up_to_a_tenth_more",
        "test_lives.py::test_the_default_backoff_is_that_of_oban",
    ),
    "a time makes a job scheduled": ("test_schedule.py::test_an_instant_that_has_passed_is_still_scheduled",),
    # Workers
    "@worker": (
        "test_worker.py::test_a_decorated_class_makes_jobs_of_its_name_and_options",
        "test_worker.py::test_a_class_without_process_says_so_when_it_is_run",
        "test_worker.py::test_an_override_that_no_field_has_goes_to_extra",
    ),
    "@job": (
        "test_worker.py::test_a_function_makes_jobs_of_its_arguments_with_its_defaults",
        "test_worker.py::test_a_call_of_a_function_may_say_how_its_job_is",
        "test_worker.py::test_positional_only_parameters_get_their_values_back",
        "test_worker.py::test_stars_get_their_values_back",
    ),
    "backoff and timeout of a worker": (
        "test_lives.py::test_a_retry_runs_at_its_instant_and_sees_its_errors",
        "runtime/test_watch.py::test_a_timeout_that_is_none_fails_the_attempt",
    ),
    "cron": (
        "test_cron.py::test_an_expression_means_these_ticks_from_2024_on",
        "test_cron.py::test_what_is_no_schedule_or_never_due_is_refused",
        "lifecycle/test_cron.py::test_workers_and_functions_take_a_schedule",
    ),
    "meta of periodic jobs": (
        "lifecycle/test_cron.py::test_a_job_is_enqueued_at_its_tick_with_the_meta_of_oban",
        "test_cron.py::test_a_schedule_has_the_name_that_every_oban_gives_it",
    ),
    "names of workers": (
        "test_worker.py::test_a_decorated_class_makes_jobs_of_its_name_and_options",
        "test_worker.py::test_a_name_that_nobody_registered_is_looked_up_and_nothing_is_imported",
        "parity/test_errors.py::test_what_oban_raises_as_a_built_in_is_that_here",
    ),
    # What follows are whole parts
    "oban.testing": (
        "test_testing.py::test_modes_nest_and_end_with_their_block",
        "test_testing.py::test_a_failed_assertion_lists_what_is_there",
        "test_testing.py::test_reset_empties_the_tables_and_begins_ids_anew",
        "test_testing.py::test_process_job_gives_what_the_worker_returned",
    ),
    "oban.schema": (
        "test_schema.py::test_the_tables_are_those_of_oban_column_for_column",
        "test_schema.py::test_uninstalling_takes_all_of_it_and_nothing_else_and_may_be_repeated",
        "interop/test_tables.py::test_tables_of_theirs_are_adopted",
        "interop/test_tables.py::test_tables_of_ours_are_used_by_them",
    ),
    "oban.telemetry": (
        "telemetry/test_core.py::test_a_job_announces_its_life_in_its_own_thread",
        "telemetry/test_core.py::test_what_a_handler_raises_or_writes_harms_nobody",
        "telemetry/test_logger.py::test_level_logger_and_events_are_chosen",
    ),
    "commands": (
        "cli/test_commands.py::test_version",
        "cli/test_commands.py::test_install_twice_and_uninstall_twice",
        "cli/test_start.py::test_a_dry_run_checks_everything_and_runs_nothing",
        "test_nodes.py::test_a_signal_stops_a_node_and_hands_back_what_does_not_end",
        "parity/test_options.py::test_the_commands_take_the_options_of_theirs",
    ),
    "options from file and environment": (
        "test_config.py::test_arguments_come_before_the_environment_and_that_before_the_file",
        "test_config.py::test_a_variable_sets_its_option",
        "parity/test_options.py::test_every_option_of_theirs_is_known",
    ),
    "channels and payloads": (
        "runtime/test_notifier.py::test_payloads_are_json_or_what_oban_compresses",
        "runtime/test_signals.py::test_signals_of_obans_nodes_are_obeyed",
        "lifecycle/test_metrics.py::test_a_node_tells_how_its_queues_run",
    ),
}
"""What Oban does, in the order of its parts, to the tests that show it here."""


@pytest.mark.parametrize("line", LINES)
def test_what_oban_does_is_tested_here(line: str) -> None:
    for place in LINES[line]:
        file, _, name = place.partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE), place
