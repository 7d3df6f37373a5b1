"""The tables that a paper prints, from numbers and labels: a frame, and LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.overlap.frames import pairs_of
from gradiend_mlflow.overlap.measures import Value
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.overlap.seeds import SeedOverlap


def pair_table(overlap: Overlap | SeedOverlap, value: Value) -> pd.DataFrame:
    """One row per pair of runs, most overlapping first; see `Comparison.to_frame`."""
    matrices = _of_sets(overlap) if isinstance(overlap, Overlap) else _of_seeds(overlap, value)
    matrices = {value: overlap.values(value)} | {name: m for name, m in matrices.items() if name != value}
    rows, columns, names = pairs_of(overlap.labels)
    frame = pd.DataFrame(names | {name: m[rows, columns] for name, m in matrices.items()})
    return frame.iloc[np.argsort(-frame[value].to_numpy(), kind="stable")].reset_index(drop=True)


def _of_sets(overlap: Overlap) -> dict[str, npt.NDArray[Any]]:
    chance = overlap.chance()
    return {
        "intersection": overlap.intersection,
        "expected": chance.expected,
        "lift": chance.lift,
        "p_value": chance.p_value,
        "q_value": chance.q_value,
    }


def _of_seeds(overlap: SeedOverlap, value: Value) -> dict[str, npt.NDArray[Any]]:
    spread = overlap.dispersion(value)
    if spread is None:
        return {"seed_pairs": overlap.n}
    if overlap.policy.dispersion == "minmax":
        return {"seed_pairs": overlap.n, "lowest": spread[..., 0], "highest": spread[..., 1]}
    return {"seed_pairs": overlap.n, overlap.policy.dispersion: spread}


def block_means(labels: Sequence[str], matrix: npt.NDArray[Any], groups: Mapping[str, str]) -> pd.DataFrame:
    """How much runs overlap within each group and between each two: one row per block of the matrix.

    Returns:
        The columns group_a, group_b, pairs (of different runs), mean and max; NaN for a group of one run.

    Example:
        >>> matrix = np.array([[1.0, 0.5, 0.1], [0.5, 1.0, 0.3], [0.1, 0.3, 1.0]])
        >>> block_means(["a", "b", "c"], matrix, {"a": "x", "b": "x", "c": "y"}).to_dict("list")["mean"]
        [0.5, 0.2, nan]
    """
    group_ids, names = pd.factorize(np.array([groups[label] for label in labels], dtype=object))
    rows, columns = np.triu_indices(len(labels), k=1)
    pairs = pd.DataFrame(np.sort(group_ids[np.array([rows, columns])], axis=0).T, columns=["a", "b"])
    pairs["value"] = matrix[rows, columns].astype(float)
    found = pairs.groupby(["a", "b"])["value"].agg(["size", "mean", "max"])
    blocks = list(combinations_with_replacement(range(len(names)), 2))
    found = found.reindex(pd.MultiIndex.from_tuples(blocks)).reset_index(drop=True)
    found.insert(0, "group_a", [names[a] for a, _ in blocks])
    found.insert(1, "group_b", [names[b] for _, b in blocks])
    return found.rename(columns={"size": "pairs"}).fillna({"pairs": 0}).astype({"pairs": "int64"})


def latex_of(frame: pd.DataFrame) -> str:
    """A frame without its index as a LaTeX tabular for the package booktabs; numbers have three significant digits."""
    shown = frame.style.format(_cell, na_rep="--", escape="latex").format_index(escape="latex", axis="columns")
    # pandas would cut a large table without a word.
    with pd.option_context("styler.render.max_elements", frame.size + 1):
        return str(shown.hide(axis="index").to_latex(hrules=True))


def _cell(cell: Any) -> str:
    """Small numbers in powers of ten; strings come escaped."""
    if isinstance(cell, str):
        # After the end of a row LaTeX takes these two for an option of it.
        return "{}" + cell if cell.startswith(("[", "*")) else cell
    if isinstance(cell, (int, np.integer)):
        return str(cell)
    mantissa, _, power = f"{cell:.3g}".partition("e")
    return rf"${mantissa} \cdot 10^{{{int(power)}}}$" if power else mantissa.replace("-", "$-$")
