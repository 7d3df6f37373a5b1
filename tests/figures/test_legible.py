"""Whether the check of figures notices what it is for."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from tests.figures.legible import check, lacking, problems


def figure_with(*texts: tuple[float, float, str, dict[str, Any]]) -> Figure:
    """A figure of 4 x 3 inches with these texts."""
    figure = Figure(figsize=(4, 3))
    for x, y, text, options in texts:
        figure.text(x, y, text, **options)
    return figure


def test_a_good_figure() -> None:
    """Ticks out of view are not drawn, hidden things neither; slanted labels side by side do not touch."""
    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.subplots()
    axes.set_xticks(range(12), [f"label {i}" for i in range(12)], rotation=45, ha="right", rotation_mode="anchor")
    axes.set(xlim=(0, 11), title="title")
    axes.set_yticks([-5, 0, 5], ["over", "0", "over"])
    axes.set_ylim(-1, 1)
    axes.text(0.5, 0.5, "hidden", visible=False, fontsize=2)
    check(figure, size=(4, 3))


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([(0.5, 0.5, "small", {"fontsize": 4})], "4.00 points: 'small'"),
        ([(0.95, 0.5, "over the edge", {})], "outside: 'over the edge'"),
        ([(0.5, 0.5, "one", {}), (0.52, 0.5, "two", {})], "dots of 'one' over 'two'"),
        ([(0.5, 0.5, "a slanted one", {"rotation": 45}), (0.6, 0.65, "x", {})], "dots of 'a slanted one' over 'x'"),
    ],
)
def test_what_cannot_be_read(texts: Any, said: str) -> None:
    """Is said."""
    (found,) = problems(figure_with(*texts))
    assert said in found


def test_another_size_and_another_part() -> None:
    """A figure keeps its size, and what is drawn its part."""
    figure = figure_with((0.5, 0.5, "here", {}))
    (found,) = problems(figure, size=(3, 3))
    assert "not (3, 3)" in found
    with pytest.raises(AssertionError, match="outside: 'here'"):
        check(figure, part=Bbox.from_extents(0, 0, 100, 100))
    left, right = Figure(figsize=(4, 3)).subfigures(1, 2)
    left.text(0.9, 0.5, "into the neighbor")
    assert "outside" in problems(left)[0]
    assert "outside" in problems(left.figure)[0]
    assert not problems(right)


def test_a_heatmap_that_says_nothing() -> None:
    """Neither names nor numbers, only how many runs there are: nothing overlaps, and nothing is said."""
    figure = Figure(figsize=(3.3, 3), layout="constrained")
    axes = figure.subplots()
    axes.pcolormesh([[1.0, 0.5], [0.5, 1.0]])
    axes.set(xticks=[], yticks=[], xlabel="2 runs", ylabel="2 runs")
    check(figure, size=(3.3, 3))
    found = lacking(axes, ["der->die", "die->das"])
    assert found[:3] == ["0 names for 2 runs", "no name: 'der → die'", "no name: 'die → das'"]
    assert found[3].startswith("0 numbers in 4 cells")
    axes.set_yticks([0.5, 1.5], ["der →\ndie", "die →\ndas"])
    for row, column in itertools.product(range(2), repeat=2):
        axes.text(column + 0.5, row + 0.5, "50")
    assert not lacking(axes, ["der->die", "die->das"])
