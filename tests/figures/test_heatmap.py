"""`plot_heatmap`: its cells, their numbers and names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Circle, Rectangle
from matplotlib.text import Text

from gradiend_mlflow import (
    InvalidInputError,
    SeedOverlap,
    SeedPolicy,
    TopKSet,
    compute_overlap,
    plot_heatmap,
)
from gradiend_mlflow.overlap.measures import SIGNED
from tests.figures.examples import EXTREMES, axes_of, family, overlap_of, texts, ticks


@pytest.mark.parametrize("n", [2, 3, 12, 25])
def test_cells_say_the_percentages(n: int, ax: Axes) -> None:
    """In the order of the labels, which are on both axes."""
    overlap = overlap_of(n)
    assert plot_heatmap(overlap, ax=ax) is ax
    assert texts(ax) == [f"{100 * value:.0f}" for value in overlap.intersection_frac.ravel()]
    assert ticks(ax) == (list(overlap.labels), list(overlap.labels))
    np.testing.assert_allclose(ax.collections[0].get_array().ravel(), 100 * overlap.intersection_frac.ravel())
    assert ax.collections[0].get_clim() == (0, 100)


def test_counts(ax: Axes) -> None:
    """Numbers of weights, on a scale from 0."""
    overlap = overlap_of(3)
    plot_heatmap(overlap, value="intersection", ax=ax)
    assert texts(ax) == [str(value) for value in overlap.intersection.ravel()]
    assert ax.collections[0].get_clim() == (0, 20)


@pytest.mark.parametrize(
    ("n", "annotated", "labelled"), [(40, True, True), (41, False, True), (60, False, True), (61, False, False)]
)
def test_many_sets_stay_readable(n: int, annotated: bool, labelled: bool) -> None:
    """Without numbers past 40, as in gradiend; without names past 60, which is said."""
    ax = axes_of(plot_heatmap(overlap_of(n)))
    assert bool(texts(ax)) is annotated
    assert (len(ticks(ax)[0]) == n) is labelled
    assert ax.get_xlabel() == ax.get_ylabel() == ("" if labelled else "61 runs")


def test_any_number_of_runs_has_room() -> None:
    """In the size of a hundred, without a warning; and a dot that stands for several cells has their mean."""
    sizes, n = [], 1500
    for runs in (100, n):
        sets = {str(run): TopKSet.from_indices([run], space=n) for run in range(runs)}
        figure = plot_heatmap(compute_overlap(sets), figsize="column")
        sizes.append(figure.get_size_inches().tolist())
    assert sizes[0] == sizes[1]
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    x0, y0, x1, y1 = figure.axes[0].get_window_extent().extents.round().astype(int)
    dots = np.asarray(canvas.buffer_rgba())[::-1][y0 + 2 : y1 - 2, x0 + 2 : x1 - 2, :3].astype(int)
    brightness = dots.sum(axis=2)[::-1]
    side = min(brightness.shape)
    near = [brightness[max(i - 1, 0) : i + 2, max(i - 1, 0) : i + 2].max() for i in range(side)]
    assert min(near) > brightness[0, -1], "the diagonal has no gaps"


def test_what_has_no_place_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text, and its ink, for each of the cells of 2000 runs took half a minute."""
    for name in ("_written", "inks_on"):
        monkeypatch.setattr(f"gradiend_mlflow.figures.drawing.cells.{name}", lambda *_: pytest.fail("it was made"))
    plot_heatmap(overlap_of(41))
    with pytest.raises(pytest.fail.Exception):
        plot_heatmap(overlap_of(2))


def test_annotations_can_be_forced(ax: Axes) -> None:
    """Either way."""
    plot_heatmap(overlap_of(2), annot=False, ax=ax)
    assert texts(ax) == []
    plot_heatmap(overlap_of(30), annot=True, ax=ax)
    assert len(texts(ax)) == 900


