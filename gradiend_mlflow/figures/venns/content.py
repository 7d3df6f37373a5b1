"""What a Venn diagram says, of whatever size it is: shapes, names, numbers, and what circles do not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from shapely import Polygon

from gradiend_mlflow.figures.drawing.names import LEAST_POINTS, points_of
from gradiend_mlflow.figures.venns.circles import equal_circles, proportional_circles
from gradiend_mlflow.figures.venns.diagram import Diagram, arranged
from gradiend_mlflow.figures.venns.regions import errors, regions_of
from gradiend_mlflow.figures.venns.shapes import fixed_shapes
from gradiend_mlflow.figures.venns.surroundings import Surroundings, surroundings

CIRCLES_UP_TO = 3
_SEEN = 0.01  # of all weights: an area that is noticed
_OFF = 0.02  # of all weights, by which the area of a region may be off without a note
_SHAPES, _HIGHEST = 0.85, 4.5  # the shapes' height in a new figure: at most a share of its width, and inches
_STEP = 0.5  # points, between the font sizes of numbers
_LARGER = (1.25, 1.5, 2.0, 3.0, 4.0)  # than a figure that is too small


@dataclass(frozen=True)
class Content:
    """What is said by a diagram, of whatever size.

    Attributes:
        labels: Of the sets, as they are drawn.
        sizes: Of the sets.
        shapes: Of the sets, in any unit.
        texts: The number of each region that has one, by its code.
        note: What is said below.
        name_points: The names' best and least font size.
        count_points: The numbers' font sizes, the best first.
    """

    labels: Sequence[str]
    sizes: Sequence[int]
    shapes: Sequence[Polygon]
    texts: Mapping[str, str]
    note: str
    name_points: tuple[float, float]
    count_points: Sequence[float]

    @classmethod
    def of(
        cls,
        counts: Mapping[str, int],
        labels: Sequence[str],
        *,
        proportional: bool,
        percentages: bool,
        fontsizes: tuple[float | None, float | None],
        said: str = "",
        unit: str = "weight",
    ) -> Content:
        """What is said of sets.

        Args:
            counts: The number of weights of each region that has any, by its code.
            labels: Of the sets, as they are drawn.
            proportional: Whether the areas of circles are in proportion.
            percentages: Whether to write shares below the numbers.
            fontsizes: Of names and numbers, as the caller asks for; None for what fits.
            said: What is said below besides what circles do not show.
            unit: What is counted: "weight" or "neuron".
        """
        n, total = len(labels), sum(counts.values())
        shapes = _shapes(counts, n, proportional=proportional)
        off = errors(counts, shapes) if proportional else {}
        texts = {code: f"{counts.get(code, 0):,}" for code in _numbered(counts, shapes, off)}
        if percentages:
            texts = {code: f"{text}\n{_share(counts.get(code, 0) / total)}" for code, text in texts.items()}
        name, count = (points_of("font.size", given) for given in fontsizes)
        smaller = [*np.arange(count, LEAST_POINTS, -_STEP).tolist(), min(count, LEAST_POINTS)]
        return cls(
            labels=labels,
            sizes=[sum(count for code, count in counts.items() if code[i] == "1") for i in range(n)],
            shapes=shapes,
            texts=texts,
            note=" ".join(filter(None, [_note(off, n, unit), said])),
            name_points=(name, LEAST_POINTS if fontsizes[0] is None else name),
            count_points=smaller if fontsizes[1] is None else [count],
        )

    def around(self, size: tuple[float, float]) -> Surroundings:
        """The names in a diagram of this width and height in points."""
        best, least = self.name_points
        return surroundings(self.labels, self.sizes, self.shapes, size, best, least=least, note=self.note)

    def diagram(self, size: tuple[float, float]) -> Diagram:
        """The diagram of this width and height in points."""
        return arranged(self.shapes, self.around(size), self.texts, size, self.count_points)

    def height(self, width: float, *, titled: bool) -> float:
        """The height in inches that suits a figure's width in inches."""
        x0, y0, x1, y1 = shapely.union_all(self.shapes).bounds
        above, _, below = self.around((72 * width, 72 * width)).margins
        shapes = _SHAPES * width * float(np.clip((y1 - y0) / (x1 - x0), 0.45, 1.0))
        return min(shapes, _HIGHEST) + (above + below) / 72 + titled * 2 * points_of("axes.titlesize") / 72

    def missing(self, diagram: Diagram, size: tuple[float, float]) -> list[str]:
        """What has no room in a diagram of this size, in words."""
        said = [] if self.around(size).fit else ["the names of the sets"]
        if n := len(diagram.missing):
            regions = "one region" if n == 1 else f"{n} regions"
            said.append(f"the numbers of {regions} of a Venn diagram, which plot_upset() shows in any width")
        return said

    def enough(self, size: tuple[float, float]) -> float:
        """How many times as large a diagram would have to be for everything to have room."""
        for factor in _LARGER:
            larger = (factor * size[0], factor * size[1])
            if not self.missing(self.diagram(larger), larger):
                return factor
        return 2 * _LARGER[-1]


def _shapes(counts: Mapping[str, int], n: int, *, proportional: bool) -> list[Polygon]:
    if n > CIRCLES_UP_TO:
        return fixed_shapes(n)
    return proportional_circles(counts, n) if proportional else equal_circles(n)


def _numbered(counts: Mapping[str, int], shapes: Sequence[Polygon], off: Mapping[str, float]) -> list[str]:
    """The regions that get a number: those with weights, that of all sets, and empty ones that circles do not hide."""
    of_all = {"1" * len(shapes)} & set(regions_of(shapes))
    unwanted = {code for code, error in off.items() if code not in counts and error > _SEEN}
    return sorted({*counts} | of_all | unwanted)


def _note(off: Mapping[str, float], n: int, unit: str) -> str:
    """What circles in proportion do not show."""
    if not off:
        return ""
    said = []
    if "1" * n not in off:
        said.append(f"No {unit} is in both sets." if n == 2 else f"No {unit} is in all 3 sets.")  # noqa: PLR2004
    worst = max(map(abs, off.values()))
    if worst > _OFF:
        said.append(f"Circles cannot show these numbers exactly: areas are off by up to {worst:.1%} of all {unit}s.")
    return " ".join(said)


def _share(share: float) -> str:
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"  # noqa: PLR2004
