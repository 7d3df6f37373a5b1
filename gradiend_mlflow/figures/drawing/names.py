"""How labels are written into the space that they have: measured as the figure's renderer will draw them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

from gradiend_mlflow.figures.drawing.text import common_ending, literal, told_apart, with_arrows

LEAST_POINTS = 5.0  # smaller text is read by nobody in print
_STEP = 0.5  # points
_FEWEST_LETTERS = 8  # of a shortened label; what is left of it then says less than a number with a key
_FINEST = 0.004  # inches
_DPI, _POINTS = 200.0, 10.0  # of the measurement
_SPARE = 1.04  # letters have other widths at other sizes
_ROUNDED = 0.005  # inches: lines are as high as whole dots
_APART = " " * 5  # between the entries of a key
# After a space, but never between a word and the arrow that follows it.
_BREAK = re.compile(r"(?<=\s)(?![→↔⇒])(?!(?:->|<->|=>)\s)")

# What a text's size depends on.
_FONT: Any = ("font.family", "font.sans-serif", "font.serif", "font.monospace", "font.weight", "font.style",
              "font.stretch", "font.variant", "text.usetex", "mathtext.fontset")  # fmt: skip

_Font = tuple[str, ...]
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

    def quality(self, labels: Sequence[str], preferred: float) -> float:
        """How much of the labels can be read, and how well; 1 for whole labels in the preferred size."""
        lines = max((text.count("\n") for text in self.texts), default=0)
        kept = {"whole": 1.0, "wrapped": 1.0 - 0.05 * lines, "numbered": 0.1}.get(self.way)
        if kept is None:  # an ending of all labels tells nobody anything
            telling = sum(map(len, labels)) - len(labels) * len(common_ending(labels))
            kept = 0.9 * min(sum(map(len, self.texts)) / max(telling, 1), 1.0) ** 1.5
        return float(kept * (self.points / preferred) ** 0.4)


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
    return _size(text, points, _font())


def _size(text: str, points: float, font: _Font) -> tuple[float, float]:
    wide, high = _measured(text, font)
    return wide * points, high * points + _ROUNDED * (text.count("\n") + 1)


def _font() -> _Font:
    return tuple(str(mpl.rcParams[setting]) for setting in _FONT)


@lru_cache(maxsize=10_000)
def _measured(text: str, font: _Font) -> tuple[float, float]:  # noqa: ARG001  # part of the cache's key
    """Inches per point of the font's size."""
    drawn = Text(0, 0, text, fontsize=_POINTS)
    figure, renderer = _measure()
    drawn.set_figure(figure)
    box = drawn.get_window_extent(renderer)
    scale = _SPARE / _DPI / _POINTS
    return float(scale * box.width), float(scale * box.height)


@lru_cache(maxsize=1)
def _measure() -> tuple[Figure, RendererAgg]:
    return Figure(dpi=_DPI), RendererAgg(1, 1, _DPI)


def largest(texts: Iterable[str], width: float, height: float, most: float) -> float:
    """The font size up to `most` at which all texts are within a width and height in inches; may be too small to read.

    Example:
        >>> largest(["100"], 1.0, 0.1, most=8) < 8
        True
    """
    font = _font()
    for text in texts:
        wide, high = _measured(text, font)
        most = min(most, width / wide, (height - _ROUNDED * (text.count("\n") + 1)) / high)
    return most


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
    font, most = _font(), width / points
    lines = _lines(text, most, font)
    if anywhere:
        broken = (_put_together(line, most, font) if _measured(line, font)[0] > most else [line] for line in lines)
        lines = [part for parts in broken for part in parts]
    return "\n".join(lines)


def in_rows(entries: Sequence[str], width: float, points: float) -> str:
    """Entries of a key side by side, as many as fit into `width` inches; those that are too long are wrapped."""
    rows, taken, apart = "", width, measured(f"x{_APART}x", points)[0] - measured("xx", points)[0]
    for entry in entries:
        wide = measured(entry, points)[0]
        if taken + apart + wide <= width:
            rows, taken = f"{rows}{_APART}{entry}", taken + apart + wide
        else:
            rows, taken = f"{rows}\n{in_lines(entry, width, points, anywhere=True)}", min(wide, width)
    return rows.lstrip("\n")


def _lines(text: str, width: float, font: _Font) -> list[str]:
    """The lines of a text in a width in inches per point."""
    return [line for given in text.split("\n") for line in _put_together(_BREAK.split(given), width, font)]


