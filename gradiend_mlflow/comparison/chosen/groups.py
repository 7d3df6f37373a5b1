"""Which runs of a comparison belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.statistics.groups import UNGROUPED, complete_groups, group_by_label, no_such_group
from gradiend_mlflow.runs.labels import column_of, ids_of
from gradiend_mlflow.wording import visible

# A column, param or tag; or what a run is named by -> group; or, as gradiend's `pretty_groups`, group -> such names.
Groups = str | Mapping[str, str] | Mapping[str, Sequence[str]] | pd.Series


def groups_of(groups: Groups, runs: pd.DataFrame) -> dict[str, str]:
    """The group of each label; "Other" for runs that a mapping does not name, as in gradiend.

    Args:
        groups: A column of `search_runs`, "params.<name>" or "tags.<name>"; or a mapping from what a run is named by
            to its group; or from group to a list of such names: labels, or ids as `by_label` takes them.
        runs: Rows of `search_runs` with the column label.

    Raises:
        InvalidInputError: If `groups` is not acceptable, names something that is not a run, puts a run into two
            groups, or has a group "Other".
    """
    if isinstance(groups, str):
        named = {row["label"]: visible(column_of(row, groups, "groups")) for _, row in runs.iterrows()}
    else:
        named = by_label(group_by_label(groups), runs, "groups")
    if UNGROUPED in named.values():
        raise no_such_group()
    return complete_groups(named, list(runs["label"]))


def by_label(told: Mapping[str, str], runs: pd.DataFrame, argument: str) -> dict[str, str]:
    """What is told of runs, by their labels.

    Args:
        told: Its keys are labels, or else MLflow's run ids, of a run or of a training, which names all its seeds, or
            gradiend's run_ids, each of which names all runs that have it. Keys that name no run stay as they are.
        runs: Rows of `search_runs` with the column label.
        argument: What the error calls it.

    Raises:
        InvalidInputError: If two keys name one run, and say different things of it.
    """
    labels = dict.fromkeys(runs["label"])
    labels_by_id: dict[str, list[str]] = {}
    for _, row in runs.iterrows():
        for run_id in ids_of(row):
            labels_by_id.setdefault(run_id, []).append(row["label"])
    found: dict[str, str] = {}
    keys: dict[str, str] = {}
    for key, value in told.items():
        for label in [key] if key in labels else labels_by_id.get(key, [key]):
            if found.setdefault(label, value) != value:
                raise InvalidInputError(
                    f"{argument} names the run {label!r} by two keys that differ: {keys[label]!r} is "
                    f"{found[label]!r}, and {key!r} is {value!r}"
                )
            keys[label] = key
    return found
