"""What a figure of layers shows: numbers by column and row, and the room that each has."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.figures.drawing.names import LEAST_POINTS, Names, in_lines, measured, named, points_of, widest
from gradiend_mlflow.figures.drawing.page import PAD, small_points
from gradiend_mlflow.overlap.grouping import SHARED_BY_ALL, SHARED_BY_TWO
from gradiend_mlflow.overlap.layout.divided import divided
from gradiend_mlflow.overlap.layout.ranked import per_weight
from gradiend_mlflow.overlap.layout.signs import shared_sign_agreement
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.sets.anatomy.naming import Grouping, group_namer, in_model_order
from gradiend_mlflow.sets.picture import SHARE_TITLE
from gradiend_mlflow.sets.space import Matrix
from gradiend_mlflow.wording import counted

BAR = 0.1  # inches: the width of the color bar
_NAMED_UP_TO, _NUMBERED_UP_TO = 60, 25  # runs
_SAME_SIGN = "of these, same sign"
_MAPS: tuple[Grouping, ...] = ("layer", "component")
_WIDTHS, _WIDEST = (4.0, 10.0), 0.6  # inches: of a figure whose size is left to us; of a column
_GAP = 0.35  # columns between runs and what they share
_LEAST_ROW = 0.09  # inches: of a row whose name has 5 points
_LOWEST, _HIGHEST = 0.3, 1.7  # inches: of the names below the columns


@dataclass(frozen=True, eq=False)
class Content:
    """What is drawn.

    Attributes:
        labels: The runs, N of them.
        extra: What stands beside them: kinds of shared weights, each followed by its signs if they are known.
        signs: Which of the N + E columns are signs.
        maps: By layer and by component, in percent: a row each in the model's order, and N + E columns.
        title: Above all.
        unit: What is counted: "weight" or "neuron".
    """

    labels: tuple[str, ...]
    extra: tuple[str, ...]
    signs: tuple[bool, ...]
    maps: tuple[pd.DataFrame, ...]
    title: str
    unit: str

    @classmethod
    def of(cls, overlap: Overlap, title: str) -> Content:
        """What is drawn of an overlap of sets of which at least one has a weight."""
        n, agreement = len(overlap.labels), shared_sign_agreement(overlap.ranked)
        presence = overlap.ranked.presence[overlap.ranked.presence > 1]
        # Two runs share in one way, one run in none.
        kinds = {SHARED_BY_TWO: presence > 1} if n > 2 else {}  # noqa: PLR2004
        kinds |= {SHARED_BY_ALL: presence == n} if n > 1 else {}
        signed = {kind: held.any() and not np.isnan(agreement[held]).any() for kind, held in kinds.items()}
        extra = {kind: [f"{kind}: {counted(int(held.sum()), overlap.unit)}"] for kind, held in kinds.items()}
        drawn = {kind: [*said, *[_SAME_SIGN] * bool(signed[kind])] for kind, said in extra.items()}
        return cls(
            overlap.labels,
            tuple(text for texts in drawn.values() for text in texts),
            (False,) * n + tuple(text == _SAME_SIGN for texts in drawn.values() for text in texts),
            tuple(_numbers(overlap, by, {kind: len(drawn[kind]) for kind in kinds}, agreement) for by in _MAPS),
            title,
            overlap.unit,
        )

    @property
    def edges(self) -> npt.NDArray[np.float64]:
        """Where columns begin and end, in columns of a run, of which 200 leave the others visible; shape (N+E, 2)."""
        edges = [(float(index), index + 1.0) for index in range(len(self.labels))]
        for sign in self.signs[len(self.labels) :]:
            start = edges[-1][1] + (0 if sign else _GAP * self.wide)
            edges.append((start, start + self.wide))
        return np.array(edges)

    @property
    def wide(self) -> float:
        """The width of the columns beside those of the runs, in columns of a run."""
        return max(1.0, 0.1 * len(self.labels))

    @property
    def longest(self) -> str:
        """A number that is as long as any in the cells."""
        return f"{max(float(np.nanmax(frame.to_numpy())) for frame in self.maps):.0f}"

    @property
    def rows(self) -> tuple[str, ...]:
        """The names of all rows."""
        return tuple(str(name) for frame in self.maps for name in frame.index)


def _numbers(overlap: Overlap, grouping: Grouping, drawn: dict[str, int], agreement: Matrix) -> pd.DataFrame:
    """The runs' shares, then those of each kind of shared weights and, if two columns are drawn, their signs."""
    name_of = group_namer(grouping, overlap.space.names)
    names = [name_of(param) for param in overlap.space.names]
    groups = {name: place for place, name in enumerate(dict.fromkeys(names))}
    # One per weight of any set, looked up by each set: the narrower, the faster.
    group_of_param = np.array([groups[name] for name in names], dtype=np.min_scalar_type(len(groups)))
    group_of = per_weight(group_of_param, overlap.keys, overlap.space)
    parts = divided(overlap.ranked, group_of, len(groups), agreement)
    columns = [pd.DataFrame(parts.own, index=list(groups), columns=list(overlap.labels))]
    for kind, number in drawn.items():
        at = (SHARED_BY_TWO, SHARED_BY_ALL).index(kind)
        both = np.stack([parts.shared[:, at], parts.same_sign[:, at]], axis=1)
        columns.append(pd.DataFrame(both[:, :number], index=list(groups), columns=[kind] * number))
    held = [name for name, own in zip(groups, parts.own, strict=True) if (own > 0).any()]
    return 100 * pd.concat(columns, axis=1).loc[in_model_order(held)]


