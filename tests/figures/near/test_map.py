"""The map of runs: points where they belong, and names beside them that can be read."""

from __future__ import annotations

import warnings
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradiend_mlflow import InvalidInputError, OverlapMap, TopKSet, compute_overlap, plot_map
from tests.figures.legible import check
from tests.figures.test_paper import style_of
from tests.support.sampling import quick


def map_of_runs(groups: int, each: int, name: str = "{group}{number}") -> tuple[OverlapMap, dict[str, str]]:
    """Runs of some groups, and which is in which."""
    rng = np.random.default_rng(1)
    sets, group_of = {}, {}
    for place in range(groups):
        for number in range(each):
            label = name.format(group="abcdefgh"[place], number=number)
            shared = 50 * place + rng.choice(30, 20, replace=False)
            own = rng.choice(np.arange(1000, 1200), 20, replace=False)
            sets[label] = TopKSet.from_indices(np.concatenate([shared, own]), space=2000)
            group_of[label] = f"the group {'abcdefgh'[place]}"
    return compute_overlap(sets).map(), group_of


def test_points_are_where_the_map_has_them(ax: Axes) -> None:
    """In the colors of their groups, on one scale."""
    drawn, groups = map_of_runs(3, 4)
    plot_map(drawn, ax, groups=groups)
    points = np.concatenate([own.get_offsets() for own in ax.collections])
    np.testing.assert_array_equal(points, drawn.points)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["the group a", "the group b", "the group c"]
    assert len({tuple(own.get_facecolor()[0]) for own in ax.collections}) == 3
    unit = np.diff(ax.transData.transform([[0, 0], [1, 1]]), axis=0)[0]
    assert unit[0] == pytest.approx(unit[1])
    assert ax.get_xlabel() == f"{drawn.explained[0]:.0%} of the variation".replace("%", " %")


def test_every_name_is_beside_its_point(ax: Axes) -> None:
    """Nearer than any other name's."""
    drawn, _ = map_of_runs(3, 4)
    plot_map(drawn, ax)
    assert [text.get_text() for text in ax.texts] == list(drawn.labels)
    np.testing.assert_allclose([text.xy for text in ax.texts], drawn.points, atol=1e-9)
    for text in ax.texts:
        assert np.hypot(*text.get_position()) < 72 * 0.5


@pytest.mark.parametrize("points", quick([8, 6, 11], first=1))
@pytest.mark.parametrize("figsize", ["column", "text", None])
@pytest.mark.parametrize("name", ["{group}{number}", "the training of {group} with number {number}"])
def test_it_can_be_read(figsize: Any, name: str, points: float) -> None:
    """All runs are named beside their points, or numbered with a key; type follows the settings."""
    drawn, groups = map_of_runs(4, 6, name)
    with mpl.rc_context(style_of(points)), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plot_map(drawn, groups=groups, title="Who is near whom", figsize=figsize)
        check(figure)
    (axes,) = figure.axes
    names = [text.get_text() for text in axes.texts][-len(drawn.labels) :]
    assert len(set(names)) == len(drawn.labels)
    if "1" in names:
        key = " ".join(axes.texts[0].get_text().split())
        assert all(f"{n} {label}" in key for n, label in enumerate(drawn.labels, start=1))
    assert axes.xaxis.label.get_fontsize() == points


def test_runs_in_one_place_are_numbered() -> None:
    """Identical runs are one point; lines lead to their numbers."""
    sets = {f"run number {n}": TopKSet.from_indices([1, 2, 3], space=9) for n in range(7)}
    sets |= {f"other {n}": TopKSet.from_indices([1, 2, 4 + n], space=9) for n in range(3)}
    figure = plot_map(compute_overlap(sets).map(), figsize="column")
    check(figure)
    assert len(figure.axes[0].texts) >= 10


def test_what_has_no_room_is_said() -> None:
    """In a line below, and in a warning that says what to do."""
    drawn, groups = map_of_runs(5, 8, "the training of {group} with number {number}")
    figure = Figure(figsize=(2.4, 2.0), layout="constrained")
    with (
        mpl.rc_context(style_of(8)),
        pytest.warns(UserWarning, match="plot_map: some runs have no room for their names: make the figure larger"),
    ):
        axes = plot_map(drawn, figure.subplots(), groups=groups)
    check(figure, size=(2.4, 2.0))
    assert "no room" in " ".join(axes.texts[0].get_text().split())


def test_it_keeps_to_given_axes_and_their_texts() -> None:
    """What the caller has written stays."""
    figure = Figure(figsize=(9, 4))
    left, right = figure.subplots(1, 2)
    right.set_title("mine")
    written = left.text(0, 0, "")
    drawn, groups = map_of_runs(2, 9, "a name that is too long {group}{number}")
    plot_map(drawn, left, groups=groups)
    assert written in left.texts
    assert left.get_tightbbox().x1 < right.get_tightbbox().x1
    check(figure)


def test_other_things_are_refused(ax: Axes) -> None:
    """A frame, a group of nobody."""
    drawn, _ = map_of_runs(2, 2)
    with pytest.raises(InvalidInputError, match="expected OverlapMap"):
        plot_map(drawn.to_frame(), ax)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="groups names nobody; the runs are: a0, a1, b0, b1"):
        plot_map(drawn, ax, groups={"nobody": "x"})