def test_title_and_unknown_value(ax: Axes) -> None:
    """A title is drawn; a value that is none is refused."""
    assert plot_heatmap(overlap_of(2), ax=ax, title="Pronouns").get_title() == "Pronouns"
    with pytest.raises(InvalidInputError, match="value must be one of"):
        plot_heatmap(overlap_of(2), ax=ax, value="dice")


@pytest.mark.parametrize("value", SIGNED)
def test_signed_measures_go_both_ways(value: Any) -> None:
    """From -100 to 100 %, in colors that differ to both sides of 0."""
    sets = {
        name: replace(TopKSet.from_indices([1, 2], space=5), weights=np.full((2, 1), sign))
        for name, sign in (("up", 1.0), ("down", -1.0))
    }
    ax = axes_of(plot_heatmap(compute_overlap(sets), value=value))
    assert texts(ax) == ["100", "-100", "-100", "100"]
    mesh = ax.collections[0]
    assert (mesh.get_clim(), mesh.get_cmap().name, float(mesh.norm(0.0))) == ((-100, 100), "RdBu_r", 0.5)


@pytest.mark.parametrize(("scale", "half"), [("linear", 0.5), ("sqrt", 0.25), ("power", 0.125), ("log", 0.1)])
def test_scales(scale: Any, half: float, ax: Axes) -> None:
    """The value in the middle of the colors, and zero at their beginning; a logarithm has no place for it."""
    overlap = family(([*range(10)], [0, *range(11, 20)], [*range(30, 40)]))
    if scale == "log":
        half = float(np.sqrt(0.1 * 1))  # from the smallest positive share, 1 of 10, to all
    plot_heatmap(overlap, ax, scale=scale, scale_gamma=1 / 3)
    norm = ax.collections[0].norm
    assert norm(100 * half) == pytest.approx(0.5)
    assert np.ma.is_masked(norm(0.0)) if scale == "log" else norm(0.0) == 0.0


def test_negative_values_have_no_other_scale(ax: Axes) -> None:
    """A root of a negative cosine is none."""
    one = replace(TopKSet.from_indices([1], space=5), weights=np.ones((1, 1)))
    with pytest.raises(InvalidInputError, match="no place for negative values"):
        plot_heatmap(compute_overlap({"a": one, "b": one}), ax, value="cosine_signed", scale="log")


def test_shares_instead_of_percentages(ax: Axes) -> None:
    """Numbers up to 1, with two digits."""
    plot_heatmap(family(([1, 2], [2, 3])), ax, percentages=False)
    assert texts(ax) == ["1.00", "0.50", "0.50", "1.00"]
    assert ax.collections[0].get_clim() == (0, 1)


def test_small_shares_have_a_digit_more(ax: Axes) -> None:
    """0.5 % is neither 0 nor 1."""
    plot_heatmap(compute_overlap({n: TopKSet.from_indices([0, *range(s, s + 199)], space=999)
                                  for n, s in (("a", 1), ("b", 500))}), ax)  # fmt: skip
    assert texts(ax) == ["100.0", "0.5", "0.5", "100.0"]


def test_little_is_not_nothing(ax: Axes) -> None:
    """Beside larger shares 0.4 % is "<1"; 0 is 0."""
    sets = {"a": [*range(250)], "b": [0, *range(300, 549)], "c": [*range(200), *range(600, 650)]}
    plot_heatmap(compute_overlap({n: TopKSet.from_indices(x, space=999) for n, x in sets.items()}), ax)
    assert texts(ax) == ["100", "<1", "80", "<1", "100", "<1", "80", "<1", "100"]
    ax = axes_of(plot_heatmap(family(([0, 1], [1, 2], [3, 4]))))
    assert texts(ax) == ["100", "50", "0", "50", "100", "0", "0", "0", "100"]


def test_runs_without_names_that_did_not_converge() -> None:
    """Are counted."""
    made = plot_heatmap(overlap_of(90), converged={"run 1": False, "run 7": False, "run 8": True})
    assert axes_of(made).get_xlabel() == "90 runs, 2 of which did not converge"


