"""What Oban for Python does, line by line, is shown here by tests, and so is what it does wrong or not at all."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DIFFERENCES = " ".join((TESTS.parent / "docs" / "differences.md").read_text().split())

LINES: dict[str, tuple[str, ...]] = {
    # What changed in 0.7.0
    "scheduled_in and schedule_in": (
        "test_schedule.py::test_a_delay_is_seconds_or_a_timedelta_from_now",
        "test_worker.py::test_what_a_call_says_comes_before_what_the_worker_says",
        "test_testing.py::test_filters_fit_or_do_not",
        "parity/test_names.py::test_both_names_of_a_delay_are_taken_everywhere_without_a_warning",
    ),
    "current_job, in handlers too": ("parity/test_life.py::test_the_current_job_is_known_to_handlers_of_its_events",),
    "timeout and JobTimeoutError": (
        "runtime/test_watch.py::test_a_function_may_have_a_timeout",
        "runtime/test_watch.py::test_a_job_past_its_deadline_is_recorded_and_its_slot_is_open",
        "runtime/test_watch.py::test_the_error_is_a_timeout_error",
    ),
    "shutdown_grace_period and oban.queue.shutdown": (
        "test_config.py::test_a_variable_sets_its_option",
        "test_config.py::test_an_instance_has_the_defaults_of_oban",
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
        "lifecycle/test_lead.py::test_a_node_of_the_same_name_is_not_taken_for_the_leader",
        "lifecycle/test_lead.py::test_who_resigns_says_so_after_its_row_is_gone",
    ),
    "rows of producers are restored": ("telemetry/test_core.py::test_a_beat_says_which_rows_it_wrote_anew",),
    "cron_at": (
        "lifecycle/test_cron.py::test_a_job_is_enqueued_at_its_tick_with_the_meta_of_oban",
        "lifecycle/test_cron.py::test_an_evaluation_says_for_which_minute_it_was",
    ),
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
    "options of an instance": (
        "test_config.py::test_an_instance_has_the_defaults_of_oban",
        "test_config.py::test_metrics_are_off_unless_they_are_asked_for",
        "test_config.py::test_queues_take_numbers_tables_and_text",
        "test_config.py::test_an_argument_that_cannot_work_is_refused_in_these_words",
        "parity/test_options.py::test_every_option_of_theirs_is_known",
    ),
    "server and client": (
        "test_config.py::test_who_runs_queues_takes_part_in_elections_unless_told_otherwise",
        "test_lives.py::test_a_client_starts_no_threads",
    ),
    "stager, lifeline, pruner, refresher and scheduler": (
        "runtime/test_scheduler.py::test_a_burst_beyond_the_limit_is_staged_whole",
        "runtime/test_scheduler.py::test_jobs_that_nobody_announced_run_at_the_next_look",
        "lifecycle/test_rescue.py::test_owners_of_other_libraries_are_judged_by_age_and_a_stale_row",
        "lifecycle/test_prune.py::test_jobs_that_ended_a_day_ago_are_deleted_and_no_other",
        "lifecycle/test_prune.py::test_the_leader_prunes_and_pruner_false_keeps_all",
        "lifecycle/test_prune.py::test_silent_queues_of_other_libraries_are_forgotten_once_they_hold_no_job",
        "test_cron.py::test_ticks_are_the_same_however_the_time_is_cut",
    ),
    "create_pool": (
        "test_config.py::test_a_pool_is_made_from_arguments_environment_and_file_and_opens_later",
        "test_config.py::test_without_any_source_each_option_has_its_default",
    ),
    "get_instance": (
        "test_instances.py::test_an_instance_is_found_by_its_name_once_it_is_made",
        "test_instances.py::test_a_missing_instance_is_named_beside_those_that_there_are",
    ),
    "start and stop": (
        "test_lives.py::test_start_and_stop_are_idempotent",
        "test_lives.py::test_a_missing_schema_gives_one_clear_sentence",
    ),
    "is_leader and _connection": (
        "lifecycle/test_lead.py::test_a_leader_that_stops_is_followed_at_once",
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
        "lifecycle/test_control.py::test_a_verb_for_one_job_takes_it_or_its_id",
        "lifecycle/test_control.py::test_an_attempt_is_added_only_where_none_is_left",
        "lifecycle/test_control.py::test_a_job_that_was_not_enqueued_is_refused",
        "interop/test_jobs.py::test_columns_and_keys_of_others_stay_as_they_are",
    ),
    "delete_job and delete_many_jobs": (
        "lifecycle/test_control.py::test_a_delete_leaves_what_runs",
        "lifecycle/test_control.py::test_a_verb_for_one_job_takes_it_or_its_id",
    ),
    "cancel_job and cancel_many_jobs": (
        "lifecycle/test_control.py::test_a_cancel_ends_what_waits_and_marks_what_runs",
        "runtime/test_signals.py::test_a_running_job_is_asked_to_stop_on_whatever_node_runs_it",
    ),
    "update_job and update_many_jobs": (
        "lifecycle/test_control.py::test_every_field_that_may_change_changes",
        "lifecycle/test_control.py::test_the_state_follows_the_time",
        "lifecycle/test_control.py::test_a_function_gets_the_row_as_it_is_now",
        "lifecycle/test_control.py::test_updates_of_one_row_wait_for_each_other",
        "lifecycle/test_control.py::test_many_are_updated_all_or_none",
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
    ),
    "signals": (
        "runtime/test_signals.py::test_a_signal_has_the_keys_of_obans_and_no_other",
        "runtime/test_signals.py::test_keys_that_oban_leaves_out_have_their_meaning",
        "interop/test_signals.py::test_we_command_their_queues",
        "interop/test_signals.py::test_they_command_our_queues",
    ),
    # Job
    "fields of a job": (
        "test_job.py::test_a_new_job_has_the_defaults_of_oban",
        "test_job.py::test_a_job_takes_no_other_attributes",
        "store/test_rows.py::test_a_fetched_row_is_the_job_that_was_enqueued",
    ),
    "datetimes in UTC": (
        "test_schedule.py::test_an_aware_instant_is_kept_in_utc",
        "test_schedule.py::test_a_naive_instant_is_refused_with_both_ways_to_write_it",
    ),
    "tags": ("test_job.py::test_tags_are_stripped_lowered_sorted_and_without_doubles",),
    "texts of errors": ("test_job.py::test_a_field_that_cannot_be_is_refused_in_these_words",),
    "update, cancelled and str": (
        "test_job.py::test_an_update_changes_the_object_and_checks_it_as_a_new_one",
        "runtime/test_context.py::test_a_running_job_decides_itself_what_a_cancel_does",
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
        "parity/test_life.py::test_an_entry_of_errors_has_the_keys_of_oban",
        "test_lives.py::test_a_job_that_raises_is_retried_with_its_error",
        "interop/test_jobs.py::test_what_one_side_writes_of_an_end_is_read_by_the_other",
    ),
    "the default backoff": (
        "test_backoff.py::test_more_attempts_than_twenty_are_spread_over_the_same_delays",
        "test_backoff.py::test_the_default_of_a_job_is_15_seconds_and_a_power_of_two_and_up_to_a_tenth_more",
        "test_lives.py::test_the_default_backoff_is_that_of_oban",
    ),
    "a time makes a job scheduled": ("test_schedule.py::test_an_instant_that_has_passed_is_still_scheduled",),
    # Workers
    "@worker": (
        "test_worker.py::test_a_decorated_class_makes_jobs_of_its_name_and_options",
        "test_worker.py::test_a_class_enqueues_by_the_instance_that_it_names",
        "test_worker.py::test_enqueue_takes_conn_for_the_caller_s_transaction",
        "test_worker.py::test_a_class_without_process_says_so_when_it_is_run",
        "test_worker.py::test_an_override_that_no_field_has_goes_to_extra",
    ),
    "@job": (
        "test_worker.py::test_enqueue_takes_conn_for_the_caller_s_transaction",
        "test_worker.py::test_a_function_makes_jobs_of_its_arguments_with_its_defaults",
        "test_worker.py::test_a_call_of_a_function_may_say_how_its_job_is",
        "test_worker.py::test_positional_only_parameters_get_their_values_back",
        "test_worker.py::test_stars_get_their_values_back",
    ),
    "backoff and timeout of a worker": (
        "runtime/test_watch.py::test_a_job_past_its_deadline_is_recorded_and_its_slot_is_open",
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
        "test_testing.py::test_in_a_mode_nothing_is_started",
        "test_testing.py::test_a_node_that_runs_fetches_nothing_in_a_mode",
        "test_testing.py::test_an_assertion_waits_for_another_thread",
        "test_testing.py::test_other_instances_are_named_or_given",
        "test_testing.py::test_a_failed_assertion_lists_what_is_there",
        "test_testing.py::test_reset_empties_the_tables_and_begins_ids_anew",
        "test_testing.py::test_process_job_gives_what_the_worker_returned",
    ),
    "drain_queue": (
        "test_testing.py::test_a_drain_runs_a_queue_to_its_end",
        "test_testing.py::test_a_drain_raises_what_a_job_raises_once_it_is_written",
        "test_testing.py::test_with_safety_failures_are_written_until_attempts_run_out",
        "test_testing.py::test_without_recursion_each_job_that_is_there_runs_once",
        "test_testing.py::test_without_scheduled_a_drain_runs_what_is_due",
    ),
    "oban.schema": (
        "test_schema.py::test_the_tables_are_those_of_oban_column_for_column",
        "test_schema.py::test_both_ways_of_installing_make_the_same",
        "test_schema.py::test_a_database_of_oban_s_is_taken_as_it_is",
        "test_schema.py::test_jobs_live_on_a_database_of_oban_s",
        "test_schema.py::test_uninstalling_takes_all_of_it_and_nothing_else_and_may_be_repeated",
        "interop/test_tables.py::test_tables_of_theirs_are_adopted",
        "interop/test_tables.py::test_tables_of_ours_are_used_by_them",
    ),
    "oban.telemetry": (
        "telemetry/test_core.py::test_a_job_announces_its_life_in_its_own_thread",
        "telemetry/test_core.py::test_what_a_handler_raises_or_writes_harms_nobody",
        "telemetry/test_core.py::test_a_handler_hears_its_events_until_it_is_detached",
        "telemetry/test_core.py::test_a_span_announces_its_start_and_its_stop",
        "telemetry/test_core.py::test_a_span_announces_what_was_raised_and_lets_it_pass",
        "telemetry/test_core.py::test_a_node_announces_what_its_parts_do",
    ),
    "telemetry.logger": (
        "telemetry/test_logger.py::test_the_end_of_a_job_is_a_line_with_fields",
        "telemetry/test_logger.py::test_level_logger_and_events_are_chosen",
        "telemetry/test_logger.py::test_nothing_is_logged_once_it_is_detached",
    ),
    "commands": (
        "cli/test_commands.py::test_version",
        "cli/test_commands.py::test_install_twice_and_uninstall_twice",
        "cli/test_start.py::test_a_dry_run_checks_everything_and_runs_nothing",
        "cli/test_discover.py::test_modules_are_named_from_where_they_can_be_imported",
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
        "lifecycle/test_control.py::test_the_state_follows_the_time",
        "lifecycle/test_lead.py::test_who_resigns_says_so_after_its_row_is_gone",
        "lifecycle/test_metrics.py::test_a_node_tells_how_its_queues_run",
        "lifecycle/test_metrics.py::test_a_node_tells_of_the_jobs_that_it_ran_and_its_leader_of_all",
        "lifecycle/test_metrics.py::test_periodic_jobs_are_listed_for_dashboards",
    ),
}
"""What Oban does, in the order of its parts, to the tests that show it here."""

GAPS: dict[str, tuple[str, ...]] = {
    "a process that does not await": (
        "`def process(self, job)`, on a thread",
        "test_lives.py::test_a_job_completes",
        "interop/test_jobs.py::test_theirs_run_here",
    ),
    "functions run beside each other": (
        "`def process(self, job)`, on a thread",
        "test_lives.py::test_a_queue_runs_no_more_than_its_limit",
        "parity/test_gaps.py::test_functions_run_at_the_same_time",
    ),
    "clocks that are set": (
        "each local time comes once, and a skipped one at the jump",
        "test_cron.py::test_each_local_time_comes_once_and_a_skipped_one_at_the_jump",
    ),
    "JSON however a node was started": (
        "whatever JSON library psycopg was given",
        "parity/test_gaps.py::test_args_are_the_same_whatever_json_library_psycopg_was_given",
        "test_codec.py::test_a_value_is_stored_as_json_has_it",
    ),
    "many rows a statement": (
        "`enqueue_many` stores thousands of jobs by one statement",
        "store/test_handles.py::test_ten_thousand_jobs_are_four_round_trips_and_one_notification_a_queue",
        "parity/test_gaps.py::test_ends_are_written_many_at_a_time",
    ),
    "long jobs are not run twice": (
        "however long a job runs",
        "lifecycle/test_rescue.py::test_an_owner_of_ours_is_judged_by_beat_and_lock",
        "lifecycle/test_rescue.py::test_owners_of_other_libraries_are_judged_by_age_and_a_stale_row",
    ),
    "a stop hands jobs back": (
        "Jobs that do not end in the time of a stop are given back",
        "test_nodes.py::test_a_signal_stops_a_node_and_hands_back_what_does_not_end",
    ),
    "malformed notifications": (
        "A signal that is malformed is ignored",
        "runtime/test_notifier.py::test_the_listener_survives_what_it_cannot_read",
        "runtime/test_signals.py::test_a_node_survives_what_is_no_signal_and_counts_it",
    ),
    "updates under a lock": (
        "`update_job` reads and writes under a lock of the row",
        "lifecycle/test_control.py::test_updates_of_one_row_wait_for_each_other",
        "lifecycle/test_control.py::test_what_is_not_named_stays_to_the_digit",
    ),
    "durable pauses": (
        "`pause_queue(durable=True)` pauses a queue wherever it starts, until it is resumed",
        "runtime/test_signals.py::test_a_durable_pause_holds_wherever_the_queue_starts",
        "test_nodes.py::test_a_durable_pause_outlives_the_node",
    ),
    "prefixes with capitals": (
        "A `prefix` is quoted",
        "test_schema.py::test_a_prefix_holds_everything_and_lives_beside_others",
        "test_schema.py::test_what_is_no_plain_name_is_refused_as_a_prefix",
    ),
    "names of queues with quotes": (
        "The name of a queue may hold quotes",
        "parity/test_gaps.py::test_a_queue_may_have_quotes_in_its_name",
    ),
    "behind a pooler": (
        "and `dsn`, a way past a pooler",
        "cli/test_doctor.py::test_a_pooler_between_is_found_and_a_way_past_it_helps",
        "store/test_pooler.py::test_a_link_knows_that_a_pooler_stands_between",
    ),
    "names in any case": (
        "Names of months and weekdays may be in any case",
        "test_cron.py::test_an_expression_means_these_ticks_from_2024_on",
    ),
    "@reboot": (
        "`@reboot` gives one job when the cluster starts",
        "test_cron.py::test_a_start_of_the_cluster_is_at_no_time",
        "lifecycle/test_cron.py::test_a_start_of_the_cluster_is_enqueued_once",
        "lifecycle/test_cron.py::test_a_node_that_follows_enqueues_nothing_at_its_start",
    ),
    "days that never come": (
        "days that never come are refused",
        "test_cron.py::test_what_is_no_schedule_or_never_due_is_refused",
    ),
    "ages of what is pruned": (
        "The pruner takes ages by state and by queue",
        "lifecycle/test_prune.py::test_states_and_queues_have_ages_of_their_own",
        "lifecycle/test_prune.py::test_a_batch_uses_the_index_of_its_state",
    ),
    "lists and counts": (
        "`list_jobs` and `count_jobs` with filters",
        "lifecycle/test_query.py::test_a_job_is_found_if_it_fits_every_filter",
        "lifecycle/test_query.py::test_jobs_are_read_page_by_page_in_either_direction",
    ),
    "conn= on every verb": (
        "All verbs for jobs take `conn=`",
        "lifecycle/test_control.py::test_verbs_are_part_of_the_callers_transaction",
        "lifecycle/test_query.py::test_a_transaction_sees_its_own_jobs",
    ),
    "forks": (
        "A forked child has connections of its own",
        "store/test_source.py::test_a_forked_child_and_its_parent_use_the_database_at_once_on_connections_of_their_own",
    ),
}
"""What Oban does wrong or not at all, to what docs/differences.md says of it, and the tests that show it done here."""


WAITS = {"raises", "eventually", "wait", "heard"}
"""Functions that fail where what they are told does not come."""


@cache
def functions(file: str) -> dict[str, ast.FunctionDef]:
    """Give the functions of a file of tests, by name."""
    tree = ast.parse((TESTS / file).read_text())
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def weak(place: str) -> Iterator[str]:
    """Give what hinders a test from showing anything in each run."""
    file, _, name = place.partition("::")
    found = functions(file).get(name)
    if found is None:
        yield f"{place}: no such test"
        return
    if any("nightly" in ast.unparse(mark) or ast.unparse(mark).endswith(".skip") for mark in found.decorator_list):
        yield f"{place}: left out of most runs"
    nodes = list(ast.walk(found))
    called = {ast.unparse(node.func).rpartition(".")[2] for node in nodes if isinstance(node, ast.Call)}
    if not any(isinstance(node, ast.Assert) for node in nodes) and not called & WAITS:
        yield f"{place}: asserts nothing"


@pytest.mark.parametrize("line", LINES)
def test_what_oban_does_is_shown_here(line: str) -> None:
    places = LINES[line]
    assert [why for place in places for why in weak(place)] == []
    assert not all(place.startswith("interop/") for place in places), "shown only where Oban for Python can be had"
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("gap", GAPS)
def test_what_oban_lacks_is_done_here_and_said(gap: str) -> None:
    words, *places = GAPS[gap]
    assert words in DIFFERENCES
    assert places
    assert [why for place in places for why in weak(place)] == []
