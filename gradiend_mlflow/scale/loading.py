"""What Dask's processes do: load the sets of a block of runs, and compare two blocks. They need no MLflow for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gradiend_mlflow.errors import ArtifactError
from gradiend_mlflow.overlap.layout.block import Block, shared_weights
from gradiend_mlflow.scale.dataset import WEIGHTS, read_table
from gradiend_mlflow.scale.pieces import Piece
from gradiend_mlflow.scale.places import Place
from gradiend_mlflow.sets.space import IntArray

_COLUMNS = pa.schema([WEIGHTS.field(name) for name in ("run", "param", "offset", "rank")])


@dataclass(frozen=True, eq=False)
class Wanted:
    """What a process needs to load a block.

    Attributes:
        place: Where the dataset is.
        files: Its files that have sets of the block.
        runs: The runs' ids; n of them.
        sizes: How many weights of each run's set; shape (n,).
        params: Of each parameter, where it starts in the common space and how many weights it has.
        width: How many weights the common space has.
    """

    place: Place
    files: Sequence[str]
    runs: Sequence[str]
    sizes: IntArray
    params: Mapping[str, tuple[int, int]]
    width: int


def load(wanted: Wanted) -> tuple[Block, Sequence[str]]:
    """The sets of a block, and the ids of their runs.

    Raises:
        ArtifactError: If the files do not hold what the table of runs says.
    """
    row_of = {run: row for row, run in enumerate(wanted.runs)}
    rows, keys = [], []
    for file in wanted.files:
        table = read_table(wanted.place, file, _COLUMNS)
        row = _translated(table["run"], lambda run: row_of.get(run, -1))
        kept = (row >= 0) & (table["rank"].to_numpy() <= wanted.sizes[row])
        offsets = table["offset"].to_numpy()[kept]
        starts, sizes = _translated(table["param"], lambda name: wanted.params.get(name, (0, 0)))[kept].T
        if ((offsets < 0) | (offsets >= sizes)).any():
            raise ArtifactError(f"{wanted.place.uri}/{file} has weights that do not lie in their runs' spaces")
        rows.append(row[kept])
        keys.append(starts + offsets)
    every = np.concatenate(rows)
    if len(wrong := np.flatnonzero(np.bincount(every, minlength=len(row_of)) != wanted.sizes)):
        raise ArtifactError(
            f"{wanted.place.uri} does not have the {wanted.sizes[wrong[0]]:,} weights of the run "
            f"{wanted.runs[wrong[0]]} that its table of runs promises; remove its file there, and export again"
        )
    return Block.of(every, np.concatenate(keys), len(row_of), wanted.width), wanted.runs


def _translated(column: pa.ChunkedArray, meaning: Callable[[str], Any]) -> IntArray:
    """What each cell of a column of texts means, each distinct text asked once."""
    cells = column.combine_chunks()
    of_text = np.array([meaning(text) for text in cells.dictionary.to_pylist()], dtype=np.int64)
    translated: IntArray = of_text[cells.indices.to_numpy()]
    return translated


def compare(left: tuple[Block, Sequence[str]], right: tuple[Block, Sequence[str]], piece: Piece) -> None:
    """Compute a piece, and keep it."""
    (block, runs), (other, others) = left, right
    piece.write(shared_weights(block, other), runs, others)
