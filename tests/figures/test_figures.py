"""The figures, read back from their artists."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text

from gradiend_mlflow import (
    InvalidInputError,
    Overlap,
    TopKSet,
    WeightSpace,
    compute_overlap,
    plot_curve,
    plot_heatmap,
    plot_layers,
    plot_upset,
    plot_venn,
)
from gradiend_mlflow.figures.layers import layer_shares
from gradiend_mlflow.figures.margins import EMPTY_COLOR
from gradiend_mlflow.sets.picture import topk_figure

SPACE = WeightSpace(
    ("embedding", "layer.0.query", "layer.1.query", "layer.1.output", "layer.10.output"),
    ((10,), (10,), (10,), (10,), (10,)),
)
EXTREMES = {
    "identical": ([1, 2, 30], [1, 2, 30], [1, 2, 30]),
    "disjoint": ([1, 2], [3, 4], [45, 46]),
    "nothing in all": ([1, 2], [2, 43], [43, 1]),
    "contained": ([1, 2, 3, 4], [2, 3], [3]),
}


def family(lists: Any) -> Overlap:
    """Sets of the given weights, called a, b, c."""
    return compute_overlap({n: TopKSet.from_indices(x, space=SPACE) for n, x in zip("abcdef", lists, strict=False)})


def overlap_of(n: int, k: int = 20, size: int = 50, prefix: str = "run") -> Overlap:
    """Some sets that overlap."""
    random = np.random.default_rng(n)
    return compute_overlap(
        {f"{prefix} {i}": TopKSet.from_indices(random.permutation(size)[:k], space=size) for i in range(n)}
    )


@pytest.fixture
def ax() -> Axes:
    """Large axes that pyplot does not know."""
    return Figure(figsize=(12, 10)).subplots()


def texts(axes: Axes) -> list[str]:
    """Everything written on the axes, apart from empty texts."""
    return [text.get_text() for text in axes.texts if text.get_text()]


def ticks(axes: Axes) -> tuple[list[str], list[str]]:
    """The labels of both axes."""
    return [t.get_text() for t in axes.get_xticklabels()], [t.get_text() for t in axes.get_yticklabels()]


class TestHeatmap:
    """`plot_heatmap`."""

    @pytest.mark.parametrize("n", [2, 3, 12, 25])
    def test_cells_say_the_percentages(self, n: int, ax: Axes) -> None:
        """In the order of the labels, which are on both axes."""
        overlap = overlap_of(n)
        assert plot_heatmap(overlap, ax=ax) is ax
        assert texts(ax) == [f"{100 * value:.0f}" for value in overlap.intersection_frac.ravel()]
        assert ticks(ax) == (list(overlap.labels), list(overlap.labels))
        np.testing.assert_allclose(ax.collections[0].get_array().ravel(), 100 * overlap.intersection_frac.ravel())
        assert ax.collections[0].get_clim() == (0, 100)

    def test_counts(self, ax: Axes) -> None:
        """Numbers of weights, on a scale from 0."""
        overlap = overlap_of(3)
        plot_heatmap(overlap, value="intersection", ax=ax)
        assert texts(ax) == [str(value) for value in overlap.intersection.ravel()]
        assert ax.collections[0].get_clim() == (0, 20)

    @pytest.mark.parametrize(
        ("n", "annotated", "labelled"), [(26, False, True), (80, False, True), (200, False, False)]
    )
    def test_many_sets_stay_readable(self, n: int, annotated: bool, labelled: bool) -> None:
        """Without numbers past 25, without labels past 80."""
        ax = plot_heatmap(overlap_of(n))
        assert bool(texts(ax)) is annotated
        assert (len(ticks(ax)[0]) == n) is labelled
        assert ax.get_xlabel() == ("" if labelled else "200 runs")

    def test_annotations_can_be_forced(self, ax: Axes) -> None:
        """Either way."""
        plot_heatmap(overlap_of(2), annot=False, ax=ax)
        assert texts(ax) == []
        plot_heatmap(overlap_of(30), annot=True, ax=ax)
        assert len(texts(ax)) == 900

    def test_title_and_unknown_value(self, ax: Axes) -> None:
        """A title is drawn; a value that is none is refused."""
        assert plot_heatmap(overlap_of(2), ax=ax, title="Pronouns").get_title() == "Pronouns"
        with pytest.raises(InvalidInputError, match="value must be one of"):
            plot_heatmap(overlap_of(2), ax=ax, value="dice")

    def test_groups_are_side_by_side_under_brackets(self, ax: Axes) -> None:
        """In the order of the mapping, those that it does not name last; each name above and at the right."""
        overlap = overlap_of(5)
        plot_heatmap(overlap, groups={"even": ["run 4", "run 0", "run 2"], "odd": ["run 1"]}, ax=ax, annot=False)
        order = ["run 4", "run 0", "run 2", "run 1", "run 3"]
        assert ticks(ax) == (order, order)
        shown = 100 * overlap.to_frame().loc[order, order]
        np.testing.assert_allclose(ax.collections[0].get_array().reshape(5, 5), shown)
        assert texts(ax) == ["even", "even", "odd", "odd", "Other", "Other"]
        spans = [line.get_xdata() for line in ax.lines if np.ptp(line.get_xdata()) and line.get_color() == "gray"]
        np.testing.assert_allclose(spans, [[0.1, 2.9], [3.1, 3.9], [4.1, 4.9]])

    @pytest.mark.parametrize("groups", [{"x": ["nobody"]}, {"x": ["run 0"], "y": ["run 0"]}, 3])
    def test_groups_that_do_not_fit_are_refused(self, groups: Any, ax: Axes) -> None:
        """Unknown labels, labels in two groups."""
        with pytest.raises(InvalidInputError, match="group"):
            plot_heatmap(overlap_of(3), groups=groups, ax=ax)

    def test_signed_cosines_go_both_ways(self, ax: Axes) -> None:
        """From -100 to 100 %."""
        sets = {
            name: replace(TopKSet.from_indices([1, 2], space=5), weights=np.full((2, 1), sign))
            for name, sign in (("up", 1.0), ("down", -1.0))
        }
        plot_heatmap(compute_overlap(sets), value="cosine_signed", ax=ax)
        assert texts(ax) == ["100", "-100", "-100", "100"]
        assert ax.collections[0].get_clim() == (-100, 100)


class TestVenn:
    """`plot_venn`."""

    @pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
    def test_regions_say_their_sizes(self, n: int, ax: Axes) -> None:
        """Every region that has weights, by number, and every set with its size."""
        overlap = overlap_of(n, k=40, size=60)
        assert plot_venn(overlap, ax=ax) is ax
        written = texts(ax)
        sizes = sorted(str(size) for size in overlap.regions.values())
        assert sorted(text for text in written if text.isdigit() and text != "0") == sizes
        legend = ax.get_legend()
        named = " ".join(written + ([] if legend is None else [text.get_text() for text in legend.get_texts()]))
        for label in overlap.labels:
            assert label in named
        assert named.count("(40)") == n

    @pytest.mark.parametrize(
        ("sets", "expected"),
        [
            (([1, 2], [1, 2]), ["0", "0", "2"]),
            (([1, 2], [3, 4]), ["0", "2", "2"]),
            (([1, 2, 3], [2]), ["0", "1", "2"]),
            (([1], [1], [1]), ["0", "0", "0", "0", "0", "0", "1"]),
            (([1], [2], [3]), ["0", "0", "0", "0", "1", "1", "1"]),
        ],
    )
    def test_extreme_sets_have_every_region(self, sets: tuple[list[int], ...], expected: list[str], ax: Axes) -> None:
        """Identical, disjoint and contained sets are drawn like any others."""
        family = {str(i): TopKSet.from_indices(indices, space=9) for i, indices in enumerate(sets)}
        plot_venn(compute_overlap(family), ax=ax)
        assert sorted(text for text in texts(ax) if text.isdigit()) == expected

    @pytest.mark.parametrize("n", [1, 7])
    def test_other_numbers_propose_the_heatmap(self, n: int, ax: Axes) -> None:
        """One set overlaps with nothing; seven have no diagram."""
        with pytest.raises(InvalidInputError, match=rf"2 to 6 sets; got {n}\. .*plot_upset\(\) and plot_heatmap"):
            plot_venn(overlap_of(n), ax=ax)

    def test_title(self, ax: Axes) -> None:
        """A title is drawn."""
        assert plot_venn(overlap_of(2), ax=ax, title="Pronouns").get_title() == "Pronouns"


class TestArrangement:
    """The order of a heatmap's runs, and what stands around its cells."""

    def test_orders(self, ax: Axes) -> None:
        """By name, as given, and explicitly; the cells move with the labels."""
        overlap = compute_overlap(dict(reversed([(n, TopKSet.from_indices(x, space=9)) for n, x in
                                                 (("a", [1, 2]), ("b", [2, 3]), ("c", [1, 3]))])))  # fmt: skip
        assert ticks(plot_heatmap(overlap, ax))[0] == ["c", "b", "a"]
        for order, expected in (("name", ["a", "b", "c"]), (["b", "c", "a"], ["b", "c", "a"])):
            axes = plot_heatmap(overlap, order=order)
            assert ticks(axes)[0] == ticks(axes)[1] == expected
            shown = 100 * overlap.to_frame().loc[expected, expected]
            np.testing.assert_allclose(axes.collections[0].get_array().reshape(3, 3), shown)

    def test_clusters_stand_together_under_their_tree(self, ax: Axes) -> None:
        """Runs that agree are neighbors; the tree joins two of two and then both."""
        overlap = family(([1, 2, 3], [11, 12, 13], [1, 2, 4], [11, 12, 14]))
        plot_heatmap(overlap, ax, cluster=True)
        order = "".join(ticks(ax)[0])
        assert {frozenset(order[:2]), frozenset(order[2:])} == {frozenset("ac"), frozenset("bd")}
        (tree,) = (
            lines for child in ax.child_axes[:-1] for lines in child.collections if isinstance(lines, LineCollection)
        )
        branches = tree.get_segments()
        assert len(branches) == 3
        assert sorted(float(branch[0, 0]) for branch in branches) == [0.5, 1.0, 2.5]
        assert "".join(ticks(plot_heatmap(overlap, order="cluster"))[0]) == order

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"order": "size"}, "order must be one of"),
            ({"order": ["a", "b"]}, "names 2, without c"),
            ({"order": ["a", "b", "x"]}, "no run is called x"),
            ({"cluster": True, "groups": {"a": "x"}}, "give one of them"),
            ({"order": "cluster", "groups": {"a": "x"}}, "give one of them"),
            ({"cluster": True, "order": "name"}, "cluster=True and order='name' are two orders .* give one of them"),
            ({"cluster": True, "order": ["c", "b", "a"]}, "two orders of the same runs"),
            ({"scale": "cubic"}, "scale must be one of"),
            ({"scale": "power", "scale_gamma": 0}, "greater than 0"),
            ({"annot": "some"}, "annot must be"),
            ({"scale": "power", "scale_gamma": "x"}, "scale_gamma must be a number greater than 0; got 'x'"),
            ({"order": 5}, "order must be a name of one or all labels; got int"),
            ({"correlation": {"a": "abc"}}, "correlation must be numbers; got 'abc' for 'a'"),
            ({"cmap": "nope"}, "such as 'viridis', .* got 'nope'"),
        ],
    )
    def test_bad_options(self, options: dict[str, Any], match: str, ax: Axes) -> None:
        """Each is refused by its name."""
        with pytest.raises(InvalidInputError, match=match):
            plot_heatmap(family(EXTREMES["contained"]), ax, **options)

    @pytest.mark.parametrize(("scale", "half"), [("linear", 0.5), ("sqrt", 0.25), ("power", 0.125), ("log", 0.1)])
    def test_scales(self, scale: Any, half: float, ax: Axes) -> None:
        """The value in the middle of the colors, and zero at their beginning; a logarithm has no place for it."""
        overlap = family(([*range(10)], [0, *range(11, 20)], [*range(30, 40)]))
        if scale == "log":
            half = float(np.sqrt(0.1 * 1))  # from the smallest positive share, 1 of 10, to all
        plot_heatmap(overlap, ax, scale=scale, scale_gamma=1 / 3)
        norm = ax.collections[0].norm
        assert norm(100 * half) == pytest.approx(0.5)
        assert np.ma.is_masked(norm(0.0)) if scale == "log" else norm(0.0) == 0.0

    @pytest.mark.parametrize("value", ["intersection", "jaccard"])
    def test_zero_differs_from_little_on_a_logarithmic_scale(self, value: Any, ax: Axes) -> None:
        """It is gray, which the colors' meaning explains; where there is no zero, nothing does."""
        lists = ([*range(10)], [0, *range(11, 20)], [0, *range(30, 39)])
        plot_heatmap(family((*lists, [*range(40, 50)])), ax, scale="log", value=value)
        ax.figure.draw_without_rendering()
        colors = ax.collections[0].get_facecolor().reshape(4, 4, 4)
        gray = to_rgba(EMPTY_COLOR)
        assert [tuple(color) == gray for color in colors[3]] == [True, True, True, False]
        assert not (colors[:3, :3] == gray).all(axis=2).any()
        bar = ax.child_axes[-1]
        assert texts(bar) == ["0"]
        (patch,) = (patch for patch in bar.patches if patch.get_facecolor() == gray)
        assert patch.get_window_extent().y1 < bar.get_window_extent().y0
        again = plot_heatmap(family(lists), scale="log", value=value)
        assert texts(again.child_axes[-1]) == []

    def test_negative_values_have_no_other_scale(self, ax: Axes) -> None:
        """A root of a negative cosine is none."""
        one = replace(TopKSet.from_indices([1], space=5), weights=np.ones((1, 1)))
        with pytest.raises(InvalidInputError, match="no negative values"):
            plot_heatmap(compute_overlap({"a": one, "b": one}), ax, value="cosine_signed", scale="log")

    def test_shares_instead_of_percentages(self, ax: Axes) -> None:
        """Numbers up to 1, with two digits."""
        plot_heatmap(family(([1, 2], [2, 3])), ax, percentages=False)
        assert texts(ax) == ["1.00", "0.50", "0.50", "1.00"]
        assert ax.collections[0].get_clim() == (0, 1)

    def test_correlations_and_daggers(self, ax: Axes) -> None:
        """A number per row in the order of the rows, a dash where it is unknown; the dagger, and what it means."""
        options: dict[str, Any] = {
            "correlation": {"a": 0.25, "b": -0.5},
            "converged": {"a": True, "b": False, "c": None},
        }
        plot_heatmap(family(EXTREMES["disjoint"]), ax, order=["b", "a", "c"], **options)
        assert ticks(ax)[1] == ["b†", "a", "c"]
        assert ax.get_xlabel() == "† did not converge"
        side = ax.child_axes[0]
        assert texts(side) == ["-0.50", "0.25", "-"]
        assert [tick.get_text() for tick in side.get_xticklabels()] == ["correlation"]
        ax.figure.draw_without_rendering()
        assert not ax.xaxis.label.get_window_extent().overlaps(side.get_xticklabels()[0].get_window_extent())

    def test_a_bar_without_numbers_has_its_colors_explained(self, ax: Axes) -> None:
        """A second meaning of colors, with its ends; beside numbers there is none."""
        overlap = overlap_of(30)
        plot_heatmap(overlap, ax, correlation=dict.fromkeys(overlap.labels, -0.25))
        *_, bar, second = ax.child_axes
        assert second.get_ylabel() == "correlation"
        assert second.get_yticks().tolist() == [-0.25, 1]
        assert bar.get_ylabel().startswith("shared weights")
        few = plot_heatmap(overlap_of(3), correlation={"run 0": 0.5})
        assert len(few.child_axes) == 2

    def test_small_shares_have_a_digit_more(self, ax: Axes) -> None:
        """0.5 % is neither 0 nor 1."""
        plot_heatmap(compute_overlap({n: TopKSet.from_indices([0, *range(s, s + 199)], space=999)
                                      for n, s in (("a", 1), ("b", 500))}), ax)  # fmt: skip
        assert texts(ax) == ["100.0", "0.5", "0.5", "100.0"]

    def test_little_is_not_nothing(self, ax: Axes) -> None:
        """Beside larger shares 0.4 % is "<1"; 0 is 0."""
        sets = {"a": [*range(250)], "b": [0, *range(300, 549)], "c": [*range(200), *range(600, 650)]}
        plot_heatmap(compute_overlap({n: TopKSet.from_indices(x, space=999) for n, x in sets.items()}), ax)
        assert texts(ax) == ["100", "<1", "80", "<1", "100", "<1", "80", "<1", "100"]
        ax = plot_heatmap(family(([0, 1], [1, 2], [3, 4])))
        assert texts(ax) == ["100", "50", "0", "50", "100", "0", "0", "0", "100"]

    def test_runs_without_names_that_did_not_converge(self) -> None:
        """Are counted."""
        ax = plot_heatmap(overlap_of(90), converged={"run 1": False, "run 7": False, "run 8": True})
        assert ax.get_xlabel() == "90 runs\n2 not converged"


