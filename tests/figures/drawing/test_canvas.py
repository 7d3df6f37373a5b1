"""What all figures promise."""

from __future__ import annotations

import io
import itertools
import logging
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba

from gradiend_mlflow import (
    InvalidInputError,
    plot_curve,
    plot_heatmap,
    plot_layers,
    plot_upset,
    plot_venn,
)
from gradiend_mlflow.figures.drawing.canvas import OwnFigure, write
from tests.figures.examples import EXTREMES, PLOTS, family, figure_of, overlap_of


@pytest.mark.parametrize("n", [3, 40])
@pytest.mark.parametrize("plot", PLOTS)
def test_no_global_state_is_touched(plot: Any, n: int) -> None:
    """No pyplot figure, no rcParams, no random numbers."""
    plt.close("all")
    overlap = overlap_of(6 if plot is plot_venn else n)
    settings, state = dict(mpl.rcParams), np.random.get_state()[1].copy()  # noqa: NPY002
    made = plot(overlap)
    figure = figure_of(made)
    figure.savefig(io.BytesIO())
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == settings
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("format", ["png", "pdf", "svg"])
def test_every_format(plot: Any, format: str) -> None:  # noqa: A002
    """A figure can be written as each of them."""
    made, file = plot(family(EXTREMES["contained"])), io.BytesIO()
    figure_of(made).savefig(file, format=format)
    assert {"png": b"PNG", "pdf": b"%PDF", "svg": b"<svg"}[format] in file.getvalue()[:2000]


@pytest.mark.parametrize(
    ("plot", "n"),
    [
        *itertools.product([plot_heatmap, plot_upset, plot_curve, plot_layers], [2, 6, 30, 200]),
        *itertools.product([plot_venn], [2, 6]),
    ],
)
def test_everything_lies_within_the_figure(plot: Any, n: int) -> None:
    """Long names are not cut off, nor is anything else that is written."""
    made = plot(overlap_of(n, prefix="a rather long name of a run that came from somewhere, number"))
    figure = figure_of(made)
    figure.savefig(io.BytesIO())
    canvas = figure.bbox.padded(3)
    written = [text for axes in figure.axes for text in [*axes.texts, axes.title] if text.get_text()] + figure.texts
    boxes = [artist.get_window_extent() for artist in written]
    boxes += [axes.get_tightbbox() for axes in figure.axes if axes.axison]  # with all labels of ticks
    for box in boxes:
        assert canvas.x0 <= box.x0 <= box.x1 <= canvas.x1
        assert canvas.y0 <= box.y0 <= box.y1 <= canvas.y1


@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.parametrize("n", [3, 5])
def test_what_is_drawn_stands_out_in_any_style(style: str, n: int) -> None:
    """Numbers, bars and dots are light on dark where the style is."""
    with plt.style.context(style):
        light = style == "dark_background"
        upset = plot_upset(overlap_of(n), max_regions=3)
        main, bars = upset.axes[:2]
        shown = [bar.get_facecolor() for bar in bars.patches[:-1]]
        shown += [color for held in main.collections for color in [*held.get_facecolor(), *held.get_edgecolor()]]
        assert all((sum(to_rgba(color)[:3]) > 1.5) is light for color in shown)
        stripes = [patch.get_facecolor() for patch in main.patches]
        assert all((sum(color[:3]) > 1.5) is not light for color in stripes)


@pytest.mark.parametrize("plot", PLOTS)
def test_places_and_titles_that_are_none(plot: Any) -> None:
    """Are refused by name."""
    place = "fig" if plot in (plot_upset, plot_layers) else "ax"
    with pytest.raises(InvalidInputError, match=f"{place} must be .* of matplotlib; got str"):
        plot(family(EXTREMES["contained"]), "x")
    with pytest.raises(InvalidInputError, match="title must be a string; got int"):
        plot(family(EXTREMES["contained"]), title=5)


def test_saving_says_nothing_of_fonts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A PDF holds the letters that it needs; that each table of each font was cut down is no news."""
    figure = OwnFigure(figsize=(2, 2))
    figure.text(0.1, 0.5, "letters")
    with caplog.at_level(logging.INFO):
        write(figure, [tmp_path / "a.pdf"])
        figure.savefig(tmp_path / "b.pdf")
    assert [record.getMessage() for record in caplog.records] == []
    assert logging.getLogger("fontTools.subset").level == logging.NOTSET
