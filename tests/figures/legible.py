"""Whether a figure can be read: what is written is read back from its artists."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from gradiend_mlflow.figures.drawing.names import measured
from gradiend_mlflow.figures.drawing.text import with_arrows

LEAST_POINTS = 5.0
_DOTS = 1.0  # by which texts may touch or leave their part: letters are rounded to dots


def check(figure: Any, *, size: tuple[float, float] | None = None, part: Bbox | None = None) -> None:
    """Fail unless all that is written in a figure can be read; see `problems`."""
    found = problems(figure, size=size, part=part)
    assert not found, "\n".join(found)


def problems(figure: Any, *, size: tuple[float, float] | None = None, part: Bbox | None = None) -> list[str]:
    """What cannot be read: text under 5 points, outside of its part of the figure, or over other text.

    Args:
        figure: A figure, or a part of one (SubFigure), within which its text has to lie.
        size: The size in inches that the figure was given, which it must have kept.
        part: In dots of the figure, where text has to lie instead; such as the cell of a grid.
    """
    root = figure.figure
    root.draw_without_rendering()
    shown = list(written(figure))
    found = [f"{text.get_fontsize():.2f} points: {text.get_text()!r}" for text in shown
             if text.get_fontsize() < LEAST_POINTS - 1e-6]  # fmt: skip
    if size is not None and not np.allclose(root.get_size_inches(), size):
        found.append(f"the figure has become {root.get_size_inches()} inches, not {size}")
    boxes = [corners(text) for text in shown]
    for text, box in zip(shown, boxes, strict=True):
        within = (part or text.get_figure(root=False).bbox).get_points()
        over = np.maximum(within[0] - box.min(axis=0), box.max(axis=0) - within[1]).max()
        if over > _DOTS:
            found.append(f"{over:.1f} dots outside: {text.get_text()!r}")
    for (first, a), (second, b) in itertools.combinations(zip(shown, boxes, strict=True), 2):
        if (depth := overlapping(a, b)) > _DOTS:
            found.append(f"{depth:.1f} dots of {first.get_text()!r} over {second.get_text()!r}")
    return found


def lacking(axes: Any, labels: Sequence[str], *, number: str = "-100") -> list[str]:
    """What a heatmap of up to 12 runs does not say: names of runs, and numbers that cells have room for at 5 points.

    Args:
        axes: The heatmap's.
        labels: The runs'. A name may be wrapped, shortened, or a number with a key.
        number: The widest number of a cell.
    """
    axes.figure.draw_without_rendering()
    rows = [tick.label1.get_text().replace("\n", " ").removesuffix("†") for tick in axes.yaxis.get_major_ticks()]
    everything = " ".join(text.get_text().replace("\n", " ") for text in written(axes.figure))
    found = []
    if len(set(rows)) != len(labels):
        found.append(f"{len(set(rows))} names for {len(labels)} runs")
    for label in labels:
        name = with_arrows(label)
        same = [row for row in rows if row == name or row.endswith(f"  {name}") or "…" in row]
        if not same and name not in everything:
            found.append(f"no name: {name!r}")
    cell = axes.get_window_extent().width / axes.figure.dpi / len(labels)
    numbers = [text for text in axes.texts if text.get_position()[1] % 1 == 0.5]
    if len(numbers) < len(labels) ** 2 and 0.94 * cell >= measured(number, LEAST_POINTS)[0]:
        found.append(f"{len(numbers)} numbers in {len(labels) ** 2} cells of {cell:.2f} inches")
    return found


def written(artist: Artist) -> Iterator[Text]:
    """Every text that is drawn, with the labels of those ticks that are in view."""
    for child in artist.get_children():
        if not child.get_visible() or (isinstance(artist, Axes) and isinstance(child, Axis) and not artist.axison):
            continue
        if isinstance(child, Axis):
            low, high = sorted(child.get_view_interval())
            near = 1e-9 * (high - low)
            ticks = [*child.get_major_ticks(), *child.get_minor_ticks()]
            labels = [label for tick in ticks if low - near <= tick.get_loc() <= high + near
                      for label in (tick.label1, tick.label2)]  # fmt: skip
            candidates = [*labels, child.label, child.get_offset_text()]
            yield from (text for text in candidates if text.get_visible() and text.get_text().strip())
        elif isinstance(child, Text):
            if child.get_text().strip():
                yield child
            continue
        else:
            yield from written(child)


def corners(text: Text) -> npt.NDArray[np.float64]:
    """The corners of a text's box in dots, turned as the text is; shape (4, 2)."""
    turned = Text.get_window_extent(text)
    angle = np.deg2rad(text.get_rotation())
    text.set_rotation(0)
    width, height = Text.get_window_extent(text).size
    text.set_rotation(np.rad2deg(angle))
    middle = turned.get_points().mean(axis=0)  # that of the box around a turned box is that of the box
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    sides = [(x * width / 2, y * height / 2) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    return np.array([middle + x * along + y * across for x, y in sides])


def overlapping(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """How far two turned boxes lie over each other, in dots; not positive if a line separates them."""
    axes = [box[i + 1] - box[i] for box in (a, b) for i in (0, 1)]
    depths = []
    for axis in axes:
        length = np.linalg.norm(axis)
        if length == 0:
            return 0.0
        ours, theirs = a @ axis / length, b @ axis / length
        depths.append(min(ours.max() - theirs.min(), theirs.max() - ours.min()))
    return float(min(depths))