class TestUpSet:
    """`plot_upset`."""

    @staticmethod
    def read(figure: Figure) -> tuple[list[str], list[str], int]:
        """The numbers on the bars, the labels of the rows, the number of dots."""
        main, bars, _, names = figure.axes
        dots = sum(
            len(held.get_offsets()) for held in main.collections if len(held.get_offsets()) and held.get_paths()
        )
        return [text.get_text() for text in bars.texts], [text.get_text() for text in names.texts], dots

    @pytest.mark.parametrize("name", EXTREMES)
    def test_extreme_sets(self, name: str) -> None:
        """A bar per combination, the largest first."""
        overlap = family(EXTREMES[name])
        figure = plot_upset(overlap)
        bars, names, dots = self.read(figure)
        assert bars == [str(size) for size in overlap.regions.values()]
        assert sorted(names) == ["a", "b", "c"]
        assert figure.axes[2].containers[0].datavalues.tolist() == overlap.sizes.tolist()[::-1]
        assert dots >= sum(len(members) for members in overlap.regions)

    def test_the_rest_is_summed(self) -> None:
        """In a last bar, cut off where it would dwarf the others; sets without a bar are counted."""
        overlap = overlap_of(30)
        figure = plot_upset(overlap, max_regions=4)
        bars, names, _ = self.read(figure)
        sizes = list(overlap.regions.values())
        assert bars == [*map(str, sizes[:4]), str(sum(sizes[4:]))]
        heights = [bar.get_height() for bar in figure.axes[1].patches]
        assert heights[-1] == pytest.approx(1.15 * sizes[0])
        (said,) = texts(figure.axes[0])
        hidden = f" sets in none of these combinations: {30 - len(names)}" if len(names) < 30 else ""
        assert " ".join(said.split()) == f"last bar: {len(sizes) - 4} other combinations{hidden}"

    @pytest.mark.parametrize("max_regions", [1, 2, 30])
    def test_what_is_said_below_has_room(self, max_regions: int) -> None:
        """Also in a figure that is narrow because there are few bars; and the title above."""
        title = "A title that says at some length what is seen here"
        figure = plot_upset(overlap_of(30), max_regions=max_regions, title=title)
        figure.draw_without_rendering()
        (said,) = (text for text in figure.axes[0].texts if text.get_text())
        for text in (said, figure.axes[1].title):
            box = text.get_window_extent()
            assert min(box.x0, box.y0) >= 0
            assert box.x1 <= figure.bbox.x1
            assert box.y1 <= figure.bbox.y1
        assert not said.get_window_extent().overlaps(figure.axes[2].xaxis.label.get_window_extent())
        assert " ".join(figure.axes[1].get_title().split()) == title

    def test_only_what_is_shared(self) -> None:
        """`min_sets` leaves out what one set holds alone; if there is nothing else, that is said."""
        assert self.read(plot_upset(family(EXTREMES["contained"]), min_sets=2))[0] == ["1", "1"]
        with pytest.raises(InvalidInputError, match="no weight is in 2 of the 3 sets"):
            plot_upset(family(EXTREMES["disjoint"]), min_sets=2)
        with pytest.raises(InvalidInputError, match="max_regions must be an int"):
            plot_upset(family(EXTREMES["disjoint"]), max_regions=0)

    def test_a_figure_can_be_given(self) -> None:
        """Also one that has no canvas that measures texts."""
        figure = Figure()
        assert plot_upset(family(EXTREMES["contained"]), figure, title="T") is figure
        assert figure.axes[1].get_title() == "T"

    def test_what_is_shared_comes_first_among_many(self) -> None:
        """Else what each holds alone takes all the bars; its weights are counted below, unless it is asked for."""
        sets = {f"run {i}": TopKSet.from_indices([*range(20 * i, 20 * i + 20), 999 + i // 2], space=1100)
                for i in range(30)}  # fmt: skip
        overlap = compute_overlap(sets)
        figure = plot_upset(overlap)
        bars, names, _ = self.read(figure)
        assert bars == ["1"] * 15
        assert len(names) == 30
        assert texts(figure.axes[0]) == ["weights of one set alone, not shown: 600"]
        assert self.read(plot_upset(overlap, min_sets=1))[0] == ["20"] * 20 + ["215"]

    def test_rows_have_names(self) -> None:
        """Where it takes fewer bars too; where even that is not enough the figure says so."""
        sets = {f"run {i}": TopKSet.from_indices([99], space=100) for i in range(200)}
        (said,) = texts(plot_upset(compute_overlap(sets)).axes[0])
        assert said.replace("\n", " ").startswith("200 sets, a row each in their order, are too many to be named")
        apart = compute_overlap({f"run {i}": TopKSet.from_indices([i // 7], space=100) for i in range(200)})
        bars, names, _ = self.read(plot_upset(apart))
        assert len(names) == 60
        assert len(bars) == 9 + 1

    def test_a_figure_that_is_in_use_is_refused(self) -> None:
        """Both would lie over each other."""
        figure = plot_upset(family(EXTREMES["contained"]))
        with pytest.raises(InvalidInputError, match=r"has axes already: give it a new one, or fig.clear\(\)"):
            plot_upset(family(EXTREMES["contained"]), figure)
        figure.clear()
        plot_upset(family(EXTREMES["contained"]), figure)

    def test_a_part_of_a_figure_is_refused(self) -> None:
        """It has no size that could be set."""
        with pytest.raises(InvalidInputError, match="fig must be a Figure, not a part of one; got SubFigure"):
            plot_upset(family(EXTREMES["contained"]), Figure().subfigures(1, 2)[0])

    def test_its_library_leaves_no_settings_behind(self, run_python: Callable[[str], str]) -> None:
        """Its import changes those of legends, which would change everybody's figures."""
        script = "import matplotlib as m, seaborn; before = dict(m.rcParams)\n"
        script += "from gradiend_mlflow import TopKSet, compute_overlap, plot_upset\n"
        script += "plot_upset(compute_overlap({n: TopKSet.from_indices([1], space=3) for n in 'ab'}))\n"
        assert run_python(script + "print(dict(m.rcParams) == before)").strip() == "True"
        assert run_python("import matplotlib as m, seaborn; before = dict(m.rcParams); import marsilea\n"
                          "print(dict(m.rcParams) == before)").strip() == "False"  # fmt: skip


class TestCurve:
    """`plot_curve`."""

    def test_a_line_per_pair_and_chance(self, ax: Axes) -> None:
        """Up to ten pairs, named; the numbers are those of the curve."""
        curve = overlap_of(3).overlap_curve([1, 5, 20])
        assert plot_curve(curve, ax) is ax
        frame = curve.to_frame()
        for line, (pair, rows) in zip(ax.lines, frame.groupby(["a", "b"], sort=False), strict=False):
            assert line.get_label() == f"{pair[0]} & {pair[1]}"
            np.testing.assert_allclose(line.get_ydata(), 100 * rows["intersection_frac"])
            assert line.get_xdata().tolist() == [1, 5, 20]
        np.testing.assert_allclose(ax.lines[3].get_ydata(), [100 * k / 50 for k in (1, 5, 20)])
        assert ax.get_legend().get_texts()[-1].get_text() == "by chance"
        assert ax.get_xscale() == "log"

    @pytest.mark.parametrize("value", ["intersection", "jaccard"])
    def test_other_values(self, value: Any, ax: Axes) -> None:
        """Counts, and the Jaccard index."""
        curve = overlap_of(2).overlap_curve([20])
        plot_curve(curve, ax, value=value)
        expected = curve.to_frame()[value].iloc[0] * (1 if value == "intersection" else 100)
        assert ax.lines[0].get_ydata()[0] == pytest.approx(expected)

    def test_many_pairs_are_summarised(self, ax: Axes) -> None:
        """Their median and the range of most of them."""
        overlap = overlap_of(40)
        plot_curve(overlap, ax)
        curve = overlap.overlap_curve()
        shares = np.array([matrix[np.triu_indices(40, k=1)] for matrix in curve.intersection_frac])
        np.testing.assert_allclose(ax.lines[0].get_ydata(), 100 * np.median(shares, axis=1))
        assert ax.lines[0].get_label() == "median of 780 pairs"
        assert len(ax.collections[0].get_segments()) == 400

    def test_where_it_ends_is_said(self, ax: Axes) -> None:
        """If sets differ in size it is the smallest one's; not if they do not, or if it ends before."""
        sets = {name: TopKSet.from_indices(range(k), space=50) for name, k in (("a", 30), ("b", 12), ("c", 20))}
        overlap = compute_overlap(sets)
        assert overlap.overlap_curve().sizes.tolist() == [30, 12, 20]
        plot_curve(overlap, ax)
        assert ax.get_xlabel().endswith("\n(up to the 12 of the smallest set, b; the largest has 30)")
        for curve in (overlap.overlap_curve([1, 5]), overlap_of(3)):
            assert plot_curve(curve).get_xlabel() == "k, the number of weights per run"

    @pytest.mark.parametrize("name", ["identical", "disjoint", "contained"])
    def test_lines_that_are_the_same_are_all_seen(self, name: str) -> None:
        """In turns: each color is in the picture, and in the legend."""
        axes = plot_curve(family(EXTREMES[name]))
        figure = axes.figure
        legend = [line.get_color() for line in axes.get_legend().get_lines()]
        assert [line.get_color() for line in axes.lines][:3] == legend[:3]
        axes.get_legend().remove()
        figure.canvas.draw()
        pixels = {tuple(color) for color in np.asarray(figure.canvas.buffer_rgba())[..., :3].reshape(-1, 3).tolist()}
        for line in axes.lines[:3]:
            assert tuple(round(255 * part) for part in to_rgba(line.get_color())[:3]) in pixels

    def test_limits_of_a_single_point_and_of_nothing(self) -> None:
        """Around the point; and not as small as chance is."""
        apart = family(EXTREMES["disjoint"])
        axes = plot_curve(apart.overlap_curve([1]))
        assert axes.get_xlim() == (0.5, 2)
        assert ticks(axes)[0] == ["1"]
        sets = {str(i): TopKSet.from_indices([i], space=10**6) for i in range(3)}
        assert plot_curve(compute_overlap(sets)).get_ylim() == (0, 1)

    def test_bad_requests(self, ax: Axes) -> None:
        """One set has no pairs; a number is no curve."""
        with pytest.raises(InvalidInputError, match="at least two runs"):
            plot_curve(overlap_of(1), ax)
        with pytest.raises(InvalidInputError, match="expected an OverlapCurve"):
            plot_curve(3, ax)
        with pytest.raises(InvalidInputError, match="value must be one of"):
            plot_curve(overlap_of(2), ax, value="rbo")


class TestLayers:
    """`plot_layers` and the picture of a single run."""

    def test_shares_of_sets_and_of_what_they_share(self) -> None:
        """Each column sums to one; layers by number, then what is in none."""
        overlap = family(([0, 11, 21, 41], [11, 22, 31, 42]))
        layers = layer_shares(overlap, "layer")
        assert list(layers.index) == ["layer_0", "layer_1", "layer_10", "other"]
        assert layers["a"].tolist() == [0.25, 0.25, 0.25, 0.25]
        assert layers["in all runs"].tolist() == [1, 0, 0, 0]
        assert layer_shares(overlap, "component").loc["embeddings", "b"] == 0

    @pytest.mark.parametrize("name", EXTREMES)
    def test_extreme_sets(self, name: str) -> None:
        """The numbers in the cells are the shares; a dash where nothing is shared."""
        overlap = family(EXTREMES[name])
        upper, lower = plot_layers(overlap).axes[:2]
        for axes, kind in ((upper, "layer"), (lower, "component")):
            frame = 100 * layer_shares(overlap, kind)
            expected = ["-" if np.isnan(share) else f"{share:.0f}" for share in frame.to_numpy().ravel()]
            assert texts(axes) == expected
            assert ticks(axes)[1] == list(frame.index)
        assert ticks(upper)[0] == []
        shared = [int((overlap.presence >= least).sum()) for least in (2, 3)]
        said = [f"{count} weight" if count == 1 else f"{count} weights" for count in shared]
        assert ticks(lower)[0] == ["a", "b", "c", f"in ≥ 2 runs: {said[0]}", f"in all runs: {said[1]}"]
        assert ("-" in texts(upper)) is (name in ("disjoint", "nothing in all"))

    def test_many_sets(self) -> None:
        """Without numbers and names, but for what is shared."""
        upper, lower = plot_layers(overlap_of(90)).axes[:2]
        assert texts(upper) == texts(lower) == []
        assert ticks(lower)[0] == ["in ≥ 2 runs: 50 weights", "in all runs: 0 weights"]

    @pytest.mark.parametrize("n", [2, 6, 12, 30, 80, 200])
    def test_its_width_fits_a_page(self, n: int) -> None:
        """However many sets there are; cells of the two parts are of the same height."""
        figure = plot_layers(overlap_of(n))
        figure.draw_without_rendering()
        assert figure.get_figwidth() <= 13
        assert n == 80 or figure.get_figwidth() <= 10
        heights = [axes.get_window_extent().height / axes.dataLim.height for axes in figure.axes[:2]]
        assert heights[0] == pytest.approx(heights[1], rel=0.01)

    @pytest.mark.parametrize("layout", ["none", "constrained"])
    def test_a_part_of_a_figure_can_be_given(self, layout: Any) -> None:
        """What is drawn stays in it."""
        figure = Figure(figsize=(11, 5), layout=layout)
        left, right = figure.subfigures(1, 2)
        assert plot_layers(overlap_of(6), left, title="left") is left
        plot_layers(overlap_of(4), right, title="right")
        figure.draw_without_rendering()
        assert all(axes.get_tightbbox().x1 < axes.figure.bbox.x1 + 3 for axes in figure.axes)
        assert left.axes[0].get_window_extent().x1 < figure.bbox.width / 2 < right.axes[0].get_window_extent().x0

    def test_the_picture_of_one_run(self) -> None:
        """A panel per part: layers by components; cells that the model does not have are empty."""
        one, two = (TopKSet.from_indices(x, space=SPACE) for x in ([0, 11, 12, 41], [20]))
        figure = topk_figure({"decoder-weight": one, "encoder-weight": two})
        left, right = figure.axes[:2]
        assert [axes.get_title() for axes in (left, right)] == ["decoder-weight, top 4", "encoder-weight, top 1"]
        assert ticks(left) == (
            ["embeddings", "attention_query", "mlp_down"],
            ["layer_0", "layer_1", "layer_10", "other"],
        )
        shown = left.images[0].get_array().filled(np.nan)
        np.testing.assert_array_equal(
            shown, [[np.nan, 50, np.nan], [np.nan, 0, 0], [np.nan, np.nan, 25], [25, np.nan, np.nan]]
        )
        assert texts(left) == ["50", "25", "25"]


@pytest.mark.parametrize("n", [3, 40])
@pytest.mark.parametrize("plot", [plot_heatmap, plot_venn, plot_upset, plot_curve, plot_layers, topk_figure])
def test_no_global_state_is_touched(plot: Any, n: int) -> None:
    """No pyplot figure, no rcParams, no random numbers."""
    plt.close("all")
    overlap = overlap_of(6 if plot is plot_venn else n)
    argument = {"decoder-weight": TopKSet.from_indices([1], space=9)} if plot is topk_figure else overlap
    settings, state = dict(mpl.rcParams), np.random.get_state()[1].copy()  # noqa: NPY002
    made = plot(argument)
    figure = made.figure if isinstance(made, Axes) else made
    figure.savefig(io.BytesIO())
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == settings
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


@pytest.mark.parametrize("plot", [plot_heatmap, plot_venn, plot_upset, plot_curve, plot_layers])
@pytest.mark.parametrize("format", ["png", "pdf", "svg"])
def test_every_format(plot: Any, format: str) -> None:  # noqa: A002
    """A figure can be written as each of them."""
    made, file = plot(family(EXTREMES["contained"])), io.BytesIO()
    (made.figure if isinstance(made, Axes) else made).savefig(file, format=format)
    assert {"png": b"PNG", "pdf": b"%PDF", "svg": b"<svg"}[format] in file.getvalue()[:2000]


@pytest.mark.parametrize(
    ("plot", "n"),
    [
        *itertools.product([plot_heatmap, plot_upset, plot_curve, plot_layers], [2, 6, 30, 200]),
        *itertools.product([plot_venn], [2, 6]),
    ],
)
def test_everything_lies_within_the_figure(plot: Any, n: int) -> None:
    """Long names are not cut off, nor is anything else that is written."""
    made = plot(overlap_of(n, prefix="a rather long name of a run that came from somewhere, number"))
    figure = made.figure if isinstance(made, Axes) else made
    figure.savefig(io.BytesIO())
    canvas = figure.bbox.padded(3)
    written = [text for axes in figure.axes for text in [*axes.texts, axes.title] if text.get_text()] + figure.texts
    boxes = [artist.get_window_extent() for artist in written]
    boxes += [axes.get_tightbbox() for axes in figure.axes if axes.axison]  # with all labels of ticks
    for box in boxes:
        assert canvas.x0 <= box.x0 <= box.x1 <= canvas.x1
        assert canvas.y0 <= box.y0 <= box.y1 <= canvas.y1


@pytest.mark.parametrize("n", [3, 18, 100])
@pytest.mark.parametrize("groups", [True, False])
def test_so_does_what_stands_around_a_heatmap(n: int, groups: bool) -> None:
    """Brackets or a tree, the side bar, the title, the meaning of the dagger."""
    overlap = overlap_of(n)
    around: dict[str, Any] = {"cluster": True}
    if groups:
        around = {"groups": {label: f"a group of runs, {i // 3}" for i, label in enumerate(overlap.labels)}}
    axes = plot_heatmap(
        overlap,
        correlation=dict.fromkeys(overlap.labels, 0.5),
        converged=dict.fromkeys(overlap.labels, False),
        title="A title",
        **around,
    )
    figure = axes.figure
    figure.savefig(io.BytesIO())
    canvas = figure.bbox.padded(3)
    for box in (axes.get_tightbbox(), axes.title.get_window_extent()):
        assert canvas.x0 <= box.x0 <= box.x1 <= canvas.x1
        assert canvas.y0 <= box.y0 <= box.y1 <= canvas.y1
    names = [text for text in axes.texts if "a group" in text.get_text()][::2]  # those above
    assert all(name.get_window_extent().y1 <= axes.title.get_window_extent().y0 for name in names)
    assert len(names) == (-(-n // 3) if groups else 0)
    bars = 1 if n <= 25 else 2  # the side bar's too, where it has no numbers
    bar = axes.child_axes[-bars].get_window_extent()
    assert all(child.get_window_extent().x1 < bar.x0 for child in axes.child_axes[:-bars])


def test_long_names_lose_their_middle(ax: Axes) -> None:
    """Beginning and end tell runs apart."""
    plot_heatmap(compute_overlap({"begin " + "x" * 50 + " end 7": TopKSet.from_indices([1], space=2)}), ax)
    (name,) = ticks(ax)[0]
    assert len(name) == 40
    assert name.startswith("begin xx")
    assert name.endswith("xx end 7")


@pytest.mark.parametrize("plot", [plot_heatmap, plot_venn, plot_upset, plot_curve, plot_layers])
def test_long_names_can_be_told_apart(plot: Any) -> None:
    """Where beginning and end are the same it is what lies between that is kept."""
    names = [f"bert-base-cased, 3SG_3PL, learning rate 1e-5, seed {n}, decoder weights only" for n in range(4)]
    made = plot(compute_overlap({name: TopKSet.from_indices([1, 2 + n], space=9) for n, name in enumerate(names)}))
    figure = made.figure if isinstance(made, Axes) else made
    figure.draw_without_rendering()
    written = " ".join(" ".join(text.get_text().split()) for text in figure.findobj(Text))
    assert all(f"seed {n}…" in written for n in range(4))


@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.parametrize("n", [3, 5])
def test_what_is_drawn_stands_out_in_any_style(style: str, n: int) -> None:
    """Numbers, bars and dots are light on dark where the style is."""
    with plt.style.context(style):
        light = style == "dark_background"
        venn, upset = plot_venn(overlap_of(n)), plot_upset(overlap_of(n), max_regions=3)
        main, bars = upset.axes[:2]
        shown = [text.get_color() for text in venn.texts] + [bar.get_facecolor() for bar in bars.patches[:-1]]
        shown += [color for held in main.collections for color in [*held.get_facecolor(), *held.get_edgecolor()]]
        assert all((sum(to_rgba(color)[:3]) > 1.5) is light for color in shown)
        stripes = [patch.get_facecolor() for patch in main.patches]
        assert all((sum(color[:3]) > 1.5) is not light for color in stripes)


@pytest.mark.parametrize("plot", [plot_heatmap, plot_venn, plot_upset, plot_curve, plot_layers])
def test_labels_are_taken_literally(plot: Any) -> None:
    """Dollar signs make no formula, right or wrong, and a new line no second one."""
    names = ["cost $5 $6", "$\\frac{$\nx"]
    sets = {name: TopKSet.from_indices([1, 2, 3 + index], space=9) for index, name in enumerate(names)}
    made = plot(compute_overlap(sets))
    figure = made.figure if isinstance(made, Axes) else made
    figure.savefig(io.BytesIO())
    written = " ".join(text.get_text() for text in figure.findobj(Text))
    assert r"cost \$5 \$6" in written


@pytest.mark.parametrize("plot", [plot_heatmap, plot_venn, plot_upset, plot_curve, plot_layers])
def test_places_and_titles_that_are_none(plot: Any) -> None:
    """Are refused by name."""
    place = "fig" if plot in (plot_upset, plot_layers) else "ax"
    with pytest.raises(InvalidInputError, match=f"{place} must be .* of matplotlib; got str"):
        plot(family(EXTREMES["contained"]), "x")
    with pytest.raises(InvalidInputError, match="title must be a string; got int"):
        plot(family(EXTREMES["contained"]), title=5)


@pytest.mark.parametrize("option", ["correlation", "converged"])
def test_a_mark_for_a_run_that_is_not_there(option: str) -> None:
    """Is a typing mistake, which would leave a figure without it."""
    with pytest.raises(InvalidInputError, match=rf"{option} names 'x'; the labels are"):
        plot_heatmap(family(EXTREMES["contained"]), **{option: {"x": False}})
    with pytest.raises(InvalidInputError, match=f"{option} must be a mapping from label; got list"):
        plot_heatmap(family(EXTREMES["contained"]), **{option: [1, 2]})
