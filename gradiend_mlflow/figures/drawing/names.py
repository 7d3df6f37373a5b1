"""How labels are written into the space that they have: measured as the figure's renderer will draw them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

from gradiend_mlflow.figures.drawing.text import literal, told_apart, with_arrows

LEAST_POINTS = 5.0  # smaller text is read by nobody in print
_STEP = 0.5  # points
_FEWEST_LETTERS = 8  # of a shortened label; what is left of it then says less than a number with a key
_DPI, _POINTS = 200.0, 10.0  # of the measurement
_SPARE = 1.02  # letters are rounded to a figure's dots, and to other widths at other sizes
# After a space, but never between a word and the arrow that follows it.
_BREAK = re.compile(r"(?<=\s)(?![→↔⇒])(?!(?:->|<->|=>)\s)")

# What a text's size depends on.
_FONT: Any = ("font.family", "font.sans-serif", "font.serif", "font.monospace", "font.weight", "font.style",
              "font.stretch", "font.variant", "text.usetex", "mathtext.fontset")  # fmt: skip

Way = Literal["whole", "wrapped", "shortened", "numbered"]


@dataclass(frozen=True)
class Names:
    r"""How labels are drawn.

    Attributes:
        texts: What is written for each label, in their order, for matplotlib to take literally; "\n" between lines.
        points: The font size of all of them.
        way: "whole", "wrapped", "shortened", or "numbered": then `texts` are numbers from 1 on, which `key` explains.
        key: One line per label: its number and the whole label. Empty unless the labels are numbered.
        fit: Whether they have room. If even numbers of 5 points have none, they are given nevertheless.
    """

    texts: tuple[str, ...]
    points: float
    way: Way
    key: tuple[str, ...] = ()
    fit: bool = True


def points_of(setting: Any, given: float | None = None) -> float:
    """A font size in points: the one given, else that of a setting of matplotlib, but not less than 5.

    Args:
        setting: A key of rcParams, such as "axes.titlesize"; sizes such as "large" are relative to `font.size`.
        given: The caller's own wish, taken as it is.
    """
    if given is not None:
        return float(given)
    return max(FontProperties(size=mpl.rcParams[setting]).get_size_in_points(), LEAST_POINTS)


def measured(text: str, points: float) -> tuple[float, float]:
    r"""The width and height in inches of a text of one or several lines, in the current font.

    Args:
        text: What is written, with "\n" between lines; matplotlib's formulas count as what they show.
        points: The font size.

    Example:
        >>> wide, high = measured("word", 8)
        >>> measured("word word", 8)[0] > 2 * wide, measured("word\nword", 8)[1] > 2 * high
        (True, True)
    """
    font = tuple(repr(mpl.rcParams[setting]) for setting in _FONT)
    wide, high = _measured(text, font)
    return wide * points, high * points


@lru_cache(maxsize=10_000)
def _measured(text: str, font: tuple[str, ...]) -> tuple[float, float]:  # noqa: ARG001  # part of the cache's key
    """Inches per point of the font's size."""
    drawn = Text(0, 0, text, fontsize=_POINTS)
    figure, renderer = _measure()
    drawn.set_figure(figure)
    box = drawn.get_window_extent(renderer)
    return float(_SPARE * box.width / _DPI / _POINTS), float(box.height / _DPI / _POINTS)


@lru_cache(maxsize=1)
def _measure() -> tuple[Figure, RendererAgg]:
    return Figure(dpi=_DPI), RendererAgg(1, 1, _DPI)


def widest(texts: Sequence[str], points: float) -> float:
    """The width in inches of the widest of some texts; 0 for none."""
    return max((measured(text, points)[0] for text in texts), default=0.0)


