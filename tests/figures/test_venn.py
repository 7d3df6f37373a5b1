"""`plot_venn`."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import seaborn as sns
import shapely
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradiend_mlflow import InvalidInputError, Overlap, TopKSet, compute_overlap, plot_venn
from tests.figures.examples import overlap_of, texts
from tests.figures.legible import check, problems
from tests.support.sampling import quick

LABELS = [
    "der->die (Nom, Masc->Fem)",
    "der->das (Nom, Masc->Neut)",
    "die->das (Nom, Fem->Neut)",
    "der->den (Acc, Masc)",
    "die->der (Dat, Fem)",
    "das->dem (Dat, Neut)",
]
LONG = "a long name of an experiment that nobody ever shortened, seed"


def skewed(n: int, k: int, labels: list[str], seed: int = 0) -> Overlap:
    """Sets of which any two, three, ... share something, as runs of one model do."""
    random = np.random.default_rng(seed)
    chance = np.exp(-np.arange(3 * k) / (0.75 * k))
    draw = [random.choice(3 * k, k, replace=False, p=chance / chance.sum()) for _ in range(n)]
    return compute_overlap(
        {label: TopKSet.from_indices(x, space=3 * k) for label, x in zip(labels, draw, strict=False)}
    )


def of_counts(counts: dict[str, int], labels: list[str] = LABELS) -> Overlap:
    """Sets with these numbers of weights in their regions."""
    sets: list[list[int]] = [[] for _ in next(iter(counts))]
    start = 0
    for code, count in counts.items():
        for weights, bit in zip(sets, code, strict=True):
            weights.extend(range(start, start + count) if bit == "1" else ())
        start += count
    return compute_overlap(
        {label: TopKSet.from_indices(weights, space=start) for label, weights in zip(labels, sets, strict=False)}
    )


def numbers(axes: Axes) -> list[str]:
    """What is written about regions."""
    return sorted(text for text in texts(axes) if text.replace(",", "").isdigit())


def axes_of(made: Axes | Figure) -> Axes:
    """The diagram's."""
    return made if isinstance(made, Axes) else made.axes[0]


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_regions_say_their_sizes(n: int, ax: Axes) -> None:
    """Every region that has weights, by number, and every set with its size."""
    overlap = overlap_of(n, k=40, size=60)
    assert plot_venn(overlap, ax=ax) is ax
    sizes = sorted(str(size) for size in overlap.regions.values())
    assert [text for text in numbers(ax) if text != "0"] == sizes
    named = " ".join(texts(ax)).replace("\n", " ")
    for label in overlap.labels:
        assert f"{label} (40)" in named


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_numbers_stand_in_their_regions(n: int) -> None:
    """Each in the shapes of its sets alone, or at the end of a line that begins there."""
    powers = {code: 2**i for i, code in enumerate(map("".join, itertools.product("01", repeat=n))) if i}
    overlap = of_counts({code: powers[code] % 997 + 2 for code in powers})
    axes = axes_of(plot_venn(overlap, figsize="column"))
    shapes = [shapely.Polygon(patch.get_xy()) for patch in axes.patches[1::2]]
    ends = [tuple(line.get_xydata()[0]) for line in axes.lines if len(line.get_xydata()) == 1]
    checked = 0
    for members, size in overlap.regions.items():
        code = [label in members for label in overlap.labels]
        places = [text.get_position() for text in axes.texts if text.get_text() == f"{size:,}"]
        assert places
        held = [[shape.contains(shapely.Point(place)) for shape in shapes] for place in [*places, *ends]]
        assert code in held
        checked += code in held[: len(places)]
    assert checked >= len(powers) / 2
    assert n < 4 or checked == len(powers)  # shapes of fixed size have room for all


@pytest.mark.parametrize(
    ("counts", "written", "said"),
    [
        ({"11": 2}, ["2"], ""),
        ({"10": 2, "01": 2}, ["2", "2"], "No weight is in both sets."),
        ({"10": 2, "11": 1}, ["1", "2"], ""),
        ({"111": 1}, ["1"], ""),
        ({"100": 1, "010": 1, "001": 1}, ["1", "1", "1"], "No weight is in all 3 sets."),
        ({"110": 9, "101": 9, "011": 9}, ["0", "0", "0", "0", "9", "9", "9"], "areas are off by up to 24.6% of all"),
        ({"10": 58820, "01": 276452, "11": 2}, ["2", "276,452", "58,820"], ""),
        ({"1000": 5, "0111": 7}, ["0", "5", "7"], ""),
    ],
)
def test_what_is_empty_is_said_where_it_is_the_finding(
    counts: dict[str, int], written: list[str], said: str, ax: Axes
) -> None:
    """Empty regions have no number, except for the core, and for those that circles cannot hide."""
    plot_venn(of_counts(counts), ax=ax)
    assert numbers(ax) == written
    notes = [text for text in texts(ax) if text.endswith(".")]
    assert (said in notes[0].replace("\n", " ")) if said else not notes


