"""A comparison as the tables that a paper prints: frame, CSV, LaTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.sets.space import Matrix

if TYPE_CHECKING:
    from gradiend_mlflow.comparison.comparison import Comparison
    from gradiend_mlflow.overlap.seeds import SeedOverlap

Table = Literal["pairs", "groups", "matrix"]

_ALL = "all"
# What LaTeX reads as a command, and how it prints it.
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: "\\" + character for character in "&%$#_{}"},
}


def table_of(comparison: Comparison, table: Table) -> pd.DataFrame:
    """One of a comparison's tables; see `Comparison.to_frame`."""
    check_choice("table", table, get_args(Table))
    if table == "matrix":
        return comparison.matrix
    if table == "groups":
        labels = comparison.shown.labels
        groups = comparison.groups or dict.fromkeys(labels, _ALL)
        return block_means(labels, comparison.shown.values(comparison.value), groups)
    return comparison.pairs.copy()


def pair_table(comparison: Comparison) -> pd.DataFrame:
    """One row per pair of runs, most overlapping first; see `Comparison.to_frame`."""
    shown, value = comparison.shown, comparison.value
    rows, columns = np.triu_indices(len(shown.labels), k=1)
    numbers = shown.values(value)[rows, columns]
    names = np.array(shown.labels, dtype=object)
    of_pairs = _sets_columns(shown) if isinstance(shown, Overlap) else _seeds_columns(shown, comparison)
    frame = pd.DataFrame(
        {
            "a": names[rows],
            "b": names[columns],
            value: numbers,
            **{name: matrix[rows, columns] for name, matrix in of_pairs.items() if name != value},
        }
    )
    return frame.iloc[np.argsort(-numbers, kind="stable")].reset_index(drop=True)


def _sets_columns(overlap: Overlap) -> dict[str, Any]:
    chance = overlap.chance()
    return {
        "intersection": overlap.intersection,
        "expected": chance.expected,
        "lift": chance.lift,
        "p_value": chance.p_value,
        "q_value": chance.q_value,
    }


def _seeds_columns(overlap: SeedOverlap, comparison: Comparison) -> dict[str, Any]:
    columns: dict[str, Any] = {"seed_pairs": overlap.n}
    spread = overlap.dispersion(comparison.value)
    if spread is None:
        return columns
    if spread.ndim == 3:  # noqa: PLR2004  # both ends
        return {**columns, "lowest": spread[..., 0], "highest": spread[..., 1]}
    return {**columns, overlap.policy.dispersion: spread}


def as_csv(comparison: Comparison, table: Table, path: str | PathLike[str] | None) -> str:
    """A table as CSV; see `Comparison.to_csv`."""
    frame = table_of(comparison, table)
    return _written(frame.to_csv(index=table == "matrix", lineterminator="\n"), path)


def as_latex(comparison: Comparison, table: Table, path: str | PathLike[str] | None) -> str:
    """A table as LaTeX; see `Comparison.to_latex`."""
    frame = table_of(comparison, table)
    if table == "matrix":
        frame = frame.rename_axis("run").reset_index()
    aligned = "".join("r" if pd.api.types.is_numeric_dtype(frame[name]) else "l" for name in frame)
    lines = [
        rf"\begin{{tabular}}{{{aligned}}}",
        r"\toprule",
        _line([_escaped(str(name)) for name in frame]),
        r"\midrule",
        *(_line([_cell(cell) for cell in row]) for row in frame.itertuples(index=False)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return _written("\n".join(lines) + "\n", path)


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(cell: Any) -> str:
    """Three significant digits; small numbers in powers of ten; a dash for what is not there."""
    if isinstance(cell, str):
        return _escaped(cell)
    if pd.isna(cell):
        return "--"
    if isinstance(cell, (int, np.integer)):
        return str(cell)
    text = f"{cell:.3g}"
    mantissa, _, power = text.partition("e")
    return rf"${mantissa} \cdot 10^{{{int(power)}}}$" if power else text.replace("-", "$-$")


def _escaped(text: str) -> str:
    return re.sub(r"[\\~^&%$#_{}]", lambda found: _LATEX[found.group()], text)


def _written(text: str, path: str | PathLike[str] | None) -> str:
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


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
