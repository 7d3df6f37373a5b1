"""What stands around a heatmap's cells."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from gradiend_mlflow import (
    plot_heatmap,
)
from gradiend_mlflow.figures.drawing.cells import EMPTY_COLOR
from tests.figures.examples import EXTREMES, axes_of, family, overlap_of, texts, ticks
from tests.figures.legible import check, written
from tests.support.sampling import quick


def test_correlations_and_daggers(ax: Axes) -> None:
    """A number per row in the order of the rows, a dash where it is unknown; the dagger, and what it means."""
    options: dict[str, Any] = {
        "row_metric": {"a": 0.25, "b": -0.5},
        "converged": {"a": True, "b": False, "c": None},
    }
    plot_heatmap(family(EXTREMES["disjoint"]), ax, order=["b", "a", "c"], **options)
    assert ticks(ax)[1] == ["b†", "a", "c"]
    assert ax.get_xlabel() == "† did not converge"
    side = ax.child_axes[0]
    assert texts(side) == ["-0.50", "0.25", "-"]
    assert [tick.get_text() for tick in side.get_xticklabels()] == ["corr"]
    check(ax.figure)


def test_a_bar_without_numbers_has_its_colors_explained() -> None:
    """By what the first and the last mean; beside numbers nothing is."""
    overlap, ax = overlap_of(30), Figure(figsize=(3.3, 3)).subplots()
    plot_heatmap(overlap, ax, row_metric=dict.fromkeys(overlap.labels, -0.25), row_metric_vmax=2, row_metric_label="k")
    side = ax.child_axes[0]
    assert texts(side) == []
    assert [tick.get_text() for tick in side.get_xticklabels()] == ["k, -0.25 to 2"]
    assert side.images[0].get_clim() == (-0.25, 2)
    few = axes_of(plot_heatmap(overlap_of(3), row_metric={"run 0": 1000, "run 1": 250}, row_metric_label="k"))
    assert texts(few.child_axes[0]) == ["1,000", "250", "-"]
    assert few.child_axes[0].images[0].get_clim() == (250, 1000)


@pytest.mark.parametrize("value", ["intersection", "jaccard"])
def test_zero_differs_from_little_on_a_logarithmic_scale(value: Any, ax: Axes) -> None:
    """It is gray, which the colors' meaning explains; where there is no zero, nothing does."""
    lists = ([*range(10)], [0, *range(11, 20)], [0, *range(30, 39)])
    plot_heatmap(family((*lists, [*range(40, 50)])), ax, scale="log", value=value)
    check(ax.figure)
    colors = ax.collections[0].get_facecolor().reshape(4, 4, 4)
    gray = to_rgba(EMPTY_COLOR)
    assert [tuple(color) == gray for color in colors[3]] == [True, True, True, False]
    assert not (colors[:3, :3] == gray).all(axis=2).any()
    bar = ax.child_axes[-1]
    assert texts(bar) == ["0"]
    (patch,) = (patch for patch in bar.patches if patch.get_facecolor() == gray)
    assert patch.get_window_extent().y1 < bar.get_window_extent().y0
    again = axes_of(plot_heatmap(family(lists), scale="log", value=value))
    assert texts(again.child_axes[-1]) == []


def test_numbers_stand_out(ax: Axes) -> None:
    """Light on dark and dark on light; the bar of colors says what they show."""
    plot_heatmap(family(EXTREMES["disjoint"]), ax, cbar_label="agreement")
    assert [text.get_color() for text in ax.texts[:2]] == ["black", "white"]
    assert ax.child_axes[-1].get_ylabel() == "agreement"


@pytest.mark.parametrize("n", [3, 18, 99])
@pytest.mark.parametrize("groups", quick([True, False], first=1))
def test_what_stands_around_a_heatmap(n: int, groups: bool) -> None:
    """Brackets or a tree, the side bar, the title, the meaning of the dagger: each at its place."""
    overlap = overlap_of(n)
    around: dict[str, Any] = {"cluster": True}
    if groups:
        around = {"groups": {label: f"group {i // 3}" for i, label in enumerate(overlap.labels)}}
    figure = plot_heatmap(
        overlap,
        row_metric=dict.fromkeys(overlap.labels, 0.5),
        converged=dict.fromkeys(overlap.labels, False),
        title="A title",
        **around,
    )
    check(figure)
    (axes,) = figure.axes
    said = "\n".join(text.get_text() for text in written(figure))
    assert all((f"group {i}" in said) is groups for i in range(-(-n // 3)))
    bar = axes.child_axes[-1].get_window_extent()
    assert all(child.get_window_extent().x1 < bar.x0 for child in axes.child_axes[:-1])


def test_how_the_bar_of_colors_is_placed(ax: Axes) -> None:
    """By gradiend's options: its length, its height and the space left of it."""
    plot_heatmap(overlap_of(3), ax, cbar_shrink=0.5, cbar_y_pad=-0.2, cbar_pad=0.3)
    ax.figure.draw_without_rendering()
    cells, bar = ax.get_window_extent(), ax.child_axes[-1].get_window_extent()
    assert bar.height == pytest.approx(0.5 * cells.height)
    assert bar.y0 == pytest.approx(cells.y0 + 0.05 * cells.height)
    assert bar.x0 == pytest.approx(cells.x1 + 0.3 * cells.width, rel=0.02)
    check(ax.figure)
