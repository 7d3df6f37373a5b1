"""How a heatmap gets into its room: what stands around the cells is measured, and several ways are tried.

The names of the runs get as much of the width as serves names and numbers best. Cells are square.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradiend_mlflow.figures.drawing.layout import warn_of_space
from gradiend_mlflow.figures.drawing.names import LEAST_POINTS, Names, in_lines, largest, measured, named, widest
from gradiend_mlflow.figures.drawing.plan import (
    BAR,
    GAP,
    LABELLED_UP_TO,
    PAD,
    SMALLEST,
    TREE,
    Content,
    Fonts,
    Plan,
    height_below,
    is_good,
    key_of,
    missing_of,
    note_of,
    quality_of,
)

_PASSES, _LEAST_CELL = 8, 0.01
_LARGEST_CELL = 0.085  # inches per point of its number, in a figure whose height is free
_ROOM_IN_CELL = 0.95  # of its width, for a number
_NUMBER_IN_PITCH = 0.72  # of a column's width, so that 12 and 13 are not 1213
_SHARES = (0.5, 0.42, 0.36, 0.31, 0.27, 0.23, 0.19, 0.15)  # of the width, for the names of the rows
_HIGHEST = 0.42  # of the width or height: the names of the columns
_SCALES = (1.0, 0.8, 0.65, 0.5, 0.3)  # of the fonts of what explains the cells, if there is too little space
_GAIN = 0.02  # of the quality: less is not worth smaller fonts
_SPARE = 0.01  # inches
_EASY_UP_TO = 25  # runs
_USUAL_NAMES = 2.6  # inches, of a figure of its own
_LETTERS_ABOVE = 1.3  # inches: upright names of groups
_SLANTED, _UPRIGHT, _NUMBERED = 45.0, 90.0, 0.0  # degrees: the names of the columns
_SLANT = math.sqrt(0.5)


def planned(content: Content, fonts: Fonts, width: float, height: float = math.inf, most: float | None = None) -> Plan:
    """The plan that serves names and numbers best in this room.

    Args:
        content: What is to be drawn.
        fonts: The sizes to begin with.
        width: The room's, in inches.
        height: The room's; infinite for what is needed.
        most: The most that the cells may take together; default what is usual, or all that is left.
    """
    if most is None:
        most = _LARGEST_CELL * fonts.numbers * len(content.rows) if height == math.inf else math.inf
    best, reached = None, -math.inf
    for scale in _SCALES:
        before = reached
        for beside in (True, False) if content.groups else (False,):
            for plan in _plans(content, fonts.scaled(scale), (width, height, most), beside=beside):
                if (quality := quality_of(plan, content, fonts, width)) > reached:
                    best, reached = plan, quality
            if best is not None and is_good(best, content, fonts):
                return best
        if best is not None and best.fit and reached < before + _GAIN:
            break
    assert best is not None  # noqa: S101  # even the narrowest room has plans
    return best


def _plans(content: Content, fonts: Fonts, room: tuple[float, float, float], *, beside: bool) -> Iterator[Plan]:
    width, height, most = room

    def fitted(left: float, angle: float) -> Plan:
        return _Trial(content, fonts, width, height, left, angle, beside).fitted(most)

    if len(content.rows) > LABELLED_UP_TO:
        yield fitted(2 * PAD + _line(fonts.notes), _UPRIGHT)
        return
    whole = PAD + _widest_row(content, fonts)
    shares = [share * width for share in _SHARES]
    for left in [min(whole, shares[0]), *(share for share in shares[1:] if share < whole)]:
        slanted = fitted(left, _SLANTED)
        yield slanted
        easy = slanted.fit and slanted.columns is not None and slanted.columns.way == "whole"
        if not easy:
            yield fitted(left, _UPRIGHT)
        if not easy or slanted.numbers is None:
            yield fitted(left, _NUMBERED)


@dataclass(frozen=True, eq=False)
class _Trial:
    """One way to use the room.

    Attributes:
        content: What is to be drawn.
        fonts: The sizes to begin with.
        width, height: The room; a height may be infinite.
        left: What the names of the rows may take.
        angle: How far the columns' names are turned; level ones are numbers.
        beside: Whether the groups' names stand on the right too.
    """

    content: Content
    fonts: Fonts
    width: float
    height: float
    left: float
    angle: float
    beside: bool

    def fitted(self, most: float) -> Plan:
        """The plan with the largest cells, up to `most` inches together, for which all has room."""
        n = len(self.content.rows)
        least = min(_LEAST_CELL, SMALLEST / n)  # very many cells are an image, and as large as fewer
        cell, shrunk = max((min(self.width - self.left, self.height) - 0.6) / n, least), False
        for _ in range(_PASSES):  # what stands around the cells depends on their size
            plan = self.plan(cell)
            free = min(self.width - plan.left - plan.right, self.height - plan.top - plan.bottom)
            wanted = min(free, most) / n
            if wanted >= cell and (shrunk or wanted < 1.02 * cell):
                return plan
            if free < SMALLEST:
                break
            shrunk = shrunk or wanted < cell
            cell = max(min(wanted, cell) if shrunk else wanted, least)
        return replace(plan, fit=False)

    def plan(self, cell: float) -> Plan:
        """Where everything goes around cells of a width."""
        content, fonts = self.content, self.fonts
        cells = len(content.rows) * cell
        rows, columns, every = self._run_names(cell)
        side, side_width, side_title = self._side_bar(cell)
        brackets_at = GAP + (GAP + side_width if side_title else 0.0)
        above, above_angle, high = self._groups_above(cell) if content.groups else (None, 0.0, 0.0)
        beside, wide = self._groups_beside(cell) if self.beside else (None, 0.0)
        at = brackets_at + PAD + wide if beside else brackets_at - GAP
        bar_at = at + (1.5 * GAP if content.bar_gap is None else content.bar_gap * cells)
        length = max(content.bar_length * cells, 0.1)
        bar_title = named([content.bar_title], length, fonts.bar, lines=3, ways=("whole", "wrapped", "shortened"))
        right = bar_at + BAR + 0.05 + widest(content.ticks(length / _line(fonts.ticks)), fonts.ticks) + PAD
        end = _line(fonts.ticks) / 2  # of the bar's last label, beyond the bar
        title = in_lines(content.title, self.width, fonts.title, anywhere=True)
        title_at = max(GAP + PAD + high if content.groups else PAD + TREE if content.tree else 0.0, end)
        under = max(PAD + height_below(columns, self.angle), end)
        if side_title is not None:
            under = max(under, PAD + widest(side_title.texts, side_title.points))
        notes = [*content.notes, *note_of(every, len(content.rows)), *key_of(rows), *key_of(above)]
        most = min(self.left + cells + right, self.width)
        below = "\n".join(in_lines(line, most, fonts.notes, anywhere=True) for line in notes)
        return Plan(
            cell=cell,
            cells=cells,
            left=self.left,
            right=right + measured(bar_title.texts[0], bar_title.points)[1],
            top=title_at + (PAD + measured(title, fonts.title)[1] if title else 0.0),
            bottom=under + (PAD + measured(below, fonts.notes)[1] if below else 0.0),
            rows=rows,
            columns=columns,
            every=every,
            angle=self.angle,
            numbers=self._numbers(content.numbers, cell, _ROOM_IN_CELL * cell),
            side=side,
            side_width=side_width,
            side_title=side_title,
            brackets_at=brackets_at,
            above=above,
            above_angle=above_angle,
            beside=beside,
            bar_at=bar_at,
            bar_title=bar_title,
            fonts=fonts,
            title_at=title_at + PAD,
            title=title,
            below=below,
            below_at=under + PAD,
        )

    def _run_names(self, cell: float) -> tuple[Names | None, Names | None, int]:
        """The names of rows and columns, and each how manyth run has one."""
        content, fonts, n = self.content, self.fonts, len(self.content.rows)
        if n > LABELLED_UP_TO:
            return None, None, 1
        every = max(math.ceil(_line(min(LEAST_POINTS, fonts.rows)) / cell - 1e-6), 1)
        pitch, numbers = every * cell, [str(number + 1) for number in range(n)]
        rows = content.rows
        if self.angle == _NUMBERED:
            rows = tuple(map("  ".join, zip(numbers, content.rows, strict=True)))
        marked: dict[str, Any] = {"marks": content.marks, "least": fonts.least("rows")}
        names = named(rows, self.left - PAD, fonts.rows, lines=3, height=pitch, **marked)
        if names.way == "numbered":  # then the columns are too, and the key is below
            names = replace(names, key=named(content.rows, 0.0, names.points, **marked).key)
        if names.way == "numbered" or self.angle == _NUMBERED:
            most = min(fonts.columns, names.points)
            least = min(largest(numbers, pitch, pitch, most), LEAST_POINTS)
            points = max(largest(numbers, _NUMBER_IN_PITCH * pitch, pitch, most), least)
            short = Names(tuple(numbers), max(points, LEAST_POINTS), "numbered", fit=points >= LEAST_POINTS)
            return names, short, every
        longest, lines = _HIGHEST * min(self.width, self.height), 3
        if self.angle == _SLANTED:
            longest = max(min(longest, self.left + cell / 2) / _SLANT - _line(fonts.columns), 0.0)
            pitch, lines = pitch * _SLANT, 1
        most = fonts.columns if "columns" in fonts.fixed else min(fonts.columns, names.points)
        return names, named(content.columns, longest, most, lines=lines, height=pitch, **marked), every

    def _side_bar(self, cell: float) -> tuple[float | None, float, Names | None]:
        """The size of the side bar's numbers, its width and its title."""
        content = self.content
        if content.side is None:
            return None, 0.0, None
        # As large as the numbers in the cells, which matter more.
        points = self._numbers([text for text in content.side if text], cell, math.inf)
        inside = self._numbers(content.numbers, cell, _ROOM_IN_CELL * cell)
        if points is not None and content.numbers:
            points = min(points, inside or LEAST_POINTS)
        width = 2 * PAD + widest(content.side, points) if points else BAR
        said = content.side_title if points else f"{content.side_title}, {content.side_range}"
        longest = _HIGHEST * min(self.width, self.height)
        return points, width, named([said], longest, self.fonts.ticks, ways=("whole", "shortened"))

    def _numbers(self, texts: Sequence[str], cell: float, width: float) -> float | None:
        """The font size at which numbers fit into cells, or None if it is too small to read."""
        if "numbers" in self.fonts.fixed and texts:
            return self.fonts.numbers
        points = largest(texts, width, cell, self.fonts.numbers)
        return points if texts and points >= LEAST_POINTS else None

    def _groups_above(self, cell: float) -> tuple[Names, float, float]:
        """The groups' names, their angle and their height: level if each fits over its runs, else upright."""
        groups, preferred, least = self.content.groups or {}, self.fonts.groups, self.fonts.least("groups")
        widths = [0.95 * size * cell for size in groups.values()]
        angle = self.content.group_angle
        if angle is None:
            whole = named(list(groups), math.inf, preferred).texts
            for points in np.arange(preferred, max(0.75 * preferred, least) - 0.01, -0.5).tolist():
                texts = tuple(in_lines(name, width, points) for name, width in zip(whole, widths, strict=True))
                sizes = [measured(text, points) for text in texts]
                fits = all(wide <= width for (wide, _), width in zip(sizes, widths, strict=True))
                if fits and max(text.count("\n") for text in texts) < 3:  # noqa: PLR2004
                    return Names(texts, points, "wrapped"), 0.0, max(high for _, high in sizes)
            angle = 90.0
        names = named(list(groups), _LETTERS_ABOVE, preferred, lines=3, height=min(widths), least=least)
        turn = math.radians(angle)
        sizes = [measured(text, names.points) for text in names.texts]
        return names, angle, max(abs(math.sin(turn)) * wide + abs(math.cos(turn)) * high for wide, high in sizes)

    def _groups_beside(self, cell: float) -> tuple[Names, float]:
        """The groups' names on the right, and their width."""
        groups = self.content.groups or {}
        names = named(list(groups), 0.25 * self.width, self.fonts.groups, lines=2, height=cell * min(groups.values()),
                      least=self.fonts.least("groups"))  # fmt: skip
        turn, wide = math.radians(self.content.beside_angle), widest(names.texts, names.points)
        high = max(measured(text, names.points)[1] for text in names.texts)
        return names, abs(math.cos(turn)) * wide + abs(math.sin(turn)) * high


