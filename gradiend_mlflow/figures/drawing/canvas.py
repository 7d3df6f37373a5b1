"""What every figure needs: checked arguments, axes or a figure of its own, colors, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure, FigureBase

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.drawing.text import warn_of_missing_letters

PNG_DPI = 150


def new_figure(size: tuple[float, float], layout: Literal["constrained", "none"] = "constrained") -> Figure:
    """A figure of `size` (width and height in inches) that pyplot does not know, so that nobody has to close it."""
    figure = Figure(figsize=size, layout=layout)  # type: ignore[arg-type]  # its stubs do not know "none"
    FigureCanvasAgg(figure)  # it measures text; without it a figure has no renderer until it is saved
    return figure


def save(drawn: Axes | Figure, path: Path) -> list[Path]:
    """Write a figure, or the figure of axes, as PNG and PDF; `path` has no suffix."""
    figure: Any = drawn.figure  # a figure's own `figure` is itself
    files = [path.with_suffix(".png"), path.with_suffix(".pdf")]
    figure.savefig(files[0], dpi=PNG_DPI)
    figure.set_layout_engine("none")  # the layout is done; repeating it takes longer than drawing
    # Without a creation date the same comparison gives the same file.
    figure.savefig(files[1], metadata={"CreationDate": None})
    return files


def check_arguments(
    overlap: Any, kinds: tuple[Any, ...], title: Any, *, ax: object = None, fig: object = None
) -> None:
    """Check what all figures take, and warn of letters in labels and title that the current fonts do not have.

    Raises:
        InvalidInputError: If `overlap` is none of the kinds, `ax` is not Axes, `fig` is neither a figure nor part of
            one, or `title` is not a string.
    """
    if not isinstance(overlap, kinds):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise InvalidInputError(
            f"expected {expected} (from compute_overlap() or a comparison); got {type(overlap).__name__}"
        )
    for name, given, kind, what in (
        ("ax", ax, Axes, "axes of matplotlib"),
        ("fig", fig, FigureBase, "a figure of matplotlib"),
        ("title", title, str, "a string"),
    ):
        if given is not None and not isinstance(given, kind):
            raise InvalidInputError(f"{name} must be {what}; got {type(given).__name__}")
    warn_of_missing_letters([*overlap.labels, title or ""], stacklevel=3)


def colormap(name: object) -> Any:
    """The colormap of this name; a colormap is returned as it is.

    Raises:
        InvalidInputError: If matplotlib has none of this name.
    """
    try:
        return mpl.colormaps.get_cmap(name)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        raise InvalidInputError(
            f"cmap must be a colormap of matplotlib, such as 'viridis', 'magma' or 'Blues'; got {name!r}. All "
            "of them: list(matplotlib.colormaps)"
        ) from None


def shade(figure: Any, share: float) -> str:
    """The color of text mixed with the figure's background, `share` (in [0, 1]) of it text: for any style."""
    ground = to_rgba(figure.get_facecolor())
    if not ground[3]:  # a part of a figure is transparent
        ground = to_rgba(mpl.rcParams["axes.facecolor"])
    text, background = np.array(to_rgba(mpl.rcParams["text.color"])[:3]), np.array(ground[:3])
    return to_hex(tuple(share * text + (1 - share) * background))


def colors(n: int) -> list[Any]:
    """`n` colors, which differ up to ten."""
    return list(mpl.colormaps["tab10"](np.arange(n) % 10))
