"""What a heatmap consists of, and where it goes: inches from the cells' edges, and font sizes in points."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.drawing.cells import is_number
from gradiend_mlflow.figures.drawing.names import LEAST_POINTS, Names, measured, points_of

GAP = 0.07  # inches between two things
PAD = 0.03  # inches between a thing and its name
BAR = 0.12  # inches: the width of a bar of colors
TREE = 0.45  # inches: the height of a dendrogram
_ON_SCREEN = 0.05  # inches
SMALLEST = 0.3  # inches: all the cells together
LABELLED_UP_TO, _ALL_NAMED_UP_TO = 60, 12  # runs


@dataclass(frozen=True)
class Fonts:
    """Preferred sizes in points; names of `fixed` ones were asked for and stay."""

    rows: float
    columns: float
    numbers: float
    groups: float
    title: float
    bar: float
    ticks: float
    notes: float
    fixed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, **given: float | None) -> Fonts:
        """The sizes of matplotlib's settings, and those that were asked for: annot, tick, axis, group and cbar.

        Raises:
            InvalidInputError: If one of them is no size.
        """
        for name, size in given.items():
            if size is not None and not (is_number(size) and size > 0):
                raise InvalidInputError(f"the font size of {name!r} must be a number greater than 0; got {size!r}")
        parts = {"annot": ("numbers",), "tick": ("rows", "columns"), "axis": ("notes",), "group": ("groups",),
                 "cbar": ("bar", "ticks")}  # fmt: skip
        return cls(
            rows=points_of("ytick.labelsize", given["tick"]),
            columns=points_of("xtick.labelsize", given["tick"]),
            numbers=points_of("xtick.labelsize", given["annot"]),
            groups=points_of("axes.labelsize", given["group"]),
            title=points_of("axes.titlesize"),
            bar=points_of("axes.labelsize", given["cbar"]),
            ticks=points_of("ytick.labelsize", given["cbar"]),
            notes=points_of("xtick.labelsize", given["axis"]),
            fixed=frozenset(part for name, size in given.items() if size is not None for part in parts[name]),
        )

    def least(self, name: str) -> float:
        """The smallest size that one of them may have."""
        return float(getattr(self, name)) if name in self.fixed else LEAST_POINTS

    def scaled(self, scale: float) -> Fonts:
        """With smaller sizes of all but names and numbers, which fit themselves."""
        free = {"groups", "title", "bar", "ticks", "notes"} - self.fixed
        return replace(self, **{name: max(scale * getattr(self, name), LEAST_POINTS) for name in free})


@dataclass(frozen=True, eq=False)
class Content:
    """What is to be drawn.

    Attributes:
        rows: The runs' names from the top.
        columns: Their names from the left.
        marks: What stands behind each name.
        numbers: What is written into cells, as far as it differs; empty for nothing.
        groups: The number of runs of each group, in this order.
        tree: Whether there is a dendrogram above.
        side: What is written into the side bar, if there is one; empty strings for nothing.
        side_title: What the side bar shows.
        side_range: What its first and last color mean, which is said where its numbers have no room.
        title: The title; may be empty.
        bar_title: What the colors show.
        ticks: The values along a bar of colors that is so many heights of their labels long, as texts.
        notes: What is said below.
        group_angle: How far the groups' names above are turned; None for level or upright, as they fit.
        beside_angle: The same of those on the right.
        bar_gap: The space left of the bar of colors, of the cells' width; None for what is usual.
        bar_length: Of the cells' height.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    marks: tuple[str, ...]
    numbers: tuple[str, ...]
    groups: Mapping[str, int] | None
    tree: bool
    side: tuple[str, ...] | None
    side_title: str
    side_range: str
    title: str
    bar_title: str
    ticks: Callable[[float], Sequence[str]]
    notes: tuple[str, ...]
    group_angle: float | None = None
    beside_angle: float = 0.0
    bar_gap: float | None = None
    bar_length: float = 1.0


