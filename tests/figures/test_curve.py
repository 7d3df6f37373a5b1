"""`plot_curve`."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from gradiend_mlflow import (
    InvalidInputError,
    TopKSet,
    compute_overlap,
    plot_curve,
)
from gradiend_mlflow.figures.plans.line_names import spread
from tests.figures.examples import EXTREMES, family, overlap_of, texts
from tests.figures.legible import check


def names(figure: Any) -> list[str]:
    """What is written beside the lines, from above."""
    beside = [text for text in figure.axes[0].texts if text.arrow_patch is not None]
    return [" ".join(text.get_text().split()) for text in sorted(beside, key=lambda text: -text.xyann[1])]


def test_a_line_per_pair_and_chance(ax: Axes) -> None:
    """Up to six pairs, named; the numbers are those of the curve."""
    curve = overlap_of(3).overlap_curve([1, 5, 20])
    assert plot_curve(curve, ax) is ax
    frame = curve.to_frame()
    pairs = frame.groupby(["a", "b"], sort=False)
    for line, text, (pair, rows) in zip(ax.lines[:3], ax.texts[:3], pairs, strict=True):
        assert text.get_text() == f"{pair[0]} & {pair[1]}"
        assert text.arrow_patch.get_edgecolor() == to_rgba(line.get_color())
        np.testing.assert_allclose(line.get_ydata(), 100 * rows["intersection_frac"])
        assert line.get_xdata().tolist() == [1, 5, 20]
    np.testing.assert_allclose(ax.lines[3].get_ydata(), [100 * k / 50 for k in (1, 5, 20)])
    assert ax.texts[3].get_text() == "chance"
    assert ax.get_xscale() == "log"
    assert plot_curve(overlap_of(3).overlap_curve([10, 20])).axes[0].get_xscale() == "linear"


@pytest.mark.parametrize("value", ["intersection", "jaccard"])
def test_other_values(value: Any, ax: Axes) -> None:
    """Counts, and the Jaccard index."""
    curve = overlap_of(2).overlap_curve([20])
    plot_curve(curve, ax, value=value)
    expected = curve.to_frame()[value].iloc[0] * (1 if value == "intersection" else 100)
    assert ax.lines[0].get_ydata()[0] == pytest.approx(expected)


def test_many_pairs_are_summarised(ax: Axes) -> None:
    """Their median, the middle half of them, and the two that agree most and least."""
    overlap = overlap_of(40)
    plot_curve(overlap, ax)
    curve = overlap.overlap_curve()
    rows, columns = np.triu_indices(40, k=1)
    shares = 100 * curve.intersection_frac[:, rows, columns]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.median(shares, axis=1))
    assert ax.texts[0].get_text() == "median and middle half of 780 pairs"
    assert len(ax.collections[0].get_segments()) == 400
    for line, text, extreme in ((ax.lines[1], ax.texts[1], "highest"), (ax.lines[2], ax.texts[2], "lowest")):
        end = shares[-1].max() if extreme == "highest" else shares[-1].min()
        assert line.get_ydata()[-1] == end
        pair = [
            (f"run {a}", f"run {b}") for a, b, share in zip(rows, columns, shares[-1], strict=True) if share == end
        ]
        assert text.get_text() in [f"{extreme}: {a} & {b}" for a, b in pair]


def test_pairs_of_groups() -> None:
    """Within each group and between each two: a color, a median, a name; of too many groups together."""
    overlap = overlap_of(6)
    groups = {"x": ["run 0", "run 1", "run 2"], "y": ["run 3", "run 4", "run 5"]}
    figure = plot_curve(overlap, groups=groups)
    (axes,) = figure.axes
    assert set(names(figure)) == {"within x", "within y", "x & y", "chance"}
    curve = overlap.overlap_curve()
    between = 100 * curve.intersection_frac[:, :3, 3:].reshape(len(curve.ks), -1)
    line = axes.lines[[text.get_text() for text in axes.texts].index("x & y")]
    np.testing.assert_allclose(line.get_ydata(), np.median(between, axis=1))
    thin = [held for held in axes.collections if to_rgba(line.get_color())[:3] == tuple(held.get_edgecolor()[0][:3])]
    assert [len(held.get_segments()) for held in thin] == [9]
    many = overlap_of(12)
    pairs = {label: str(index // 2) for index, label in enumerate(many.labels)}
    assert set(names(plot_curve(many, groups=pairs))) == {
        *[f"within {i}" for i in range(6)],
        "between groups",
        "chance",
    }
    single = {label: str(min(index, 9)) for index, label in enumerate(many.labels)}
    assert set(names(plot_curve(many, groups=single))) == {"within 9", "between groups", "chance"}


def test_highlighted_pairs() -> None:
    """Are named instead of the extreme ones."""
    figure = plot_curve(overlap_of(12), highlight=[("run 3", "run 1"), ("run 0", "run 11")])
    assert {"run 1 & run 3", "run 0 & run 11"} < set(names(figure))
    assert not any("highest" in name for name in names(figure))
    for wrong, said in (
        ("ab", "list of pairs"),
        (["ab"], "two different labels"),
        ([("run 1", "run 1")], "two different labels"),
        ([("run 1", "b")], "highlight names b; the runs are: run 0, "),
    ):
        with pytest.raises(InvalidInputError, match=said):
            plot_curve(overlap_of(3), highlight=wrong)  # type: ignore[arg-type]


def test_the_k_in_use(ax: Axes) -> None:
    """Is a line with its name, also outside of the curve; extremes are those there."""
    plot_curve(overlap_of(3).overlap_curve([1, 20]), ax, k=1000)
    (line,) = [line for line in ax.lines if line.get_xdata()[0] == line.get_xdata()[-1]]
    assert line.get_xdata()[0] == 1000 < ax.get_xlim()[1]
    assert ax.texts[0].get_text() == "k = 1,000"
    overlap = overlap_of(12)
    curve = overlap.overlap_curve([5, 20])
    highest = next(name for name in names(plot_curve(curve, k=5)) if name.startswith("highest"))
    a, b = (overlap.labels.index(label) for label in highest.removeprefix("highest: ").split(" & "))
    assert curve.intersection[0, a, b] == curve.intersection[0][np.triu_indices(12, k=1)].max()
    with pytest.raises(InvalidInputError, match="k must be an int of at least 1"):
        plot_curve(overlap, k=0)


def test_a_panel_per_group() -> None:
    """With the pairs within it, all on the same scale, and one for runs to compare with."""
    overlap = overlap_of(7)
    groups = {"x": ["run 0", "run 1", "run 2"], "y": ["run 3", "run 4"], "alone": ["run 5"], "z": ["run 6"]}
    figure = plot_curve(overlap, groups=groups, facet="group", control=["run 0", "run 3"], figsize="text")
    assert [axes.get_title() for axes in figure.axes] == ["x", "y", "control"]
    assert [len([t for t in axes.texts if "&" in t.get_text()]) for axes in figure.axes] == [3, 1, 1]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    for options, said in (
        ({"facet": "group"}, "needs groups"),
        ({"facet": "group", "groups": {label: label for label in overlap.labels}}, "no group has two runs"),
        ({"facet": "layer"}, "facet must be one of"),
        ({"control": ["run 0", "run 1"]}, "needs facet='group'"),
        ({"groups": groups, "facet": "group", "control": ["run 0", "b"]}, "control names b"),
        ({"groups": groups, "facet": "group", "control": ["run 0"]}, "at least two labels"),
        ({"groups": groups, "facet": "group", "ax": figure.axes[0]}, "give either ax or fig"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            plot_curve(overlap, **options)  # type: ignore[arg-type]


LONG = [f"{pair} of some length, seed {i}" for i, pair in enumerate(("der->die", "die->das", "der->das", "den->die"))]


@pytest.mark.parametrize(("size", "way"), [((8, 4), "end"), ((4, 3.8), "below"), ((3.3, 1.8), "numbers")])
def test_where_names_stand(size: tuple[float, float], way: str) -> None:
    """At the ends of lines, in a legend below, or as numbers with a key below: whatever has room."""
    sets = {label: TopKSet.from_indices(range(i, i + 20), space=50) for i, label in enumerate(LONG)}
    with mpl.rc_context({"font.size": 8}):
        figure = plot_curve(compute_overlap(sets), figsize=size)
    (axes,) = figure.axes
    check(figure, size=size)
    whole = {label.replace("->", " → ") for label in LONG}
    if way == "below":
        written = {" ".join(text.get_text().split()) for text in axes.get_legend().get_texts()}
    else:
        written = set(names(figure))
    if way == "numbers":
        assert written == {"1 & 2", "1 & 3", "1 & 4", "2 & 3", "2 & 4", "3 & 4", "chance"}
        key = " ".join(axes.texts[0].get_text().split())
        assert all(
            f"{number} {label}" in key for number, label in enumerate(sorted(whole, key=lambda x: x[-1]), start=1)
        )
    else:
        assert {label for name in written - {"chance"} for label in name.split(" & ")} == whole


@given(st.lists(st.tuples(st.floats(-5, 15), st.floats(0.1, 3)), min_size=1, max_size=8), st.floats(0.5, 30))
def test_names_are_spread(texts: list[tuple[float, float]], top: float) -> None:
    """Inside, apart, in the order wanted, and where wanted if nothing is in the way."""
    wanted, heights = map(list, zip(*texts, strict=True))
    places = spread(wanted, heights, top)
    sizes = np.array(heights) * min(1.0, top / sum(heights))
    order = np.argsort(wanted, kind="stable")
    low, high = (places - sizes / 2)[order], (places + sizes / 2)[order]
    assert (low[1:] - high[:-1] > -1e-9).all()
    assert low[0] > -1e-9
    assert high[-1] < top + 1e-9
    if len(texts) == 1 and heights[0] / 2 < wanted[0] < top - heights[0] / 2:
        assert places[0] == pytest.approx(wanted[0])


def test_where_it_ends_is_said(ax: Axes) -> None:
    """If sets differ in size it is the smallest one's; not if they do not, or if it ends before."""
    sets = {name: TopKSet.from_indices(range(k), space=50) for name, k in (("a", 30), ("b", 12), ("c", 20))}
    overlap = compute_overlap(sets)
    assert overlap.overlap_curve().sizes.tolist() == [30, 12, 20]
    plot_curve(overlap, ax)
    assert "up to the 12 of the smallest set, b; the largest has 30" in texts(ax)
    for curve in (overlap.overlap_curve([1, 5]), overlap_of(3)):
        assert not any(text.startswith("up to") for text in texts(plot_curve(curve).axes[0]))


