"""The figures, read back from their artists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradiend_mlflow import InvalidInputError, Overlap, TopKSet, compute_overlap, plot_heatmap, plot_venn


def overlap_of(n: int, k: int = 20, size: int = 50, prefix: str = "run") -> Overlap:
    """Some sets that overlap."""
    random = np.random.default_rng(n)
    return compute_overlap(
        {f"{prefix} {i}": TopKSet.from_indices(random.permutation(size)[:k], space=size) for i in range(n)}
    )


@pytest.fixture
def ax() -> Axes:
    """Axes that pyplot does not know."""
    return Figure().subplots()


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
    def test_many_sets_stay_readable(self, n: int, annotated: bool, labelled: bool, ax: Axes) -> None:
        """Without numbers past 25, without labels past 80."""
        plot_heatmap(overlap_of(n), ax=ax)
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
        with pytest.raises(InvalidInputError, match=rf"2 to 6 sets; got {n}\. .*plot_heatmap"):
            plot_venn(overlap_of(n), ax=ax)

    def test_title(self, ax: Axes) -> None:
        """A title is drawn."""
        assert plot_venn(overlap_of(2), ax=ax, title="Pronouns").get_title() == "Pronouns"


@pytest.mark.parametrize(("plot", "n"), [(plot_heatmap, 3), (plot_heatmap, 40), (plot_venn, 3), (plot_venn, 5)])
def test_no_global_state_is_touched(plot: object, n: int, ax: Axes) -> None:
    """No pyplot figure, no rcParams; without axes, one new figure."""
    plt.close("all")
    settings = dict(mpl.rcParams)
    plot(overlap_of(n), ax=ax)
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == settings
    made = plot(overlap_of(n))
    assert plt.get_fignums() == [made.figure.number]
    plt.close("all")


@pytest.mark.parametrize("n", [2, 6, 30, 200])
def test_labels_lie_within_the_figure(n: int, tmp_path: Path) -> None:
    """Long names are not cut off."""
    axes = plot_heatmap(overlap_of(n, prefix="a rather long name of a run, number"))
    axes.figure.savefig(tmp_path / "figure.png")
    canvas = axes.figure.bbox
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        box = label.get_window_extent()
        assert box.x0 >= canvas.x0 - 1
        assert box.y0 >= canvas.y0 - 1
    plt.close("all")
