"""The tree of runs: the leaves of the linkage, in its order, in the colors of their groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from scipy.cluster.hierarchy import leaves_list

from gradiend_mlflow import InvalidInputError, Overlap, TopKSet, compute_overlap, plot_tree
from tests.figures.legible import check


def families(each: int, name: str = "{family}{number}") -> tuple[Overlap, dict[str, str]]:
    """Three families of runs, of which each shares most within itself."""
    rng, sets, groups = np.random.default_rng(0), {}, {}
    for place, family in enumerate("abc"):
        for number in range(each):
            label = name.format(family=family, number=number)
            own = np.concatenate([100 * place + rng.choice(30, 20, replace=False), 1000 + rng.choice(500, 5, False)])
            sets[label] = TopKSet.from_indices(own, space=2000)
            groups[label] = f"family {family}"
    return compute_overlap(sets), groups


def test_it_is_the_linkage(ax: Axes) -> None:
    """Each merger is a bracket at its distance; leaves have the linkage's order and their groups' colors."""
    overlap, groups = families(4)
    plot_tree(overlap, ax, value="jaccard", groups=groups)
    tree = overlap.tree_of("jaccard")
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names == [overlap.labels[leaf] for leaf in leaves_list(tree)]
    (branches, *dots) = ax.collections
    brackets = [segment[1:3, 0].tolist() for segment in branches.get_segments()]
    assert sorted(one for one, _ in brackets) == pytest.approx(sorted(tree[:, 2]))
    assert all(one == other for one, other in brackets)
    ink = {names[int(y)]: to_hex(own.get_facecolor()[0]) for own in dots for _, y in own.get_offsets()}
    assert len(set(ink.values())) == 3
    assert all((ink[a] == ink[b]) == (groups[a] == groups[b]) for a in names for b in names)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["family a", "family b", "family c"]
    left, right = ax.get_xlim()
    assert left > right, "leaves are on the right"
    assert "Jaccard index" in ax.get_xlabel().replace("\n", " ")


@pytest.mark.parametrize("figsize", ["column", "text"])
@pytest.mark.parametrize("each", [1, 12])
def test_it_can_be_read(figsize: Any, each: int) -> None:
    """Few runs and many, with names that are longer than the column."""
    overlap, groups = families(each, "the training of the family {family} that has the number {number}")
    figure = plot_tree(overlap, groups=groups, title="Families", figsize=figsize)
    check(figure)
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]  # type: ignore[union-attr]
    assert len(set(names)) == 3 * each


def test_what_is_no_tree_is_refused(ax: Axes) -> None:
    """One run, another thing, an unknown label."""
    overlap, _ = families(1)
    with pytest.raises(InvalidInputError, match="a tree needs at least two runs; got 1"):
        plot_tree(overlap.first(1), ax)
    with pytest.raises(InvalidInputError, match="expected Overlap or SeedOverlap"):
        plot_tree(overlap.tree, ax)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="groups names nobody"):
        plot_tree(overlap, ax, groups={"nobody": "x"})
