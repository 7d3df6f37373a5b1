"""Every row of the fault tables of `docs/reliability.md`, and which tests run it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "reliability.md"

OUTAGES, CRASHES, DISK = "delivery/test_outages.py", "delivery/test_crashes.py", "delivery/test_disk.py"
SYNC, PROCESSES, ODD = "delivery/test_sync.py", "delivery/test_processes.py", "delivery/test_odd_values.py"
RETRIES, PULLING, JOURNALS = "store/test_retries.py", "runs/test_pulling.py", "security/test_journals.py"
S3, PROXIED, DATABASES = "store/places/test_s3.py", "store/places/test_proxied.py", "store/places/test_databases.py"
INTO_S3, INTO_DATABASES = "delivery/test_artifact_stores.py", "delivery/test_databases.py"

# The first cell of each row of the first table, as far as it is needed to tell it: the tests that run it.
ROWS = {
    "none": [f"{OUTAGES}::test_undisturbed"],
    "server down from the start": [f"{OUTAGES}::test_down_from_the_start"],
    "connections cut, 500s or 429s": [f"{OUTAGES}::test_trouble_for_a_while"],
    "an answer to every kind of request is lost": [f"{OUTAGES}::test_an_answer_that_is_lost"],
    "every request takes 5 s": [f"{OUTAGES}::test_every_request_takes_long"],
    "connections are taken and never answered": [
        f"{OUTAGES}::test_a_black_hole_leaves_the_training_alone",
        f"{CRASHES}::test_a_black_hole_does_not_hold_the_process",
    ],
    "401, 403, 404": [f"{OUTAGES}::test_refused_entry", f"{OUTAGES}::test_a_wrong_address_that_answers"],
    "wrong URI that does not answer": [
        "shared_server/test_writing.py::test_a_journal_of_another_deployment_is_synced"
    ],
    "artifacts fail": [f"{OUTAGES}::test_artifacts_fail_and_metrics_succeed"],
    "exception, SystemExit": [f"{OUTAGES}::test_the_users_own_faults_while_the_server_is_down"],
    "Ctrl-C": [f"{CRASHES}::test_ctrl_c"],
    "SIGTERM, SIGKILL": [
        f"{CRASHES}::test_killed_in_the_middle",
        f"{CRASHES}::test_a_killed_training_leaves_what_it_would_leave_alone",
    ],
    "SIGKILL while `sync` runs": [f"{SYNC}::test_killed_in_the_middle_and_done_again"],
    "two processes syncing": [f"{SYNC}::test_two_at_once"],
    "another process locks the sqlite file": [f"{OUTAGES}::test_a_locked_database"],
    "two trainings, the server is down": [f"{OUTAGES}::test_several_trainings_one_warning"],
    "trained again": [f"{CRASHES}::test_trained_again_beside_a_journal_that_was_left"],
    "the journal is deleted": [
        f"{DISK}::test_the_journal_vanishes",
        f"{DISK}::test_the_journal_vanishes_with_what_lay_beside_it",
    ],
    "the experiment directory is a temporary one": [f"{DISK}::test_a_temporary_experiment_directory"],
    "the same, and a set's file": [f"{DISK}::test_sets_that_are_lost_are_named_in_the_run"],
    "the run, or its experiment, is deleted": [
        f"{SYNC}::test_a_run_that_was_deleted",
        "store/test_places.py::TestDeletedExperiments::test_a_training_goes_on_and_is_sent_later",
    ],
    "a journal whose last line": [f"{SYNC}::test_a_broken_off_line_is_named"],
    "a journal with lines or a header": [
        f"{JOURNALS}::TestDamage::test_a_bad_line_is_named",
        f"{JOURNALS}::TestDamage::test_a_bad_header_is_named",
        f"{JOURNALS}::TestDamage::test_a_line_without_end_takes_no_memory",
    ],
    "a journal that names another server": [
        f"{JOURNALS}::TestFiles::test_no_other_file_is_sent",
        f"{JOURNALS}::TestServers::test_a_server_of_the_journals_choice_is_not_asked",
        f"{JOURNALS}::TestRuns::test_a_run_is_adopted_only_by_its_key",
    ],
    "no journal can be made": [f"{DISK}::test_no_place_for_the_journal", f"{DISK}::test_the_disk_fills_up"],
    "a bug in a hook": ["tracking/test_callback.py::test_a_fault_of_ours_never_reaches_the_training"],
    "a param of 7000 characters": [f"{ODD}::test_odd_names_and_values"],
    "class names": [f"{ODD}::test_odd_names_and_values"],
    "NaN, infinity": [f"{ODD}::test_odd_names_and_values"],
    "a tag in `extra_tags`": [f"{ODD}::test_an_odd_tag_is_refused_at_once"],
    "eight processes": [f"{CRASHES}::test_eight_processes_begin_at_once"],
    "30 forks": [f"{PROCESSES}::test_forks_while_the_worker_writes"],
    "a fork while": [
        f"{PROCESSES}::test_a_fork_while_a_thread_holds_a_lock",
        f"{PROCESSES}::test_a_fork_does_not_wait_for_a_server",
        f"{PROCESSES}::test_a_fork_waits_for_a_locked_database_once",
    ],
    "trainings in workers": [
        f"{PROCESSES}::test_trainings_in_forked_workers",
        f"{PROCESSES}::test_ends_of_workers",
        f"{PROCESSES}::test_a_spawned_pool_that_trains",
        f"{PROCESSES}::test_joblib",
        f"{PROCESSES}::test_an_executor_that_goes_on",
    ],
    "the same in a pool": [f"{PROCESSES}::test_a_pool_without_a_server"],
    "workers of a `DataLoader`": [
        f"{PROCESSES}::test_workers_of_a_data_loader",
        f"{PROCESSES}::test_a_child_that_trains_inside_its_parents_block",
    ],
    "a forked child is killed": [f"{PROCESSES}::test_a_killed_child"],
    "reading from, or `sync` to": [
        f"{RETRIES}::test_a_reader_learns_of_a_fault_in_time",
        f"{SYNC}::test_a_server_that_does_not_answer",
    ],
    "metadata can be read, but the artifact store does not answer, or not to this account": [
        f"{S3}::test_without_an_account_it_is_said_where_one_is_looked_for",
        f"{RETRIES}::test_a_server_without_artifacts_is_unavailable",
        f"{PULLING}::test_bad_files_do_not_hold_up_the_others",
    ],
}

# The same of the second table, for each of its columns that is not empty: S3, behind the server, PostgreSQL.
CELLS = {
    "none": (
        [f"{S3}::test_one_request_for_each_set", f"{S3}::test_a_model_is_downloaded_with_one_request_for_each_file"],
        [f"{PROXIED}::test_one_request_for_each_set"],
        [],
    ),
    "down": (
        [f"{S3}::test_a_reader_learns_of_a_fault_in_time", f"{INTO_S3}::test_s3_that_comes_back"],
        [f"{PROXIED}::test_a_reader_learns_of_a_fault_in_time", f"{OUTAGES}::test_artifacts_fail_and_metrics_succeed"],
        [f"{DATABASES}::test_nobody_is_there", f"{INTO_DATABASES}::test_a_database_with_a_fault"],
    ),
    "down, and back": (
        [f"{INTO_S3}::test_s3_that_comes_back"],
        [f"{PULLING}::test_a_server_that_recovers_is_waited_for"],
        [
            f"{DATABASES}::test_a_database_that_stops_is_waited_for",
            f"{INTO_DATABASES}::test_a_database_with_a_fault",
        ],
    ),
    "hangs": (
        [
            f"{S3}::test_a_reader_learns_of_a_fault_in_time",
            f"{INTO_S3}::test_s3_that_stays_away",
            f"{INTO_S3}::test_a_process_does_not_linger",
        ],
        [f"{PROXIED}::test_a_reader_learns_of_a_fault_in_time"],
        [
            f"{DATABASES}::test_somebody_is_there_who_does_not_answer",
            f"{DATABASES}::test_a_database_that_stands_still",
            f"{INTO_DATABASES}::test_a_database_with_a_fault",
        ],
    ),
    "hangs up; 503": (
        [f"{S3}::test_a_reader_learns_of_a_fault_in_time", f"{S3}::test_a_writer_learns_of_a_fault_in_time"],
        [f"{PROXIED}::test_a_fault_that_passes_is_waited_for", f"{OUTAGES}::test_artifacts_fail_and_metrics_succeed"],
        [f"{DATABASES}::test_a_database_that_stops_is_waited_for"],
    ),
    "a table is locked": (
        [],
        [],
        [f"{DATABASES}::test_a_table_that_somebody_has_locked", f"{INTO_DATABASES}::test_a_database_with_a_fault"],
    ),
    "too many connections": (
        [],
        [],
        [f"{DATABASES}::test_too_many_connections", f"{INTO_DATABASES}::test_a_database_with_a_fault"],
    ),
    "access denied": (
        [f"{S3}::test_a_reader_learns_of_a_fault_in_time", f"{INTO_S3}::test_s3_that_stays_away"],
        [],
        [
            f"{DATABASES}::test_what_will_not_pass_is_told_at_once",
            f"{INTO_DATABASES}::test_a_database_that_lets_us_in_no_more",
        ],
    ),
    "a file is gone": (
        [f"{S3}::test_what_is_gone_or_another_is_named"],
        [f"{S3}::test_files_that_a_proxying_server_cannot_send"],
        [],
    ),
    "a file is another": (
        [f"{S3}::test_what_is_gone_or_another_is_named"],
        [f"{PROXIED}::test_a_file_that_is_another_or_longer"],
        [],
    ),
    "the client's package is missing": ([f"{S3}::test_what_to_install"], [], []),
}


def tables() -> list[list[list[str]]]:
    """The cells of each row below the heads of the tables."""
    found: list[list[list[str]]] = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| fault |"):
            found.append([])
        elif line.startswith("| ") and not line.startswith("| ---"):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
    return found


FAULTS, BEHIND = tables()


@cache
def names_in(file: str) -> set[str]:
    """The names of the tests in a file; those of a class with its name before them."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    of_classes = {
        f"{kind.name}::{node.name}"
        for kind in tree.body
        if isinstance(kind, ast.ClassDef)
        for node in kind.body
        if isinstance(node, ast.FunctionDef)
    }
    return own | of_classes


