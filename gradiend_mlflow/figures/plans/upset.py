"""How an UpSet plot fits into its page: its combinations, which rows are named, and where everything is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradiend_mlflow.figures.drawing.names import (
    LEAST_POINTS,
    Names,
    in_lines,
    in_rows,
    largest,
    measured,
    named,
    points_of,
    widest,
)
from gradiend_mlflow.figures.drawing.page import PAD, small_points
from gradiend_mlflow.figures.drawing.text import literal, with_arrows
from gradiend_mlflow.figures.plans.combinations import NAMED_UP_TO, Regions, selected
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.wording import counted

_HEADINGS = ("{}s in exactly these sets", "{}s")  # of bars, the first that has room
_USUAL, _FEW = 20, 5  # combinations: at most, and at least before other things are left out
_COLUMN, _WIDTHS = 0.36, (4.0, 12.0)  # inches: of a column, of a figure whose size is left to us
_EASY_BARS, _LEAST_BARS = (0.65, 1.1), 0.2  # inches: the bars with their numbers, of low and of high figures; without
_EVERY = (1, 2, 3, 4, 6, 10, 20, NAMED_UP_TO + 1)  # how far apart named rows are
_IN_LINES_UP_TO = 20  # sets, whose names may have two lines
_LEAST_ROW = 0.03  # inches
_WIDE = 3.3  # inches: a figure in which everything can be fitted


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
        names: The names of the rows that have one; None without.
        every: 2 if every second row has a name, and so on.
        sizes: The width of the bars of the sizes with their numbers; 0 without them.
        left: Where the columns begin.
        column: The width of a column.
        row: The height of a row.
        bars: Where the bars begin, below the title, and their height with their numbers.
        beside: What the bars are, in lines that are read from below, and how far above the rows they begin.
        counts: The size of the numbers on the bars, and whether they are read from below; None without numbers.
        title: In lines.
        footer: What stands below, in lines.
        height: What all of it needs.
        fit: Whether there is room for it.
        lacks: What has no room, and what would do; empty if all has.
    """

    shown: Regions
    names: Names | None
    every: int
    sizes: float
    left: float
    column: float
    row: float
    bars: tuple[float, float]
    beside: tuple[str, float]
    counts: tuple[float, bool] | None
    title: str
    footer: str
    height: float
    fit: bool
    lacks: str = ""


def usual_width(wish: Wish) -> float:
    """The width in inches that suits what is shown."""
    shown = selected(wish.overlap, wish.most or _USUAL, wish.min_sets)
    drawn = [literal(with_arrows(label)) for label in shown.labels if len(shown.labels) <= NAMED_UP_TO]
    names = widest(drawn, points_of("font.size"))
    return float(np.clip(1.5 + names + _COLUMN * len(shown.counts), *_WIDTHS))


def planned(wish: Wish, width: float, height: float | None = None) -> Plan:
    """As much as fits into a width, and into a height if there is one; else the height follows.

    Where all has no room there are fewer combinations, then no bars of sizes, then names of every second, third, ...
    row only, then none.
    """
    wanted = wish.most or _USUAL
    plan = next((plan for plan in _plans(wish, width, height) if plan.fit), None)
    if plan is None:
        return _without_text(wish, width, height)
    own = len(plan.shown.counts) - plan.shown.rest
    if wish.most is not None and own < wanted and plan.shown.rest:
        columns = len(selected(wish.overlap, wanted, wish.min_sets).counts)
        enough = (plan.left + PAD + _least_column() * columns) * 1.02
        return replace(
            plan, lacks=f"{own} of {wanted} combinations have room; a width of {enough:.1f} inches would do"
        )
    return plan


