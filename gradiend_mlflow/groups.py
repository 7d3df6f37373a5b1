"""Groups of runs: which run is in which, and how far runs agree within and between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.labels import TRAINING_RUN, column_of
from gradiend_mlflow.ranked import Matrix

# A column, param or tag; or label or run id -> group; or, as gradiend's `pretty_groups`, group -> labels.
Groups = str | Mapping[str, str] | Mapping[str, Sequence[str]]
UNGROUPED = "Other"


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
    by_run = _by_run(groups).items()
    return complete_groups({label: group for key, group in by_run for label in by_id.get(key, [key])}, labels)


def complete_groups(groups: Mapping[str, Any], labels: Sequence[str]) -> dict[str, str]:
    """The group of every label, in the order in which `groups` names them; takes both forms of mapping.

    Raises:
        InvalidInputError: As for `groups_of`.
    """
    by_label = _by_run(groups)
    unknown = [str(label) for label in by_label if label not in labels]
    if unknown:
        raise InvalidInputError(f"groups names {', '.join(unknown)}; the runs are: {', '.join(labels)}")
    return {**by_label, **{label: UNGROUPED for label in labels if label not in by_label}}


def _by_run(groups: Any) -> dict[str, str]:
    if not isinstance(groups, Mapping):
        raise InvalidInputError(
            f"groups must be a column or a mapping from label to group or group to labels; got {type(groups).__name__}"
        )
    if all(isinstance(value, str) for value in groups.values()):
        return dict(groups)
    found: dict[str, str] = {}
    for group, members in groups.items():
        if isinstance(members, str) or not isinstance(members, Sequence):
            raise InvalidInputError(f"groups must name a list of labels per group; got {members!r} for {group!r}")
        for label in members:
            if label in found:
                raise InvalidInputError(f"a run may be in one group; {label!r} is in {found[label]!r} and {group!r}")
            found[label] = str(group)
    return found


def block_means(labels: Sequence[str], matrix: Matrix, groups: Mapping[str, str]) -> pd.DataFrame:
    """How far runs agree within each group and between each two: one row per block.

    Returns:
        The columns group_a, group_b, pairs (of different runs), mean and max; NaN for a group of one run alone.

    Example:
        >>> matrix = np.array([[1.0, 0.5, 0.1], [0.5, 1.0, 0.3], [0.1, 0.3, 1.0]])
        >>> block_means(["a", "b", "c"], matrix, {"a": "x", "b": "x", "c": "y"}).to_dict("list")["mean"]
        [0.5, 0.2, nan]
    """
    member_of = np.array([groups[label] for label in labels], dtype=object)
    names = list(dict.fromkeys(member_of))
    rows, columns = np.triu_indices(len(labels), k=1)
    blocks = []
    for index, first in enumerate(names):
        for second in names[index:]:
            a, b = member_of[rows], member_of[columns]
            inside = ((a == first) & (b == second)) | ((a == second) & (b == first))
            values = matrix[rows[inside], columns[inside]]
            mean, most = (values.mean(), values.max()) if len(values) else (np.nan, np.nan)
            blocks.append((first, second, len(values), float(mean), float(most)))
    return pd.DataFrame(blocks, columns=["group_a", "group_b", "pairs", "mean", "max"])
