"""What the runs of a comparison are called, and which belong together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.statistics.groups import complete_groups, group_by_label
from gradiend_mlflow.wording import visible

# The column of a comparison's runs that holds the id of each run's training: the parent of a seed, else the run.
TRAINING_RUN = "training_run_id"

# A column, param or tag; a mapping from run id to label; a callable of a row; None for `name_of`.
Labels = str | Mapping[str, str] | Callable[["pd.Series[Any]"], str] | None

# A column, param or tag; or label or run id -> group; or, as gradiend's `pretty_groups`, group -> labels.
Groups = str | Mapping[str, str] | Mapping[str, Sequence[str]]


def labels_of(runs: pd.DataFrame, labels: Labels) -> list[str]:
    """One label per row of `search_runs`; labels that clash are extended by what differs.

    That is the first of these in which the runs of one label differ: experiment, seed, name, the first 8 characters
    of the run id, run id.

    Raises:
        InvalidInputError: If `labels` is not acceptable, or does not name a run.
    """
    # One line, and never empty: tables and figures have a place for each.
    chosen = [visible(" ".join(_label(row, labels).split())) or str(row["run_id"]) for _, row in runs.iterrows()]
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


def groups_of(groups: Groups, runs: pd.DataFrame) -> dict[str, str]:
    """The group of each label; "Other" for runs that a mapping does not name, as in gradiend.

    Args:
        groups: A column of `search_runs`, "params.<name>" or "tags.<name>"; or a mapping from label or run id to
            group; or from group to labels.
        runs: Rows of `search_runs` with the column label.

    Raises:
        InvalidInputError: If `groups` is not acceptable, names something that is not a run, or puts a run into two
            groups.
    """
    labels = list(runs["label"])
    if isinstance(groups, str):
        return {row["label"]: visible(column_of(row, groups, "groups")) for _, row in runs.iterrows()}
    # A training's id names all its seeds.
    labels_by_id = runs.groupby(TRAINING_RUN)["label"].agg(list).to_dict()
    labels_by_id |= {run_id: [label] for run_id, label in zip(runs["run_id"], labels, strict=True)}
    by_run = group_by_label(groups).items()
    return complete_groups({label: group for key, group in by_run for label in labels_by_id.get(key, [key])}, labels)


def column_of(row: pd.Series[Any], column: str, argument: str) -> str:
    """The value of a column, or of the param or tag that "params.<name>" or "tags.<name>" names, as a string.

    Raises:
        InvalidInputError: If there is no such column, param or tag; the error calls `column` by `argument`.
    """
    kind, _, key = column.partition(".")
    if kind in ("params", "tags") and key:
        if key not in row[kind]:
            raise InvalidInputError(f"{argument} names {column!r}, which the run {row['run_id']} does not have")
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


def _label(row: pd.Series[Any], labels: Labels) -> str:
    if labels is None:
        return name_of(row)
    if isinstance(labels, str):
        return column_of(row, labels, "labels")
    if isinstance(labels, Mapping):
        # A seed without a label of its own has that of its training.
        run_id = row["run_id"] if row["run_id"] in labels else row[TRAINING_RUN]
        if run_id not in labels:
            raise InvalidInputError(f"labels has no entry for the run {row['run_id']}")
        return str(labels[run_id])
    if not callable(labels):
        raise InvalidInputError(f"labels must be a column, a mapping or a callable; got {type(labels).__name__}")
    return str(labels(row))
