"""The overlap of more runs than a process holds: kept in blocks, and asked without ever holding them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.comparison.chosen.selection import Skipped
from gradiend_mlflow.display.progress import check_progress
from gradiend_mlflow.display.results import MOST_ROWS, Shown, html_list, html_table
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.measures import COUNTED, Value
from gradiend_mlflow.overlap.statistics.groups import UNGROUPED, group_by_label, no_such_group
from gradiend_mlflow.scale.engine import dask_client, results_of
from gradiend_mlflow.scale.pieces import Piece
from gradiend_mlflow.scale.places import Place
from gradiend_mlflow.sets.parts import Part
from gradiend_mlflow.sets.space import IntArray
from gradiend_mlflow.wording import counted, some_of, visible


@dataclass(frozen=True, eq=False, repr=False)
class OverlapBlocks(Shown):
    """The overlap of each two of N runs, kept in blocks as Parquet; returned by `compute_overlap_blocks`.

    Attributes:
        uri: Where it is kept. `pairs/` there has a row per two runs: run, other and intersection, each pair once.
        part: Of which part the sets are.
        topk: The number or fraction of weights.
        runs: A row per run, in the order of the matrix: run, size (of its set), and what the dataset says of it.
        block_size: How many runs a block has.
        skipped: The runs whose sets have fewer weights than `topk` asks for.
    """

    uri: str
    part: Part
    topk: int | float
    runs: pd.DataFrame
    block_size: int
    skipped: tuple[Skipped, ...] = ()

    @property
    def run_ids(self) -> tuple[str, ...]:
        """MLflow's ids of the runs, in the order of the matrix."""
        return tuple(self.runs["run"])

    @property
    def sizes(self) -> IntArray:
        """Number of weights per set; int64, shape (N,)."""
        return self.runs["size"].to_numpy(np.int64)

    def pieces(self) -> Iterator[Piece]:
        """The blocks that are kept: those on and above the diagonal, row by row."""
        blocks = self._split(self.sizes)
        for row, sizes in enumerate(blocks):
            for column, others in enumerate(blocks[row:], start=row):
                yield Piece(Place(self.uri), row, column, sizes, others)

    def values(self, value: Value = "intersection_frac") -> Any:
        """A matrix as a Dask array, of which only the blocks that are needed are read; shape (N, N).

        Args:
            value: "intersection", "intersection_frac" or "jaccard", as `compute_overlap` defines them.

        Raises:
            InvalidInputError: If `value` is none of these.

        Example:
            ::

                blocks.values("jaccard")[:5, :5].compute()
        """
        import dask.array
        from dask.delayed import delayed

        check_choice("value", value, COUNTED)
        kind = np.int64 if value == "intersection" else np.float64
        made: dict[tuple[int, int], Any] = {}
        for piece in self.pieces():
            shape = len(piece.sizes), len(piece.others)
            array = dask.array.from_delayed(delayed(piece).values(value), shape, kind)
            made[piece.column, piece.row], made[piece.row, piece.column] = array.T, array
        n = len(self._split(self.sizes))
        return dask.array.block([[made[row, column] for column in range(n)] for row in range(n)])

    def group_means(
        self,
        groups: str | Mapping[str, str] | Mapping[str, Sequence[str]],
        *,
        value: Value = "intersection_frac",
        client: Any | None = None,
        progress: bool | None = None,
    ) -> pd.DataFrame:
        """How much runs overlap within each group and between each two, from one block at a time.

        Args:
            groups: A column of `runs`, or a mapping from run id to group or from group to run ids; runs that it does
                not name are in "Other".
            value: As for `values`.
            client: As for `compute_overlap_blocks`.
            progress: As for `search_runs`.

        Returns:
            One row per two groups, in the order of their first runs: group_a, group_b, pairs (of different runs), mean
            and max; NaN for a group of one run. As `Comparison.to_frame("groups")`, to rounding.

        Raises:
            InvalidInputError: If `groups` or `value` is not acceptable.
            ArtifactError: If a block is damaged.
        """
        check_choice("value", value, COUNTED)
        check_progress(progress)
        names, group_of = self._groups(groups)
        n, of_block = len(names), self._split(group_of)
        sums, largest = np.zeros((n, n)), np.full((n, n), -np.inf)
        with dask_client(client) as engine:
            tasks = [
                engine.submit(piece.by_group, value, of_block[piece.row], of_block[piece.column], n, pure=False)
                for piece in self.pieces()
            ]
            for some, most in results_of(tasks, "average", progress=progress):
                sums += some
                largest = np.maximum(largest, most)
        sizes = np.bincount(group_of, minlength=n)
        pairs = np.outer(sizes, sizes) - np.diag(sizes * (sizes + 1) // 2)
        total = sums + sums.T - np.diag(np.diag(sums))
        a, b = np.triu_indices(n)
        some = pairs[a, b] > 0
        return pd.DataFrame(
            {
                "group_a": [names[place] for place in a],
                "group_b": [names[place] for place in b],
                "pairs": pairs[a, b],
                "mean": np.where(some, total[a, b] / np.maximum(pairs[a, b], 1), np.nan),
                "max": np.where(some, np.maximum(largest, largest.T)[a, b], np.nan),
            }
        )

    def _split(self, values: IntArray) -> list[IntArray]:
        """What each run has, block by block."""
        return np.split(values, range(self.block_size, len(values), self.block_size))

    def _groups(self, groups: Any) -> tuple[list[str], IntArray]:
        """The groups in the order of their first runs, and each run's place among them."""
        if isinstance(groups, str):
            if groups not in self.runs:
                raise InvalidInputError(
                    f"groups names the column {groups!r}; there are: {', '.join(map(str, self.runs))}"
                )
            of_run = [", ".join(one) if isinstance(one, np.ndarray) else str(one) for one in self.runs[groups]]
        else:
            named = group_by_label(groups)
            if UNGROUPED in named.values():
                raise no_such_group()
            if unknown := named.keys() - set(self.run_ids):
                raise InvalidInputError(f"groups names runs that are not there: {', '.join(some_of(sorted(unknown)))}")
            of_run = [named.get(run, UNGROUPED) for run in self.run_ids]
        codes, names = pd.factorize(np.array(of_run, dtype=object))
        return [visible(str(name)) for name in names], codes.astype(np.int64)

    def _line(self) -> str:
        return f"{counted(len(self.runs), 'run')}, {self.part}, topk={self.topk}: {self.uri}"

    def _html(self) -> Iterator[str]:
        shown = ("run", "run_name", "experiment", "size")
        yield html_table(self.runs.head(MOST_ROWS)[list(shown)], of=len(self.runs))
        yield html_list([f"skipped {run.name} ({run.run_id}): {run.reason}" for run in self.skipped])