@pytest.mark.parametrize("name", ["identical", "disjoint", "contained"])
def test_lines_that_are_the_same_are_all_seen(name: str) -> None:
    """In turns: each color is in the picture, and in the legend."""
    figure = plot_curve(family(EXTREMES[name]))
    (axes,) = figure.axes
    for text in [*axes.texts]:
        text.remove()
    figure.canvas.draw()
    pixels = {tuple(color) for color in np.asarray(figure.canvas.buffer_rgba())[..., :3].reshape(-1, 3).tolist()}
    for line in axes.lines[:3]:
        assert tuple(round(255 * part) for part in to_rgba(line.get_color())[:3]) in pixels


def test_limits_of_nothing() -> None:
    """Are not as small as chance is."""
    sets = {str(i): TopKSet.from_indices([i], space=10**6) for i in range(3)}
    assert plot_curve(compute_overlap(sets)).axes[0].get_ylim() == (0, 1)


def test_bad_requests(ax: Axes) -> None:
    """One set has no pairs; a number is no curve."""
    with pytest.raises(InvalidInputError, match="at least two runs"):
        plot_curve(overlap_of(1), ax)
    with pytest.raises(InvalidInputError, match=r"expected OverlapCurve or Overlap .*; got int"):
        plot_curve(3, ax)
    with pytest.raises(InvalidInputError, match="value must be one of"):
        plot_curve(overlap_of(2), ax, value="rbo")


