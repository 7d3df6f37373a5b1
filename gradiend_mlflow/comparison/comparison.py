"""What a comparison holds: runs, their sets, their numbers, and the tables and figures that show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import Literal, get_args

import pandas as pd

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.comparison.compared import Compared
from gradiend_mlflow.comparison.difference import ComparisonDifference, difference_of_comparisons
from gradiend_mlflow.comparison.drawn import Drawn
from gradiend_mlflow.comparison.page.notebook import (
    MOST_DRAWN,
    html_pairs,
    html_picture,
    html_skipped,
    on_any_background,
)
from gradiend_mlflow.comparison.said.answers import answer_in_short, answers_of
from gradiend_mlflow.comparison.tables import LatexStyle, block_means, latex_of, write_table
from gradiend_mlflow.display.results import Shown, html_link, html_list, html_text
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.grouping import GroupedOverlap
from gradiend_mlflow.overlap.shared_weights import shared_weights
from gradiend_mlflow.overlap.statistics.chance import Chance
from gradiend_mlflow.sets.anatomy.naming import Grouping, Naming
from gradiend_mlflow.wording import counted, csv_of

Table = Literal["pairs", "groups", "matrix"]


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Drawn, Shown):
    """The overlap of some runs' top-k sets, with the runs.

    Attributes:
        overlap: The numbers of the sets; rows and columns in the order of `runs`. A `NeuronOverlap` if that was asked.
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
        page: Where MLflow's UI shows that run; for a database followed by the command that starts the UI.
    """

    @cached_property
    def regions(self) -> dict[tuple[str, ...], int]:
        """How many weights lie in exactly these runs and in no other; see `Overlap.regions`."""
        return self._one_set_per_label.regions

    def _line(self) -> str:
        run = "" if self.run_id is None else f", run_id={self.run_id!r}"
        return f"{counted(len(self.shown.labels), 'run')}, {self.subject}: {answer_in_short(self)}{run}"

    def _headline(self) -> str:
        return answers_of(self)[0][0]

    def _html(self) -> Iterator[str]:
        (_, *more), *others = answers_of(self)
        yield html_text(" ".join([*more, *(sentence for topic in others for sentence in topic)]))
        if len(self.shown.labels) <= MOST_DRAWN:
            with on_any_background():
                figure = self.plot_heatmap()
            yield html_picture(figure, self._headline())
        yield html_pairs(self.pairs, self.value)
        yield html_list(self.notes)
        yield html_skipped([(run.name, run.reason) for run in self.skipped])
        yield html_link(self.page)

    def chance(self, *, population: int | None = None) -> Chance:
        """What chance alone would give for each pair of sets; see `Overlap.chance`."""
        return self.overlap.chance(population=population)

    def difference(self, other: Compared, *, names: tuple[str, str] | None = None) -> ComparisonDifference:
        """What changes from another comparison to this one - of another k, part, base model or week - by label.

        Args:
            other: The comparison that is subtracted.
            names: What this one and the other are called in figures and tables; default what tells them apart: part
                and k, experiments or base models, or else "first" and "second".

        Raises:
            InvalidInputError: If the two show different measures, or have fewer than two labels in common.

        Example:
            ::

                change = compare(topk=1000).difference(compare(topk=100))
                change.plot_heatmap(figsize="column")
                change.to_latex(path="change.tex")
        """
        return difference_of_comparisons(self, other, names)

    def by_layer(self, *, naming: Naming = "architecture") -> GroupedOverlap:
        """The overlap within each layer; see `Overlap.by_layer`."""
        return self.overlap.by_layer(naming=naming)

    def by_component(self, *, naming: Naming = "architecture") -> GroupedOverlap:
        """The overlap within each kind of parameter; see `Overlap.by_component`."""
        return self.overlap.by_component(naming=naming)

    def by_param(self) -> GroupedOverlap:
        """The overlap within each parameter; see `Overlap.by_param`."""
        return self.overlap.by_param()

    def by_split(self, *, topk: int | None = None) -> GroupedOverlap:
        """The overlap within each component that gradiend has trained apart; see `Overlap.by_split`."""
        return self.overlap.by_split(topk=topk)

    def by_head(self) -> GroupedOverlap:
        """The overlap within each attention head; see `Overlap.by_head`."""
        return self.overlap.by_head()

    def by_neuron(self, *, most: int = 50) -> GroupedOverlap:
        """The overlap within each output unit of a matrix; see `Overlap.by_neuron`."""
        return self.overlap.by_neuron(most=most)

    def by_token(self, *, most: int = 50) -> GroupedOverlap:
        """The overlap within the embedding of each token; see `Overlap.by_token`."""
        return self.overlap.by_token(most=most)

    def by_group(self, grouping: Grouping, *, naming: Naming = "architecture") -> GroupedOverlap:
        """The overlap within each group of parameters; see `Overlap.by_group`."""
        return self.overlap.by_group(grouping, naming=naming)

    def shared_weights(self, *, min_runs: int = 2) -> pd.DataFrame:
        """The weights, or neurons, that several runs' sets hold, those of most runs first.

        Args:
            min_runs: How many runs at least; 1 gives every weight of any set.

        Returns:
            One row per weight: param, offset, coordinates (index tuple into the parameter), layer, component, head,
            neuron and token as in `TopKSet.to_frame`, n_runs, runs (labels), ranks (from 1) and weights (signed;
            tuples for several latent neurons) in the order of `runs`, and sign_agreement: the share of the runs with
            the more frequent sign, in [0.5, 1] where no weight is 0; the mean over latent neurons; NaN where weights
            are unknown or the numbers of latent neurons differ. With `unit="neuron"` one row per neuron: the same
            without offset, coordinates, weights and sign_agreement, and with importances in the order of `runs`.

        Raises:
            InvalidInputError: If `min_runs` is not between 1 and the number of runs.
        """
        return shared_weights(self.overlap, min_runs=min_runs)

    def to_frame(self, table: Table = "pairs", *, control: str | None = None, relative: bool = False) -> pd.DataFrame:
        """A table for a paper.

        Args:
            table: "pairs": a row per pair of runs, most overlapping first, with the value, the number of shared
                weights or neurons, and what chance would give (with aggregated seeds: the number of pairs of seeds,
                and their dispersion). "groups": a row per group and per two groups, with the number of pairs and their
                mean and largest value. "matrix": as `matrix`.
            control: Of the groups, the one that comes last.
            relative: Of the matrix, the overlap of trainings relative to what their seeds allow; see
                `SeedOverlap.relative`.

        Raises:
            InvalidInputError: If `table` is none of these, or an option belongs to another table; of `relative`, if no
                training has two seeds in the comparison, or the measure may be negative.
        """
        check_choice("table", table, get_args(Table))
        if (control is not None and table != "groups") or (relative and table != "matrix"):
            raise InvalidInputError(f"control belongs to the table groups, relative to matrix; got table={table!r}")
        if table == "pairs":
            return self.pairs.copy()
        if table == "matrix":
            if not relative:
                return self.matrix
            self.trainings.check_several()
            return self.trainings.to_frame(self.value, relative=True)
        if self.groups is None:
            raise InvalidInputError("there are no groups for a table of them: pass groups to compare")
        return block_means(self.shown.labels, self.shown.values(self.value), self.groups, control=control)

    def to_csv(
        self,
        table: Table = "pairs",
        *,
        path: str | PathLike[str] | None = None,
        control: str | None = None,
        relative: bool = False,
    ) -> str:
        """The table of `to_frame` as CSV, with all digits; also written to `path` if that is given.

        A label that a spreadsheet would take for a formula, because it begins with =, +, - or @, gets an apostrophe
        before it. Numbers are read back exactly as they are in `to_frame`; a label, without that apostrophe.
        """
        frame = self.to_frame(table, control=control, relative=relative)
        return write_table(csv_of(frame, index=table == "matrix"), path)

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
        relative: bool = False,
    ) -> str:
        r"""The table of `to_frame` as a LaTeX tabular for the package booktabs.

        Args:
            table: As for `to_frame`.
            path: A file to write it to as well.
            float_format: How to write numbers: a %-format such as "%.2f", or a callable that gives LaTeX; default
                three significant digits (0.5 is 0.500), small numbers as powers of ten. Probabilities too small for a
                float are "< 10^{-300}", a missing number is a dash.
            columns: The columns to keep, by their names in the frame, in this order; default all.
            caption: A caption, which makes the tabular a table. It may hold maths between dollar signs and commands;
                elsewhere %, &, #, _ and ^ are escaped, so that plain text is printed as it is.
            label: What `\ref` calls that table: no blanks, no braces and none of \ % # ~ $ & ^ and comma.
            headings: What to print above columns, by their names in the frame; default what a paper prints:
                "shared" for intersection, "of the smaller set" for intersection_frac, "$p$" for p_value, and so on.
                As a caption, they may hold maths and commands.
            control: As for `to_frame`.
            relative: As for `to_frame`.

        Raises:
            InvalidInputError: As for `to_frame`, or if there is no such column, an option is not acceptable, or `path`
                lies in a folder that is not there.
        """
        frame = self.to_frame(table, control=control, relative=relative)
        style = LatexStyle(float_format, columns, caption, label, headings)
        of_runs = table == "matrix"
        shown = frame.rename_axis("run").reset_index() if of_runs else frame
        return write_table(latex_of(shown, style, of_runs=of_runs), path)
