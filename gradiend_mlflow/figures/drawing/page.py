"""A figure, or a part of one, that a function fills by itself: places in inches from its upper left corner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, FigureBase
from matplotlib.text import Text

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.drawing.names import LEAST_POINTS, points_of

PAD = 0.06  # inches between what is drawn, and to the edge
_GRAY = 0.179  # the luminance of a color that differs as much from black as from white


@dataclass(frozen=True)
class Page:
    """A figure or part of one without axes, and its size in inches.

    Such a figure needs no layout engine, since everything in it is measured before it is placed.

    Example:
        >>> page = Page.of(Figure(figsize=(4, 3)), "plot_upset")
        >>> [round(float(side), 2) for side in page.axes(1, 0.5, 2, 1).get_position().bounds]
        [0.25, 0.5, 0.5, 0.33]
    """

    figure: FigureBase
    width: float
    height: float

    @classmethod
    def of(cls, figure: Any, function: str) -> Page:
        """The page of a figure that `function` fills.

        Raises:
            InvalidInputError: If something is drawn in it already, over which it would draw.
        """
        if figure.axes:
            raise InvalidInputError(
                f"{function} fills its whole figure, and fig has axes already: give it a new one, or call fig.clear()"
            )
        if isinstance(figure, Figure):
            figure.set_layout_engine("none")
            if not hasattr(figure.canvas, "get_renderer"):
                FigureCanvasAgg(figure)
        elif (engine := figure.get_layout_engine()) is not None:
            engine.execute(figure.figure)  # it decides how large the parts of the figure are
        return cls(figure, *(figure.bbox.size / figure.dpi).tolist())

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """New axes at a place, `left` and `top` inches from the corner, without frame and ticks."""
        bottom = self.height - top - height
        place = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(place)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        return axes

    def title(self, text: str, points: float) -> None:
        """A title at the upper edge, if it is not empty."""
        if text:
            self.figure.suptitle(text, y=1 - PAD / self.height, va="top", fontsize=points)

    def text(self, left: float, top: float, text: str, points: float, **style: Any) -> Text:
        """A text whose upper left corner, if `style` says nothing else, is at a place."""
        place = {"ha": "left", "va": "top"} | style
        return self.figure.text(left / self.width, 1 - top / self.height, text, fontsize=points, **place)


def small_points() -> float:
    """The font size of what is said beside a figure."""
    return max(0.85 * points_of("font.size"), LEAST_POINTS)


def readable_on(color: Any) -> str:
    """Black or white, whichever has more contrast to a color, by the luminance that the WCAG define."""
    red, green, blue = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in to_rgb(color))  # noqa: PLR2004
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > _GRAY else "white"
