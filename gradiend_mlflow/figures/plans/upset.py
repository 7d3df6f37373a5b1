"""What an UpSet plot shows: which combinations of sets, what it says of the others, and the room that each has."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.drawing.names import LEAST_POINTS, Names, in_lines, measured, named, points_of, widest
from gradiend_mlflow.figures.drawing.page import PAD, small_points
from gradiend_mlflow.figures.drawing.text import literal, with_arrows
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.wording import counted

NAMED_UP_TO = 60  # sets
SIZES_HEADING = "weights\nper set"
_HEADING = "weights in exactly these sets"
_USUAL = 20  # combinations
_COLUMN, _WIDTHS = 0.36, (4.0, 12.0)  # inches: of a column, of a figure whose size is left to us
_LEAST_BARS = 0.7  # inches


@dataclass(frozen=True, eq=False)
class Regions:
    """What is drawn.

    Attributes:
        labels: The sets that have a row.
        sizes: Their sizes.
        matrix: Which set (row) is in which combination (column).
        counts: The weights in each combination.
        rest: Whether the last combination is the sum of all others, in which no set is marked.
        footnotes: What is left out, a sentence each.
    """

    labels: tuple[str, ...]
    sizes: tuple[int, ...]
    matrix: npt.NDArray[np.bool_]
    counts: tuple[int, ...]
    rest: bool
    footnotes: tuple[str, ...]

    @property
    def highest(self) -> int:
        """The most weights of a single combination."""
        return max(self.counts[: len(self.counts) - self.rest])


def selected(overlap: Overlap, most: int, min_sets: int | None) -> Regions:
    """The largest combinations, at most `most`, and the sum of the others; arguments as for `plot_upset`.

    Raises:
        InvalidInputError: If no weight is in `min_sets` sets, or there is none at all.
    """
    regions, alone = _candidates(overlap, most, min_sets)
    # A last bar for a single combination would say less than the combination itself.
    split = len(regions) if len(regions) <= most + 1 else most
    together: Iterator[set[str]] = accumulate((set(members) for members, _ in regions[:split]), operator.or_)
    split = sum(len(members) <= NAMED_UP_TO for members in together) or split
    own, rest = regions[:split], regions[split:]
    in_own = set().union(*(members for members, _ in own))
    rows = [index for index, label in enumerate(overlap.labels) if label in in_own]
    labels = tuple(overlap.labels[row] for row in rows)
    matrix = np.array([[label in members for members, _ in own] + [False] * bool(rest) for label in labels])
    counts = [size for _, size in own] + [sum(size for _, size in rest)] * bool(rest)
    left_out = len(overlap.labels) - len(labels)
    footnotes = {
        f"{len(labels)} sets, a row each in their order, are too many to be named: overlap.regions names them": len(
            labels
        )
        > NAMED_UP_TO,
        f"last bar: {counted(len(rest), 'other combination')}": rest,
        f"weights of one set alone, not shown: {alone:,}": alone,
        f"sets in none of these combinations: {left_out}": left_out,
    }
    return Regions(
        labels,
        tuple(overlap.sizes[rows].tolist()),
        matrix,
        tuple(counts),
        bool(rest),
        tuple(footnote for footnote, applies in footnotes.items() if applies),
    )


def _candidates(overlap: Overlap, most: int, min_sets: int | None) -> tuple[list[tuple[tuple[str, ...], int]], int]:
    """The combinations that may have a bar, and the number of weights that are left out for the default `min_sets`."""
    regions = [(members, size) for members, size in overlap.regions.items() if len(members) >= (min_sets or 1)]
    if not regions:
        raise InvalidInputError(f"no weight is in {min_sets or 1} of the {len(overlap.labels)} sets")
    shared = [(members, size) for members, size in regions if len(members) > 1]
    if min_sets is not None or not shared or len(regions) <= most + 1:
        return regions, 0
    return shared, sum(size for members, size in regions if len(members) == 1)


@dataclass(frozen=True, eq=False)
class Wish:
    """What was asked for: at most how many combinations, of at least how many sets; None leaves them to us."""

    overlap: Overlap
    most: int | None
    min_sets: int | None
    title: str


@dataclass(frozen=True, eq=False)
class Plan:
    """Where everything is, in inches, and how large text is, in points.

    Attributes:
        shown: The combinations.
        names: The rows' names; None without.
        sizes: The width of the bars of the sizes with their numbers; 0 without them.
        left: Where the columns begin.
        column: The width of a column.
        row: The height of a row.
        bars: Where the bars begin, below the title, and their height with their numbers.
        beside: What the bars are, in lines that are read from below.
        counts: The size of the numbers on the bars, and whether they are read from below.
        title: In lines.
        footer: What stands below, in lines.
        height: What all of it needs.
        lacks: What has no room, and what would do; empty if all has.
    """

    shown: Regions
    names: Names | None
    sizes: float
    left: float
    column: float
    row: float
    bars: tuple[float, float]
    beside: str
    counts: tuple[float, bool]
    title: str
    footer: str
    height: float
    lacks: str


def usual_width(wish: Wish) -> float:
    """The width in inches that suits what is shown."""
    shown = selected(wish.overlap, wish.most or _USUAL, wish.min_sets)
    drawn = [literal(with_arrows(label)) for label in shown.labels if len(shown.labels) <= NAMED_UP_TO]
    names = widest(drawn, points_of("font.size"))
    return float(np.clip(1.5 + names + _COLUMN * len(shown.counts), *_WIDTHS))


def planned(wish: Wish, width: float, height: float | None = None) -> Plan:
    """As many combinations as fit into a width, and into a height if there is one; else the height follows."""
    wanted = most = wish.most or _USUAL
    while True:
        plan = _plan_of(selected(wish.overlap, most, wish.min_sets), wish.title, width, height)
        if plan.column >= _least_column() or most == 1:
            break
        most = max(min(most - 1, int((width - PAD - plan.left) / _least_column()) - 1), 1)
    if wish.most is not None and most < wanted and not plan.lacks:
        columns = len(selected(wish.overlap, wanted, wish.min_sets).counts)
        enough = (plan.left + PAD + _least_column() * columns) * 1.02
        return replace(
            plan, lacks=f"{most} of {wanted} combinations have room; a width of {enough:.1f} inches would do"
        )
    return plan


def _least_column() -> float:
    """The width of a column whose number is read from below."""
    return 1.15 * measured("0", max(0.75 * points_of("font.size"), LEAST_POINTS))[1]


def _plan_of(shown: Regions, heading: str, width: float, height: float | None) -> Plan:
    """A plan for these combinations, whether or not there is room for their columns."""
    body, small, n = points_of("font.size"), small_points(), len(shown.labels)
    title = in_lines(heading, width - 2 * PAD, points_of("axes.titlesize"), anywhere=True)
    top = PAD + (measured(title, points_of("axes.titlesize"))[1] + 2 * PAD if title else 0.0)
    equal = len(set(shown.sizes)) == 1
    said = [f"{counted(shown.sizes[0], 'weight')} per set"] * equal + list(shown.footnotes)
    sizes = 0.0 if equal else max(0.12 * width, 0.25) + measured(f"{max(shown.sizes):,}", small)[0] + PAD
    headings = 0.0 if equal else measured(SIZES_HEADING, small)[1] + PAD

    def room(footer: str) -> float:
        return np.inf if height is None else height - top - headings - measured(footer, small)[1] - 3 * PAD

    footer = _footer((), said, width, small)
    row = _row(room(footer), n)
    names = named(shown.labels, 0.42 * width, body, lines=2, height=0.95 * row) if n <= NAMED_UP_TO else None
    if names is not None and names.key:
        footer = _footer(names.key, said, width, small)
        row = _row(room(footer), n)
    highest = max((measured(text, names.points)[1] for text in names.texts), default=0.0) if names else 0.0
    row = min(row, max(1.1 * highest, 0.16 if names else 0.06))
    bars = float(np.clip(0.4 * width, 1.1, 1.8)) if height is None else max(room(footer) - n * row, 0.2)
    beside = in_lines(_HEADING, bars, small)  # read from below
    left = max(sizes + (PAD + widest(names.texts, names.points) if names else 0.0), measured(beside, small)[1])
    left += 2 * PAD
    column = (width - PAD - left) / len(shown.counts)
    total = top + bars + n * row + headings + measured(footer, small)[1] + 3 * PAD
    lacks = "" if names is None or names.fit else "the rows have no room for their names; leave out fig and figsize"
    counts = _size_of_counts(shown, column, body)
    return Plan(shown, names, sizes, left, column, row, (top, bars), beside, counts, title, footer, total, lacks)


def _row(room: float, n: int) -> float:
    """The largest height of `n` rows that leaves the bars enough."""
    return max(min(room * 0.65, room - _LEAST_BARS), 0.1) / n


def _footer(key: Sequence[str], said: Sequence[str], width: float, points: float) -> str:
    lines = [*key, "; ".join(said)] if said else key
    return "\n".join(in_lines(line, width - 2 * PAD, points, anywhere=True) for line in lines)


def _size_of_counts(shown: Regions, column: float, body: float) -> tuple[float, bool]:
    """The largest size of the numbers on the bars up to that of other text, upright only if they are too wide."""
    sizes = [*np.arange(body, LEAST_POINTS, -0.5).tolist(), LEAST_POINTS]
    longest = max((f"{count:,}" for count in shown.counts), key=len)
    for points in sizes:
        if points >= 0.75 * body and measured(longest, points)[0] <= 0.9 * column:
            return points, False
    return next((points for points in sizes if measured(longest, points)[1] <= 0.95 * column), LEAST_POINTS), True
