"""A comparison's figures: what is drawn, and with which of its groups, labels and marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gradiend_mlflow.comparison.compared import Compared, column_by_label
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.curve import OverlapCurve
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.overlap.statistics.group_test import GroupTest
from gradiend_mlflow.overlap.units import compute_overlap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase


@dataclass(frozen=True, eq=False, repr=False)
class Drawn(Compared):
    """What `Comparison` shows in figures; its attributes are described there."""

    @cached_property
    def whole(self) -> Overlap:
        """The overlap of `stored`, that is of all the weights that were logged."""
        if all(len(self.sets[label]) == len(whole) for label, whole in self.stored.items()):
            return self.overlap
        return compute_overlap(self.stored, rbo_p=self.overlap.rbo_p, unit=self.unit)

    def overlap_curve(self, ks: Sequence[int] | None = None) -> OverlapCurve:
        """Every pair's overlap as k grows up to the size of the smallest logged set; see `Overlap.overlap_curve`."""
        return self.whole.overlap_curve(ks)

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
        from gradiend_mlflow.figures.near.map import plot_map

        return plot_map(self.map(), ax, **{"groups": self.groups, **options})

    def plot_tree(self, ax: Axes | None = None, **options: Any) -> Axes | FigureBase:
        """Draw runs as the leaves of `tree`, in the colors of `groups`.

        Args:
            ax: Where to draw; default a new figure.
            options: As for `gradiend_mlflow.plot_tree`.
        """
        from gradiend_mlflow.figures.near.tree import plot_tree

        return plot_tree(self.shown, ax, **{"value": self.value, "groups": self.groups, **options})

    def plot_heatmap(
        self,
        ax: Axes | None = None,
        *,
        relative: bool = False,
        row_metric: str | Mapping[str, float] | None = None,
        **options: Any,
    ) -> Any:
        """Draw `matrix`, with brackets around `groups`; runs that did not converge have gradiend's dagger.

        With aggregated seeds, the diagonal has `ceiling`.

        Args:
            ax: Where to draw; default a new figure.
            relative: Draw the overlap of trainings relative to what their seeds allow, also of seeds that are not
                aggregated.
            row_metric: Numbers beside the rows: a column of `runs`, such as "correlation" or "params.learning_rate",
                or a number per label.
            options: As for `gradiend_mlflow.plot_heatmap`, such as `figsize="column"`, "text" or (width, height).

        Returns:
            As `gradiend_mlflow.plot_heatmap`: the figure, or the axes given.

        Raises:
            InvalidInputError: If `row_metric` is no column of numbers, or an option is not acceptable.
        """
        from gradiend_mlflow.figures.heatmap import plot_heatmap

        if relative and self.seed_overlap is None:
            groups = None if self.groups is None else self._by_training(self.groups, "groups")
            trainings = replace(self, seed_overlap=self.trainings, groups=groups)
            return trainings.plot_heatmap(ax, relative=relative, row_metric=row_metric, **options)
        settings: dict[str, Any] = {
            "value": self.value,
            "relative": relative,
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

        Runs that did not converge have gradiend's dagger.

        Raises:
            InvalidInputError: If there are more than 6 runs.
        """
        from gradiend_mlflow.figures.venn import plot_venn

        return plot_venn(self._one_set_per_label, ax, **{"converged": column_by_label(self, "converged"), **options})

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

        compared = set(self.overlap.n_weights.tolist())
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
    def is_empty(self) -> bool:
        """Whether no label has a weight: what all seeds of a training have in common may be none."""
        return not self._one_set_per_label.union_size

    @property
    def _one_set_per_label(self) -> Overlap:
        return self.overlap if self.seed_overlap is None else self.seed_overlap.collapsed


def numbers_by_label(comparison: Compared, column: str) -> dict[str, float]:
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
