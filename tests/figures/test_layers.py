"""`plot_layers`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gradiend_mlflow import InvalidInputError, Overlap, TopKSet, compute_overlap, plot_layers
from gradiend_mlflow.overlap.grouping import SHARED_BY_ALL, SHARED_BY_TWO
from tests.figures.examples import EXTREMES, SPACE, family, overlap_of, texts, ticks
from tests.figures.legible import check
from tests.figures.test_paper import overlap_with


def signed(*families: dict[int, float]) -> Overlap:
    """Sets of the given weights, with their signed weights, called a, b, c."""
    sets = {}
    for name, own in zip("abc", families, strict=False):
        found = TopKSet.from_indices(list(own), space=SPACE)
        sets[name] = replace(found, weights=np.array(list(own.values()))[:, None])
    return compute_overlap(sets)


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_sets(name: str) -> None:
    """The numbers in the cells are the shares; a dash where nothing is shared."""
    overlap = family(EXTREMES[name])
    upper, lower = plot_layers(overlap).axes
    for axes, grouped in ((upper, overlap.by_layer()), (lower, overlap.by_component())):
        frame = 100 * grouped.share().join(grouped.share_of_shared())
        found = np.array(texts(axes)).reshape(len(frame), -1)
        for row, place in enumerate(ticks(axes)[1]):
            expected = ["-" if np.isnan(share) else f"{share:.0f}" for share in frame.loc[place]]
            assert found[row].tolist() == expected
    assert ticks(upper)[0] == []
    shared = [int((overlap.presence >= least).sum()) for least in (2, 3)]
    said = [f"{count} weight" if count == 1 else f"{count} weights" for count in shared]
    assert ticks(lower)[0] == ["a", "b", "c", f"in ≥ 2 runs: {said[0]}", f"in all runs: {said[1]}"]
    assert ("-" in texts(upper)) is (name in ("disjoint", "nothing in all"))


def test_layers_are_in_the_models_order() -> None:
    """By number, then what is in none."""
    upper, lower = plot_layers(family(([0, 11, 21, 41], [11, 22, 31, 42]))).axes
    assert ticks(upper)[1] == ["layer_0", "layer_1", "layer_10", "other"]
    assert ticks(lower)[1] == ["embedding", "attention_query", "mlp_down"]


def test_signs_of_what_is_shared() -> None:
    """A bar as long as the share of the shared weights that have one sign in all their runs, and its number."""
    overlap = signed({11: 1.0, 12: 2.0, 13: 1.0, 21: 1.0}, {11: 1.0, 12: -2.0, 13: 1.0, 21: -1.0}, {11: 1.0, 40: 1.0})
    upper, lower = plot_layers(overlap).axes
    assert ticks(lower)[0] == [
        "a", "b", "c", f"{SHARED_BY_TWO}: 4 weights", "of these, same sign", f"{SHARED_BY_ALL}: 1 weight",
        "of these, same sign",
    ]  # fmt: skip
    numbers = dict(zip(ticks(upper)[1], np.array(texts(upper)).reshape(-1, 7).tolist(), strict=True))
    assert numbers["layer_0"][3:] == ["75", "67", "100", "100"]
    assert numbers["layer_1"][3:] == ["25", "0", "0", "-"]
    bars = [bar for bar in upper.patches if isinstance(bar, Rectangle) and bar.get_facecolor()[3]]
    assert [bar.get_width() for bar in bars] == pytest.approx([2 / 3, 0, 1], abs=1e-6)


def test_two_runs_and_one() -> None:
    """Two share in one way, one in none."""
    two = plot_layers(family(([11, 12], [12, 13])))
    assert ticks(two.axes[1])[0] == ["a", "b", "in all runs: 1 weight"]
    assert ticks(plot_layers(family(([11, 12],))).axes[1])[0] == ["a"]
    with pytest.raises(InvalidInputError, match="no weight in any of the sets"):
        plot_layers(family(([11], [12])).restricted([np.array([False])] * 2))


@pytest.mark.parametrize("n", [2, 13, 40, 60, 90])
@pytest.mark.parametrize("width", [3.3, 7.0])
def test_many_sets(n: int, width: float) -> None:
    """Each has a name if there is room, or every second, third, ...; more than 60 have none, which is said."""
    figure = Figure(figsize=(width, 4))
    assert plot_layers(overlap_of(n), figure, title="title") is figure
    check(figure, size=(width, 4))
    shown = [name for name in ticks(figure.axes[1])[0] if name.startswith("run ")]
    said = " ".join(text.get_text() for text in figure.texts)
    if n > 60:
        assert shown == []
        assert "90 runs" in said
    else:
        every = -(-n // len(shown))
        assert shown == [f"run {index}" for index in range(0, n, every)]
        assert every == 1 or f"one run in {every} is named" in said


def test_a_figure_that_is_in_use_is_refused() -> None:
    """Both would lie over each other."""
    figure = plot_layers(family(EXTREMES["contained"]))
    with pytest.raises(InvalidInputError, match="plot_layers fills its whole figure, and fig has axes already"):
        plot_layers(family(EXTREMES["contained"]), figure)


@pytest.mark.parametrize("layout", ["none", "constrained"])
def test_a_part_of_a_figure_can_be_given(layout: Any) -> None:
    """What is drawn stays in it."""
    figure = Figure(figsize=(11, 5), layout=layout)
    left, right = figure.subfigures(1, 2)
    assert plot_layers(overlap_of(6), left, title="left") is left
    plot_layers(overlap_of(4), right, title="right")
    check(figure, size=(11, 5))


@pytest.mark.parametrize("n", [30, 60])
def test_what_many_runs_share_is_named(n: int) -> None:
    """At the width of a column too, in words."""
    sets = {f"run {i}": TopKSet.from_indices(range(i, i + 80), space=200) for i in range(n)}
    figure = plot_layers(compute_overlap(sets), figsize="column")
    check(figure)
    written = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert [text.partition(":")[0] for text in written[-2:]] == ["in ≥ 2 runs", "in all runs"]


@pytest.mark.parametrize("height", [2.0, 2.6, 6.0])
def test_rows_without_a_name_are_said(height: float) -> None:
    """In a figure that is too low for all of them."""
    overlap = overlap_with([f"r{i}" for i in range(6)])
    figure = plot_layers(overlap, Figure(figsize=(3.3, height)))
    check(figure, size=(3.3, height))
    layers = len(ticks(figure.axes[0])[1])
    below = " ".join(text.get_text().replace("\n", " ") for text in figure.texts)
    every = -(-13 // layers)
    assert (every > 1) == (height < 5)
    assert (f"one row in {every} is named" in below) == (every > 1)


def test_what_is_divided_already_is_refused() -> None:
    """With what to pass instead."""
    overlap = compute_overlap({"a": TopKSet.from_indices([1, 2], space=9)})
    with pytest.raises(InvalidInputError, match="pass the overlap, not what its by_layer"):
        plot_layers(overlap.by_component())  # type: ignore[arg-type]
