"""Who is near whom: runs as the leaves of a tree, and as points on a map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.display.results import Shown, html_table
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.sets.space import Matrix
from gradiend_mlflow.wording import counted, named

_FEWEST = 2


def tree_of(matrix: npt.NDArray[Any]) -> Matrix:
    """The clusters of runs by average linkage, in the form of `scipy.cluster.hierarchy.linkage`.

    Args:
        matrix: How far runs agree; shape (N, N), symmetric. Two runs are 1 - value / largest value apart.

    Returns:
        A row per merger, shape (N - 1, 4): the two clusters, their distance, the number of runs in the new one.
        The leaves are in the order in which neighbours agree best.

    Raises:
        InvalidInputError: If there are fewer than two runs.
    """
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    distances = squareform(_apart(matrix, "a tree"), checks=False)
    tree: Matrix = linkage(distances, method="average", optimal_ordering=True)
    return tree


@dataclass(frozen=True, eq=False, repr=False)
class OverlapMap(Shown):
    """Runs as points on a plane, the nearer the more they overlap; returned by `map()`.

    Attributes:
        labels: One per run; length N.
        points: The coordinates; float64, shape (N, 2), each column with mean 0.
        explained: How much of the variation each axis shows, in [0, 1]. Together well below 1 means that the map
            leaves much out.

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> lists = {"a": [0, 1], "b": [0, 1], "c": [5, 6]}
        >>> overlap = compute_overlap({name: TopKSet.from_indices(own, space=9) for name, own in lists.items()})
        >>> overlap.map().to_frame().round(3) + 0.0
               x    y
        a -0.333  0.0
        b -0.333  0.0
        c  0.667  0.0
    """

    labels: tuple[str, ...]
    points: Matrix = field(repr=False)
    explained: tuple[float, float]

    def to_frame(self) -> pd.DataFrame:
        """One row per label, with the columns x and y."""
        return pd.DataFrame(self.points, index=list(self.labels), columns=["x", "y"])

    def _line(self) -> str:
        shares = " and ".join(f"{share:.0%}" for share in self.explained)
        return f"{counted(len(self.labels), 'run')}, axes explain {shares}: {named(self.labels)}"

    def _html(self) -> Iterator[str]:
        yield html_table(self.to_frame(), index=True)


def map_of(labels: tuple[str, ...], matrix: npt.NDArray[Any]) -> OverlapMap:
    """Classical multidimensional scaling (Torgerson 1952) to two dimensions.

    The distance of two runs is sqrt(1 - value / largest value). Of sets of one size, whose value is the share of
    common weights, these are proportional to the distances of the sets' own vectors over all weights.

    Raises:
        InvalidInputError: If there are fewer than two runs.
    """
    squared = _apart(matrix, "a map")
    means = squared.mean(axis=0)
    products = (means[:, None] + means - means.mean() - squared) / 2
    sizes, vectors = np.linalg.eigh(products)
    sizes, vectors = np.maximum(sizes[::-1], 0.0), vectors[:, ::-1]
    points = np.zeros((len(labels), 2))
    points[:, : len(sizes)] = vectors[:, :2] * np.sqrt(sizes[:2])
    # An axis may as well point the other way: the outermost run is on its positive side.
    outermost = points[np.argmax(np.round(np.abs(points), 9), axis=0), [0, 1]]
    points *= np.where(outermost < 0, -1.0, 1.0)
    shares = sizes[:2] / (sizes.sum() or 1.0)
    return OverlapMap(tuple(labels), points, (float(shares[0]), float(shares[1])))


def _apart(matrix: npt.NDArray[Any], what: str) -> Matrix:
    """1 - value / largest value, and 0 on the diagonal, which of aggregated seeds is no largest value."""
    if len(matrix) < _FEWEST:
        raise InvalidInputError(f"{what} needs at least two runs; got {len(matrix)}")
    distances: Matrix = np.maximum(1 - matrix / max(float(np.max(matrix)), 1e-12), 0.0)
    np.fill_diagonal(distances, 0.0)
    return distances
