"""What runs are called, and how they can be named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.wording import some_of, visible

# The column of a comparison's runs that holds the id of each run's training: the parent of a seed, else the run.
TRAINING_RUN = "training_run_id"

# A column, param or tag; a mapping from what a run is named by to its label; a callable of a row; None for `name_of`.
Labels = str | Mapping[str, str] | pd.Series | Callable[["pd.Series[Any]"], str] | None


def labels_of(runs: pd.DataFrame, labels: Labels) -> list[str]:
    """One label per row of `search_runs`; labels that clash are extended by what differs.

    That is the first of these in which the runs of one label differ: experiment, seed, name, the first 8 characters
    of the run id, run id.

    Args:
        runs: Rows of `search_runs`.
        labels: As for `compare`. Keys of a mapping are MLflow's run ids, of a run or of the training that it is a
            seed of, gradiend's run_ids, or the labels that the runs have by default; looked for in this order.

    Raises:
        InvalidInputError: If `labels` is not acceptable, or does not name a run.
    """
    if isinstance(labels, (Mapping, pd.Series)):
        return _told_apart(runs, _looked_up(runs, {str(key): label for key, label in labels.items()}))
    return _told_apart(runs, [_label(row, labels) for _, row in runs.iterrows()])


def _told_apart(runs: pd.DataFrame, labels: Sequence[str]) -> list[str]:
    # One line, and never empty: tables and figures have a place for each.
    chosen = [
        visible(" ".join(one.split())) or str(run_id) for one, run_id in zip(labels, runs["run_id"], strict=True)
    ]
    result = pd.Series(chosen, index=runs.index, dtype=object)
    for differing in (
        runs["experiment"],
        [f"seed {seed}" for seed in runs["seed"]],
        runs["run_name"],
        [run_id[:8] for run_id in runs["run_id"]],
        runs["run_id"],
    ):
        added = pd.Series([visible(str(one)) for one in differing], index=runs.index, dtype=object)
        clashes = added.groupby(result).transform("nunique") > 1
        result = result.where(~clashes, result + " (" + added + ")")
    return result.tolist()


def _looked_up(runs: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    found = []
    for (_, row), usual in zip(runs.iterrows(), labels_of(runs, None), strict=True):
        names = [*ids_of(row), usual]
        key = next((name for name in names if name in labels), None)
        if key is None:
            raise InvalidInputError(
                f"labels has no entry for the run {row['run_id']}; its key may be {' or '.join(map(repr, names))}"
            )
        found.append(str(labels[key]))
    return found


def ids_of(row: pd.Series[Any]) -> list[str]:
    """The ids that a run can be named by: its own, that of the training that it is a seed of, and gradiend's."""
    ids = [row["run_id"], row.get(TRAINING_RUN), row["gradiend_run_id"]]
    return [str(one) for one in dict.fromkeys(ids) if isinstance(one, str) and one]


def column_of(row: pd.Series[Any], column: str, argument: str) -> str:
    """The value of a column, or of the param or tag that "params.<name>" or "tags.<name>" names, as a string.

    Raises:
        InvalidInputError: If there is no such column, param or tag; the error calls `column` by `argument`.
    """
    kind, _, key = column.partition(".")
    if kind in ("params", "tags") and key:
        if key not in row[kind]:
            known = ", ".join(some_of(sorted(map(str, row[kind])))) or "none"
            raise InvalidInputError(
                f"{argument} names {column!r}, which the run {row['run_id']} does not have; its {kind} are: {known}"
            )
        return str(row[kind][key])
    if column not in row.index:
        raise InvalidInputError(
            f"{argument} names the column {column!r}; there are: {', '.join(map(str, row.index))}, and for the "
            "content of the last two params.<name> and tags.<name>"
        )
    value = row[column]
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def name_of(row: pd.Series[Any]) -> str:
    """What a run is called by default: gradiend's run_id, else the run's name, else its id."""
    # A run that has none of its own has None or NaN there.
    names = [row[column] for column in ("gradiend_run_id", "run_name", "run_id")]
    return next(name for name in names if isinstance(name, str) and name)


def _label(row: pd.Series[Any], labels: str | Callable[[pd.Series[Any]], str] | None) -> str:
    if labels is None:
        return name_of(row)
    if isinstance(labels, str):
        return column_of(row, labels, "labels")
    if not callable(labels):
        raise InvalidInputError(f"labels must be a column, a mapping or a callable; got {type(labels).__name__}")
    return str(labels(row))
