"""Two comparisons compared: which is which is said in the table and in the figure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gradiend_mlflow import Comparison, compute_overlap
from tests.support.comparisons import comparison_of


def of_k(comparison: Comparison, k: int) -> Comparison:
    """The same comparison at another k."""
    sets = {label: whole.top(k) for label, whole in comparison.stored.items()}
    return replace(comparison, overlap=compute_overlap(sets), sets=sets, topk=k)


def test_table_and_figure_say_which_is_which(tmp_path: Path) -> None:
    """By what tells the two apart, or by the names that are given."""
    large = comparison_of(4, k=40)
    change = large.difference(of_k(large, 10))
    assert change.names == ("decoder-weight, top 40", "decoder-weight, top 10")
    text = change.to_latex(path=tmp_path / "change.tex", caption="Changes")
    assert "run & run & decoder-weight, top 40 & decoder-weight, top 10 & difference" in text
    assert (tmp_path / "change.tex").read_text() == text
    assert change.to_csv().splitlines()[0] == 'a,b,"decoder-weight, top 40","decoder-weight, top 10",difference'
    figure = change.plot_heatmap(figsize="text")
    assert isinstance(figure, Figure)
    said = {ax.get_ylabel().replace("\n", " ") for ax in figure.axes[0].child_axes}
    assert any("decoder-weight, top 40 minus decoder-weight, top 10" in text for text in said)
    named = large.difference(large, names=("this week", "last week"))
    assert "this week & last week" in named.to_latex()
    assert large.difference(large).names == ("first", "second")


def test_titles_speak_of_neurons_where_these_are_compared() -> None:
    """And of weights else."""
    one = comparison_of(3)
    neurons = replace(one, overlap=compute_overlap(one.sets, unit="neuron"))
    change = neurons.difference(neurons, names=("new", "old"))
    figure = change.plot_heatmap(figsize="text")
    said = " ".join(ax.get_ylabel().replace("\n", " ") for ax in figure.axes[0].child_axes)  # type: ignore[union-attr]
    assert "shared neurons / smaller set, new minus old" in said


def test_a_diagonal_that_means_two_things_is_left_out() -> None:
    """How far seeds agree is not comparable with a set and itself: a dash in the figure."""
    seeds = comparison_of(3, seeds=2, aggregate="mean")
    change = seeds.difference(comparison_of(3))
    assert np.isnan(np.diag(change.matrix)).all()
    figure = change.plot_heatmap(figsize="column")
    texts = [text.get_text() for text in figure.axes[0].texts]  # type: ignore[union-attr]
    assert texts.count("\N{EN DASH}") == 3
