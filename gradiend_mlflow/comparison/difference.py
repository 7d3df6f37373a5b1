"""What changes between two comparisons, as a table for a paper and as a figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

from gradiend_mlflow.comparison.compared import Compared
from gradiend_mlflow.comparison.tables import LatexStyle, latex_of, write_table
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.statistics.difference import OverlapDifference
from gradiend_mlflow.wording import csv_of, latex_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase


@dataclass(frozen=True, eq=False, repr=False)
class ComparisonDifference(OverlapDifference):
    """What `Comparison.difference` returns: an `OverlapDifference` with tables and a figure."""

    def to_csv(self, *, path: str | PathLike[str] | None = None) -> str:
        """`to_pairs` as CSV, with `names` above the two numbers; also written to `path` if that is given.

        Raises:
            InvalidInputError: If `path` lies in a folder that is not there.
        """
        names = {"first": self.names[0], "second": self.names[1]}
        return write_table(csv_of(self.to_pairs().rename(columns=names)), path)

    def to_latex(
        self,
        *,
        path: str | PathLike[str] | None = None,
        float_format: str | Callable[[float], str] | None = None,
        caption: str | None = None,
        label: str | None = None,
        headings: Mapping[str, str] | None = None,
    ) -> str:
        """`to_pairs` as a LaTeX tabular, with `names` above the two numbers; options as for `Comparison.to_latex`.

        Raises:
            InvalidInputError: If an option is not acceptable.
        """
        above = {name: latex_text(text) for name, text in zip(("first", "second"), self.names, strict=True)}
        style = LatexStyle(float_format, None, caption, label, {**above, **(headings or {})})
        return write_table(latex_of(self.to_pairs(), style), path)

    def plot_heatmap(self, ax: Axes | None = None, **options: Any) -> Axes | FigureBase:
        """Draw the changes around 0, up to the largest; options as for `gradiend_mlflow.plot_heatmap`."""
        from gradiend_mlflow.figures.heatmap import plot_heatmap

        return plot_heatmap(self, ax, **options)


def difference_of_comparisons(
    one: Compared, other: Compared, names: tuple[str, str] | None = None
) -> ComparisonDifference:
    """What changes from `other` to `one`; see `Comparison.difference`."""
    if not isinstance(other, Compared):
        raise InvalidInputError(f"difference needs another comparison; got {type(other).__name__}")
    if other.value != one.value:
        raise InvalidInputError(
            f"the comparisons show different measures, {one.value!r} and {other.value!r}; "
            "`overlap.difference` takes one"
        )
    found = one.shown.difference(other.shown, value=one.value, names=names or _names_of(one, other))
    return ComparisonDifference(**vars(found))


def _names_of(one: Compared, other: Compared) -> tuple[str, str]:
    """What tells two comparisons apart: part and k, else experiments, else base models, else their order."""
    told: tuple[Callable[[Compared], str], ...] = (
        lambda comparison: comparison.subject,
        lambda comparison: ", ".join(map(str, comparison.runs["experiment"].unique())),
        lambda comparison: ", ".join(map(str, comparison.runs["base_model"].unique())),
    )
    for what in told:
        if what(one) != what(other):
            return what(one), what(other)
    return "first", "second"
