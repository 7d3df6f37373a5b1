"""`plot_stability`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from gradiend_mlflow import InvalidInputError, plot_stability
from tests.figures.legible import check
from tests.support.sampling import quick

LONG = [f"masculine -> feminine (Nom), number {number}" for number in range(6)]


def curves(names: list[str], *, last: float = 1.0) -> dict[str, dict[int, float]]:
    """Trainings with steps of their own, the later the nearer to their final set."""
    return {
        name: {int(step): float(last * (step / 600) ** (0.2 + 0.1 * place)) for step in np.linspace(0, 600, 4 + place)}
        for place, name in enumerate(names)
    }


def test_a_line_per_training(ax: Axes) -> None:
    """Through its own steps, in percent, with its name in its color."""
    given = curves(["a", "b", "c"])
    assert plot_stability(given, ax) is ax
    for line, (name, shares) in zip(ax.lines, given.items(), strict=True):
        assert line.get_xdata().tolist() == list(shares)
        assert line.get_ydata() == pytest.approx([100 * share for share in shares.values()])
        (text,) = [text for text in ax.texts if text.get_text() == name]
        assert text.arrow_patch.get_edgecolor() == to_rgba(line.get_color())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("training step", "weights of the final set (%)")


def test_a_frame_is_the_same_as_a_mapping() -> None:
    """What `load_stability` returns, with gaps where a training has no set."""
    given = curves(["a", "b"])
    one, other = plot_stability(given), plot_stability(pd.DataFrame(given))
    for line, same in zip(one.axes[0].lines, other.axes[0].lines, strict=True):
        assert line.get_xydata().tolist() == same.get_xydata().tolist()


def test_many_trainings_are_summarised(ax: Axes) -> None:
    """By their median and middle half; a gap of one is bridged, but no line goes beyond its ends."""
    given = {f"run {i}": {0: i / 40, 10: 0.5 + i / 80} for i in range(9)} | {"short": {5: 0.5}}
    plot_stability(given, ax)
    *thin, median = ax.lines
    assert len(thin) == 10
    (name,) = [text.get_text() for text in ax.texts]
    assert " ".join(name.split()) == "median and middle half of 10 trainings"
    assert median.get_xdata().tolist() == [0, 5, 10]
    assert median.get_ydata()[[0, 2]] == pytest.approx([100 * 4 / 40, 100 * (0.5 + 4 / 80)])


@pytest.mark.parametrize("figsize", quick(["column", "text", None, ((4, 3),)], first=1))
@pytest.mark.parametrize(
    "names", [["3SG_3PL"], ["3SG_3PL/seed_0", "3SG_3PL/seed_1"], LONG, [str(i) for i in range(30)]]
)
def test_it_can_be_read(names: list[str], figsize: Any, tmp_path: Path) -> None:
    """In a paper's column too; whether lines end at one point or apart; and it is saved."""
    for last in (1.0, 0.3):
        figure = plot_stability(
            curves(names, last=last), title="How early?", figsize=figsize, output_path=tmp_path / "a.pdf"
        )
        check(figure)
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_it_keeps_to_given_axes() -> None:
    """And their neighbors keep theirs."""
    figure = Figure(figsize=(9, 3))
    left, right = figure.subplots(1, 2)
    plot_stability(curves(["a", "b"]), right)
    assert right.get_tightbbox().x0 > left.get_window_extent().x1
    check(figure)


def test_steps_are_whole_numbers() -> None:
    """Also of short trainings."""
    figure = plot_stability({"a": {0: 0.0, 2: 1.0}})
    figure.draw_without_rendering()
    assert {0, 1, 2} <= set(figure.axes[0].get_xticks().tolist()) <= set(range(-9, 9))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2], "curves must be what load_stability"),
        ({}, "at least one label"),
        ({"a": {}}, "at least one label, and a share for each"),
        ({"a": {0: float("nan")}}, "a share for each"),
        ({"a": {0: 50}}, "between 0 and 1"),
        ({"a": {0: "half"}}, "numbers by step"),
        ({"a": 5}, "numbers by step"),
        ({"a": {"first": 0.5}}, "numbers by step"),
        (pd.DataFrame({"a": [0.5]}, index=pd.Index([0], name="k")), "an index called 'step'"),
        (pd.DataFrame({"run": ["a"]}, index=pd.Index([0], name="step")), "Got the index 'step' and the columns 'run'"),
    ],
)
def test_other_things_are_refused(given: Any, message: str) -> None:
    """With what is wanted."""
    with pytest.raises(InvalidInputError, match=message):
        plot_stability(given)
