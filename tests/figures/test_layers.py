"""`plot_layers` and its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from gradiend_mlflow import (
    plot_layers,
)
from gradiend_mlflow.figures.layers import layer_shares
from tests.figures.examples import EXTREMES, family, overlap_of, texts, ticks


def test_shares_of_sets_and_of_what_they_share() -> None:
    """Each column sums to one; layers by number, then what is in none."""
    overlap = family(([0, 11, 21, 41], [11, 22, 31, 42]))
    layers = layer_shares(overlap, "layer")
    assert list(layers.index) == ["layer_0", "layer_1", "layer_10", "other"]
    assert layers["a"].tolist() == [0.25, 0.25, 0.25, 0.25]
    assert layers["in all runs"].tolist() == [1, 0, 0, 0]
    assert layer_shares(overlap, "component").loc["embedding", "b"] == 0


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_sets(name: str) -> None:
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


def test_many_sets() -> None:
    """Without numbers and names, but for what is shared."""
    upper, lower = plot_layers(overlap_of(90)).axes[:2]
    assert texts(upper) == texts(lower) == []
    assert ticks(lower)[0] == ["in ≥ 2 runs: 50 weights", "in all runs: 0 weights"]


@pytest.mark.parametrize("n", [2, 6, 12, 30, 80, 200])
def test_its_width_fits_a_page(n: int) -> None:
    """However many sets there are; cells of the two parts are of the same height."""
    figure = plot_layers(overlap_of(n))
    figure.draw_without_rendering()
    assert figure.get_figwidth() <= 13
    assert n == 80 or figure.get_figwidth() <= 10
    heights = [axes.get_window_extent().height / axes.dataLim.height for axes in figure.axes[:2]]
    assert heights[0] == pytest.approx(heights[1], rel=0.01)


@pytest.mark.parametrize("layout", ["none", "constrained"])
def test_a_part_of_a_figure_can_be_given(layout: Any) -> None:
    """What is drawn stays in it."""
    figure = Figure(figsize=(11, 5), layout=layout)
    left, right = figure.subfigures(1, 2)
    assert plot_layers(overlap_of(6), left, title="left") is left
    plot_layers(overlap_of(4), right, title="right")
    figure.draw_without_rendering()
    assert all(axes.get_tightbbox().x1 < axes.figure.bbox.x1 + 3 for axes in figure.axes)
    assert left.axes[0].get_window_extent().x1 < figure.bbox.width / 2 < right.axes[0].get_window_extent().x0
