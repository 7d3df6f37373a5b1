"""Curves, UpSet plots and layers as papers have them: narrow, in small type, in any style, of any number of runs."""

from __future__ import annotations

import itertools
import random
import warnings
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import seaborn as sns
from matplotlib.figure import Figure

from gradiend_mlflow import (
    Overlap,
    TopKSet,
    WeightSpace,
    compute_overlap,
    plot_curve,
    plot_groups,
    plot_layers,
    plot_map,
    plot_upset,
)
from tests.figures.examples import figure_of
from tests.figures.legible import check
from tests.support.sampling import quick

TITLE = "decoder-weight, top 1,000"
KINDS = ("attention.self.query", "attention.output.dense", "intermediate.dense", "output.dense")
PARAMS = ("embeddings.word_embeddings", *[f"layer.{layer}.{kind}" for layer in range(12) for kind in KINDS])
SPACE = WeightSpace(PARAMS, ((40,),) * len(PARAMS))
ARTICLES = ("der->die (%s, Masc->Fem)", "die->das (%s, Fem->Neut)", "den->dem (%s, Masc->Neut)", "das->der (%s, Neut)")
GENDERS = [article % case for case in ("Nom", "Acc", "Dat") for article in ARTICLES]
LONG = "gender of bert-base-german-cased, seeds and all the rest of it, decoder"
SIZES = ("font.size", "axes.titlesize", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize",
         "figure.titlesize")  # fmt: skip


def labels_of(longest: int, n: int) -> list[str]:
    """Labels of up to so many letters; those of 25 are of German articles."""
    if longest == 25:
        return GENDERS[:n]
    return [f"r{i}" if longest < 5 else f"{i:02d} {LONG}"[:longest].strip() for i in range(n)]


def overlap_with(labels: list[str]) -> Overlap:
    """Sets of 290 to 300 signed weights, of which neighbors share most."""
    rng = np.random.default_rng(len(labels))
    common, sets = rng.permutation(SPACE.size), {}
    for index, label in enumerate(labels):
        own = np.concatenate([common[20 * index : 20 * index + 200], rng.permutation(SPACE.size)])
        found = TopKSet.from_indices(list(dict.fromkeys(own.tolist()))[: 300 - 5 * (index % 3)], space=SPACE)
        sets[label] = replace(found, weights=rng.normal(0.5, 1, (len(found), 1)))
    return compute_overlap(sets)


def groups_of(overlap: Overlap) -> dict[str, list[str]]:
    """Two groups of every second run, or one of few."""
    labels = list(overlap.labels)
    return {"Nominative": labels[::2], "Acc": labels[1::2]} if len(labels) > 3 else {"all": labels}


def in_groups(overlap: Overlap, **options: Any) -> Any:
    """A curve of pairs of groups."""
    return plot_curve(overlap, groups=groups_of(overlap), k=100, **options)


def highlighted(overlap: Overlap, **options: Any) -> Any:
    """A curve with a pair of interest."""
    return plot_curve(overlap, highlight=[overlap.labels[:2]], k=300, **options)  # type: ignore[list-item]


def in_panels(overlap: Overlap, **options: Any) -> Any:
    """A panel per group."""
    labels = overlap.labels[:3]
    return plot_curve(overlap, groups=groups_of(overlap), facet="group", control=labels, k=300, **options)


def strips(overlap: Overlap, **options: Any) -> Any:
    """Pairs within and between two groups."""
    return plot_groups(overlap.test_groups(groups_of(overlap), permutations=200), **options)


def mapped(overlap: Overlap, **options: Any) -> Any:
    """A map in the colors of the groups."""
    return plot_map(overlap.map(), groups=groups_of(overlap), **options)


PLOTS = {
    "curve": plot_curve,
    "groups": in_groups,
    "highlighted": highlighted,
    "panels": in_panels,
    "upset": plot_upset,
    "layers": plot_layers,
}
OF_GROUPS = {"strips": strips, "map": mapped}
STYLES = (None, "paper", "notebook", "talk", "poster")
OWN = random.Random(0).sample(
    list(itertools.product(PLOTS, (2, 3, 4, 6, 12), (3.3, 5.0, 7.0), (6, 8, 9, 12), STYLES, (3, 25, 30, 60))), 24
)
PLACES = (("whole", "none"), ("whole", "constrained"), ("whole", "tight"), ("cell", "none"), ("cell", "constrained"),
          ("cell", "tight"), ("part", "none"), ("part", "constrained"))  # fmt: skip
GIVEN = random.Random(1).sample(
    list(itertools.product(PLOTS, (2, 3, 4, 6, 12), (3.3, 5.0, 7.0), (6, 8, 9), (3, 25, 30), PLACES)), 24
)


