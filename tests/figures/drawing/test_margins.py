"""What stands around a heatmap's cells."""

from __future__ import annotations

import io
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from gradiend_mlflow import (
    plot_heatmap,
)
from gradiend_mlflow.figures.drawing.margins import EMPTY_COLOR
from tests.figures.examples import EXTREMES, family, overlap_of, texts, ticks


def test_correlations_and_daggers(ax: Axes) -> None:
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


def test_a_bar_without_numbers_has_its_colors_explained(ax: Axes) -> None:
    """A second meaning of colors, with its ends; beside numbers there is none."""
    overlap = overlap_of(30)
    plot_heatmap(overlap, ax, correlation=dict.fromkeys(overlap.labels, -0.25))
    *_, bar, second = ax.child_axes
    assert second.get_ylabel() == "correlation"
    assert second.get_yticks().tolist() == [-0.25, 1]
    assert bar.get_ylabel().startswith("shared weights")
    few = plot_heatmap(overlap_of(3), correlation={"run 0": 0.5})
    assert len(few.child_axes) == 2


@pytest.mark.parametrize("value", ["intersection", "jaccard"])
def test_zero_differs_from_little_on_a_logarithmic_scale(value: Any, ax: Axes) -> None:
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
