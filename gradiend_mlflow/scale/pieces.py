"""One block of an overlap as a Parquet file: the pairs of the runs of two blocks, each pair once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gradiend_mlflow.errors import ArtifactError
from gradiend_mlflow.overlap.measures import Value, of_counts
from gradiend_mlflow.scale.dataset import TEXT, read_table, texts, write_table
from gradiend_mlflow.scale.places import Place
from gradiend_mlflow.sets.space import IntArray, Matrix

PAIRS = pa.schema({"run": TEXT, "other": TEXT, "intersection": pa.int32()})
_COUNTS = pa.schema([PAIRS.field("intersection")])


@dataclass(frozen=True, eq=False)
class Piece:
    """The pairs of the runs of a block with those of a later one, or with each other.

    Attributes:
        place: Where the overlap is kept.
        row: The number of the block.
        column: The number of the other block; not smaller.
        sizes: The size of each run's set in the block; shape (n,).
        others: The same of the other block; shape (m,).
    """

    place: Place
    row: int
    column: int
    sizes: IntArray
    others: IntArray

    @property
    def name(self) -> str:
        """Its file."""
        return f"pairs/{self.row:05}-{self.column:05}.parquet"

    def write(self, shared: npt.NDArray[np.int32], runs: Sequence[str], others: Sequence[str]) -> None:
        """Keep the number of shared weights, shape (n, m), of runs of these ids."""
        once = self._once
        rows, columns = np.nonzero(once)
        named = texts(rows.astype(np.int32), runs), texts(columns.astype(np.int32), others)
        counts = pa.array(shared[once])
        write_table(self.place, self.name, pa.table([*named, counts], schema=PAIRS))

    def shared(self) -> IntArray:
        """The numbers that were kept, with the sets' sizes where a run meets itself; int64, shape (n, m).

        Raises:
            ArtifactError: If the file is damaged.
        """
        counts = read_table(self.place, self.name, _COUNTS)["intersection"].to_numpy().astype(np.int64)
        once = self._once
        if len(counts) != np.count_nonzero(once):
            raise ArtifactError(
                f"{self.place.uri}/{self.name} has {len(counts):,} pairs; it should have {np.count_nonzero(once):,}. "
                "Remove it and call compute_overlap_blocks again"
            )
        found = np.zeros(once.shape, dtype=np.int64)
        found[once] = counts
        return found + found.T + np.diag(self.sizes) if self.row == self.column else found

    def values(self, value: Value) -> npt.NDArray[Any]:
        """One of the measures that only count; shape (n, m)."""
        return of_counts(value, self.shared(), self.sizes, self.others)

    def by_group(self, value: Value, groups: IntArray, others: IntArray, n: int) -> tuple[Matrix, Matrix]:
        """The sum and the largest of the values of each two of `n` groups, of pairs of different runs, each once.

        Args:
            value: The measure.
            groups: The group of each run of the block, from 0; shape (n,).
            others: The same of the other block; shape (m,).
            n: How many groups there are.

        Returns:
            Two matrices of shape (n, n), with the group of the block's run in the row; 0 and -inf where there is no
            pair.
        """
        values = self.values(value).astype(np.float64)
        once = self._once
        sums = _reduced(np.add, np.where(once, values, 0.0), groups, others)
        largest = _reduced(np.maximum, np.where(once, values, -np.inf), groups, others)
        found = np.zeros((n, n)), np.full((n, n), -np.inf)
        at = np.ix_(np.unique(groups), np.unique(others))
        found[0][at], found[1][at] = sums, largest
        return found

    @property
    def _once(self) -> npt.NDArray[np.bool_]:
        """Which pairs are kept, row by row: each once, and no run with itself; shape (n, m)."""
        every = np.ones((len(self.sizes), len(self.others)), dtype=bool)
        return np.triu(every, k=1) if self.row == self.column else every


def _reduced(how: np.ufunc, values: Matrix, groups: IntArray, others: IntArray) -> Matrix:
    """The values reduced over the rows of each group and the columns of each other group, both ascending."""
    for axis, own in enumerate((groups, others)):
        order = np.argsort(own, kind="stable")
        starts = np.unique(own[order], return_index=True)[1]
        values = how.reduceat(np.take(values, order, axis), starts, axis)
    return values
