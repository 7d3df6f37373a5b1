"""The order of a heatmap's runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from gradiend_mlflow import (
    InvalidInputError,
    TopKSet,
    compute_overlap,
    plot_heatmap,
)
from tests.figures.examples import EXTREMES, axes_of, family, overlap_of, texts, ticks


def test_groups_are_side_by_side_under_brackets(ax: Axes) -> None:
    """In the order of the mapping, those that it does not name last; each name above and at the right."""
    overlap = overlap_of(5)
    plot_heatmap(overlap, groups={"even": ["run 4", "run 0", "run 2"], "odd": ["run 1"]}, ax=ax, annot=False)
    order = ["run 4", "run 0", "run 2", "run 1", "run 3"]
    assert ticks(ax) == (order, order)
    shown = 100 * overlap.to_frame().loc[order, order]
    np.testing.assert_allclose(ax.collections[0].get_array().reshape(5, 5), shown)
    assert texts(ax) == ["even", "even", "odd", "odd", "Other", "Other"]
    spans = [line.get_xdata() for line in ax.lines if np.ptp(line.get_xdata()) > 0 and line.get_ydata()[0] < 0.5]
    np.testing.assert_allclose(spans, [[0.1, 2.9], [3.1, 3.9], [4.1, 4.9]])


@pytest.mark.parametrize("groups", [{"x": ["nobody"]}, {"x": ["run 0"], "y": ["run 0"]}, 3])
def test_groups_that_do_not_fit_are_refused(groups: Any, ax: Axes) -> None:
    """Unknown labels, labels in two groups."""
    with pytest.raises(InvalidInputError, match="group"):
        plot_heatmap(overlap_of(3), groups=groups, ax=ax)


def test_orders(ax: Axes) -> None:
    """By name, as given, and explicitly; the cells move with the labels."""
    overlap = compute_overlap(dict(reversed([(n, TopKSet.from_indices(x, space=9)) for n, x in
                                             (("a", [1, 2]), ("b", [2, 3]), ("c", [1, 3]))])))  # fmt: skip
    assert ticks(plot_heatmap(overlap, ax))[0] == ["c", "b", "a"]
    for order, expected in (("name", ["a", "b", "c"]), (["b", "c", "a"], ["b", "c", "a"])):
        axes = axes_of(plot_heatmap(overlap, order=order))
        assert ticks(axes)[0] == ticks(axes)[1] == expected
        shown = 100 * overlap.to_frame().loc[expected, expected]
        np.testing.assert_allclose(axes.collections[0].get_array().reshape(3, 3), shown)


def test_clusters_stand_together_under_their_tree(ax: Axes) -> None:
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
    assert "".join(ticks(axes_of(plot_heatmap(overlap, order="cluster")))[0]) == order


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
        ({"order": 5}, "order must be .* or a list of all labels; got int"),
        ({"row_metric": {"a": "abc"}}, "row_metric must be numbers; got 'abc' for 'a'"),
        ({"cmap": "nope"}, "such as 'viridis', .* got 'nope'"),
    ],
)
def test_bad_options(options: dict[str, Any], match: str, ax: Axes) -> None:
    """Each is refused by its name."""
    with pytest.raises(InvalidInputError, match=match):
        plot_heatmap(family(EXTREMES["contained"]), ax, **options)
