"""The tables that a paper prints, from numbers and labels: a frame, and LaTeX."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.checks import check_folder_of
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.measures import Value
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.overlap.seeds import SeedOverlap
from gradiend_mlflow.overlap.statistics.frames import pairs_of
from gradiend_mlflow.wording import PROBABILITIES, braces_match, latex_prose, latex_text

# What a paper prints above a column, in LaTeX.
_HEADINGS = {
    "a": "run",
    "b": "run",
    "group_a": "group",
    "group_b": "group",
    "intersection": "shared",
    "intersection_frac": "of the smaller set",
    "jaccard": "Jaccard index",
    "mass_overlap": "of the importance",
    "cosine": "cosine, unsigned",
    "cosine_signed": "cosine",
    "spearman": r"Spearman's $\rho$, unsigned",
    "spearman_signed": r"Spearman's $\rho$",
    "sign_agreement": "agreement in sign",
    "rbo": "RBO",
    "expected": "by chance",
    "p_value": "$p$",
    "q_value": "$q$",
    "seed_pairs": "seed pairs",
}
_SMALLEST = 1e-300


def pair_table(overlap: Overlap | SeedOverlap, value: Value, most: int | None = None) -> pd.DataFrame:
    """One row per pair of runs, the `most` overlapping first, by default all; see `Comparison.to_frame`."""
    matrices = _of_sets(overlap) if isinstance(overlap, Overlap) else _of_seeds(overlap, value)
    matrices = {value: overlap.values(value)} | {name: m for name, m in matrices.items() if name != value}
    rows, columns, names = pairs_of(overlap.labels)
    first = np.argsort(-matrices[value][rows, columns], kind="stable")[:most]
    cells = {name: m[rows[first], columns[first]] for name, m in matrices.items()}
    return pd.DataFrame({name: own[first] for name, own in names.items()} | cells)


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


def block_means(
    labels: Sequence[str], matrix: npt.NDArray[Any], groups: Mapping[str, str], *, control: str | None = None
) -> pd.DataFrame:
    """How much runs overlap within each group and between each two: one row per block of the matrix.

    Groups are in the order of their first runs, the control last.

    Raises:
        InvalidInputError: If `control` is not a group.

    Returns:
        The columns group_a, group_b, pairs (of different runs), mean and max; NaN for a group of one run.

    Example:
        >>> matrix = np.array([[1.0, 0.5, 0.1], [0.5, 1.0, 0.3], [0.1, 0.3, 1.0]])
        >>> block_means(["a", "b", "c"], matrix, {"a": "x", "b": "x", "c": "y"}).to_dict("list")["mean"]
        [0.5, 0.2, nan]
    """
    names = list(dict.fromkeys(groups[label] for label in labels))
    if control is not None:
        if control not in names:
            raise InvalidInputError(f"control must be one of the groups, {', '.join(names)}; got {control!r}")
        names.sort(key=control.__eq__)
    group_ids = np.array([names.index(groups[label]) for label in labels])
    rows, columns = np.triu_indices(len(labels), k=1)
    pairs = pd.DataFrame(np.sort(group_ids[np.array([rows, columns])], axis=0).T, columns=["a", "b"])
    pairs["value"] = matrix[rows, columns].astype(float)
    found = pairs.groupby(["a", "b"])["value"].agg(["size", "mean", "max"])
    blocks = list(combinations_with_replacement(range(len(names)), 2))
    found = found.reindex(pd.MultiIndex.from_tuples(blocks)).reset_index(drop=True)
    found.insert(0, "group_a", [names[a] for a, _ in blocks])
    found.insert(1, "group_b", [names[b] for _, b in blocks])
    return found.rename(columns={"size": "pairs"}).fillna({"pairs": 0}).astype({"pairs": "int64"})


@dataclass(frozen=True)
class LatexStyle:
    """How a table is printed; `Comparison.to_latex` describes the options.

    Raises:
        InvalidInputError: If `float_format` is neither a %-format for one number nor callable, `label` cannot be one,
            or the braces of a caption or heading do not match.
    """

    float_format: str | Callable[[float], str] | None = None
    columns: Sequence[str] | None = None
    caption: str | None = None
    label: str | None = None
    headings: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if self.label is not None and (not self.label or re.search(r"[\\{}%#~$&^,\s]", self.label)):
            raise InvalidInputError(
                "label must be a name for \\label, without blanks, braces and any of \\ % # ~ $ & ^ and comma; got "
                f"{self.label!r}"
            )
        for text in filter(None, [self.caption, *(self.headings or {}).values()]):
            if not braces_match(text):
                raise InvalidInputError(f"the braces of a caption or heading must match; got {text!r}")
        if self.float_format is None or callable(self.float_format):
            return
        try:
            str.__mod__(self.float_format, 0.5)  # a number has a % of its own
        except (TypeError, ValueError) as error:
            raise InvalidInputError(
                f"float_format must be a %-format such as '%.2f', or a callable; got {self.float_format!r} ({error})"
            ) from error

    def number(self, number: float) -> str:
        """A number in LaTeX."""
        if callable(self.float_format):
            return self.float_format(number)
        text = (f"{number:#.3g}" if number else "0") if self.float_format is None else self.float_format % number
        mantissa, _, power = text.partition("e")
        mantissa = mantissa.removesuffix(".")
        if power:
            return rf"${mantissa} \cdot 10^{{{int(power)}}}$"
        return f"${mantissa}$" if mantissa.startswith("-") else mantissa

    def heading(self, column: str, *, of_run: bool = False) -> str:
        """What stands above a column, which is what it is called if it is that of a run."""
        given, usual = (self.headings or {}).get(column), None if of_run else _HEADINGS.get(column)
        return _in_row(latex_prose(given) if given else usual or latex_text(column))


def latex_of(frame: pd.DataFrame, style: LatexStyle | None = None, *, of_runs: bool = False) -> str:
    """A frame without its index as a LaTeX tabular for the package booktabs; `of_runs` if columns are those of runs.

    Raises:
        InvalidInputError: If the style names a column that the frame does not have.
    """
    style = style or LatexStyle()
    chosen = list(frame.columns) if style.columns is None else list(style.columns)
    if unknown := [str(name) for name in [*chosen, *(style.headings or {})] if name not in frame.columns]:
        raise InvalidInputError(
            f"the table has no column {', '.join(unknown)}; its columns are {', '.join(map(str, frame.columns))}"
        )
    cells = {
        name: [_cell(cell, style, probability=name in PROBABILITIES and not of_runs) for cell in frame[name]]
        for name in chosen
    }
    numbers = ["r" if pd.api.types.is_numeric_dtype(frame[name]) else "l" for name in chosen]
    printed = pd.DataFrame(cells, columns=chosen, dtype=object)
    # pandas takes what it is given here for a format of the column's own name.
    headings = [style.heading(name, of_run=of_runs).replace("{", "{{").replace("}", "}}") for name in chosen]
    shown = printed.style.relabel_index(headings, axis="columns")
    # pandas would cut a large table without a word.
    with pd.option_context("styler.render.max_elements", printed.size + 1):
        return str(
            shown.hide(axis="index").to_latex(
                hrules=True,
                column_format="".join(numbers),
                caption=None if style.caption is None else latex_prose(style.caption),
                label=style.label,
                position_float=None if style.caption is None else "centering",
            )
        )


def write_table(text: str, path: str | PathLike[str] | None) -> str:
    """Return a table's text, and write it to a file if one is named.

    Raises:
        InvalidInputError: If the file lies in a folder that is not there.
    """
    if path is not None:
        check_folder_of("path", path).write_text(text, encoding="utf-8")
    return text


def _cell(cell: Any, style: LatexStyle, *, probability: bool) -> str:
    if isinstance(cell, str):
        return _in_row(latex_text(cell))
    if pd.isna(cell):
        return "--"
    if isinstance(cell, (int, np.integer)):
        return str(cell)
    if probability and cell < _SMALLEST:
        return rf"$< 10^{{{math.log10(_SMALLEST):.0f}}}$"
    return style.number(float(cell))


def _in_row(text: str) -> str:
    """At the beginning of a row LaTeX takes these two for an option of the end of the row before, or of its rule."""
    return "{}" + text if text.startswith(("[", "*")) else text
