"""A diagram's ink: shapes, names and numbers in colors that can be told apart and read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.patches import Polygon, Rectangle

from gradiend_mlflow.figures.venns.diagram import Diagram
from gradiend_mlflow.figures.venns.written import Written

# Okabe and Ito's, which the color-blind can tell apart too; neighbors differ in lightness.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_READABLE = 4.5  # contrast of text, as the WCAG demand
_LINE, _DOT = 0.6, 1.6  # points


def reserve(axes: Axes) -> None:
    """Make layout engines see the axes' box, whatever is drawn in it: then they leave it where it is from now on."""
    axes.set_axis_off()
    axes.add_patch(Rectangle((0, 0), 1, 1, facecolor="none", edgecolor="none", transform=axes.transAxes))


def draw(axes: Axes, diagram: Diagram, colors: Sequence[Any], *, alpha: float, linewidth: float) -> None:
    """Draw a diagram into axes whose box has its size.

    Args:
        axes: Their data coordinates become points from the lower left corner.
        diagram: What to draw.
        colors: One per set.
        alpha: Of the shapes, in [0, 1].
        linewidth: Of the shapes' outlines, in points.
    """
    reserved, ground = [*axes.get_children()], _ground(axes)
    inks = [_readable(color, ground) for color in colors]
    for shape, color, ink in zip(diagram.shapes, colors, inks, strict=True):
        outline = shape.simplify(0.02).exterior.coords
        axes.add_patch(Polygon(outline, facecolor=to_rgba(color, alpha), edgecolor="none"))
        axes.add_patch(Polygon(outline, facecolor="none", edgecolor=ink, linewidth=linewidth))
    plain = mpl.rcParams["text.color"]
    for name in diagram.names:
        _write(axes, name, plain if name.owner is None else inks[name.owner])
    for code, count in diagram.counts.items():
        members = [color for color, bit in zip(colors, code, strict=True) if bit == "1"]
        _write(axes, count, plain if count.line else _black_or_white(_blended(members, alpha, ground)))
    for artist in axes.get_children():
        if artist not in reserved:
            artist.set_in_layout(False)


def _write(axes: Axes, written: Written, color: Any) -> None:
    if written.line is not None:
        xs, ys = (list(axis) for axis in written.line.xy)
        axes.plot(xs, ys, color=color, linewidth=_LINE)
        axes.plot(xs[-1:], ys[-1:], color=color, marker="o", markersize=_DOT)
    axes.text(*written.center, written.text, color=color, fontsize=written.points, ha="center", va="center",
              multialignment="center" if written.centered else "left")  # fmt: skip


def _ground(axes: Axes) -> tuple[float, float, float]:
    """The color behind axes without a frame."""
    figure: Any = axes.figure
    color = to_rgba(figure.get_facecolor())
    return to_rgb(color if color[3] else figure.figure.get_facecolor())


def _blended(members: Sequence[Any], alpha: float, ground: Any) -> Any:
    """The color of shapes that lie over each other."""
    color = np.array(ground)
    for member in members:
        color = alpha * np.array(to_rgb(member)) + (1 - alpha) * color
    return color


def _luminance(color: Any) -> float:
    channels = np.array(to_rgb(color))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004
    return float(linear @ (0.2126, 0.7152, 0.0722))


def _contrast(a: Any, b: Any) -> float:
    """From 1 for equal colors to 21 for black and white."""
    low, high = sorted((_luminance(a), _luminance(b)))
    return (high + 0.05) / (low + 0.05)


def _black_or_white(ground: Any) -> str:
    return max(("black", "white"), key=lambda color: _contrast(color, ground))


def _readable(color: Any, ground: Any) -> Any:
    """The color, darker or lighter by as much as text of it needs on a ground."""
    end = np.array(to_rgb(_black_or_white(ground)))
    for share in np.linspace(0, 1, 21):
        mixed = share * end + (1 - share) * np.array(to_rgb(color))
        if _contrast(mixed, ground) >= _READABLE:
            break
    return tuple(mixed.tolist())
