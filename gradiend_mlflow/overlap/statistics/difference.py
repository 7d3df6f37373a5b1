"""What changes between two matrices of overlaps over the same runs: of another k, part, base model or week."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.display.results import Shown, html_table
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.sets.space import Matrix
from gradiend_mlflow.wording import counted, named, some_of

_FEWEST = 2
Unit = Literal["weight", "neuron"]


@dataclass(frozen=True, eq=False, repr=False)
class OverlapDifference(Shown):
    """Two matrices of the same measure over their common labels; returned by `difference`.

    Attributes:
        value: The measure.
        labels: The labels that both have, in the order of the first; length N.
        first: The overlap in the first; float64, shape (N, N).
        second: The overlap in the second; float64, shape (N, N).
        left_out: The labels that only one of them has.
        unit: What overlaps: "weight" or "neuron".
        names: What the first and the second are called in figures and tables.

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> def overlap_of(**lists):
        ...     return compute_overlap({name: TopKSet.from_indices(own, space=9) for name, own in lists.items()})
        >>> change = overlap_of(a=[0, 1], b=[0, 1], c=[5]).difference(overlap_of(b=[0, 2], a=[0, 1]))
        >>> change.to_frame()
             a    b
        a  0.0  0.5
        b  0.5  0.0
        >>> change.left_out
        ('c',)
    """

    value: str
    labels: tuple[str, ...]
    first: Matrix = field(repr=False)
    second: Matrix = field(repr=False)
    left_out: tuple[str, ...]
    unit: Unit = "weight"
    names: tuple[str, str] = ("first", "second")

    @property
    def matrix(self) -> Matrix:
        """`first` minus `second`; float64, shape (N, N).

        NaN on the diagonal if one of them has trainings whose seeds are aggregated, and the other has single sets: of
        the one the diagonal is how far seeds agree, of the other it is a set with itself.
        """
        difference: Matrix = self.first - self.second
        return difference

    def values(self, value: str) -> Matrix:
        """`matrix`, if that is the measure.

        Raises:
            InvalidInputError: If it is another one.
        """
        if value != self.value:
            raise InvalidInputError(f"this is the difference of {self.value}; for {value}, take that of it")
        return self.matrix

    def to_frame(self) -> pd.DataFrame:
        """`matrix` with the labels on both axes."""
        return pd.DataFrame(self.matrix, index=list(self.labels), columns=list(self.labels))

    def to_pairs(self) -> pd.DataFrame:
        """One row per pair, the largest change first, up or down: a, b, first, second and difference."""
        rows, columns = np.triu_indices(len(self.labels), k=1)
        names = np.array(self.labels, dtype=object)
        first, second = self.first[rows, columns], self.second[rows, columns]
        frame = pd.DataFrame(
            {"a": names[rows], "b": names[columns], "first": first, "second": second, "difference": first - second}
        )
        order = np.argsort(-frame["difference"].abs().to_numpy(), kind="stable")
        return frame.iloc[order].reset_index(drop=True)

    def _line(self) -> str:
        out = f", {len(self.left_out)} left out" if self.left_out else ""
        first, second = self.names
        return (
            f"{self.value}, {first} minus {second}, of {counted(len(self.labels), 'label')}{out}: {named(self.labels)}"
        )

    def _html(self) -> Iterator[str]:
        percent = [] if self.value == "intersection" else ["first", "second", "difference"]
        yield html_table(self.to_pairs(), percent=percent)


def difference_of(
    value: str,
    first: tuple[Sequence[str], npt.NDArray[Any]],
    second: tuple[Sequence[str], npt.NDArray[Any]],
    *,
    unit: Unit = "weight",
    names: tuple[str, str] = ("first", "second"),
    has_diagonal: bool = True,
) -> OverlapDifference:
    """The difference of two matrices, each with its labels; `has_diagonal` says whether their diagonals mean the same.

    Raises:
        InvalidInputError: If they have fewer than two labels in common, or `names` are not two different strings.
    """
    if not (isinstance(names, tuple) and len(names) == 2 and all(isinstance(name, str) for name in names)) or (  # noqa: PLR2004
        names[0] == names[1]
    ):
        raise InvalidInputError(f"names must be two different strings, for the first and the second; got {names!r}")
    (labels, matrix), (others, other) = first, second
    common = tuple(label for label in labels if label in others)
    if len(common) < _FEWEST:
        raise InvalidInputError(
            f"a difference needs at least two labels in common; got {', '.join(common) or 'none'} of "
            f"{', '.join(some_of(list(labels)))} and {', '.join(some_of(list(others)))}"
        )
    places = [[list(names).index(label) for label in common] for names in (labels, others)]
    one, two = (
        np.asarray(values, dtype=np.float64)[np.ix_(rows, rows)]
        for values, rows in zip((matrix, other), places, strict=True)
    )
    left_out = tuple(label for label in dict.fromkeys([*labels, *others]) if label not in common)
    if not has_diagonal:
        np.fill_diagonal(one, np.nan)
    return OverlapDifference(value, common, one, two, left_out, unit, names)
