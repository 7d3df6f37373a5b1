"""Where the names of lines stand: at their ends, below as a legend, or as numbers with a key below."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.figures.drawing.names import LEAST_POINTS, Way, in_lines, in_rows, measured, named, widest
from gradiend_mlflow.figures.drawing.page import PAD
from gradiend_mlflow.figures.drawing.text import literal, with_arrows
from gradiend_mlflow.figures.plans.lines import Line

_BESIDE, _LEAST = 0.42, 0.35  # of the width; of the height, that axes keep
GAP = 0.12  # inches between the end of a line and its name
HANDLE = 0.3  # inches: the line in a legend, with the gap behind it
_APART = 0.15  # inches between the columns of a legend or a key
_WORTH = 0.4  # the quality from which on shortened names say more than numbers with a key
_UNNAMED = "the lines have no room for their names"
_SOME = 0.85  # of the preferred size, down to which names stay as they are before another way is tried


@dataclass(frozen=True)
class Naming:
    """How the lines of all panels are named.

    Attributes:
        texts: What each line of each panel is called.
        points: The size of all of them.
        place: "end" of the line, or "below".
        key: Lines of text that stand below in any case, or say which run a number is.
        columns: Of a legend.
        fit: Whether there is room for them.
    """

    texts: tuple[tuple[str, ...], ...]
    points: float
    place: Literal["end", "below"]
    key: str = ""
    columns: int = 1
    fit: bool = True

    @property
    def beside(self) -> float:
        """The width in inches beside the axes."""
        return (
            GAP + widest([text for texts in self.texts for text in texts], self.points) if self.place == "end" else 0
        )

    @property
    def legend(self) -> float:
        """The height in inches of a legend below the axes."""
        if self.place == "end":
            return 0.0
        heights = [measured(text, self.points)[1] for texts in self.texts for text in texts]
        return -(-len(heights) // self.columns) * max(heights) + PAD

    @property
    def below(self) -> float:
        """The height in inches of what stands below the axes."""
        return self.legend + (measured(self.key, self.points)[1] + PAD if self.key else 0.0)


def naming_of(
    panels: Sequence[Sequence[Line]],
    labels: Sequence[str],
    preferred: float,
    *,
    width: float,
    below: float,
    height: Callable[[float], float],
    note: str = "",
) -> Naming:
    """The first way to name the lines that has room.

    Whole or wrapped at the ends of the lines, then as a legend if there is one panel, then shortened at the ends, then
    as numbers with a key, then in fewer letters. If nothing has room, no line has a name, and the key says so.

    Args:
        panels: The lines of each panel.
        labels: The runs' labels.
        preferred: The font size in points.
        width: In inches, of a panel's part of the figure.
        below: The width in inches that a legend or a key may have.
        height: The height in inches of a panel's axes if what is below has a height.
        note: What is said below in any case.
    """
    for plain in _namings(panels, labels, preferred, width, below):
        lines = [*[in_lines(note, below, plain.points, anywhere=True)] * bool(note), *[plain.key] * bool(plain.key)]
        naming = replace(plain, key="\n".join(lines))
        room = height(naming.below)
        names = max(stacked(texts, naming.points) for texts in naming.texts) if naming.place == "end" else 0.0
        if naming.beside <= _BESIDE * width + GAP and max(names, _LEAST * height(0.0)) <= room:
            return naming
    unnamed = in_lines(" - ".join([*[note] * bool(note), _UNNAMED]), below, LEAST_POINTS, anywhere=True)
    return Naming(tuple(("",) * len(lines) for lines in panels), LEAST_POINTS, "end", unnamed, fit=False)


def stacked(texts: Sequence[str], points: float) -> float:
    """The height in inches of names that stand below each other."""
    return sum(measured(text, points)[1] + apart(points) for text in texts)


def apart(points: float) -> float:
    """The height in inches of the space between names."""
    return 0.4 * points / 72


def _namings(
    panels: Sequence[Sequence[Line]], labels: Sequence[str], preferred: float, width: float, below: float
) -> Iterator[Naming]:
    """All ways, the best first."""
    runs = sorted({run for lines in panels for line in lines for run in line.pair or ()})
    own, limit = [labels[run] for run in runs], _BESIDE * width
    sizes = sizes_from(preferred)

    def texts(names: Sequence[str], points: float, limit: float) -> tuple[tuple[str, ...], ...]:
        name_of = dict(zip(runs, names, strict=True))
        return tuple(tuple(_text(line, name_of, points, limit) for line in lines) for lines in panels)

    def at_ends(points: float, way: Sequence[Way], worth: float = 0.0) -> Iterator[Naming]:
        names = named(own, limit - measured(" &", points)[0], points, lines=2, least=points, ways=way)
        if (names.way != "numbered" and names.quality(own, points) >= worth) or not own:
            yield Naming(texts(names.texts, points, limit), points, "end")

    large = [points for points in sizes if points >= _SOME * preferred]
    for points in large:
        yield from at_ends(points, ("whole", "wrapped"))
    for points in large if len(panels) == 1 else ():
        room = below - HANDLE
        written = texts([literal(with_arrows(label)) for label in own], points, room)
        columns = max(int((below + _APART) / (widest(written[0], points) + HANDLE + _APART)), 1)
        if widest(written[0], points) <= room:
            yield Naming(written, points, "below", columns=columns)
    for points in large:
        yield from at_ends(points, ("shortened",), _WORTH)
    for points in sizes:
        entries = [f"{number}  {literal(with_arrows(label))}" for number, label in enumerate(own, start=1)]
        numbers = [str(number) for number in range(1, len(own) + 1)]
        yield Naming(texts(numbers, points, limit), points, "end", in_rows(entries, below, points))
    for points in large:
        yield from at_ends(points, ("shortened",))


def sizes_from(preferred: float) -> list[float]:
    """Font sizes from the preferred down to the smallest."""
    return [*np.arange(preferred, LEAST_POINTS, -0.5).tolist(), min(preferred, LEAST_POINTS)]


def _text(line: Line, name_of: Mapping[int, str], points: float, limit: float) -> str:
    """The name of a line: of a pair in one line if that fits, else in as few as do."""
    if line.pair is None:
        return in_lines(literal(with_arrows(line.text)), limit, points, anywhere=True)
    a, b = (name_of[run] for run in line.pair)
    whole = f"{line.text}{a} & {b}"
    if "\n" not in whole and measured(whole, points)[0] <= limit:
        return whole
    pair = f"{a} & {b}" if "\n" not in whole and measured(f"{a} & {b}", points)[0] <= limit else f"{a} &\n{b}"
    return "\n".join([*[line.text.strip()] * bool(line.text), pair])


def spread(wanted: Sequence[float], heights: Sequence[float], top: float) -> npt.NDArray[np.float64]:
    """Places of texts between 0 and `top` that are as near as possible to those wanted, and do not overlap.

    Args:
        wanted: Where the middle of each text should be.
        heights: Of each text, in the same unit.
        top: The end of the space. If it is too small for all of them, they overlap evenly.

    Example:
        >>> spread([1.0, 1.1, 5.0], [1, 1, 1], 6).tolist()
        [0.55, 1.55, 5.0]
    """
    order = np.argsort(wanted, kind="stable")
    sizes = np.asarray(heights, dtype=float)[order]
    sizes *= min(1.0, top / max(sizes.sum(), 1e-9))
    below = np.cumsum(sizes) - sizes / 2  # where each is if all stand on the ground
    blocks: list[list[float]] = []  # of those that touch: how far all of them are lifted, and how many they are
    for lift in np.asarray(wanted, dtype=float)[order] - below:
        blocks.append([float(lift), 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (low, few), (high, many) = blocks.pop(-2), blocks.pop()
            blocks.append([(low * few + high * many) / (few + many), few + many])
    lifts = np.repeat([lift for lift, _ in blocks], [int(count) for _, count in blocks])
    places = np.empty(len(order))
    places[order] = below + np.clip(lifts, 0.0, top - sizes.sum())
    return places
