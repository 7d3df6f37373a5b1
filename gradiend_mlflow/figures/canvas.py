"""What every figure needs: axes or a figure of its own, names that fit, a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gradiend_mlflow.errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PNG_DPI = 150
VALUE_TITLES = {
    "intersection": "shared weights",
    "intersection_frac": "shared weights / smaller set",
    "jaccard": "Jaccard index",
    "mass_overlap": "importance on shared weights",
    "cosine": "cosine of the weights, unsigned",
    "cosine_signed": "cosine of the weights",
    "spearman": "rank correlation of the weights, unsigned",
    "spearman_signed": "rank correlation of the weights",
    "rbo": "rank-biased overlap",
}


def new_figure(size: tuple[float, float], layout: Literal["constrained", "none"] = "constrained") -> Figure:
    """A figure of so many inches that pyplot does not know, so that nothing has to be closed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout=layout)  # type: ignore[arg-type]  # its stubs do not know "none"
    FigureCanvasAgg(figure)  # what measures texts; without it a figure has no renderer until it is saved
    return figure


def axes_or_new(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The axes, or those of a new figure."""
    if ax is not None:
        return ax
    axes: Axes = new_figure(size).subplots()
    return axes


def save(drawn: Axes | Figure, path: Path) -> list[Path]:
    """Write a figure, or that of axes, as PNG and PDF beside each other; `path` has no suffix."""
    figure: Any = drawn.figure  # of a figure itself too
    files = [path.with_suffix(".png"), path.with_suffix(".pdf")]
    figure.savefig(files[0], dpi=PNG_DPI)
    figure.set_layout_engine("none")  # everything has its place now; finding it takes longer than drawing
    # Without the time of its making the same comparison gives the same file.
    figure.savefig(files[1], metadata={"CreationDate": None})
    return files


def check_overlap(overlap: object, kinds: tuple[type, ...]) -> None:
    """Refuse what a figure cannot be drawn of.

    Raises:
        InvalidInputError: If `overlap` is none of the kinds.
    """
    if not isinstance(overlap, kinds):
        raise InvalidInputError(
            f"expected an Overlap (of compute_overlap(), or comparison.overlap); got {type(overlap).__name__}"
        )


def check_place(title: object, *, ax: object = None, fig: object = None) -> None:
    """Refuse what nothing can be drawn into, and what is no title.

    Raises:
        InvalidInputError: If `ax` are no axes, `fig` is no figure or part of one, or `title` is no string.
    """
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

    for name, given, kind in (("ax", ax, Axes), ("fig", fig, FigureBase)):
        if given is not None and not isinstance(given, kind):
            what = "axes of matplotlib" if name == "ax" else "a figure of matplotlib"
            raise InvalidInputError(f"{name} must be {what}; got {type(given).__name__}")
    if title is not None and not isinstance(title, str):
        raise InvalidInputError(f"title must be a string; got {type(title).__name__}")


def colormap(name: object) -> Any:
    """The colormap of a name, or itself.

    Raises:
        InvalidInputError: If there is none.
    """
    import matplotlib as mpl

    try:
        return mpl.colormaps.get_cmap(name)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        raise InvalidInputError(
            f"cmap must be a colormap of matplotlib, such as 'viridis', 'magma' or 'Blues'; got {name!r}. All "
            "of them: list(matplotlib.colormaps)"
        ) from None


def shade(figure: Any, share: float) -> str:
    """The color of text, mixed with so much of the figure's background that this share is left: in any style."""
    import matplotlib as mpl
    from matplotlib.colors import to_hex, to_rgba

    ground = to_rgba(figure.get_facecolor())
    if not ground[3]:  # a part of a figure has none
        ground = to_rgba(mpl.rcParams["axes.facecolor"])
    ink = to_rgba(mpl.rcParams["text.color"])
    mixed: Any = tuple(share * a + (1 - share) * b for a, b in zip(ink[:3], ground[:3], strict=True))
    return to_hex(mixed)


def colors(n: int) -> list[Any]:
    """So many colors that can be told apart, up to ten."""
    import matplotlib as mpl

    return list(mpl.colormaps["tab10"](np.arange(n) % 10))