@pytest.mark.parametrize(
    "option", ["row_metric", "converged", "label_mapping", "row_label_mapping", "column_label_mapping"]
)
def test_a_mark_for_a_run_that_is_not_there(option: str) -> None:
    """Is a typing mistake, which would leave a figure without it."""
    with pytest.raises(InvalidInputError, match=rf"{option} names 'x'; the labels are"):
        plot_heatmap(family(EXTREMES["contained"]), **{option: {"x": False}})
    with pytest.raises(InvalidInputError, match=f"{option} must be a mapping from label; got list"):
        plot_heatmap(family(EXTREMES["contained"]), **{option: [1, 2]})


def of_seeds(**policy: Any) -> SeedOverlap:
    """Two trainings of two seeds each."""
    lists = {"a0": [1, 2, 3, 4], "a1": [1, 2, 3, 5], "b0": [1, 2, 8, 9], "b1": [1, 7, 8, 9]}
    overlap = compute_overlap({name: TopKSet.from_indices(own, space=10) for name, own in lists.items()})
    chosen: Any = {"seed_aggregate": "mean", "seed_pairing_mode": "all_pairs", "dispersion": "range"} | policy
    return SeedOverlap(("a", "b"), overlap, ((0, 1), (2, 3)), SeedPolicy("all_tried", **chosen))


@pytest.mark.parametrize(
    ("dispersion", "written", "said"),
    [
        # a with b: 50, 25, 50, 25
        ("range", "38\n±13", "± half the range of seeds"),
        ("minmax", "38\n25\N{EN DASH}50", "range of seeds"),
        ("std", "38\n±13", "± standard deviation of seeds"),
    ],
)
def test_the_spread_of_seeds_below_the_values(dispersion: str, written: str, said: str) -> None:
    """And a note says which spread it is, and over how many pairs."""
    ax = axes_of(plot_heatmap(of_seeds(dispersion=dispersion), dispersion_display="stacked", seed_annotation=True))
    assert texts(ax)[1] == written
    ceiling = "diagonal: how far seeds of one training agree"
    assert ax.get_xlabel().replace("\n", " ") == f"{ceiling} {said} n = 4 pairs of seeds"


def test_the_spread_of_seeds_as_circles() -> None:
    """The larger, the further seeds differ; none for none, and a note says how far the largest does."""
    ax = axes_of(plot_heatmap(of_seeds(), dispersion_display="corner_glyph"))
    circles = [patch for patch in ax.patches if isinstance(patch, Circle)]
    assert len(circles) == 2  # the range of a with b is 25, and each of them has a single pair of seeds
    assert len({circle.radius for circle in circles}) == 1
    assert ax.get_xlabel().replace("\n", " ").endswith("agree circle: half the range of seeds, up to 13")
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text()]
    assert not any(box.overlaps(circle.get_window_extent()) for box in boxes for circle in circles)


def of_three_seeds(**policy: Any) -> SeedOverlap:
    """Two trainings of three and two seeds, and one of a single seed."""
    lists = [[0, 1, 2, 3], [0, 1, 2, 4], [0, 1, 5, 6], [0, 2, 5, 9], [1, 2, 5, 9], [0, 1, 8, 9]]
    overlap = compute_overlap({str(i): TopKSet.from_indices(own, space=10) for i, own in enumerate(lists)})
    chosen: Any = {"seed_aggregate": "mean", "seed_pairing_mode": "all_pairs"} | policy
    return SeedOverlap(("a", "b", "c"), overlap, ((0, 1, 2), (3, 4), (5,)), SeedPolicy("all_tried", **chosen))


def test_the_diagonal_of_trainings_is_their_ceiling() -> None:
    """Framed, with a note; unknown for a training of one seed. The numbers of the overlap stay gradiend's."""
    overlap = of_three_seeds()
    ax = axes_of(plot_heatmap(overlap, annot_fmt=".1f"))
    written = np.array(texts(ax)).reshape(3, 3)
    ceiling = overlap.ceiling["mean"]
    assert written[0, 0] == f"{100 * ceiling['a']:.1f}" == f"{100 * (0.75 + 0.5 + 0.5) / 3:.1f}"
    assert written[1, 1] == f"{100 * ceiling['b']:.1f}" == "75.0"
    assert written[2, 2] == "\N{EN DASH}"
    assert written[0, 1] == f"{100 * overlap.values()[0, 1]:.1f}"
    frames = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert [round(frame.get_x()) for frame in frames] == [0, 1]
    assert ax.get_xlabel().replace("\n", " ") == "diagonal: how far seeds of one training agree"
    assert overlap.values()[2, 2] == 1


