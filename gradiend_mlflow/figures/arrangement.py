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


@dataclass(frozen=True, eq=False)
class Arrangement:
    """The runs' order, and what it comes from.

    Attributes:
        rows: The rows of the matrix in the order in which they are drawn.
        brackets: The number of runs of each group, in this order; None without groups.
        tree: scipy's linkage, if it is to be drawn; else None.
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
    """Order the runs: by groups first, if there are, then as `order` says; with `cluster` by clusters, with a tree.

    Raises:
        InvalidInputError: If `order` or `groups` is not acceptable, or clusters are asked for and another order too.
    """
    if cluster and not (isinstance(order, str) and order in ("input", "cluster")):
        raise InvalidInputError(f"cluster=True and order={order!r} are two orders of the same runs: give one of them")
    if cluster or (isinstance(order, str) and order == "cluster"):
        if groups is not None:
            raise InvalidInputError("groups and clusters are two orders of the same runs: give one of them")
        found = _clustered(matrix)
        return found if cluster else Arrangement(found.rows)
    rows = _rows(labels, order)
    if groups is None:
        return Arrangement(rows)
    group_of = complete_groups(groups, list(labels))
    if order == "input":  # that of the mapping
        rows = [list(labels).index(label) for label in group_of]
    names = list(dict.fromkeys(group_of.values()))
    rows = sorted(rows, key=lambda row: names.index(group_of[labels[row]]))
    return Arrangement(rows, {name: list(group_of.values()).count(name) for name in names})


def _rows(labels: Sequence[str], order: Order) -> list[int]:
    rows = list(range(len(labels)))
    if isinstance(order, str):
        check_choice("order", order, ("input", "name", "cluster"))
        return rows if order == "input" else sorted(rows, key=lambda row: labels[row])
    if not isinstance(order, Iterable):
        raise InvalidInputError(f"order must be a name of one or all labels; got {type(order).__name__}")
    wanted = [str(label) for label in order]
    if sorted(wanted) != sorted(labels):
        missing = [label for label in labels if label not in wanted]
        unknown = [label for label in wanted if label not in labels]
        raise InvalidInputError(
            f"order must name each of the {len(labels)} runs once; it names {len(wanted)}"
            + (f", without {', '.join(missing[:5])}" if missing else "")
            + (f", and no run is called {', '.join(unknown[:5])}" if unknown else "")
        )
    return [list(labels).index(label) for label in wanted]


def _clustered(matrix: npt.NDArray[Any]) -> Arrangement:
    """The order of the leaves of average-linkage clusters; runs are the nearer the more they agree."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(matrix) == 1:
        return Arrangement([0])
    most = max(float(np.max(matrix)), 1e-12)
    distances = 1 - matrix / most
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform(np.maximum(distances, 0.0), checks=False), method="average", optimal_ordering=True)
    return Arrangement([int(row) for row in leaves_list(tree)], tree=tree)


UNGROUPED = "Other"


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