def in_lines(text: str, width: float, points: float, *, anywhere: bool = False) -> str:
    r"""A text in as many lines as it needs to be no wider than `width` inches, broken at spaces and after arrows.

    Args:
        text: What is written; "\n" stays.
        width: In inches.
        points: The font size.
        anywhere: Break a word that is wider than a line; else it stays whole, and wider.
    """
    lines = [line for given in text.split("\n") for line in _lines(_BREAK.split(given), width, points)]
    if anywhere:
        lines = [
            part
            for line in lines
            for part in (_lines(list(line), width, points) if measured(line, points)[0] > width else [line])
        ]
    return "\n".join(lines)


def _lines(pieces: Sequence[str], width: float, points: float) -> Iterator[str]:
    line = ""
    for piece in pieces:
        if line.strip() and measured((line + piece).rstrip(), points)[0] > width:
            yield line.rstrip()
            line = ""
        line += piece
    yield line.rstrip()


def named(
    labels: Sequence[str],
    width: float,
    preferred: float,
    *,
    lines: int = 1,
    height: float = np.inf,
    least: float = LEAST_POINTS,
    ways: Sequence[Way] = ("whole", "wrapped", "shortened", "numbered"),
) -> Names:
    r"""Fit labels into a width, all in the same way and size.

    The first way that fits is taken: whole or wrapped at the preferred size, then at smaller sizes; shortened, so that
    they still differ, at the largest size that leaves enough letters of them; numbers, with a key.

    Args:
        labels: Any labels; arrows are drawn in them.
        width: What each has, in inches.
        preferred: The font size in points; smaller ones are tried down to `least`.
        lines: The most lines that a label may have.
        height: What each has, in inches; it limits lines and size.
        least: The smallest size. If `preferred` is smaller, nothing else is tried.
        ways: Those that may be taken.

    Example:
        >>> named(["der->die (Nom)", "die->das (Nom)"], width=0.7, preferred=8, lines=2).texts
        ('der → die\n(Nom)', 'die → das\n(Nom)')
    """
    drawn = [with_arrows(label) for label in labels]
    whole = tuple(map(literal, drawn))
    sizes = _sizes(preferred, least)
    for points in sizes:
        if "whole" in ways and _fits(whole, width, height, points):
            return Names(whole, points, "whole")
        if "wrapped" in ways and lines > 1:
            texts = tuple(in_lines(text, width, points) for text in whole)
            most = max((text.count("\n") + 1 for text in texts), default=1)
            if most <= lines and _fits(texts, width, height, points):
                return Names(texts, points, "wrapped" if most > 1 else "whole")
    for points in sizes if "shortened" in ways else ():
        if short := _shortened(drawn, width, height, points):
            return Names(short, points, "shortened")
    numbers = tuple(str(number + 1) for number in range(len(drawn)))
    key = tuple(f"{number}  {text}" for number, text in zip(numbers, whole, strict=True))
    points = next((size for size in sizes if _fits(numbers, width, height, size)), 0.0)
    return Names(numbers, points or sizes[-1], "numbered", key, fit=points > 0)


def _sizes(preferred: float, least: float) -> list[float]:
    """Font sizes from the preferred down to the least, both included."""
    steps = np.arange(preferred, least, -_STEP).tolist()
    return [*steps, min(preferred, least)]


def _fits(texts: Sequence[str], width: float, height: float, points: float) -> bool:
    sizes = [measured(text, points) for text in texts]
    return all(wide <= width and high <= height for wide, high in sizes)


def _shortened(labels: list[str], width: float, height: float, points: float) -> tuple[str, ...]:
    """The labels in as many letters as fit, or nothing if these are too few to tell them apart or to say anything."""
    longest = max(map(len, labels), default=0)
    per_letter = widest([literal(label) for label in labels], points) / max(longest, 1)
    most = min(int(1.3 * width / per_letter), longest) if per_letter else longest
    for letters in range(most, _FEWEST_LETTERS - 1, -1):
        short = told_apart(labels, letters)
        if short is not None and _fits(texts := tuple(map(literal, short)), width, height, points):
            return texts
    return ()
