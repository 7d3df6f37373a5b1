"""What runs are called in a comparison: by a column, a param, a tag, a mapping or a callable; never two alike."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.arrangement import complete_groups, group_by_label

# The column of a comparison's runs that names each row's training: the run whose seed it is, or its own.
TRAINING_RUN = "training_run_id"

Labels = str | Mapping[str, str] | Callable[["pd.Series[Any]"], str] | None


def labels_of(runs: pd.DataFrame, labels: Labels) -> list[str]:
    """One label per row of `search_runs`; those that clash are told apart by what differs.

    That is the experiment, the seed, the run's name or its id, the first of them in which they differ.

    Raises:
        InvalidInputError: If `labels` is not acceptable, or says nothing about a run.
    """
    rows = [row for _, row in runs.iterrows()]
    # One line, and never nothing: tables and figures have a place for each.
    chosen = [" ".join(_label(row, labels).split()) or str(row["run_id"]) for row in rows]
    for clue in (
        lambda row: row.get("experiment"),
        lambda row: f"seed {row.get('seed')}",
        lambda row: row.get("run_name"),
        lambda row: str(row["run_id"])[:8],
        lambda row: row["run_id"],
    ):
        chosen = _told_apart(chosen, [clue(row) for row in rows])
    return chosen


def column_of(row: pd.Series[Any], column: str, argument: str) -> str:
    """What a row says in a column, or of the param or tag that "params.x" or "tags.x" names.

    Raises:
        InvalidInputError: If there is no such column, or the run has no such param or tag; names `argument`.
    """
    kind, _, key = column.partition(".")
    if kind in ("params", "tags") and key:
        values = row[kind]
        if key not in values:
            raise InvalidInputError(f"{argument} names {column!r}, which the run {row['run_id']} does not have")
        return str(values[key])
    if column not in row.index:
        raise InvalidInputError(
            f"{argument} names the column {column!r}; there are: {', '.join(map(str, row.index))}, and for the "
            "content of the last two params.<name> and tags.<name>"
        )
    value = row[column]
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def name_of(row: pd.Series[Any]) -> str:
    """What a run is called by default: gradiend's run_id, else its name, else its id."""
    # None and NaN both mean that the run has none.
    own = [row.get(name) for name in ("gradiend_run_id", "run_name", "run_id")]
    return next(str(name) for name in own if isinstance(name, str) and name)


def _label(row: pd.Series[Any], labels: Labels) -> str:
    if labels is None:
        return name_of(row)
    if isinstance(labels, str):
        return column_of(row, labels, "labels")
    if isinstance(labels, Mapping):
        # A seed goes by its training's label where it has none of its own.
        named = [run_id for run_id in (row["run_id"], row.get(TRAINING_RUN, "")) if run_id in labels]
        if not named:
            raise InvalidInputError(f"labels has no entry for the run {row['run_id']}")
        return str(labels[named[0]])
    if not callable(labels):
        raise InvalidInputError(f"labels must be a column, a mapping or a callable; got {type(labels).__name__}")
    return str(labels(row))


def _told_apart(labels: Sequence[str], clues: Sequence[Hashable]) -> list[str]:
    """The labels, those that clash and whose clues differ extended by their clue."""
    result = list(labels)
    for label in {label for label in labels if labels.count(label) > 1}:
        same = [index for index, other in enumerate(labels) if other == label]
        if len({clues[index] for index in same}) > 1:
            for index in same:
                result[index] = f"{label} ({clues[index]})"
    return result


# A column, param or tag; or label or run id -> group; or, as gradiend's `pretty_groups`, group -> labels.
Groups = str | Mapping[str, str] | Mapping[str, Sequence[str]]


def groups_of(groups: Groups, runs: pd.DataFrame) -> dict[str, str]:
    """The group of each label; "Other" for runs that a mapping does not name, as in gradiend.

    Args:
        groups: A column of `search_runs`, "params.<name>" or "tags.<name>"; or a mapping from label or run id to
            group; or from group to labels.
        runs: Rows of `search_runs` with the column label.

    Raises:
        InvalidInputError: If `groups` is not acceptable, names what is no run, or puts a run into two groups.
    """
    labels = list(runs["label"])
    if isinstance(groups, str):
        return {row["label"]: column_of(row, groups, "groups") for _, row in runs.iterrows()}
    by_id: dict[str, list[str]] = {}
    for column in ("run_id", TRAINING_RUN):  # a training's group is that of its seeds
        for run_id, label in zip(runs.get(column, []), labels, strict=False):
            by_id.setdefault(run_id, []).append(label)
    by_run = group_by_label(groups).items()
    return complete_groups({label: group for key, group in by_run for label in by_id.get(key, [key])}, labels)