def test_a_diagonal_without_any_ceiling_stays() -> None:
    """Of single sets, and of trainings of one seed each."""
    lists = {"a": [0, 1], "b": [1, 2]}
    overlap = compute_overlap({name: TopKSet.from_indices(own, space=10) for name, own in lists.items()})
    policy = SeedPolicy("all_tried", seed_aggregate="mean")
    for drawn in (overlap, SeedOverlap(("a", "b"), overlap, ((0,), (1,)), policy)):
        ax = axes_of(plot_heatmap(drawn))
        assert texts(ax) == ["100", "50", "50", "100"]
        assert (ax.get_xlabel(), list(ax.patches)) == ("", [])


@pytest.mark.parametrize("dispersion", ["std", "range", "minmax"])
def test_the_spread_on_the_diagonal_is_the_ceilings(dispersion: str) -> None:
    """Over the pairs of different seeds: 75, 50, 50 of the first training, 75 of the second."""
    figure = plot_heatmap(of_three_seeds(dispersion=dispersion), dispersion_display="stacked", annot_fmt=".1f")
    written = np.diag(np.array(texts(axes_of(figure))).reshape(3, 3)).tolist()
    own = {"std": f"±{np.std([75, 50, 50]):.1f}", "range": "±12.5", "minmax": "50.0\N{EN DASH}75.0"}[dispersion]
    alone = {"minmax": "75.0\N{EN DASH}75.0"}.get(dispersion, "±0.0")
    assert written == [f"58.3\n{own}", f"75.0\n{alone}", "\N{EN DASH}"]


def test_relative_overlap() -> None:
    """As the overlap has it, above 100 too; unknown where a training has no ceiling."""
    overlap = of_three_seeds()
    figure = plot_heatmap(overlap, relative=True, annot_fmt=".1f", value="intersection")
    ax, relative = axes_of(figure), overlap.relative("intersection")
    wanted = [f"{100 * number:.1f}" if np.isfinite(number) else "\N{EN DASH}" for number in relative.ravel()]
    assert texts(ax) == wanted
    assert "relative: divided by how far seeds of one training agree" in ax.get_xlabel().replace("\n", " ")
    assert not ax.patches
    said = " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")
    assert "shared weights, relative to seeds (%)" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dispersion_display": "stacked"}, "dispersion_display shows the spread of values"),
        ({"relative": "yes"}, "relative must be True or False"),
    ],
)
def test_what_relative_cannot_be(options: dict[str, Any], said: str) -> None:
    """With the reason."""
    with pytest.raises(InvalidInputError, match=said):
        plot_heatmap(of_three_seeds(dispersion="std"), **({"relative": True} | options))
    with pytest.raises(InvalidInputError, match="draw a comparison of seeds, or a SeedOverlap"):
        plot_heatmap(overlap_of(2), relative=True)


def test_no_spread_to_show() -> None:
    """Of single sets, or where none was asked for."""
    for overlap in (overlap_of(2), of_seeds(dispersion="none")):
        with pytest.raises(InvalidInputError, match="dispersion_display='stacked' shows how far seeds differ"):
            plot_heatmap(overlap, dispersion_display="stacked")
    with pytest.raises(InvalidInputError, match="seed_annotation says how many seeds are aggregated, and none are"):
        plot_heatmap(overlap_of(2), seed_annotation=True)