@dataclass(frozen=True, eq=False)
class Plan:
    """Where everything is, in inches, and how large text is, in points.

    Attributes:
        names: The names of the runs that have one; None without.
        every: 2 if every second run has one, and so on.
        extra: The names of what stands beside the runs.
        row_names: What is written for each name of a row; its size.
        every_row: As `every`.
        left: Where the columns begin.
        column: The width of a run's column.
        top: Where the first map begins.
        row: The height of a row.
        heading: The height of the heading of a map; 0 without.
        below: The height of the columns' names.
        bar: The width of the color bar with its numbers; 0 without.
        numbers: The size of the numbers in the cells; None without.
        title: In lines.
        footer: In lines.
        height: What all of it needs.
    """

    names: Names | None
    every: int
    extra: Names
    row_names: dict[str, str]
    row_points: float
    every_row: int
    left: float
    column: float
    top: float
    row: float
    heading: float
    below: float
    bar: float
    numbers: float | None
    title: str
    footer: str
    height: float

    def rows_of(self, frame: pd.DataFrame) -> list[str]:
        """The names of the rows of a map that have one."""
        return [self.row_names[str(name)] for name in frame.index][:: self.every_row]


def usual_width(content: Content) -> float:
    """The width in inches that suits what is shown."""
    column = min(0.42, 6.5 / len(content.labels))
    return float(np.clip(widest(content.rows, points_of("font.size")) + 0.8 + column * content.edges[-1, 1], *_WIDTHS))


def planned(content: Content, width: float, height: float | None = None) -> Plan:
    """Numbers in the cells, if they have room; else a color bar beside them."""
    plan = _plan_of(content, width, height, bar=0.0)
    if plan.numbers is None:
        plan = replace(_plan_of(content, width, height, bar=_bar_width()), numbers=None)
    return plan


def _bar_width() -> float:
    return 4 * PAD + BAR + measured("100", small_points())[0] + measured(SHARE_TITLE, small_points())[1]


