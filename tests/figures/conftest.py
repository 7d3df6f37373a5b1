"""Axes to draw on, and a font."""

from __future__ import annotations

from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure


@pytest.fixture
def ax() -> Axes:
    """Large axes that pyplot does not know."""
    return Figure(figsize=(12, 10)).subplots()


@pytest.fixture
def asian_font(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
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
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*font_manager.fontManager.ttflist])
    font_manager.fontManager.addfont(file)
    return "Square Asian"
