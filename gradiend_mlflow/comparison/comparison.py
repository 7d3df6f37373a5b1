"""What a comparison holds: runs, their sets, their numbers, and the tables and figures that show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.comparison.compared import Compared, column_by_label
from gradiend_mlflow.comparison.tables import LatexStyle, block_means, latex_of, pair_table
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.curve import OverlapCurve
from gradiend_mlflow.overlap.grouping import GroupedOverlap
from gradiend_mlflow.overlap.overlap import Overlap, compute_overlap
from gradiend_mlflow.overlap.shared_weights import shared_weights
from gradiend_mlflow.overlap.statistics.chance import Chance
from gradiend_mlflow.overlap.statistics.group_test import GroupTest
from gradiend_mlflow.sets.anatomy.naming import Grouping, Naming
from gradiend_mlflow.wording import csv_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

Table = Literal["pairs", "groups", "matrix"]


@dataclass(frozen=True, eq=False)
class Comparison(Compared):
    """The overlap of some runs' top-k sets, with the runs.

    Attributes:
        overlap: The numbers of the sets; rows and columns in the order of `runs`.
        sets: The set of each run, by label, cut to `topk`.
        stored: The same sets with all the weights that were logged; `overlap_curve` uses them.
        runs: The rows of `search_runs`, with a first column `label`.
        part: Which of gradiend's four importances was compared.
        topk: The number or fraction that was asked for.
        value: The measure that `matrix`, the tables and the heatmap show.
        seed_overlap: The numbers of the trainings whose seeds are `runs`, if the seeds are aggregated; else None.
        groups: The group of each label of `matrix`, or None.
        skipped: The runs that were asked for and are not compared, each with the reason.
        notes: Caveats: base models of several names, selections without a common parameter, runs that did not
            converge.
        run_id: MLflow's id of the comparison run, or None if it was not logged.
    """

    @cached_property
    def whole(self) -> Overlap:
        """The overlap of `stored`, that is of all the weights that were logged."""
        if all(len(self.sets[label]) == len(whole) for label, whole in self.stored.items()):
            return self.overlap
        return compute_overlap(self.stored, rbo_p=self.overlap.rbo_p)

    @cached_property
    def regions(self) -> dict[tuple[str, ...], int]:
        """How many weights lie in exactly these runs and in no other; see `Overlap.regions`."""
        return self._one_set_per_label.regions

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """The table of pairs, of which `to_frame` returns a copy."""
        return pair_table(self.shown, self.value)

    def chance(self, *, population: int | None = None) -> Chance:
        """What chance alone would give for each pair of sets; see `Overlap.chance`."""
        return self.overlap.chance(population=population)

    def by_layer(self, *, naming: Naming = "architecture") -> GroupedOverlap:
        """The overlap within each layer; see `Overlap.by_layer`."""
        return self.overlap.by_layer(naming=naming)

    def by_component(self, *, naming: Naming = "architecture") -> GroupedOverlap:
        """The overlap within each kind of parameter; see `Overlap.by_component`."""
        return self.overlap.by_component(naming=naming)

    def by_param(self) -> GroupedOverlap:
        """The overlap within each parameter; see `Overlap.by_param`."""
        return self.overlap.by_param()

    def by_group(self, grouping: Grouping, *, naming: Naming = "architecture") -> GroupedOverlap:
        """The overlap within each group of parameters; see `Overlap.by_group`."""
        return self.overlap.by_group(grouping, naming=naming)

    def overlap_curve(self, ks: Sequence[int] | None = None) -> OverlapCurve:
        """Every pair's overlap as k grows up to the size of the smallest logged set; see `Overlap.overlap_curve`."""
        return self.whole.overlap_curve(ks)

    def shared_weights(self, *, min_runs: int = 2) -> pd.DataFrame:
        """The weights that several runs' sets hold, those of most runs first.

        Args:
            min_runs: How many runs at least; 1 gives every weight of any set.

        Returns:
            One row per weight: param, offset, coordinates (index tuple into the parameter), n_runs, runs (labels),
            ranks (from 1) and weights (signed; tuples for several latent neurons) in the order of `runs`, and
            sign_agreement: the share of the runs with the more frequent sign, in [0.5, 1] where no weight is 0; the
            mean over latent neurons; NaN where weights are unknown or the numbers of latent neurons differ.

        Raises:
            InvalidInputError: If `min_runs` is not between 1 and the number of runs.
        """
        return shared_weights(self.overlap, min_runs=min_runs)

    def to_frame(self, table: Table = "pairs", *, control: str | None = None, relative: bool = False) -> pd.DataFrame:
        """A table for a paper.

        Args:
            table: "pairs": a row per pair of runs, most overlapping first, with the value, the number of shared
                weights, and what chance would give (with aggregated seeds: the number of pairs of seeds, and their
                dispersion). "groups": a row per group and per two groups, with the number of pairs and their mean
                and largest value; without groups all runs are one group, "all". "matrix": as `matrix`.
            control: Of the groups, the one that comes last.
            relative: Of the matrix, the overlap of trainings relative to what their seeds allow; see
                `SeedOverlap.relative`.

        Raises:
            InvalidInputError: If `table` is none of these, or an option belongs to another table.
        """
        check_choice("table", table, get_args(Table))
        if (control is not None and table != "groups") or (relative and table != "matrix"):
            raise InvalidInputError(f"control belongs to the table groups, relative to matrix; got table={table!r}")
        if table == "pairs":
            return self.pairs.copy()
        if table == "matrix":
            return self.trainings.to_frame(self.value, relative=True) if relative else self.matrix
        labels = self.shown.labels
        groups = self.groups or dict.fromkeys(labels, "all")
        return block_means(labels, self.shown.values(self.value), groups, control=control)

    def to_csv(
        self, table: Table = "pairs", *, path: str | PathLike[str] | None = None, control: str | None = None
    ) -> str:
        """The table of `to_frame` as CSV, with all digits; also written to `path` if that is given.

        A label that a spreadsheet would take for a formula, because it begins with =, +, - or @, gets an apostrophe
        before it. Numbers are read back exactly as they are in `to_frame`; a label, without that apostrophe.
        """
        return _written(csv_of(self.to_frame(table, control=control), index=table == "matrix"), path)

    def to_latex(
        self,
        table: Table = "pairs",
        *,
        path: str | PathLike[str] | None = None,
        float_format: str | Callable[[float], str] | None = None,
        columns: Sequence[str] | None = None,
        caption: str | None = None,
        label: str | None = None,
        headings: Mapping[str, str] | None = None,
        control: str | None = None,
    ) -> str:
        r"""The table of `to_frame` as a LaTeX tabular for the package booktabs.

        Args:
            table: As for `to_frame`.
            path: A file to write it to as well.
            float_format: How to write numbers: a %-format such as "%.2f", or a callable that gives LaTeX; default
                three significant digits, small numbers as powers of ten. Probabilities too small for a float are
                "< 10^{-300}", a missing number is a dash.
            columns: The columns to keep, by their names in the frame, in this order; default all.
            caption: A caption, in LaTeX, which makes the tabular a table; it is not escaped.
            label: What `\ref` calls that table.
            headings: What to print above columns, by their names in the frame; default what a paper prints:
                "shared" for intersection, "of the smaller set" for intersection_frac, "$p$" for p_value, and so on.
                LaTeX, not escaped.
            control: As for `to_frame`.

        Raises:
            InvalidInputError: As for `to_frame`, or if there is no such column, or an option is not acceptable.
        """
        frame = self.to_frame(table, control=control)
        style = LatexStyle(float_format, columns, caption, label, headings)
        return _written(latex_of(frame.rename_axis("run").reset_index() if table == "matrix" else frame, style), path)

    def plot_groups(
        self, ax: Axes | None = None, *, test: GroupTest | None = None, **options: Any
    ) -> Axes | FigureBase:
        """Draw the overlap of every pair of trainings, by what it is within or between.

        Args:
            ax: Where to draw; default a new figure.
            test: What `test_groups` returned; default the test of `groups`.
            options: As for `gradiend_mlflow.plot_groups`.

        Raises:
            InvalidInputError: As for `test_groups`.
        """
        from gradiend_mlflow.figures.groups import plot_groups

        return plot_groups(self.test_groups() if test is None else test, ax, **options)

    def plot_map(self, ax: Axes | None = None, **options: Any) -> Axes | FigureBase:
        """Draw runs as points, the nearer the more they overlap, in the colors of `groups`.

        Args:
            ax: Where to draw; default a new figure.
            options: As for `gradiend_mlflow.plot_map`.
        """
        from gradiend_mlflow.figures.neighbours import plot_map

        return plot_map(self.map(), ax, **{"groups": self.groups, **options})

    def plot_heatmap(
        self, ax: Axes | None = None, *, row_metric: str | Mapping[str, float] | None = None, **options: Any
    ) -> Any:
        """Draw `matrix`, with brackets around `groups`; runs that did not converge have gradiend's dagger.

        Args:
            ax: Where to draw; default a new figure.
            row_metric: Numbers beside the rows: a column of `runs`, such as "correlation" or "params.learning_rate",
                or a number per label.
            options: As for `gradiend_mlflow.plot_heatmap`, such as `figsize="column"`, "text" or (width, height).

        Returns:
            As `gradiend_mlflow.plot_heatmap`: the figure, or the axes given.

        Raises:
            InvalidInputError: If `row_metric` is no column of numbers, or an option is not acceptable.
        """
        from gradiend_mlflow.figures.heatmap import plot_heatmap

        settings: dict[str, Any] = {
            "value": self.value,
            "groups": self.groups,
            "converged": column_by_label(self, "converged"),
        }
        if options.get("cluster") or options.get("order") == "cluster" or "pretty_groups" in options:
            settings.pop("groups")
        if isinstance(row_metric, str):
            settings["row_metric_label"] = row_metric.rpartition(".")[2]
            row_metric = numbers_by_label(self, row_metric)
        return plot_heatmap(self.shown, ax, **{**settings, "row_metric": row_metric, **options})

    def plot_venn(self, ax: Axes | None = None, **options: Any) -> Axes | FigureBase:
        """Draw which weights 2 to 6 runs share; options as for `gradiend_mlflow.plot_venn`.

        Raises:
            InvalidInputError: If there are more than 6 runs.
        """
        from gradiend_mlflow.figures.venn import plot_venn

        return plot_venn(self._one_set_per_label, ax, **options)

    def plot_upset(self, fig: FigureBase | None = None, **options: Any) -> FigureBase:
        """Draw which weights any number of runs share; options as for `gradiend_mlflow.plot_upset`."""
        from gradiend_mlflow.figures.upset import plot_upset

        return plot_upset(self._one_set_per_label, fig, **options)

    def plot_curve(
        self, ax: Axes | None = None, *, ks: Sequence[int] | None = None, **options: Any
    ) -> Axes | FigureBase:
        """Draw the overlap as k grows, up to what was logged, with `groups` and a line at the k that was compared.

        Args:
            ax: Where to draw; default a new figure.
            ks: As for `overlap_curve`.
            options: As for `gradiend_mlflow.plot_curve`.
        """
        from gradiend_mlflow.figures.curve import plot_curve

        compared = set(self.overlap.sizes.tolist())
        settings = {"groups": self._groups_of_sets, "k": compared.pop() if len(compared) == 1 else None}
        return plot_curve(self.overlap_curve(ks), ax, **{**settings, **options})

    def plot_layers(self, fig: FigureBase | None = None, **options: Any) -> FigureBase:
        """Draw in which layers and components the weights lie; options as for `gradiend_mlflow.plot_layers`."""
        from gradiend_mlflow.figures.layers import plot_layers

        return plot_layers(self._one_set_per_label, fig, **options)

    @property
    def _groups_of_sets(self) -> Mapping[str, str] | None:
        """The group of each label of `overlap`, whose labels are those of seeds if these are aggregated."""
        if self.groups is None or self.seed_overlap is None:
            return self.groups
        of_training = zip(self.seed_overlap.labels, self.seed_overlap.members, strict=True)
        return {self.overlap.labels[row]: self.groups[label] for label, rows in of_training for row in rows}

    @property
    def _one_set_per_label(self) -> Overlap:
        return self.overlap if self.seed_overlap is None else self.seed_overlap.collapsed


def numbers_by_label(comparison: Comparison, column: str) -> dict[str, float]:
    """A column of numbers of a comparison's runs, by label; MLflow's params, which are strings, as what they say.

    Raises:
        InvalidInputError: If there is no such column, or it has something else than numbers.
    """
    if column not in comparison.runs:
        raise InvalidInputError(
            f"the runs have no column {column!r}; they have {', '.join(map(str, comparison.runs.columns))}"
        )
    found = column_by_label(comparison, column)
    try:
        return {label: float("nan" if value is None else value) for label, value in found.items()}
    except (TypeError, ValueError):
        raise InvalidInputError(f"row_metric must be numbers; {column!r} has {[*found.values()]}") from None


def _written(text: str, path: str | PathLike[str] | None) -> str:
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text
