"""`plot_venn`."""

from __future__ import annotations

import pytest
from matplotlib.axes import Axes

from gradiend_mlflow import (
    InvalidInputError,
    TopKSet,
    compute_overlap,
    plot_venn,
)
from tests.figures.examples import overlap_of, texts


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_regions_say_their_sizes(n: int, ax: Axes) -> None:
    """Every region that has weights, by number, and every set with its size."""
    overlap = overlap_of(n, k=40, size=60)
    assert plot_venn(overlap, ax=ax) is ax
    written = texts(ax)
    sizes = sorted(str(size) for size in overlap.regions.values())
    assert sorted(text for text in written if text.isdigit() and text != "0") == sizes
    legend = ax.get_legend()
    named = " ".join(written + ([] if legend is None else [text.get_text() for text in legend.get_texts()]))
    for label in overlap.labels:
        assert label in named
    assert named.count("(40)") == n


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        (([1, 2], [1, 2]), ["0", "0", "2"]),
        (([1, 2], [3, 4]), ["0", "2", "2"]),
        (([1, 2, 3], [2]), ["0", "1", "2"]),
        (([1], [1], [1]), ["0", "0", "0", "0", "0", "0", "1"]),
        (([1], [2], [3]), ["0", "0", "0", "0", "1", "1", "1"]),
    ],
)
def test_extreme_sets_have_every_region(sets: tuple[list[int], ...], expected: list[str], ax: Axes) -> None:
    """Identical, disjoint and contained sets are drawn like any others."""
    family = {str(i): TopKSet.from_indices(indices, space=9) for i, indices in enumerate(sets)}
    plot_venn(compute_overlap(family), ax=ax)
    assert sorted(text for text in texts(ax) if text.isdigit()) == expected


@pytest.mark.parametrize("n", [1, 7])
def test_other_numbers_propose_the_heatmap(n: int, ax: Axes) -> None:
    """One set overlaps with nothing; seven have no diagram."""
    with pytest.raises(InvalidInputError, match=rf"2 to 6 sets; got {n}\. .*plot_upset\(\) and plot_heatmap"):
        plot_venn(overlap_of(n), ax=ax)


def test_title(ax: Axes) -> None:
    """A title is drawn."""
    assert plot_venn(overlap_of(2), ax=ax, title="Pronouns").get_title() == "Pronouns"