@dataclass(frozen=True)
class Plan:
    """Where everything goes; inches from the cells' edges.

    Attributes:
        cell: The width of a cell.
        cells: That of all of them.
        left, right, top, bottom: What stands around the cells.
        rows, columns: The runs' names; None if there are too many.
        every: Each how manyth run is named.
        angle: How far the columns' names are turned.
        numbers: The font size of the numbers in the cells, or None.
        side: The font size of the side bar's numbers, or None for colors alone.
        side_width: Its width.
        side_title: What it shows.
        brackets_at: Where the groups' brackets stand on the right.
        above, beside: The groups' names above and on the right, or None.
        above_angle: How far those above are turned.
        bar_at: Where the bar of colors stands on the right.
        bar_title: What it shows.
        fonts: The sizes of everything else.
        title_at: Where the title begins above.
        title: Its lines.
        below: What is said below, in lines.
        below_at: Where that begins.
        fit: Whether there is a size of the cells at which all of this has room.
    """

    cell: float
    cells: float
    left: float
    right: float
    top: float
    bottom: float
    rows: Names | None
    columns: Names | None
    every: int
    angle: float
    numbers: float | None
    side: float | None
    side_width: float
    side_title: Names | None
    brackets_at: float
    above: Names | None
    above_angle: float
    beside: Names | None
    bar_at: float
    bar_title: Names
    fonts: Fonts
    title_at: float
    title: str
    below: str
    below_at: float
    fit: bool = True

    @property
    def height(self) -> float:
        """What all of it takes, if the rows are all the runs."""
        return self.top + self.cells + self.bottom


def height_below(columns: Names | None, angle: float) -> float:
    """The height of the columns' names, turned by an angle."""
    if columns is None:
        return 0.0
    sizes = [measured(text, columns.points) for text in columns.texts]
    turn = math.radians(angle if columns.way != "numbered" else 0.0)
    # On a screen each letter's advance is rounded to dots, which makes long names in small type longer than measured.
    longer = _ON_SCREEN * math.sin(turn)
    return longer + max(math.sin(turn) * wide + math.cos(turn) * high for wide, high in sizes)


def note_of(every: int, n: int) -> list[str]:
    """What is said if not every run is named."""
    if every == 1 or n > LABELLED_UP_TO:
        return []
    ending = {2: "nd", 3: "rd"}.get(every, "th")
    return [f"every {every}{ending} of {n} runs is named"]


def key_of(names: Names | None) -> list[str]:
    """What numbers mean: a line each, or a few long ones for many."""
    key = list(names.key) if names else []
    return key if len(key) <= _ALL_NAMED_UP_TO else ["; ".join(key)]


def is_good(plan: Plan, content: Content, fonts: Fonts) -> bool:
    """Whether nothing is gained by smaller fonts of what stands around."""
    if plan.rows is None or plan.columns is None:
        return plan.fit and plan.cells > SMALLEST
    readable = (
        plan.rows.fit and plan.rows.way in ("whole", "wrapped") and plan.rows.points >= min(0.7 * fonts.rows, 7.0)
    )
    return plan.fit and readable and plan.every == 1 and (plan.numbers is not None or not content.numbers)


def quality_of(plan: Plan, content: Content, fonts: Fonts, width: float) -> float:
    """How well names and numbers can be read; more is better."""
    if plan.rows is None or plan.columns is None:
        return plan.cell + 20 * plan.fit
    rows = plan.rows.quality(content.rows, fonts.rows)
    columns = 0.6 if plan.columns.way == "numbered" else plan.columns.quality(content.columns, fonts.columns)
    columns *= 0.95 if plan.angle == 90 else 1.0  # noqa: PLR2004
    numbers = math.sqrt(plan.numbers / fonts.numbers) if plan.numbers else 0.0
    cells = len(content.rows) * plan.cell / width
    fits = plan.rows.fit + plan.columns.fit + plan.bar_title.fit + (plan.above is None or plan.above.fit)
    return (
        3 * rows
        + columns
        + (1.5 * numbers if content.numbers else 0.0)
        + cells
        + 5 * fits
        + 20 * plan.fit
        - 2 * plan.every
    )


def missing_of(plan: Plan, content: Content, *, numbers: bool) -> list[str]:
    """What a plan has no room for, in words; numbers in the cells only if they were asked for."""
    n = len(content.rows)
    said = {
        "the names of the runs": plan.rows and plan.columns and not (plan.rows.fit and plan.columns.fit),
        "the names of all runs": plan.every > 1 and n <= _ALL_NAMED_UP_TO,
        "the numbers in the cells": content.numbers and numbers and plan.numbers is None,
        "the names of the groups": plan.above and not plan.above.fit,
        "the meaning of the colors": not plan.bar_title.fit,
        "the cells": not plan.fit or plan.cells < SMALLEST,
    }
    return [what for what, lacks in said.items() if lacks]
