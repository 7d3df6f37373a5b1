"""`plot_curve`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from gradiend_mlflow import (
    InvalidInputError,
    TopKSet,
    compute_overlap,
    plot_curve,
)
from tests.figures.examples import EXTREMES, family, overlap_of


def test_a_line_per_pair_and_chance(ax: Axes) -> None:
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
def test_other_values(value: Any, ax: Axes) -> None:
    """Counts, and the Jaccard index."""
    curve = overlap_of(2).overlap_curve([20])
    plot_curve(curve, ax, value=value)
    expected = curve.to_frame()[value].iloc[0] * (1 if value == "intersection" else 100)
    assert ax.lines[0].get_ydata()[0] == pytest.approx(expected)


def test_many_pairs_are_summarised(ax: Axes) -> None:
    """Their median and the range of most of them."""
    overlap = overlap_of(40)
    plot_curve(overlap, ax)
    curve = overlap.overlap_curve()
    shares = np.array([matrix[np.triu_indices(40, k=1)] for matrix in curve.intersection_frac])
    np.testing.assert_allclose(ax.lines[0].get_ydata(), 100 * np.median(shares, axis=1))
    assert ax.lines[0].get_label() == "median of 780 pairs"
    assert len(ax.collections[0].get_segments()) == 400


def test_where_it_ends_is_said(ax: Axes) -> None:
    """If sets differ in size it is the smallest one's; not if they do not, or if it ends before."""
    sets = {name: TopKSet.from_indices(range(k), space=50) for name, k in (("a", 30), ("b", 12), ("c", 20))}
    overlap = compute_overlap(sets)
    assert overlap.overlap_curve().sizes.tolist() == [30, 12, 20]
    plot_curve(overlap, ax)
    assert ax.get_xlabel().endswith("\n(up to the 12 of the smallest set, b; the largest has 30)")
    for curve in (overlap.overlap_curve([1, 5]), overlap_of(3)):
        assert plot_curve(curve).get_xlabel() == "k, the number of weights per run"


@pytest.mark.parametrize("name", ["identical", "disjoint", "contained"])
def test_lines_that_are_the_same_are_all_seen(name: str) -> None:
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


def test_limits_of_nothing() -> None:
    """Are not as small as chance is."""
    sets = {str(i): TopKSet.from_indices([i], space=10**6) for i in range(3)}
    assert plot_curve(compute_overlap(sets)).get_ylim() == (0, 1)


def test_bad_requests(ax: Axes) -> None:
    """One set has no pairs; a number is no curve."""
    with pytest.raises(InvalidInputError, match="at least two runs"):
        plot_curve(overlap_of(1), ax)
    with pytest.raises(InvalidInputError, match=r"expected OverlapCurve or Overlap .*; got int"):
        plot_curve(3, ax)
    with pytest.raises(InvalidInputError, match="value must be one of"):
        plot_curve(overlap_of(2), ax, value="rbo")
