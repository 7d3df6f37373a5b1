"""`plot_upset`."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from matplotlib.figure import Figure

from gradiend_mlflow import (
    InvalidInputError,
    TopKSet,
    compute_overlap,
    plot_upset,
)
from tests.figures.examples import EXTREMES, family, overlap_of, texts, ticks
from tests.figures.legible import check


def read(figure: Any) -> tuple[list[str], list[str], int]:
    """The numbers on the bars, the names of the rows, the number of dots."""
    dots, bars = figure.axes[:2]
    names = ticks(dots)[1]
    return texts(bars), names, sum(len(held.get_offsets()) for held in dots.collections if len(held.get_paths()) == 1)


def said(figure: Any) -> str:
    """What stands below."""
    return " ".join(figure.texts[-1].get_text().split())


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_sets(name: str) -> None:
    """A bar per combination, the largest first; a dot for each set in it, and a line through the dots."""
    overlap = family(EXTREMES[name])
    figure = plot_upset(overlap)
    bars, names, _ = read(figure)
    assert bars == [str(size) for size in overlap.regions.values()]
    assert names == ["a", "b", "c"]
    marked = {(x - 0.5, y - 0.5) for x, y in figure.axes[0].collections[0].get_offsets().tolist()}
    assert marked == {
        (column, row)
        for column, members in enumerate(overlap.regions)
        for row, label in enumerate("abc")
        if label in members
    }


def test_sizes() -> None:
    """Are bars beside the names; if all are the same, a line below says it instead."""
    figure = plot_upset(family(EXTREMES["contained"]))
    assert figure.axes[2].containers[0].datavalues.tolist() == [4, 2, 1]
    assert texts(figure.axes[2]) == ["4", "2", "1"]
    equal = plot_upset(family(EXTREMES["identical"]))
    assert len(equal.axes) == 2
    assert said(equal) == "3 weights per set"


def test_the_rest_is_summed() -> None:
    """In a last bar, cut off where it would dwarf the others; sets without a bar are counted."""
    overlap = overlap_of(30)
    figure = plot_upset(overlap, max_regions=4)
    bars, names, _ = read(figure)
    sizes = list(overlap.regions.values())
    assert bars == [*map(str, sizes[:4]), str(sum(sizes[4:]))]
    heights = [bar.get_height() for bar in figure.axes[1].patches]
    assert heights[-1] == pytest.approx(1.15 * sizes[0])
    hidden = f"; sets in none of these combinations: {30 - len(names)}" if len(names) < 30 else ""
    assert said(figure) == f"20 weights per set; last bar: {len(sizes) - 4} other combinations{hidden}"


def test_as_many_combinations_as_fit() -> None:
    """The others are in the last bar, which is said; if more were asked for, a warning says which width would do."""
    overlap = overlap_of(12, size=60)
    assert len(overlap.regions) > 30
    bars, _, _ = read(plot_upset(overlap, figsize="column"))
    assert 8 < len(bars) <= 21
    figure = Figure(figsize=(3.3, 2.5))
    with pytest.warns(
        UserWarning, match=r"plot_upset: \d+ of 30 combinations have room; a width of .* would do"
    ) as told:
        plot_upset(overlap, figure, max_regions=30)
    check(figure, size=(3.3, 2.5))
    wide = float(str(told[0].message).split()[-4])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read(plot_upset(overlap, Figure(figsize=(wide, 2.5)), max_regions=30))[0]) == 30 + 1


def test_only_what_is_shared() -> None:
    """`min_sets` leaves out what one set holds alone; if there is nothing else, that is said."""
    assert read(plot_upset(family(EXTREMES["contained"]), min_sets=2))[0] == ["1", "1"]
    with pytest.raises(InvalidInputError, match="no weight is in 2 of the 3 sets"):
        plot_upset(family(EXTREMES["disjoint"]), min_sets=2)
    with pytest.raises(InvalidInputError, match="max_regions must be an int"):
        plot_upset(family(EXTREMES["disjoint"]), max_regions=0)


@pytest.mark.parametrize("layout", ["none", "constrained", "tight"])
def test_a_figure_can_be_given(layout: Any) -> None:
    """Also one that has no canvas that measures texts; it keeps its size."""
    figure = Figure(figsize=(3.3, 2.5), layout=layout)
    assert plot_upset(family(EXTREMES["contained"]), figure, title="T") is figure
    assert figure.get_suptitle() == "T"
    check(figure, size=(3.3, 2.5))


def test_what_is_shared_comes_first_among_many() -> None:
    """Else what each holds alone takes all the bars; its weights are counted below, unless it is asked for."""
    sets = {f"run {i}": TopKSet.from_indices([*range(20 * i, 20 * i + 20), 999 + i // 2], space=1100)
            for i in range(30)}  # fmt: skip
    overlap = compute_overlap(sets)
    figure = plot_upset(overlap)
    bars, names, _ = read(figure)
    assert bars == ["1"] * 15
    assert len(names) == 30
    assert said(figure) == "21 weights per set; weights of one set alone, not shown: 600"
    assert read(plot_upset(overlap, min_sets=1))[0] == ["20"] * 20 + ["215"]


def test_rows_have_names() -> None:
    """Where it takes fewer bars too; where even that is not enough the figure says so."""
    sets = {f"run {i}": TopKSet.from_indices([99], space=100) for i in range(200)}
    assert "; 200 sets, a row each in their order, are too many to be named" in said(plot_upset(compute_overlap(sets)))
    apart = compute_overlap({f"run {i}": TopKSet.from_indices([i // 7], space=100) for i in range(200)})
    bars, names, _ = read(plot_upset(apart))
    assert len(names) == 60
    assert len(bars) == 9 + 1


def test_a_figure_that_is_in_use_is_refused() -> None:
    """Both would lie over each other."""
    figure = plot_upset(family(EXTREMES["contained"]))
    with pytest.raises(InvalidInputError, match=r"has axes already: give it a new one, or call fig.clear\(\)"):
        plot_upset(family(EXTREMES["contained"]), figure)
    figure.clear()
    plot_upset(family(EXTREMES["contained"]), figure)


def test_a_part_of_a_figure_can_be_given() -> None:
    """What is drawn stays in it."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    left, right = figure.subfigures(1, 2)
    assert plot_upset(family(EXTREMES["contained"]), left, title="left") is left
    plot_upset(overlap_of(12), right, title="right")
    check(figure, size=(7, 3))