ARTICLES = ("der->die (Nom, Masc->Fem)", "den->die (Acc, Masc->Fem)", "der->das (Nom, Masc->Neut)",
            "den->das (Acc, Masc->Neut)", "die->das (Nom, Fem->Neut)", "die->das (Acc, Fem->Neut)")  # fmt: skip


def panels_of_articles(**options: Any) -> Any:
    """A panel for each of three groups whose names have arrows."""
    names = {label: TopKSet.from_indices(range(place, place + 40), space=99) for place, label in enumerate(ARTICLES)}
    groups = {label: label.partition(", ")[2].rstrip(")") for label in ARTICLES}
    return plot_curve(compute_overlap(names), groups=groups, facet="group", k=20, **options)


def test_titles_of_panels_have_arrows_and_stand_at_one_height() -> None:
    """Also beside the panel in which k is named."""
    figure = panels_of_articles(figsize="text")
    figure.draw_without_rendering()
    assert [axes.get_title() for axes in figure.axes] == ["Masc → Fem", "Masc → Neut", "Fem → Neut"]
    heights = [axes.title.get_window_extent().y0 for axes in figure.axes]
    assert heights == pytest.approx([heights[0]] * 3, abs=0.5)


def test_names_of_few_letters_give_way_to_numbers_with_a_key() -> None:
    """Names of a third of their letters say less."""
    figure = panels_of_articles(figsize="text")
    assert [axes.texts[1 if index == 0 else 0].get_text() for index, axes in enumerate(figure.axes)] == [
        "1 & 2", "3 & 4", "5 & 6",
    ]  # fmt: skip
    assert "6  die → das (Acc, Fem → Neut)" in figure.texts[-1].get_text()
    check(figure)


def test_panels_without_room_for_names_are_drawn_without_them() -> None:
    """And one warning says which width would do, which it does."""
    with pytest.warns(UserWarning, match="no room for the names of the lines: [0-9.]+ inches have") as warned:
        figure = panels_of_articles(figsize=(3.3, 2))
    assert "the lines have no room for their names" in " ".join(figure.texts[-1].get_text().split())
    check(figure, size=(3.3, 2))
    wide = float(str(warned[0].message).partition(": ")[2].split()[0])
    check(panels_of_articles(figsize=(wide, 2)), size=(wide, 2))
