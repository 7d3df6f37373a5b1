"""Figures on axes of somebody else's: everything stays within the part of the figure that they have."""

from __future__ import annotations

import itertools
import re
import warnings
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from gradiend_mlflow import (
    Overlap,
    TopKSet,
    WeightSpace,
    compute_overlap,
    plot_curve,
    plot_heatmap,
    plot_layers,
    plot_venn,
)
from tests.figures.examples import axes_of
from tests.figures.legible import check
from tests.support.sampling import quick

TITLE = "How far they agree"


def overlap_of(n: int) -> Overlap:
    """Some sets that overlap."""
    random = np.random.default_rng(n)
    return compute_overlap({f"run {i}": TopKSet.from_indices(random.permutation(60)[:20], space=60) for i in range(n)})


def everything_around(overlap: Overlap, *, groups: bool = True) -> dict[str, Any]:
    """All that can stand around a heatmap."""
    names = ("English", "German language", "French")
    return {
        "row_metric": dict.fromkeys(overlap.labels, 0.5),
        "converged": dict.fromkeys(overlap.labels, False),
        "title": TITLE,
        **({"groups": {x: names[3 * i // len(overlap.labels)] for i, x in enumerate(overlap.labels)}} if groups
           else {"cluster": True}),
    }  # fmt: skip


@pytest.mark.parametrize("layout", quick(["constrained", "none", "tight"], first=1))
@pytest.mark.parametrize("size", [(4, 3), (5, 5), (6.4, 4.8)])
@pytest.mark.parametrize("n", quick([12, 3, 6], first=1))
def test_a_small_figure(layout: Any, size: tuple[float, float], n: int) -> None:
    """Side bar, brackets, title, what the colors mean and the dagger each have their place."""
    figure, overlap = Figure(figsize=size, layout=layout), overlap_of(n)
    axes = plot_heatmap(overlap, figure.subplots(), **everything_around(overlap))
    check(figure)
    assert " ".join(axes.get_title().split()) == TITLE


def test_a_small_figure_with_a_tree() -> None:
    """It stands between the cells and the title."""
    figure, overlap = Figure(figsize=(5, 4)), overlap_of(6)
    axes = plot_heatmap(overlap, figure.subplots(), **everything_around(overlap, groups=False))
    check(figure)
    tree = axes.child_axes[1].get_window_extent()
    assert axes.get_window_extent().y1 < tree.y0 < tree.y1 < axes.title.get_window_extent().y0


def test_axes_at_a_place_of_their_own() -> None:
    """They do not grow beyond it, and what stands around them stays in the figure."""
    figure, overlap = Figure(figsize=(6, 4)), overlap_of(6)
    axes = figure.add_axes((0.3, 0.3, 0.4, 0.4))
    plot_heatmap(overlap, axes, **everything_around(overlap))
    check(figure)
    cells = axes.get_position()
    assert cells.x0 >= 0.3 - 1e-6
    assert cells.x1 <= 0.7 + 1e-6


@pytest.mark.parametrize("parts", ["subplots", "subfigures"])
def test_neighbors_are_left_alone(parts: str) -> None:
    """In a grid without a layout each figure stays in its cell."""
    figure, overlap = Figure(figsize=(10, 8)), overlap_of(6)
    grid = figure.subplots(2, 2) if parts == "subplots" else figure.subfigures(2, 2)
    (a, b), (c, d) = grid if parts == "subplots" else [[part.subplots() for part in row] for row in grid]
    plot_heatmap(overlap, a, **everything_around(overlap))
    plot_heatmap(overlap, b, title="plain")
    plot_curve(overlap_of(3), c, title="curve")
    plot_venn(overlap_of(3), d, title="venn")
    figure.draw_without_rendering()
    found = [axes.get_tightbbox() for axes in (a, b, c, d)]
    for first, second in itertools.combinations(found, 2):
        assert not first.padded(-2).overlaps(second.padded(-2))


def test_what_has_no_room_is_said_once() -> None:
    """With the width that would do; there nothing is said."""
    overlap = overlap_of(12)
    with pytest.warns(UserWarning, match=r"1.4 inches have no room for .*: ([\d.]+) inches have") as said:
        plot_heatmap(overlap, Figure(figsize=(1.5, 1.5)).subplots())
    (warning,) = said
    assert warning.filename == __file__
    wide = float(re.findall(r": ([\d.]+) inches", str(warning.message))[0]) + 0.1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_heatmap(overlap, Figure(figsize=(wide, wide)).subplots())


def test_layout_engines_leave_it_in_its_place() -> None:
    """However often the figure is drawn, and whatever its neighbors are."""
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    right.set(xlabel="x", ylabel="y", title="A title\nin two lines")
    plot_heatmap(overlap_of(5), left)
    places = []
    for _ in range(3):
        figure.draw_without_rendering()
        places.append(left.get_window_extent().bounds)
    np.testing.assert_allclose(places, places[:1] * 3, atol=0.5)
    check(figure)


def test_a_long_title_is_wrapped() -> None:
    """In a figure of its own as in another's."""
    title = "Pronouns of three languages, the decoder's weights, top 1000, and what they share with each other"
    for ax in (None, Figure(figsize=(4, 3)).subplots()):
        axes = axes_of(plot_heatmap(overlap_of(2), ax, title=title))
        axes.figure.draw_without_rendering()
        box = axes.title.get_window_extent()
        assert " ".join(axes.get_title().split()) == title
        assert -1 < box.x0 <= box.x1 <= axes.figure.bbox.x1 + 1
        assert box.y1 <= axes.figure.bbox.y1


@pytest.mark.parametrize(
    ("layout", "parts"), [("none", 1), ("constrained", 1), ("tight", 1), ("none", 2), ("constrained", 2)]
)
def test_layers_fill_a_figure_or_a_part_of_it(layout: Any, parts: int) -> None:
    """Names of layers and runs are not cut, whatever the figure's size and layout."""
    figure = Figure(figsize=(5 * parts + 1, 4.8), layout=layout)
    for part in [figure] if parts == 1 else figure.subfigures(1, parts):
        space = WeightSpace(("layer.0.attention.self.query", "layer.1.output.dense"), ((30,), (30,)))
        sets = {f"a run with a name, number {i}": TopKSet.from_indices([i, 40], space=space) for i in range(4)}
        plot_layers(compute_overlap(sets), part, title=TITLE)
        figure.draw_without_rendering()
        within, title = part.bbox.padded(3), part._suptitle.get_window_extent()
        for axes in part.axes:
            box = axes.get_tightbbox()
            assert within.x0 <= box.x0 <= box.x1 <= within.x1
            assert within.y0 <= box.y0 <= box.y1 <= within.y1
            assert not box.padded(-1).overlaps(title)
        upper, lower = (axes.get_tightbbox() for axes in part.axes[:2])
        assert lower.y1 <= upper.y0