def _plans(wish: Wish, width: float, height: float | None) -> Iterator[Plan]:
    """All that may be tried, the best first."""
    for every, with_sizes in [(1, True), *((every, False) for every in _EVERY)]:
        shown = selected(wish.overlap, wish.most or _USUAL, wish.min_sets)
        plan = _plan_of(shown, wish.title, width, height, every=every, with_sizes=with_sizes)
        most = len(shown.counts) - shown.rest
        while plan.column < _least_column() and most > 1:
            most = max(min(most - 1, int((width - PAD - plan.left) / _least_column()) - 1), 1)
            shown = selected(wish.overlap, most, wish.min_sets)
            plan = _plan_of(shown, wish.title, width, height, every=every, with_sizes=with_sizes)
        yield plan
        few = max(_FEW, most // 2) if wish.most is None and height is not None else most
        for fewer in range(most - 1, few - 1, -1):
            rows, shown = len(shown.labels), selected(wish.overlap, fewer, wish.min_sets)
            if len(shown.labels) < rows:
                yield _plan_of(shown, wish.title, width, height, every=every, with_sizes=with_sizes)
        if every > len(shown.labels):
            break


def _without_text(wish: Wish, width: float, height: float | None) -> Plan:
    """Bars and dots alone, for a figure that is too small for all else."""
    shown = selected(wish.overlap, min(wish.most or _FEW, _FEW), wish.min_sets)
    plan = _plan_of(shown, wish.title, width, height, every=_EVERY[-1], with_sizes=False)
    top, room = plan.bars[0], (plan.height if height is None else height) - plan.bars[0] - PAD
    enough = max(width, _WIDE)
    lacks = f"{width:.2g}{'' if height is None else f' x {height:.2g}'} inches have no room for names and numbers"
    if enough > width or height is not None:
        lacks += f"; {enough:.2g} x {planned(wish, enough).height:.2g} inches have"
    return replace(
        plan,
        names=None,
        left=PAD,
        column=(width - 2 * PAD) / len(shown.counts),
        row=0.5 * room / len(shown.labels),
        bars=(top, 0.5 * room),
        beside=("", 0.0),
        counts=None,
        footer="",
        lacks=lacks,
    )


def _least_column() -> float:
    """The width of a column whose number is read from below."""
    return 1.15 * measured("0", max(0.75 * points_of("font.size"), LEAST_POINTS))[1]


def _plan_of(
    shown: Regions, heading: str, width: float, height: float | None, *, every: int, with_sizes: bool
) -> Plan:
    """A plan for these combinations, whether or not there is room for it; more rows than `every` have no names."""
    body, small, n = points_of("font.size"), small_points(), len(shown.labels)
    title = in_lines(heading, width - 2 * PAD, points_of("axes.titlesize"), anywhere=True)
    top = PAD + (measured(title, points_of("axes.titlesize"))[1] + 2 * PAD if title else 0.0)
    with_sizes = with_sizes and len(set(shown.sizes)) > 1
    sizes = max(0.12 * width, 0.25) + measured(f"{max(shown.sizes):,}", small)[0] + PAD if with_sizes else 0.0
    headings = measured(shown.sizes_heading, small)[1] + PAD if with_sizes else 0.0
    said = _said(shown, every, with_sizes=with_sizes)

    def room(footer: str) -> float:
        return np.inf if height is None else height - top - headings - measured(footer, small)[1] - 3 * PAD

    footer = _footer((), said, width, small)
    row = _row(room(footer), n)
    names, lines = None, 2 if every == 1 and n <= _IN_LINES_UP_TO else 1
    if n <= NAMED_UP_TO and every <= n:
        names = named(shown.labels[::every], 0.42 * width, body, lines=lines, height=0.95 * every * row)
        if names.key and every > 1:
            names = replace(names, key=(), fit=False)
        if names.key:
            footer = _footer(names.key, said, width, small)
            row = _row(room(footer), n)
            points = largest(names.texts, np.inf, 0.95 * every * row, names.points)
            names = replace(names, points=max(points, LEAST_POINTS), fit=names.fit and points >= LEAST_POINTS)
    highest = max((measured(text, names.points)[1] for text in names.texts), default=0.0) if names else 0.0
    row = min(row, max(1.1 * highest / every, 0.16 if names and every == 1 else 0.06))
    bars = float(np.clip(0.4 * width, 1.1, 2.1)) if height is None else max(room(footer) - n * row, 0.0)
    over = max(highest - row, 0.0) / 2  # of the first name over its row
    headings_of_bars = [in_lines(text.format(shown.unit), bars - over, small) for text in _HEADINGS]
    beside = next((text for text in headings_of_bars if measured(text, small)[0] <= bars - over), "")
    left = max(sizes + (PAD + widest(names.texts, names.points) if names else 0.0), measured(beside, small)[1])
    left += 2 * PAD
    column = (width - PAD - left) / len(shown.counts)
    counts = _size_of_counts(shown, column, body)
    longest = max(measured(f"{count:,}", counts[0])[not counts[1]] for count in shown.counts)
    fit = (names is None or names.fit) and column >= _least_column() and bars >= longest + PAD + _LEAST_BARS
    return Plan(
        shown,
        names,
        every,
        sizes,
        left,
        column,
        row,
        (top, bars),
        (beside, over),
        counts,
        title,
        footer,
        height=top + bars + n * row + headings + measured(footer, small)[1] + 3 * PAD,
        fit=fit and row >= _LEAST_ROW and bool(beside),
    )


def _said(shown: Regions, every: int, *, with_sizes: bool) -> list[str]:
    """What is said below in any case."""
    n, low, high = len(shown.labels), min(shown.sizes), max(shown.sizes)
    said = list(shown.footnotes)
    if not with_sizes:
        sizes = counted(low, shown.unit) if low == high else f"{low:,} to {high:,} {shown.unit}s"
        said.insert(0, f"{sizes} per set")
    if every > 1 and n <= NAMED_UP_TO:
        said.append(f"one set in {every} is named" if every <= n else f"the {n} sets have no room for their names")
    return said


def _row(room: float, n: int) -> float:
    """The largest height of `n` rows that leaves the bars enough."""
    return max(room - min(max(0.35 * room, _EASY_BARS[0]), _EASY_BARS[1]), 0.0) / n


def _footer(key: Sequence[str], said: Sequence[str], width: float, points: float) -> str:
    lines = [*[in_rows(key, width - 2 * PAD, points)] * bool(key), "; ".join(said)]
    return "\n".join(in_lines(line, width - 2 * PAD, points, anywhere=True) for line in lines if line)


def _size_of_counts(shown: Regions, column: float, body: float) -> tuple[float, bool]:
    """The largest size of the numbers on the bars up to that of other text, upright only if they are too wide."""
    sizes = [*np.arange(body, LEAST_POINTS, -0.5).tolist(), LEAST_POINTS]
    longest = max((f"{count:,}" for count in shown.counts), key=len)
    for points in sizes:
        if points >= 0.75 * body and measured(longest, points)[0] <= 0.9 * column:
            return points, False
    return next((points for points in sizes if measured(longest, points)[1] <= 0.95 * column), LEAST_POINTS), True
