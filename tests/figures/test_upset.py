"""`plot_upset`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from matplotlib.figure import Figure

from gradiend_mlflow import (
    InvalidInputError,
    TopKSet,
    compute_overlap,
    plot_upset,
)
from tests.figures.examples import EXTREMES, family, overlap_of, texts


def read(figure: Figure) -> tuple[list[str], list[str], int]:
    """The numbers on the bars, the labels of the rows, the number of dots."""
    main, bars, _, names = figure.axes
    dots = sum(len(held.get_offsets()) for held in main.collections if len(held.get_offsets()) and held.get_paths())
    return [text.get_text() for text in bars.texts], [text.get_text() for text in names.texts], dots


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_sets(name: str) -> None:
    """A bar per combination, the largest first."""
    overlap = family(EXTREMES[name])
    figure = plot_upset(overlap)
    bars, names, dots = read(figure)
    assert bars == [str(size) for size in overlap.regions.values()]
    assert sorted(names) == ["a", "b", "c"]
    assert figure.axes[2].containers[0].datavalues.tolist() == overlap.sizes.tolist()[::-1]
    assert dots >= sum(len(members) for members in overlap.regions)


def test_the_rest_is_summed() -> None:
    """In a last bar, cut off where it would dwarf the others; sets without a bar are counted."""
    overlap = overlap_of(30)
    figure = plot_upset(overlap, max_regions=4)
    bars, names, _ = read(figure)
    sizes = list(overlap.regions.values())
    assert bars == [*map(str, sizes[:4]), str(sum(sizes[4:]))]
    heights = [bar.get_height() for bar in figure.axes[1].patches]
    assert heights[-1] == pytest.approx(1.15 * sizes[0])
    (said,) = texts(figure.axes[0])
    hidden = f" sets in none of these combinations: {30 - len(names)}" if len(names) < 30 else ""
    assert " ".join(said.split()) == f"last bar: {len(sizes) - 4} other combinations{hidden}"


@pytest.mark.parametrize("max_regions", [1, 2, 30])
def test_what_is_said_below_has_room(max_regions: int) -> None:
    """Also in a figure that is narrow because there are few bars; and the title above."""
    title = "A title that says at some length what is seen here"
    figure = plot_upset(overlap_of(30), max_regions=max_regions, title=title)
    figure.draw_without_rendering()
    (said,) = (text for text in figure.axes[0].texts if text.get_text())
    for text in (said, figure.axes[1].title):
        box = text.get_window_extent()
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
    assert not said.get_window_extent().overlaps(figure.axes[2].xaxis.label.get_window_extent())
    assert " ".join(figure.axes[1].get_title().split()) == title


def test_only_what_is_shared() -> None:
    """`min_sets` leaves out what one set holds alone; if there is nothing else, that is said."""
    assert read(plot_upset(family(EXTREMES["contained"]), min_sets=2))[0] == ["1", "1"]
    with pytest.raises(InvalidInputError, match="no weight is in 2 of the 3 sets"):
        plot_upset(family(EXTREMES["disjoint"]), min_sets=2)
    with pytest.raises(InvalidInputError, match="max_regions must be an int"):
        plot_upset(family(EXTREMES["disjoint"]), max_regions=0)


def test_a_figure_can_be_given() -> None:
    """Also one that has no canvas that measures texts."""
    figure = Figure()
    assert plot_upset(family(EXTREMES["contained"]), figure, title="T") is figure
    assert figure.axes[1].get_title() == "T"


def test_what_is_shared_comes_first_among_many() -> None:
    """Else what each holds alone takes all the bars; its weights are counted below, unless it is asked for."""
    sets = {f"run {i}": TopKSet.from_indices([*range(20 * i, 20 * i + 20), 999 + i // 2], space=1100)
            for i in range(30)}  # fmt: skip
    overlap = compute_overlap(sets)
    figure = plot_upset(overlap)
    bars, names, _ = read(figure)
    assert bars == ["1"] * 15
    assert len(names) == 30
    assert texts(figure.axes[0]) == ["weights of one set alone, not shown: 600"]
    assert read(plot_upset(overlap, min_sets=1))[0] == ["20"] * 20 + ["215"]


def test_rows_have_names() -> None:
    """Where it takes fewer bars too; where even that is not enough the figure says so."""
    sets = {f"run {i}": TopKSet.from_indices([99], space=100) for i in range(200)}
    (said,) = texts(plot_upset(compute_overlap(sets)).axes[0])
    assert said.replace("\n", " ").startswith("200 sets, a row each in their order, are too many to be named")
    apart = compute_overlap({f"run {i}": TopKSet.from_indices([i // 7], space=100) for i in range(200)})
    bars, names, _ = read(plot_upset(apart))
    assert len(names) == 60
    assert len(bars) == 9 + 1


def test_a_figure_that_is_in_use_is_refused() -> None:
    """Both would lie over each other."""
    figure = plot_upset(family(EXTREMES["contained"]))
    with pytest.raises(InvalidInputError, match=r"has axes already: give it a new one, or fig.clear\(\)"):
        plot_upset(family(EXTREMES["contained"]), figure)
    figure.clear()
    plot_upset(family(EXTREMES["contained"]), figure)


def test_a_part_of_a_figure_is_refused() -> None:
    """It has no size that could be set."""
    with pytest.raises(InvalidInputError, match="fig must be a Figure, not a part of one; got SubFigure"):
        plot_upset(family(EXTREMES["contained"]), Figure().subfigures(1, 2)[0])


def test_its_library_leaves_no_settings_behind(run_python: Callable[[str], str]) -> None:
    """Its import changes those of legends, which would change everybody's figures."""
    script = "import matplotlib as m, seaborn; before = dict(m.rcParams)\n"
    script += "from gradiend_mlflow import TopKSet, compute_overlap, plot_upset\n"
    script += "plot_upset(compute_overlap({n: TopKSet.from_indices([1], space=3) for n in 'ab'}))\n"
    assert run_python(script + "print(dict(m.rcParams) == before)").strip() == "True"
    assert run_python("import matplotlib as m, seaborn; before = dict(m.rcParams); import marsilea\n"
                      "print(dict(m.rcParams) == before)").strip() == "False"  # fmt: skip