def test_areas_are_in_proportion() -> None:
    """By default; the circles that are drawn are those of `proportional_circles`."""
    overlap = of_counts({"10": 100, "11": 300})
    whole, part = (shapely.Polygon(patch.get_xy()) for patch in axes_of(plot_venn(overlap)).patches[1::2])
    assert part.area / whole.area == pytest.approx(0.75, rel=0.01)
    assert whole.buffer(0.1).contains(part)
    one, other = (
        shapely.Polygon(patch.get_xy()) for patch in axes_of(plot_venn(overlap, proportional=False)).patches[1::2]
    )
    assert one.area == pytest.approx(other.area)
    assert one.intersection(other).area < 0.6 * one.area


GRID = [
    (n, width, points, layout, label)
    for n in (2, 3, 4, 5, 6)
    for width in (3.3, 5.0, 7.0)
    for points in (6, 8, 9, 12)
    for layout in (None, "constrained", "tight")
    for label in ("run", "short name", "words", LONG)
]


@pytest.mark.parametrize("number", quick(range(30), every=2))
def test_everything_can_be_read(number: int) -> None:
    """A sample of sizes, fonts, layouts and labels: nothing overlaps, leaves its part, or is missing in silence."""
    random = np.random.default_rng(number)
    n, width, points, layout, label = GRID[random.integers(len(GRID))]
    k = int(random.choice([12, 1000, 10_000]))
    labels = [LABELS[i] if label == "words" else f"{label} {i}" for i in range(n)]
    overlap = skewed(n, k, labels, seed=number)
    settings: dict[str, Any] = {"font.size": points, "axes.titlesize": points}
    with mpl.rc_context(settings), warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        if layout is None:
            figure = plot_venn(overlap, figsize=(width, 0.9 * width), title="Top weights" if number % 2 else None)
            assert isinstance(figure, Figure)
            axes = figure.axes[0]
        else:
            figure = Figure(figsize=(width, 0.9 * width), layout=layout)
            axes = figure.subplots()
            assert plot_venn(overlap, axes, title="Top weights" if number % 2 else None) is axes
        assert problems(figure, size=(width, 0.9 * width)) == []
    said = [str(warning.message) for warning in raised]
    assert len(said) <= 1
    if len(max(labels, key=len)) <= 30 and points <= 9:
        assert said == []
        named = " ".join(texts(axes)).replace("\n", " ")
        assert all(drawn.replace("->", " → ") in named for drawn in labels)
    if not said:
        written = {text.split("\n")[0] for text in texts(axes)}
        assert {f"{size:,}" for size in overlap.regions.values()} <= written
    assert all("inches have no room for" in text and "figsize=" in text for text in said)


@pytest.mark.parametrize("context", ["paper", "notebook", "talk", "poster"])
def test_seaborns_contexts(context: Any) -> None:
    """Their fonts are used, or smaller ones where they have no room."""
    with mpl.rc_context():
        sns.set_theme(context=context)
        for n in (2, 3, 5):
            check(plot_venn(skewed(n, 1000, LABELS), figsize="text", title="Pronouns"), size=None)


def test_axes_among_others_keep_their_place() -> None:
    """Nothing is drawn outside of them, and their neighbors stay where they are."""
    figure = Figure(figsize=(7, 5))
    grid = figure.subplots(2, 2)
    before = [axes.get_position().bounds for axes in grid.flat]
    for axes, n in zip(grid.flat[1:], (2, 3, 4), strict=True):
        plot_venn(skewed(n, 1000, LABELS), axes)
        assert problems(figure, part=None) == []
        box, figure_dots = axes.get_window_extent(), figure.dpi
        for text in axes.texts:
            drawn = text.get_window_extent()
            assert box.padded(figure_dots / 72).x0 <= drawn.x0 <= drawn.x1 <= box.padded(figure_dots / 72).x1
    assert [axes.get_position().bounds for axes in grid.flat] == [pytest.approx(each) for each in before]