def _plan_of(content: Content, width: float, height: float | None, *, bar: float) -> Plan:
    body, small, n, total = points_of("font.size"), small_points(), len(content.labels), len(content.rows)
    title = in_lines(content.title, width - 2 * PAD, points_of("axes.titlesize"), anywhere=True)
    top = PAD + (measured(title, points_of("axes.titlesize"))[1] + PAD if title else 0.0)
    rows = named(content.rows, 0.3 * width, body, ways=("whole", "shortened"))
    left = widest(rows.texts, rows.points) + 2 * PAD
    column = min((width - left - bar - PAD) / content.edges[-1, 1], _WIDEST)
    each = 1.03 * measured("0", LEAST_POINTS)[1] + 0.005  # `named` rounds down what a name has
    every = max(int(np.ceil(each / column)), 1) if n <= _NAMED_UP_TO else n

    def footer_of(names: Names | None, extra: Names | None = None, every_row: int = 1) -> str:
        said = [f"{n} runs" if names is None else f"one run in {every} is named"] * (every > 1)
        said += [f"one row in {every_row} is named"] * (every_row > 1)
        said += [f"in percent of each column's {content.unit}s"] * (not bar)
        keys = [line for named_so in (names, extra) if named_so for line in named_so.key]
        lines = [*keys, *(["; ".join(said)] if said else [])]
        return "\n".join(in_lines(line, width - 2 * PAD, small, anywhere=True) for line in lines)

    def room(footer: str) -> float:
        return np.inf if height is None else height - top - 3 * PAD - (measured(footer, small)[1] if footer else 0)

    most = min(max(room(footer_of(None)) - total * _LEAST_ROW, _LOWEST), _HIGHEST)
    names = (
        None if n > _NAMED_UP_TO else named(content.labels[::every], most, body, lines=2, height=0.98 * every * column)
    )
    extra = _extra_names(content.extra, most, names.points if names else small, 0.98 * content.wide * column)
    below = max(widest(names.texts, names.points) if names else 0.0, widest(extra.texts, extra.points)) + PAD
    line, easy, every_row = measured("by", small)[1] + PAD / 2, max(1.2 * measured("0", rows.points)[1], 0.17), 1
    for _ in range(2):  # to say that not all rows are named takes room
        footer = footer_of(names, extra, every_row)
        rest = room(footer) - below - 2 * PAD
        heading = line * (rest - 2 * line >= total * _LEAST_ROW)
        row = easy if height is None else min(max((rest - 2 * heading) / total, 0.01), 2.5 * easy)
        points, every_row = _fitting(rows.points, row)
    return Plan(
        names,
        every,
        extra,
        dict(zip(content.rows, rows.texts, strict=True)),
        points,
        every_row,
        left,
        column,
        top,
        row,
        heading,
        below,
        bar,
        _size_of_numbers(content.longest, column, row, small) if n <= _NUMBERED_UP_TO else None,
        title,
        footer,
        top + total * row + 2 * heading + below + 5 * PAD + (measured(footer, small)[1] if footer else 0.0),
    )


def _extra_names(texts: tuple[str, ...], length: float, preferred: float, width: float) -> Names:
    """The names of the columns beside the runs; without numbers of weights if these have no room."""
    names = named(texts, length, preferred, lines=2, height=width, ways=("whole", "wrapped"))
    if names.way != "numbered":
        return names
    short = [text.partition(":")[0].replace("of these, ", "") for text in texts]
    return named(short, max(length, _HIGHEST), preferred, height=width, ways=("whole",))


def _fitting(preferred: float, row: float) -> tuple[float, int]:
    """The largest size of the names of rows, and how far apart those are that have a name."""
    for points in (*np.arange(preferred, LEAST_POINTS, -0.5).tolist(), LEAST_POINTS):
        if measured("0", points)[1] <= 0.93 * row:
            return points, 1
    return LEAST_POINTS, int(np.ceil(measured("0", LEAST_POINTS)[1] / (0.93 * row)))


def _size_of_numbers(longest: str, column: float, row: float, preferred: float) -> float | None:
    sizes = (*np.arange(preferred, LEAST_POINTS, -0.5).tolist(), LEAST_POINTS)
    fitting = (
        points
        for points in sizes
        for wide, high in [measured(longest, points)]
        if wide <= 0.95 * column and high <= row
    )
    return next(fitting, None)