def assert_there(tests: list[str]) -> None:
    """Each of these tests exists."""
    for test in tests:
        file, _, name = test.partition("::")
        assert name in names_in(file), test


def key_of(fault: str, known: dict[str, object]) -> str:
    """Which of the known faults a row is of: the longest that it begins with."""
    keys = [key for key in known if fault.startswith(key)]
    assert keys, f"no test is named for: {fault}"
    return max(keys, key=len)


@pytest.mark.parametrize("row", FAULTS, ids=lambda row: row[0][:40])
def test_each_row_is_run(row: list[str]) -> None:
    """By tests that are there."""
    assert_there(ROWS[key_of(row[0], dict(ROWS))])


@pytest.mark.parametrize("row", BEHIND, ids=lambda row: row[0][:40])
def test_each_cell_is_run(row: list[str]) -> None:
    """By tests that are there, and none is named for a cell that says nothing."""
    for said, tests in zip(row[1:], CELLS[key_of(row[0], dict(CELLS))], strict=True):
        assert bool(said) == bool(tests), said
        assert_there(tests)


def test_no_row_is_missing() -> None:
    """Each fault that tests are named for is in its table."""
    assert {key_of(row[0], dict(ROWS)) for row in FAULTS} == set(ROWS)
    assert {key_of(row[0], dict(CELLS)) for row in BEHIND} == set(CELLS)
