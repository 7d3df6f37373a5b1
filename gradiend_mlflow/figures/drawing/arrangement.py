"""In which order the runs of a heatmap stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.statistics.groups import complete_groups
from gradiend_mlflow.overlap.statistics.neighbours import tree_of

Order = Literal["input", "name", "cluster"] | Sequence[str]


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
    """The leaves and the tree of the clusters; one run has no tree."""
    from scipy.cluster.hierarchy import leaves_list

    if len(matrix) == 1:
        return [0], None
    tree = tree_of(matrix)
    return leaves_list(tree).tolist(), tree