def test_other_names() -> None:
    """For both sides, and for one of them, which counts more; other labels stay."""
    ax = axes_of(
        plot_heatmap(
            overlap_of(3),
            label_mapping={"run 0": "zero", "run 1": "one"},
            row_label_mapping={"run 1": "first"},
            column_label_mapping={"run 0": "left"},
        )
    )
    assert ticks(ax) == (["left", "one", "run 2"], ["zero", "first", "run 2"])


def test_numbers_beside_the_cells_are_no_larger_than_those_inside() -> None:
    """Else they take the width that names and numbers need."""
    overlap = overlap_of(8)
    figure = plot_heatmap(overlap, row_metric=dict.fromkeys(overlap.labels, 0.5), figsize="column")
    inside, beside = (figure.axes[0].texts[0], figure.axes[0].child_axes[0].texts[0])
    assert beside.get_text() == "0.50"
    assert beside.get_fontsize() <= inside.get_fontsize()


def of(indices: list[int]) -> TopKSet:
    """A set of these weights."""
    return TopKSet.from_indices(indices, space=9)


class TestDifferences:
    """Two overlaps compared."""

    def test_changes_are_drawn_around_zero(self) -> None:
        """Up in one color, down in the other, as far as the largest; written as they are."""
        first = compute_overlap({"a": of([0, 1]), "b": of([0, 1]), "c": of([2, 3])})
        second = compute_overlap({"a": of([0, 1]), "b": of([0, 2]), "c": of([1, 3])})
        difference = first.difference(second)
        axes = plot_heatmap(difference, figsize="text").axes[0]
        (mesh,) = axes.collections
        assert (mesh.norm.vmin, mesh.norm.vcenter, mesh.norm.vmax) == (-50, 0, 50)
        assert mesh.get_cmap().name == "RdBu_r"
        written = np.array([text.get_text() for text in axes.texts]).reshape(3, 3)
        np.testing.assert_allclose(written.astype(float), 100 * difference.matrix)

    def test_it_says_what_it_shows(self) -> None:
        """Beside the colors."""
        change = compute_overlap({"a": of([0, 1]), "b": of([0, 1])}).difference(
            compute_overlap({"a": of([0, 1]), "b": of([0, 2])}), value="jaccard"
        )
        figure = plot_heatmap(change, figsize="text")
        said = " ".join(text.get_text().replace("\n", " ") for text in figure.findobj(Text))
        assert "first minus second (%)" in said

    @pytest.mark.parametrize("options", [{"relative": True}, {"cluster": True}, {"order": "cluster"}, {"topk": 3}])
    def test_what_it_has_not(self, options: dict[str, Any]) -> None:
        """Clusters, ceilings, weights."""
        one = compute_overlap({"a": of([0, 1]), "b": of([0, 1])})
        with pytest.raises(InvalidInputError):
            plot_heatmap(one.difference(one), **options)

    def test_no_change_at_all(self) -> None:
        """Is drawn too."""
        one = compute_overlap({"a": of([0, 1]), "b": of([0, 1])})
        axes = plot_heatmap(one.difference(one)).axes[0]
        assert {text.get_text() for text in axes.texts} <= {"0", "-0"}


@pytest.mark.parametrize("inches", [1.2, 3.3, 7.0])
def test_frames_of_ceilings_lie_within_their_cells(inches: float) -> None:
    """However small the cells: neither the line between these nor a neighbor cuts them."""
    figure = plot_heatmap(of_three_seeds(dispersion="none"), figsize=(inches, inches))
    ax = axes_of(figure)
    figure.canvas.draw()
    frames = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert frames
    for frame in frames:
        cell = ax.transData.transform([frame.get_xy(), np.add(frame.get_xy(), 1)])
        (left, low), (right, high) = frame.get_transform().transform([[0, 0], [1, 1]])
        edges = [left - cell[0, 0], cell[1, 0] - right, abs(low - cell[0, 1]), abs(high - cell[1, 1])]
        points = 72 * np.array(edges) / figure.dpi
        assert points.max() <= 1.5 + 1e-6
        assert points.min() >= 0.75 - 1e-6
        assert frame.get_linewidth() / 2 + 0.5 / 2 <= 0.75
