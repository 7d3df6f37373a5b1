"""Numbers of pairs as DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.sets.space import IntArray


def square_frame(matrix: npt.NDArray[Any], labels: Sequence[str]) -> pd.DataFrame:
    """A matrix, shape (N, N), with its N labels on both axes."""
    return pd.DataFrame(matrix, index=list(labels), columns=list(labels))


def pairs_of(labels: Sequence[str]) -> tuple[IntArray, IntArray, dict[str, npt.NDArray[np.object_]]]:
    """Row and column of every pair in a symmetric matrix, and the labels of the two as the columns `a` and `b`.

    Example:
        >>> rows, columns, names = pairs_of(["x", "y", "z"])
        >>> rows.tolist(), columns.tolist(), names["b"].tolist()
        ([0, 0, 1], [1, 2, 2], ['y', 'z', 'z'])
    """
    rows, columns = np.triu_indices(len(labels), k=1)
    names = np.array(labels, dtype=object)
    return rows, columns, {"a": names[rows], "b": names[columns]}
