"""In which order the runs of a heatmap stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.errors import InvalidInputError

Order = Literal["input", "name", "cluster"] | Sequence[str]
UNGROUPED = "Other"


@dataclass(frozen=True, eq=False)
class Arrangement:
    """The order of the runs, and where it comes from.

    Attributes:
        rows: The rows of the matrix in the order in which they are drawn.
        brackets: The number of runs of each group, in this order; None without groups.
        tree: scipy's linkage if it is to be drawn, else None.
    """

    rows: list[int]
    brackets: dict[str, int] | None = None
    tree: npt.NDArray[np.float64] | None = None


def arranged(
    labels: Sequence[str],
    matrix: npt.NDArray[Any],
    order: Order,
    groups: Mapping[str, Any] | None,
    *,
    cluster: bool = False,
) -> Arrangement:
    """Order the runs by their groups, if there are any, and then by `order`; or by clusters.

    Args:
        labels: The runs' labels, N of them.
        matrix: How far they agree; shape (N, N).
        order: "input", "name", "cluster", or all labels.
        groups: A mapping from label to group or from group to labels.
        cluster: Order by clusters and give their tree.

    Raises:
        InvalidInputError: If `order` or `groups` is not acceptable, or more than one order is asked for.
    """
    by_name = isinstance(order, str)
    if cluster and not (by_name and order in ("input", "cluster")):
        raise InvalidInputError(f"cluster=True and order={order!r} are two orders of the same runs: give one of them")
    if cluster or (by_name and order == "cluster"):
        if groups is not None:
            raise InvalidInputError("groups and clusters are two orders of the same runs: give one of them")
        rows, tree = _clustered(matrix)
        return Arrangement(rows, tree=tree if cluster else None)
    rows = _rows(list(labels), order)
    if groups is None:
        return Arrangement(rows)
    group_of = complete_groups(groups, labels)
    if by_name and order == "input":  # the order of the mapping
        rows = [labels.index(label) for label in group_of]
    brackets = {name: list(group_of.values()).count(name) for name in group_of.values()}
    place = {name: number for number, name in enumerate(brackets)}
    return Arrangement(sorted(rows, key=lambda row: place[group_of[labels[row]]]), brackets)


def _rows(labels: list[str], order: Order) -> list[int]:
    if isinstance(order, str):
        check_choice("order", order, ("input", "name", "cluster"))
        wanted = labels if order == "input" else sorted(labels)
    elif isinstance(order, Iterable):
        wanted = [str(label) for label in order]
    else:
        raise InvalidInputError(
            f"order must be 'input', 'name', 'cluster' or a list of all labels; got {type(order).__name__}"
        )
    if sorted(wanted) != sorted(labels):
        missing = [label for label in labels if label not in wanted]
        unknown = [label for label in wanted if label not in labels]
        raise InvalidInputError(
            f"order must name each of the {len(labels)} runs once; it names {len(wanted)}"
            + (f", without {', '.join(missing[:5])}" if missing else "")
            + (f", and no run is called {', '.join(unknown[:5])}" if unknown else "")
        )
    return [labels.index(label) for label in wanted]


def _clustered(matrix: npt.NDArray[Any]) -> tuple[list[int], npt.NDArray[np.float64] | None]:
    """The leaves and the tree of average-linkage clusters, in which runs are nearer the more they agree."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(matrix) == 1:
        return [0], None
    distances = np.maximum(1 - matrix / max(float(np.max(matrix)), 1e-12), 0.0)
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform(distances, checks=False), method="average", optimal_ordering=True)
    return leaves_list(tree).tolist(), tree


def complete_groups(groups: Mapping[str, Any], labels: Sequence[str]) -> dict[str, str]:
    """The group of each label, in the order of `groups`; labels that it does not name come last, in "Other".

    Args:
        groups: A mapping from label to group or from group to labels.
        labels: All labels.

    Raises:
        InvalidInputError: If `groups` is neither, names an unknown label, or names a label twice.
    """
    named = group_by_label(groups)
    if unknown := [str(label) for label in named if label not in labels]:
        raise InvalidInputError(f"groups names {', '.join(unknown)}; the runs are: {', '.join(labels)}")
    return named | {label: UNGROUPED for label in labels if label not in named}


def group_by_label(groups: object) -> dict[str, str]:
    """A mapping from label to group, made of it or of one from group to labels.

    Raises:
        InvalidInputError: If it is neither, or names a label twice.
    """
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
