"""How early trainings had the top-k set that they ended with, as a line per training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.drawing.canvas import FigureSize, OutputPath, Sheet, colors, shade
from gradiend_mlflow.figures.drawing.layout import cell_size, lay_out, set_title, warn_of_space
from gradiend_mlflow.figures.drawing.names import in_lines, measured, points_of
from gradiend_mlflow.figures.drawing.page import PAD
from gradiend_mlflow.figures.drawing.text import warn_of_missing_letters
from gradiend_mlflow.figures.lines import name_at_ends, name_below
from gradiend_mlflow.figures.plans.line_names import Naming, naming_of
from gradiend_mlflow.figures.plans.lines import Line
from gradiend_mlflow.wording import some_of

_NAMED_UP_TO = 6  # runs
_MARKED_UP_TO = 15  # steps
_YLABEL, _XLABEL = "weights of the final set (%)", "training step"
_SPACES = 0.15  # inches: those between axes, ticks and labels
_SUMMARY = "median and middle half of {:,} trainings"
_ENOUGH = 3.3  # inches: a width in which everything has room


def plot_stability(
    curves: pd.DataFrame | Mapping[str, Mapping[int, float]],
    ax: Axes | None = None,
    *,
    title: str | None = None,
    figsize: FigureSize = None,
    output_path: OutputPath = None,
    show: bool = False,
) -> Axes | FigureBase:
    """Draw by step which share of a training's top-k set was in the set that it ended with.

    Args:
        curves: What `load_stability(runs)` returns, of trainings that were logged with `topk_steps=...`: a frame whose
            index, called "step" if it has a name, has the steps, and a column per training of shares between 0 and 1,
            NaN where it has no set of that step. Or a mapping from label to such shares by step.
        ax: Axes to draw on; default a new figure, which is unknown to pyplot.
        title: A title above the axes.
        figsize: The size of a new figure: "column", "text", width and height in inches, or None.
        output_path: A file or files to save it to: .png, .pdf or .svg.
        show: Whether to open a window.

    Returns:
        The axes, or the new figure. Up to 6 trainings have a line with a name each, at its end or in a legend. Of more
        the median and the middle half are drawn, over a thin line for each. Between the steps of a training its share
        is taken to change evenly.

    Raises:
        InvalidInputError: If `curves` is neither, is empty, or holds something that is no share at a step; or another
            argument is not acceptable.

    Example:
        >>> figure = plot_stability({"3SG_3PL": {0: 0.0, 50: 0.6, 100: 1.0}})
        >>> figure.axes[0].lines[0].get_ydata().tolist(), figure.axes[0].texts[0].get_text()
        ([0.0, 60.0, 100.0], '3SG_3PL')
    """
    frame = _checked(curves)
    sheet = Sheet.checked(ax, figsize=figsize, output_path=output_path, show=show)
    labels = list(map(str, frame.columns))
    warn_of_missing_letters([*labels, title or ""])
    names = labels if len(labels) <= _NAMED_UP_TO else [_SUMMARY.format(len(labels))]
    axes = ax or sheet.figure(lambda width: _Room.of(names, title, width).total, usual=5.0).add_subplot()
    axes.set(ylim=(0, 105), axisbelow=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=shade(axes.figure, 0.08))
    axes.margins(x=0.02)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    set_title(axes, title)
    few = len(labels) <= _NAMED_UP_TO
    lines = _draw_lines(axes, frame, colors(len(labels))) if few else _draw_summary(axes, frame)
    width, height = cell_size(axes)
    is_free = ax is None and not isinstance(figsize, tuple)  # to be as high as the names need
    _name(axes, lines, _Room.of(names, title, width, None if is_free else height))
    return sheet.finished(ax) if ax is not None else sheet.finished(axes.figure)


def _checked(curves: object) -> pd.DataFrame:
    """Shares in percent, a row per step and a column per training."""
    if not isinstance(curves, (pd.DataFrame, Mapping)):
        raise InvalidInputError(
            "curves must be what load_stability() returns, or a mapping from label to shares by step; got "
            f"{type(curves).__name__}"
        )
    if isinstance(curves, pd.DataFrame) and (curves.index.name not in (None, "step") or not _all_numbers(curves)):
        raise InvalidInputError(
            "curves must be the frame that load_stability() returns: an index called 'step' and a column of shares "
            f"per training. Got the index {curves.index.name!r} and the columns "
            f"{', '.join(some_of([repr(name) for name in curves.columns], 8))}"
        )
    try:
        columns = {str(label): pd.Series(dict(curves[label]), dtype=float) for label in curves}
        frame = pd.DataFrame(columns).sort_index()
        frame.index = frame.index.astype(int)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"curves must have numbers by step for each label ({error})") from None
    if frame.empty or frame.isna().all().any():
        raise InvalidInputError("curves must have at least one label, and a share for each")
    if not (frame.isna() | ((frame >= 0) & (frame <= 1))).all(axis=None):
        raise InvalidInputError("the shares in curves must lie between 0 and 1")
    return 100 * frame


def _all_numbers(frame: pd.DataFrame) -> bool:
    return all(pd.api.types.is_numeric_dtype(frame[name]) for name in frame)


def _draw_lines(axes: Axes, frame: pd.DataFrame, inks: list[str], **style: Any) -> list[Line2D]:
    """A line per training, through its own steps."""
    own = [frame[label].dropna() for label in frame]
    marker: Any = {"marker": "o", "markersize": 3} if len(frame) <= _MARKED_UP_TO and not style else {}
    given: Any = {"linewidth": 1.4, "zorder": 3, "clip_on": False, **marker, **style}
    return [axes.plot(series.index, series, color=ink, **given)[0] for series, ink in zip(own, inks, strict=True)]


def _draw_summary(axes: Axes, frame: pd.DataFrame) -> list[Line2D]:
    """The median and the middle half of all trainings, over a thin line for each."""
    _draw_lines(axes, frame, [shade(axes.figure, 0.25)] * frame.shape[1], linewidth=0.5, alpha=0.6, zorder=1)
    between = frame.interpolate(method="index", limit_area="inside")
    low, middle, high = (between.quantile(share, axis=1) for share in (0.25, 0.5, 0.75))
    (ink,) = colors(1)
    axes.fill_between(frame.index, low, high, alpha=0.25, color=ink, linewidth=0, zorder=2)
    return axes.plot(frame.index, middle, color=ink, linewidth=2.2, zorder=3, clip_on=False)


@dataclass(frozen=True)
class _Room:
    """How a figure is divided, in inches.

    Attributes:
        naming: How the lines are named.
        axes: The width and the height of the axes.
        under: The height of ticks and label below them.
        total: The height of all.
    """

    naming: Naming
    axes: tuple[float, float]
    under: float
    total: float

    @classmethod
    def of(cls, names: Iterable[str], title: str | None, width: float, height: float | None = None) -> _Room:
        """The division of a part of a figure that is `width` wide, and `height` high or as high as it has to be."""
        tick, label = (measured("100", points_of(name)) for name in ("xtick.labelsize", "axes.labelsize"))
        above = measured(title, points_of("axes.titlesize"))[1] if title else 0.0
        under, left = tick[1] + label[1] + _SPACES, tick[0] + 2 * label[1] + _SPACES
        around = above + under + _SPACES

        def high(below: float) -> float:
            return float(np.clip(0.5 * width, 1.4, 3.0)) if height is None else height - around - below

        lines = [[Line(np.empty(0), name) for name in names]]
        room: Any = {"width": width, "below": width - left - 2 * PAD, "height": high}
        naming = naming_of(lines, [], points_of("legend.fontsize"), **room)
        inner = high(naming.below)
        return cls(naming, (width - left - naming.beside, inner), under, around + inner + naming.below)


def _name(axes: Axes, lines: Sequence[Line2D], room: _Room) -> None:
    """Say what the axes are, and name the lines where they have room; then lay the axes out."""
    naming, label = room.naming, points_of("axes.labelsize")
    axes.tick_params(labelsize=points_of("xtick.labelsize"))
    axes.set_xlabel(_XLABEL, fontsize=label)
    axes.set_ylabel(in_lines(_YLABEL, max(room.axes[1], 0.2), label), fontsize=label)
    if not naming.fit:
        width = float(cell_size(axes)[0])
        warn_of_space(["the names of the lines"], max(_ENOUGH, 1.5 * width), width)
    name_below(axes, lines, naming, room.under)
    ends = name_at_ends(axes, lines, naming.texts[0], naming.points) if naming.place == "end" else []
    lay_out(axes)
    if ends:  # names are apart only once the axes have their size
        for artist in ends:
            artist.remove()
        name_at_ends(axes, lines, naming.texts[0], naming.points)
