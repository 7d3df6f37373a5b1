"""Heatmaps in papers: whatever the width, the style and the names are, all of it can be read."""

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

from gradiend_mlflow import Overlap, TopKSet, compute_overlap, plot_heatmap
from tests.figures.legible import check, lacking
from tests.support.sampling import quick

CONTEXTS = (None, "paper", "notebook", "talk", "poster")
AROUND = ("nothing", "groups", "side bar", "both", "tree", "title", "dagger")
WORDS = ("der->die", "(Nom,", "Masc->Fem)", "seed", "gender", "bert-base", "3SG<->3PL", "religion", "=>", "x")


def labels_of(n: int, longest: int, rng: random.Random) -> list[str]:
    """Labels of up to so many letters, with arrows, that differ."""
    found: dict[str, None] = {}
    while len(found) < n:
        label = str(len(found))
        while len(label) < longest and rng.random() < 0.9:
            label = f"{rng.choice(WORDS)} {label}"
        found[label[-longest:].strip() or str(len(found))] = None
    return list(found)


def overlap_of(labels: list[str]) -> Overlap:
    """Sets that share some weights."""
    rng = np.random.default_rng(len(labels))
    sets = {x: TopKSet.from_indices(rng.permutation(400)[:150], space=400) for x in labels}
    return compute_overlap({x: replace(one, weights=rng.normal(size=(150, 1))) for x, one in sets.items()})


def around(what: str, labels: list[str]) -> dict[str, Any]:
    """The options that draw it."""
    groups = {
        label: ("Nominative", "Akkusativ und Dativ", "Gen")[3 * i // len(labels)] for i, label in enumerate(labels)
    }
    side = {label: 0.9 * i / len(labels) for i, label in enumerate(labels)}
    return {
        "nothing": {},
        "groups": {"groups": groups},
        "side bar": {"row_metric": side, "row_metric_label": "correlation"},
        "both": {
            "groups": groups,
            "row_metric": side,
            "converged": dict.fromkeys(labels[:2], False),
            "title": "A title",
        },
        "tree": {"cluster": True, "title": "German articles, decoder-weight, the top 1000 of each"},
        "title": {"title": "German articles, decoder-weight, the top 1000 of each", "value": "intersection"},
        "dagger": {"converged": dict.fromkeys(labels[:1], False), "value": "cosine_signed"},
    }[what]


def sample() -> list[Any]:
    """About a hundred of the grid: every value of every kind, in fixed but arbitrary combinations."""
    rng = random.Random(15)
    kinds = ([*range(1, 13)], [3.3, 5.0, 7.0], [6, 8, 9, 10, 12], CONTEXTS, ["none", "constrained", "tight", "own"],
             [3, 12, 20, 30, 60], AROUND)  # fmt: skip
    columns = []
    for kind in kinds:
        column = [*itertools.islice(itertools.cycle(kind), 96)]
        rng.shuffle(column)
        columns.append(column)
    # The first was found by another sample: slanted names that were longer on a screen than measured.
    return quick([(10, 5.0, 6, "paper", "constrained", 30, "dagger"), *zip(*columns, strict=True)], every=4)


@pytest.mark.parametrize(("n", "width", "points", "context", "layout", "longest", "what"), sample())
def test_up_to_twelve_runs(
    n: int, width: float, points: int, context: str | None, layout: Any, longest: int, what: str
) -> None:
    """All names and numbers are there, apart from each other, within the figure, at 5 points and more."""
    labels = labels_of(n, longest, random.Random(n))
    with mpl.rc_context(), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if context is not None:
            sns.set_theme(context=context)
        mpl.rcParams["font.size"] = points
        if layout == "own":
            figure = plot_heatmap(overlap_of(labels), figsize=(width, 0.9 * width), **around(what, labels))
            axes = figure.axes[0]
        else:
            figure = Figure(figsize=(width, 0.9 * width), layout=layout)
            axes = plot_heatmap(overlap_of(labels), figure.subplots(), **around(what, labels))
        check(figure, size=(width, 0.9 * width))
        assert not lacking(axes, labels)
        own = [str(warning.message) for warning in said if "inches" in str(warning.message)]
        assert len(own) <= 1
        largest = max(mpl.rcParams[name] if isinstance(mpl.rcParams[name], (int, float)) else points
                      for name in ("font.size", "xtick.labelsize", "axes.labelsize", "axes.titlesize"))  # fmt: skip
        if longest <= 30 and largest <= 9:
            assert not own


def sample_of_many() -> list[tuple[Any, ...]]:
    """Some of the grid from 13 to 60 runs."""
    return [
        (13, 3.3, 8, None, 12, "nothing"),
        (17, 3.3, 8, "paper", 30, "groups"),
        (20, 7.0, 8, None, 30, "both"),
        (24, 5.0, 10, None, 20, "tree"),
        (30, 3.3, 9, None, 30, "side bar"),
        (33, 7.0, 12, None, 60, "title"),
        (40, 5.0, 8, "talk", 20, "dagger"),
        (47, 3.3, 6, None, 3, "both"),
        (55, 7.0, 8, "notebook", 30, "groups"),
        (60, 3.3, 10, None, 12, "tree"),
    ]


@pytest.mark.parametrize(("n", "width", "points", "context", "longest", "what"), quick(sample_of_many(), every=6))
def test_up_to_sixty_runs(n: int, width: float, points: int, context: str | None, longest: int, what: str) -> None:
    """Every row is named, or every n-th, which is said; names differ."""
    labels = labels_of(n, longest, random.Random(n))
    with mpl.rc_context():
        if context is not None:
            sns.set_theme(context=context)
        mpl.rcParams["font.size"] = points
        figure = plot_heatmap(overlap_of(labels), figsize=(width, 0.9 * width), **around(what, labels))
        check(figure, size=(width, 0.9 * width))
        axes = figure.axes[0]
        rows = [tick.label1.get_text() for tick in axes.yaxis.get_major_ticks()]
        every = round(n / len(rows))
        assert len(set(rows)) == -(-n // every)
        assert (every == 1) == (f"of {n} runs is named" not in axes.get_xlabel().replace("\n", " "))