# Axes of the column's width with titles of 24 points have no room for a map, which it says.
OWN += random.Random(3).sample(
    list(itertools.product(OF_GROUPS, (4, 6, 12), (3.3, 5.0, 7.0), (6, 8, 9, 12), STYLES[:4], (3, 25, 30, 60))), 10
)
GIVEN += random.Random(4).sample(
    list(itertools.product(OF_GROUPS, (4, 6, 12), (3.3, 5.0, 7.0), (6, 8, 9), (3, 25, 30), PLACES)), 10
)
PLOTS |= OF_GROUPS
# Narrower or lower than what is drawn would have by itself.
LOW = random.Random(2).sample(
    list(
        itertools.product((8, 12, 30, 45, 80), ((3.3, 2.3), (3.3, 1.6), (2.4, 2.0), (7.0, 2.5)), (6, 8, 10), (3, 30))
    ),
    12,
)


def style_of(points: int, context: str | None = None) -> dict[str, Any]:
    """Settings with this size of type; those of seaborn's contexts have their own sizes of titles and labels."""
    if context is None:
        return dict.fromkeys(SIZES, points)
    return {**sns.axes_style("whitegrid"), **sns.plotting_context(context), "font.size": points}


@pytest.mark.parametrize(("plot", "n", "width", "points", "context", "longest"), quick(OWN, every=3))
def test_figures_of_our_own_can_be_read(
    plot: str, n: int, width: float, points: int, context: str | None, longest: int
) -> None:
    """Of the width that is asked for; nothing has to be warned of."""
    size: Any = {3.3: "column", 7.0: "text"}.get(width, (width, 4.0))
    with mpl.rc_context(style_of(points, context)), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = figure_of(PLOTS[plot](overlap_with(labels_of(longest, n)), figsize=size, title=TITLE))
        check(figure, size=(width, 4.0 if width == 5.0 else figure.get_figheight()))


@pytest.mark.parametrize(("plot", "n", "width", "points", "longest", "place"), quick(GIVEN, every=3))
def test_given_figures_can_be_read(
    plot: str, n: int, width: float, points: int, longest: int, place: tuple[str, Any]
) -> None:
    """Axes, whole figures and parts of them keep their size, and what is drawn stays in them."""
    on_axes, (kind, layout) = plot in ("curve", "groups", "highlighted", *OF_GROUPS), place
    size = (width if kind == "whole" else 2 * width, 5.0 if plot == "panels" else 3.0)
    figure = Figure(figsize=size, layout=layout)
    part: Any = figure.subfigures(1, 2)[0] if kind == "part" else figure
    given: dict[str, Any] = {"fig": part}
    if on_axes:
        ax, *others = part.subplots(1, 2 if kind == "cell" else 1, squeeze=False)[0]
        given = {"ax": ax}
        for other in others:
            other.set_axis_off()  # its ticks reach into the part of its neighbor
    with mpl.rc_context(style_of(points)), warnings.catch_warnings():
        warnings.simplefilter("error")
        made = PLOTS[plot](overlap_with(labels_of(longest, n)), title=TITLE, **given)
        assert made is next(iter(given.values()))
        check(part, size=size)


@pytest.mark.parametrize(("n", "size", "points", "longest"), quick([(30, (3.3, 2.3), 8, 30), *LOW], every=2))
def test_low_upset_plots_can_be_read(n: int, size: tuple[float, float], points: int, longest: int) -> None:
    """They show less: fewer combinations, names of some rows, and if none has room no text at all, with a warning."""
    overlap = overlap_with([f"r{i}" if longest < 5 else f"{i:02d} {LONG}"[:longest] for i in range(n)])
    with mpl.rc_context(style_of(points)), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        figure = plot_upset(overlap, Figure(figsize=size))
        check(figure, size=size)
    rows = [label for label in figure.axes[0].get_yticklabels() if label.get_text()]
    below = figure.texts[-1].get_text().replace("\n", " ")
    if told:
        (warning,) = told
        assert "inches have no room for names and numbers; " in str(warning.message)
        assert size != (3.3, 2.3)
        assert not rows
    else:
        assert bool(rows) or "no room for their names" in below or "too many to be named" in below


@pytest.mark.filterwarnings("ignore:This figure includes Axes that are not compatible with tight_layout")
def test_parts_of_a_figure_with_a_tight_layout() -> None:
    """Which moves the axes of all parts when the figure is drawn, as if they had all of it."""
    overlap = overlap_with(labels_of(3, 6))
    for plots in (("curve", "strips"), ("map", "upset"), ("layers", "groups")):
        figure = Figure(figsize=(10, 4), layout="tight")
        for plot, part in zip(plots, figure.subfigures(1, 2), strict=True):
            PLOTS[plot](overlap, **({"fig": part} if plot in ("upset", "layers") else {"ax": part.subplots()}))
        check(figure, size=(10, 4))