@pytest.mark.long
def test_too_small_is_said_with_what_would_do() -> None:
    """A figure that is too small for numbers names the UpSet figure and a width that is large enough."""
    overlap = skewed(6, 10_000, LABELS)
    with pytest.warns(UserWarning, match=r"no room for .*plot_upset\(\).*: [\d.]+ inches have") as raised:
        plot_venn(overlap, figsize=(1.6, 1.6))
    wanted = float(str(raised[0].message).split(": ")[1].split(" ")[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(plot_venn(overlap, figsize=(wanted, wanted)))


@pytest.mark.parametrize("n", [1, 7])
def test_other_numbers_propose_the_heatmap(n: int, ax: Axes) -> None:
    """One set overlaps with nothing; seven have no diagram."""
    with pytest.raises(InvalidInputError, match=rf"2 to 6 sets; got {n}\. .*plot_upset\(\) and plot_heatmap"):
        plot_venn(overlap_of(n), ax=ax)


def test_title(ax: Axes) -> None:
    """A title is drawn."""
    assert axes_of(plot_venn(overlap_of(2), ax=ax, title="Pronouns")).get_title() == "Pronouns"


def test_gradiends_options(tmp_path: Path) -> None:
    """Font sizes, lines, opacity, names, size and files, as they are asked for."""
    figure = plot_venn(
        overlap_of(3),
        figsize=(6, 5),
        output_path=[tmp_path / "venn.pdf", tmp_path / "venn.svg"],
        circle_names_fontsize=11,
        region_counts_fontsize=7,
        patch_linewidth=3,
        alpha=0.25,
        colors=["red", "C1", "#00ff00"],
        label_mapping={"run 0": "the first"},
        percentages=True,
    )
    axes = axes_of(figure)
    assert not isinstance(figure, Axes)
    assert figure.get_size_inches().tolist() == [6, 5]
    assert {text.get_fontsize() for text in axes.texts if text.get_text().startswith(("run", "the"))} == {11}
    assert {text.get_fontsize() for text in axes.texts if "%" in text.get_text() and text.get_text()[0].isdigit()} == {
        7
    }
    assert axes.patches[1].get_facecolor() == (1, 0, 0, 0.25)
    assert {patch.get_linewidth() for patch in axes.patches[2::2]} == {3}
    assert "the first\n(20)" in texts(axes)
    assert "the first" in (tmp_path / "venn.svg").read_text()
    assert (tmp_path / "venn.pdf").exists()
    shares = [int(text.split("\n")[1].rstrip("%")) for text in texts(axes) if text[0].isdigit()]
    assert sum(shares) == pytest.approx(100, abs=4)


def test_sets_by_label_are_taken_as_gradiends_models_are() -> None:
    """Cut to `topk`."""
    sets = {name: TopKSet.from_indices([i, 1, 2, 3], space=9) for name, i in (("a", 0), ("b", 4))}
    assert numbers(axes_of(plot_venn(sets))) == ["1", "1", "3"]
    assert numbers(axes_of(plot_venn(sets, topk=2))) == ["1", "1", "1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 2}, "alpha must be a number from 0 to 1; got 2"),
        ({"patch_linewidth": -1}, "patch_linewidth must be a number from 0 to 100; got -1"),
        ({"colors": ["red"]}, "colors must be a list of 4 colors of matplotlib"),
        ({"colors": ["red", "C1", "C2", "nothing"]}, "colors must be a list of 4 colors"),
        ({"proportional": True}, "proportional=True is for 2 and 3 sets"),
        ({"proportional": "yes"}, "proportional must be True or False"),
        ({"percentages": 1}, "percentages must be True or False"),
        ({"label_mapping": ["a"]}, "label_mapping must be a mapping from label; got list"),
        ({"region_counts_fontsize": "big"}, "region_counts_fontsize must be"),
        ({"circle_names_fontsize": 0}, "circle_names_fontsize must be"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    """Each says what came and what was wanted."""
    with pytest.raises(InvalidInputError, match=message):
        plot_venn(overlap_of(4), **options)


def test_what_did_not_converge_has_a_dagger() -> None:
    """As in gradiend, and a line below says what it means; an unknown label is a typing mistake."""
    overlap = overlap_of(2)
    axes = axes_of(plot_venn(overlap, converged={"run 0": False, "run 1": None}))
    written = [text.get_text() for text in axes.texts]
    assert [name for name in written if name.startswith("run")] == ["run 0†\n(20)", "run 1\n(20)"]
    assert "† did not converge" in written
    with pytest.raises(InvalidInputError, match="converged names 'x'; the labels are run 0, run 1"):
        plot_venn(overlap, converged={"x": False})
