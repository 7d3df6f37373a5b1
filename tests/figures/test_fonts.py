"""Letters that matplotlib's font does not have."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.text import Text

from gradiend_mlflow import TopKSet, compute_overlap, plot_curve, plot_heatmap, plot_layers, plot_upset, plot_venn
from gradiend_mlflow.figures import text as fonts

PLOTS = [plot_heatmap, plot_venn, plot_upset, plot_curve, plot_layers]
NAMES = ["日本", "plain", "a 日"]


def draw(plot: Any) -> Any:
    """A figure of runs with such names, and whatever is warned of while it is drawn and written."""
    sets = {name: TopKSet.from_indices([1, 2, 3 + index], space=9) for index, name in enumerate(NAMES)}
    made = plot(compute_overlap(sets))
    figure = made.figure if isinstance(made, Axes) else made
    figure.savefig(io.BytesIO())
    return figure


@pytest.fixture
def nothing_known() -> Iterator[None]:
    """What was looked up before is forgotten, and afterwards too."""
    for kept in (fonts._known, fonts._warn):
        kept.cache_clear()
    yield
    for kept in (fonts._known, fonts._warn):
        kept.cache_clear()


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch, nothing_known: None) -> None:
    """A machine with matplotlib's own fonts only."""
    own = [font for font in font_manager.fontManager.ttflist if font.fname.startswith(mpl.get_data_path())]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)


@pytest.fixture
def asian_font(no_fonts: None, tmp_path: Path) -> str:
    """The family of an installed font that has the two letters."""
    file = tmp_path / "asian.ttf"
    pen = TTGlyphPen(None)
    for number, point in enumerate([(0, 0), (0, 700), (700, 700), (700, 0)]):
        (pen.lineTo if number else pen.moveTo)(point)
    pen.closePath()
    square = pen.glyph()
    names = [".notdef", "sun", "root"]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord("日"): "sun", ord("本"): "root"})
    builder.setupGlyf(dict.fromkeys(names, square))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Square Asian", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(file)
    font_manager.fontManager.addfont(file)
    return "Square Asian"


@pytest.mark.parametrize("plot", PLOTS)
def test_another_installed_font_is_used(plot: Any, asian_font: str) -> None:
    """For the texts that need it, without a warning or a setting changed."""
    settings = dict(mpl.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw(plot)
    families = {text.get_text(): text.get_fontfamily() for text in figure.findobj(Text)}
    needing = [text for text in families if "日" in text]
    assert any("日本" in text for text in needing)
    assert all(asian_font in families[text] for text in needing)
    assert dict(mpl.rcParams) == settings


@pytest.mark.parametrize("plot", PLOTS)
def test_without_one_there_are_boxes_and_one_warning(plot: Any, no_fonts: None) -> None:
    """Which says what is lacking and what helps; not one per letter whenever the figure is drawn."""
    with pytest.warns(UserWarning, match=r"no installed font has .*; install one that does") as said:
        figure = draw(plot)
    assert sorted(str(warning.message).split()[4] for warning in said) == [
        "日,",
        "日本,",
    ]  # once for a label's letters
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(plot)
    written = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "□□" in written
    assert "日" not in written


def test_what_cannot_be_seen_is_left_out(no_fonts: None) -> None:
    """A joiner or a selector of a variant is no letter."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fonts.drawable("a\U000e0100b") == "ab"
        assert fonts.drawable("† ≥ … é ж א") == "† ≥ … é ж א"


def test_a_font_that_is_gone_is_passed_over(asian_font: str, tmp_path: Path) -> None:
    """The list of fonts may be older than the disk."""
    (tmp_path / "asian.ttf").unlink()
    with pytest.warns(UserWarning, match="no installed font has 日"):
        assert fonts.drawable("日") == "□"