def _widest_row(content: Content, fonts: Fonts) -> float:
    names = named(content.rows, math.inf, fonts.rows, marks=content.marks)
    return widest(names.texts, fonts.rows) + _SPARE


def _line(points: float) -> float:
    """The height of a line."""
    return measured("Ag", points)[1]


def usual_width(content: Content, fonts: Fonts) -> float:
    """The width in inches of a figure in which all can be read with ease."""
    n = len(content.rows)
    cell = max(2.2 / n, 0.062 * fonts.numbers if n <= _EASY_UP_TO else 0.22) if n <= LABELLED_UP_TO else 6.5 / n
    plan = _Trial(content, fonts, 20.0, 20.0, 0.0, 90.0, beside=bool(content.groups)).plan(cell)
    return (
        (min(_widest_row(content, fonts), _USUAL_NAMES) if n <= LABELLED_UP_TO else 0.3)
        + PAD
        + n * cell
        + plan.right
        + 2 * GAP
    )


def warn_of_missing(plan: Plan, content: Content, fonts: Fonts, room: Sequence[float], *, numbers: bool) -> None:
    """Say in one warning what the plan has no room for, and which width would do."""
    if not (missing := missing_of(plan, content, numbers=numbers)):
        return
    for factor in (1.15, 1.3, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0):
        wider = planned(content, fonts, factor * room[0], factor * room[1])
        if not missing_of(wider, content, numbers=numbers):
            break
    warn_of_space(missing, factor * room[0], room[0])