def _put_together(pieces: Iterable[str], width: float, font: _Font) -> Iterator[str]:
    line = ""
    for piece in pieces:
        if line.strip() and _measured((line + piece).rstrip(), font)[0] > width:
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
    marks: Sequence[str] = (),
) -> Names:
    r"""Fit labels into a width, all in the same way and size.

    The first way that fits is taken: whole or wrapped at the preferred size, then at smaller sizes; shortened, so that
    they still differ, at the size that leaves most to read; numbers, with a key.

    Args:
        labels: Any labels; arrows are drawn in them.
        width: What each has, in inches.
        preferred: The font size in points; smaller ones are tried down to `least`.
        lines: The most lines that a label may have.
        height: What each has, in inches; it limits lines and size.
        least: The smallest size. If `preferred` is smaller, nothing else is tried.
        ways: Those that may be taken.
        marks: What is written behind each label, however short it becomes, such as gradiend's dagger.

    Example:
        >>> named(["der->die (Nom)", "die->das (Nom)"], width=0.7, preferred=8, lines=2).texts
        ('der → die\n(Nom)', 'die → das\n(Nom)')
    """
    # Where space is searched for, it differs by less than anybody sees.
    width, height = (side if side == np.inf else math.floor(side / _FINEST) * _FINEST for side in (width, height))
    marks = tuple(marks) or ("",) * len(labels)
    space = _Space(width, height, lines, _font())
    return _named(tuple(labels), marks, space, (preferred, least), tuple(ways))


@dataclass(frozen=True)
class _Space:
    """What each label has: inches, lines, and the font."""

    width: float
    height: float
    lines: int
    font: _Font

    def fits(self, texts: Sequence[str], points: float) -> bool:
        """Whether each text does."""
        sizes = [_size(text, points, self.font) for text in texts]
        return all(wide <= self.width and high <= self.height for wide, high in sizes)


@lru_cache(maxsize=2000)
def _named(
    labels: tuple[str, ...],
    marks: tuple[str, ...],
    space: _Space,
    sizes_between: tuple[float, float],
    ways: tuple[Way, ...],
) -> Names:
    drawn = [with_arrows(label) for label in labels]
    whole = _marked(drawn, marks)
    sizes = _sizes(*sizes_between)
    # Below this size the widest word fits; above it, neither whole nor wrapped labels do.
    words = max((_measured(word.strip(), space.font)[0] for text in whole for word in _BREAK.split(text)), default=0.0)
    for points in sizes:
        if words * points > space.width:
            continue
        if "whole" in ways and space.fits(whole, points):
            return Names(whole, points, "whole")
        if "wrapped" in ways and space.lines > 1:
            wrapped = [_lines(text, space.width / points, space.font) for text in whole]
            texts = tuple(map("\n".join, wrapped))
            if max(map(len, wrapped), default=1) <= space.lines and space.fits(texts, points):
                return Names(texts, points, "wrapped" if texts != whole else "whole")
    if "shortened" in ways:
        shorter = ((_shortened(drawn, marks, space, points), points) for points in sizes[::-2])
        found = [Names(texts, points, "shortened") for texts, points in shorter if texts]
        if found:
            return max(found, key=lambda names: names.quality(drawn, sizes[0]))
    numbers = _marked([str(number + 1) for number in range(len(drawn))], marks)
    key = tuple(f"{number + 1}  {text}" for number, text in enumerate(whole))
    points = next((size for size in sizes if space.fits(numbers, size)), 0.0)
    return Names(numbers, points or sizes[-1], "numbered", key, fit=points > 0)


def _sizes(preferred: float, least: float) -> list[float]:
    """Font sizes from the preferred down to the least, both included."""
    steps = np.arange(preferred, least, -_STEP).tolist()
    return [*steps, min(preferred, least)]


def _marked(labels: Sequence[str], marks: Sequence[str]) -> tuple[str, ...]:
    return tuple(literal(label) + mark for label, mark in zip(labels, marks, strict=True))


def _shortened(labels: list[str], marks: Sequence[str], space: _Space, points: float) -> tuple[str, ...]:
    """The labels in as many letters as fit, or nothing if these are too few to tell them apart or to say anything."""
    found: tuple[str, ...] = ()
    low, high = _FEWEST_LETTERS, max(map(len, labels), default=0)
    while low <= high:
        letters = (low + high) // 2
        short = told_apart(labels, letters)
        texts = _marked(short or [], marks if short else ())
        if space.fits(texts, points):
            found, low = texts, letters + 1
        else:
            high = letters - 1
    return found
