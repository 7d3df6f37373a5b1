"""The strips of a test of groups: every pair where it belongs, readable at every size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradiend_mlflow import GroupTest, InvalidInputError, TopKSet, compute_overlap, plot_groups
from tests.figures.legible import check

NAMES = ("masculine -> feminine (Nom)", "der→die", "a control group with a name of many words")


def answer(names: tuple[str, ...] = NAMES, each: int = 4, **options: Any) -> GroupTest:
    """Groups whose trainings share what is theirs."""
    rng = np.random.default_rng(0)
    sets, groups = {}, {}
    for place, name in enumerate(names):
        for number in range(each):
            own = rng.choice(np.arange(1000, 1100), 20, replace=False)
            shared = 50 * place + rng.choice(30, 20, replace=False)
            sets[f"{place}, {number}"] = TopKSet.from_indices(np.concatenate([shared, own]), space=2000)
            groups[f"{place}, {number}"] = name
    return compute_overlap(sets).test_groups(groups, **options)


TEST = answer(control=NAMES[2])


def strips(axes: Axes) -> list[list[float]]:
    """The values that are drawn in each strip, sorted."""
    return [np.sort(points.get_offsets()[:, 0]).tolist() for points in axes.collections]


def test_every_pair_is_a_point(ax: Axes) -> None:
    """In the strip of its group, or of what it lies between; a bar is their mean."""
    plot_groups(TEST, ax)
    drawn, pairs = strips(ax), TEST.pairs
    own = pairs[pairs["group_a"] == pairs["group_b"]].groupby("group_a")["overlap"]
    assert list(map(len, drawn)) == [6, 6, 16, 6, 32]
    assert drawn[1] == pytest.approx(np.sort(100 * own.get_group("der→die")))
    assert drawn[2] == pytest.approx(np.sort(100 * pairs.loc[pairs["relation"] == "between", "overlap"]))
    bars = [line.get_xdata()[0] for line in ax.lines]
    assert bars == pytest.approx([np.mean(values) for values in drawn])
    assert bars[2] == pytest.approx(100 * TEST.between)
    assert [text.get_text() for text in ax.get_yticklabels()] == [
        "masculine → feminine (Nom)", "der → die", "different groups", "within the control", "with the control",
    ]  # fmt: skip
    assert f"p = {TEST.p_value:.2g}, too few" not in ax.get_xlabel()
    assert f"{TEST.within:.1%} within groups, {TEST.between:.1%} between" in ax.get_xlabel()


def test_points_stay_in_their_strip_and_apart(ax: Axes) -> None:
    """Also where all values are equal."""
    sets = {f"{group}{number}": TopKSet.from_indices([1, 2], space=9) for group in "ab" for number in range(9)}
    plot_groups(compute_overlap(sets).test_groups({label: label[0] for label in sets}), ax)
    for place, points in enumerate(ax.collections):
        heights = np.sort(points.get_offsets()[:, 1])
        assert np.abs(heights - place).max() < 0.5
        assert np.diff(heights).min() > 0.2 / len(heights)


def test_counts_and_too_few_runs_are_said(ax: Axes) -> None:
    """Counts are not percentages."""
    few = answer(NAMES[:2], each=2, value="intersection")
    plot_groups(few, ax)
    assert ax.get_xlabel().splitlines()[0] == "shared weights"
    assert "p = 0.33, too few to tell" in ax.get_xlabel()
    assert strips(ax)[0] == [few.per_group["within"].iloc[0]]


@pytest.mark.parametrize("figsize", ["column", "text", None, (4, 3)])
def test_it_can_be_read(figsize: Any, tmp_path: Path) -> None:
    """In a paper's column too; and it is saved."""
    figure = plot_groups(TEST, title="Do cases share their weights?", figsize=figsize, output_path=tmp_path / "a.pdf")
    check(figure)
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_it_keeps_to_given_axes() -> None:
    """And their neighbors keep theirs."""
    figure = Figure(figsize=(9, 4))
    axes = figure.subplots(1, 2)
    plot_groups(TEST, axes[1])
    assert axes[1].get_tightbbox().x0 > axes[0].get_window_extent().x1
    check(figure)


def test_a_group_of_one_has_an_empty_strip(ax: Axes) -> None:
    """Its pairs are all between groups."""
    overlap = compute_overlap({name: TopKSet.from_indices([1, place], space=9) for place, name in enumerate("xyz", 2)})
    plot_groups(overlap.test_groups({"a": ["x", "y"], "b": ["z"]}), ax)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b", "different groups"]
    assert list(map(len, strips(ax))) == [1, 2]
    (note,) = ax.texts
    assert (note.get_text(), note.get_position()[1]) == ("no pairs", 1)


def test_type_has_the_size_of_the_settings(ax: Axes) -> None:
    """Of names, numbers and labels; and a bar lies behind the points, of which there may be but one."""
    with mpl.rc_context({"font.size": 6, "axes.labelsize": "large"}):
        plot_groups(TEST, ax)
    ticks = {label.get_fontsize() for label in (*ax.get_xticklabels(), *ax.get_yticklabels())}
    assert (ticks, ax.xaxis.label.get_fontsize()) == ({6}, pytest.approx(7.2))
    assert max(bar.get_zorder() for bar in ax.lines) < min(points.get_zorder() for points in ax.collections)


def test_other_things_are_refused(ax: Axes) -> None:
    """With where a test comes from."""
    with pytest.raises(InvalidInputError, match=r"expected GroupTest \(from test_groups\(\)\); got DataFrame"):
        plot_groups(TEST.pairs, ax)  # type: ignore[arg-type]
