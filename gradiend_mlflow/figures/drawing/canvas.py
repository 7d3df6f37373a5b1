"""What every figure begins and ends with: checked arguments, axes or a figure of its own, colors, files, a window."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure, FigureBase

from gradiend_mlflow.checks import check_flags, check_folder_of
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.drawing.text import warn_of_missing_letters

FigureSize = Literal["column", "text"] | tuple[float, float] | None
OutputPath = str | PathLike[str] | Sequence[str | PathLike[str]] | None
Drawn = TypeVar("Drawn", bound="Axes | FigureBase")

WIDTHS = {"column": 3.3, "text": 7.0}  # inches, of a paper with two columns
PNG_DPI = 150
_PRINT_DPI = 300
# Fonts whose letters can be searched, copied and edited, as journals demand; and the same file for the same figure.
_TEXT_AS_TEXT: Any = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "gradiend-mlflow"}
_UNDATED: dict[str, dict[str, Any]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
# Okabe and Ito's, without their yellow, which is too light for lines; the last is one of Tol's.
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#882255")
_SUFFIXES = (".png", ".pdf", ".svg")
# What returns the things that figures are made of, if it is not compute_overlap().
_SOURCES = {
    "OverlapMap": "map() of an overlap or a comparison",
    "OverlapCurve": "overlap_curve() of an overlap or a comparison",
    "GroupTest": "test_groups() of an overlap or a comparison",
}


@contextmanager
def _saving() -> Iterator[None]:
    """Within the block figures are saved as journals want them, and without a line for each table of each font."""
    fonts = logging.getLogger("fontTools.subset")  # it tells at INFO, which gradiend lets through
    level = fonts.level
    if level == logging.NOTSET:
        fonts.setLevel(logging.WARNING)
    try:
        with mpl.rc_context(_TEXT_AS_TEXT):
            yield
    finally:
        fonts.setLevel(level)


class OwnFigure(Figure):
    """A figure that pyplot does not know, so that nobody has to close it; a notebook shows it where it is returned."""

    def savefig(self, *args: Any, **options: Any) -> None:
        """As matplotlib's, but PDF and SVG keep text as text, whatever the settings are."""
        with _saving():
            super().savefig(*args, **options)

    shown_in: object = None  # the cell of a notebook whose output has it

    def _ipython_display_(self) -> None:
        """For notebooks: nothing more in a cell that `show=True` has shown it in."""
        if self.shown_in is None or self.shown_in != _cell_of_notebook():
            raise NotImplementedError  # it is shown as any figure

    def _repr_png_(self) -> bytes:
        """For notebooks, also those without matplotlib's inline backend, which would ask nobody else for a PNG."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=PNG_DPI)
        return file.getvalue()


def new_figure(size: tuple[float, float], layout: Literal["constrained", "none"] = "constrained") -> OwnFigure:
    """A figure of `size` (width and height in inches) that pyplot does not know."""
    figure = OwnFigure(figsize=size, layout=layout)  # type: ignore[arg-type]  # its stubs do not know "none"
    FigureCanvasAgg(figure)  # it measures text; without it a figure has no renderer until it is saved
    return figure


@dataclass(frozen=True)
class Sheet:
    """Where a figure is drawn and what becomes of it: what all figures take, checked before anything is drawn.

    Attributes:
        place: The axes, the figure or the part of one that the caller has given; None for a figure of its own.
        figsize: The size of a figure of its own: "column" and "text" for the width of a column (3.3 inches) and of
            the text (7 inches) of a paper, width and height in inches, or None for what the figure needs.
        files: Where it is saved.
        show: Whether to open a window.

    Example:
        >>> sheet = Sheet.checked(None, figsize="column")
        >>> figure = sheet.figure(lambda width: 0.8 * width, usual=5.0)
        >>> figure.get_size_inches().round(2).tolist()
        [3.3, 2.64]
        >>> sheet.finished(figure) is figure
        True
    """

    place: Axes | FigureBase | None
    figsize: FigureSize
    files: tuple[Path, ...]
    show: bool

    @classmethod
    def checked(
        cls,
        place: Axes | FigureBase | None,
        *,
        figsize: FigureSize = None,
        output_path: OutputPath = None,
        show: bool = False,
    ) -> Sheet:
        """The sheet of these arguments of a figure's function.

        Raises:
            InvalidInputError: If a size is none or would change that of a given place, a file has another suffix than
                .png, .pdf and .svg or no folder, or `show` is neither True nor False.
        """
        check_flags(show=show)
        if place is not None and figsize is not None:
            raise InvalidInputError(
                "figsize is the size of a new figure, and a given figure keeps its own: leave out figsize, or "
                f"{'ax' if isinstance(place, Axes) else 'fig'}"
            )
        return cls(place, _checked_size(figsize), _checked_files(output_path), show)

    def figure(
        self, height: Callable[[float], float], *, usual: float, layout: Literal["constrained", "none"] = "constrained"
    ) -> OwnFigure:
        """A new figure of the size that is asked for.

        Args:
            height: The height in inches that suits a width, of which "column" and "text" say no more.
            usual: The width in inches if no size is asked for.
            layout: As for `new_figure`.
        """
        if isinstance(self.figsize, tuple):
            return new_figure(self.figsize, layout)
        width = usual if self.figsize is None else WIDTHS[self.figsize]
        return new_figure((width, height(width)), layout)

    def finished(self, drawn: Drawn) -> Drawn:
        """Save and show what is drawn, as far as that is asked for, and return it.

        Args:
            drawn: What the function returns: the given place, or the new figure.
        """
        write(drawn, self.files, dpi=_PRINT_DPI)
        if self.show:
            figure = _root(drawn)
            _open_window(figure)
            if isinstance(figure, OwnFigure):
                figure.shown_in = _cell_of_notebook()
        return drawn


def _checked_size(figsize: FigureSize) -> FigureSize:
    if figsize is None or (isinstance(figsize, str) and figsize in WIDTHS):
        return figsize
    try:
        width, height = (float(side) for side in figsize)
    except (TypeError, ValueError):
        width = height = 0.0
    if not (0 < width < np.inf and 0 < height < np.inf) or isinstance(figsize, str):
        raise InvalidInputError(
            "figsize must be 'column' (3.3 inches wide), 'text' (7 inches), or width and height in inches, such as "
            f"(5, 4); got {figsize!r}"
        )
    return width, height


def _checked_files(output_path: OutputPath) -> tuple[Path, ...]:
    if output_path is None:
        return ()
    given = [output_path] if isinstance(output_path, (str, PathLike)) else output_path
    if not isinstance(given, Sequence) or not all(isinstance(path, (str, PathLike)) for path in given):
        raise InvalidInputError(f"output_path must be a path or a list of paths; got {output_path!r}")
    files = tuple(Path(path).expanduser() for path in given)
    for file in files:
        if file.suffix.lower() not in _SUFFIXES:
            raise InvalidInputError(f"output_path must end with {', '.join(_SUFFIXES)}; got {str(file)!r}")
        check_folder_of("output_path", file)
    return files


def write(drawn: Axes | FigureBase, files: Sequence[Path], *, dpi: float = PNG_DPI) -> None:
    """Save the figure of what is drawn, as PNG, PDF or SVG by suffix; the same figure gives the same files."""
    for file in files:
        with _saving():
            _root(drawn).savefig(file, dpi=dpi, metadata=_UNDATED.get(file.suffix.lower()))


def _root(drawn: Any) -> Figure:
    figure: Figure = drawn.figure.figure  # a part of a figure has the whole; a figure's own `figure` is itself
    return figure


def _open_window(figure: Figure) -> None:
    """Show a figure by the backend that pyplot uses; afterwards pyplot's current figure is what it was."""
    from matplotlib import pyplot as plt

    known, canvas = plt.get_fignums(), figure.canvas
    if getattr(figure, "number", None) in known:  # the caller's, which has a window
        plt.show()
        return
    current = plt.gcf().number if known else None
    # pyplot makes the window of what it takes for a new figure of its own.
    plt.figure(FigureClass=lambda **_: figure)  # type: ignore[arg-type]
    plt.show()
    if not plt.isinteractive():  # the window was closed, or there is none
        plt.close(figure)
        figure.set_canvas(canvas)
    if current is not None and plt.fignum_exists(current):
        plt.figure(current)


def _cell_of_notebook() -> object:
    """The number of the cell that a notebook is running, if pyplot shows figures in its output; else None."""
    if "IPython" not in sys.modules or "inline" not in mpl.get_backend():
        return None
    shell = sys.modules["IPython"].get_ipython()
    return getattr(shell, "execution_count", None)


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
        source = _SOURCES.get(kinds[0].__name__, "compute_overlap() or a comparison")
        raise InvalidInputError(f"expected {expected} (from {source}); got {type(overlap).__name__}")
    for name, given, kind, what in (
        ("ax", ax, Axes, "axes of matplotlib"),
        ("fig", fig, FigureBase, "a figure of matplotlib"),
        ("title", title, str, "a string"),
    ):
        if given is not None and not isinstance(given, kind):
            raise InvalidInputError(f"{name} must be {what}; got {type(given).__name__}")
    warn_of_missing_letters([*overlap.labels, title or ""])


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


def colors(n: int) -> list[str]:
    """`n` colors that the color-blind can tell apart too; from the eighth on they begin anew."""
    return [_COLORS[index % len(_COLORS)] for index in range(n)]
