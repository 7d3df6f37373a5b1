"""The picture of where one GRADIEND's top-k weights lie, which each training logs.

It is painted by Pillow: matplotlib takes ten times as long, after half a second of imports, in every training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.errors import logger
from gradiend_mlflow.sets.anatomy.shares import Shares, shares_of
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.wording import shorten

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

LAYERS_FILE = "topk_layers.png"
SHARE_TITLE = "of the set's weights (%)"

# All lengths are in pixels, of which an inch has 100; sizes of letters are in points.
_DPI = 100
_CELL_WIDTH, _CELL_HEIGHT = 42, 26
_WIDEST, _LOWEST, _HIGHEST = 2400, 130, 1600  # of all cells of a panel
_EDGE, _PAD, _GAP = 6, 6, 14  # around the picture; between cells and what is written at them; between panels
_BAR_WIDTH, _BAR_SHARE, _BAR_ROOM, _MOST_TICKS = (
    16,
    0.8,
    110,
    9,
)  # of the color bar, whose height is a share of the cells'
_TITLE, _NAME, _NUMBER, _SCALE = 9, 8, 7, 10
_LONGEST = 40  # characters of a name
_SLOPE = math.sqrt(0.5)  # of names of columns, at 45 degrees

# Every fifth color of viridis: a straight line between them is off by 1 of 255 at most.
_VIRIDIS = bytes.fromhex(
    "44015446085c471063481769481d6f482475472a7a46307e453781433d844142873f48893d4e8a3a538b38598c355e8d33638d31688e"
    "2e6d8e2c718e2a768e297b8e27808e25848e23898e218e8d20928c1f978b1e9c891fa18821a58524aa8328ae802eb37c35b7793dbc74"
    "46c06f50c46a5ac86465cb5e70cf577cd25089d54895d840a2da37b0dd2fbddf26cae11fd8e219e5e419f1e51dfde725"
)


def save_picture(sets: Mapping[Any, TopKSet], folder: Path) -> tuple[Path, ...]:
    """Save `topk_picture` in a folder; returns its path, or nothing after a warning: sets matter more than it."""
    path = folder / LAYERS_FILE
    try:
        topk_picture(sets).save(path, dpi=(_DPI, _DPI), compress_level=3)  # smaller files would take twice as long
    except Exception as error:
        logger.warning("No picture of the top-k weights: %s: %s", type(error).__name__, error)
        return ()
    return (path,)


def topk_picture(sets: Mapping[Any, TopKSet]) -> Image:
    """Draw a panel per set, with the percentage of its weights in each layer (row) and component (column)."""
    titles = [f"{part}, top {len(topk_set):,}" for part, topk_set in sets.items()]
    panels = [shares_of(topk_set.space.names, topk_set.param_ids) for topk_set in sets.values()]
    high = max(float(np.nanmax(panel.percent)) for panel in panels)
    fonts = _Fonts()
    plan = _plan(titles, panels, fonts)
    painter = _Painter(plan, high, fonts)
    for number, (title, panel) in enumerate(zip(titles, panels, strict=True)):
        left = plan.left + number * plan.step
        painter.write((left + plan.width / 2, plan.top - _PAD), title, _TITLE, "md")
        painter.paint_cells(left, panel)
        painter.name_columns(left, panel.components)
    painter.name_rows(panels[0].layers)
    painter.paint_bar(plan.left + (len(panels) - 1) * plan.step + plan.width + _GAP)
    return painter.image


class _Fonts(dict[float, "FreeTypeFont"]):
    """Fonts by their size in points: matplotlib's, which is found without importing it, or else Pillow's own."""

    def __missing__(self, points: float) -> FreeTypeFont:
        from PIL import ImageFont

        size = points * _DPI / 72
        found = find_spec("matplotlib")
        file = Path(found.origin or "").parent / "mpl-data/fonts/ttf/DejaVuSans.ttf" if found else Path()
        if file.is_file():
            self[points] = ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.BASIC)
        else:
            self[points] = cast("FreeTypeFont", ImageFont.load_default(size))
        return self[points]

    def width(self, text: str, points: float, *, turned: bool = False) -> float:
        """The width of a text; turned ones are drawn twice as large and halved, so that theirs is not rounded."""
        return self[2 * points].getlength(text) / 2 if turned else self[points].getlength(text)

    def height(self, points: float) -> int:
        """The height of a line."""
        return sum(self[points].getmetrics())


@dataclass(frozen=True)
class _Plan:
    """Where everything is.

    Attributes:
        left: Where the cells of the first panel begin.
        top: Where the cells of all panels begin.
        width: Of the cells of a panel.
        height: The same.
        step: From one panel to the next.
        size: Width and height of the picture.
    """

    left: int
    top: int
    width: int
    height: int
    step: int
    size: tuple[int, int]


def _plan(titles: list[str], panels: list[Shares], fonts: _Fonts) -> _Plan:
    """Give cells their usual size as long as there is room, and all names theirs."""
    rows, columns = (max(panel.percent.shape[axis] for panel in panels) for axis in (0, 1))
    widest_title = max(fonts.width(title, _TITLE) for title in titles)
    width = math.ceil(max(widest_title, min(columns * _CELL_WIDTH, _WIDEST)))
    height = min(max(rows * _CELL_HEIGHT, _LOWEST), _HIGHEST)
    names = max(fonts.width(_short(name), _NAME) for name in panels[0].layers) + _PAD
    below = [_SLOPE * fonts.width(_short(name), _NAME, turned=True) for panel in panels for name in panel.components]
    beside = max(
        _SLOPE * fonts.width(_short(name), _NAME, turned=True) - (place + 0.5) * width / len(panel.components)
        for panel in panels
        for place, name in enumerate(panel.components)
    )
    left, top = _EDGE + math.ceil(max(names, beside)), _EDGE + fonts.height(_TITLE) + _PAD
    step = width + math.ceil(max(beside, 0)) + _GAP
    right = left + (len(panels) - 1) * step + width
    bottom = top + height + _PAD + math.ceil(max(below)) + fonts.height(_NAME)
    return _Plan(left, top, width, height, step, (right + _BAR_ROOM, bottom + _EDGE))


class _Painter:
    """A picture in the making."""

    def __init__(self, plan: _Plan, high: float, fonts: _Fonts) -> None:
        """Begin with a white picture; `high` percent have the last color."""
        from PIL import Image, ImageDraw

        self.image = Image.new("RGB", plan.size, "white")
        self._plan, self._high, self._fonts = plan, high, fonts
        self._draw = ImageDraw.Draw(self.image)
        self._colors = _viridis()

    def write(self, at: tuple[float, float], text: str, points: float, anchor: str, color: str = "black") -> None:
        """Write a text at a point, where it has Pillow's `anchor`."""
        self._draw.text(at, text, color, self._fonts[points], anchor)

    def paint_cells(self, left: int, panel: Shares) -> None:
        """Paint the cells of a panel, white where the model has no weights, with numbers if there is room for them."""
        plan, (rows, columns) = self._plan, panel.percent.shape
        missing = np.isnan(panel.percent)
        levels = np.where(missing, 0, panel.percent) / self._high * 256
        colors = np.where(missing[..., None], 255, self._colors[np.minimum(levels, 255).astype(int)])
        self._paste(colors, (left, plan.top, plan.width, plan.height))
        width, height = plan.width / columns, plan.height / rows
        if width < self._fonts.width("100", _NUMBER) or height < self._fonts.height(_NUMBER):
            return
        for row, column in np.argwhere(panel.percent > 0.5):  # noqa: PLR2004  # what rounds to at least 1 %
            share = panel.percent[row, column]
            middle = left + (column + 0.5) * width, plan.top + (row + 0.5) * height
            self.write(middle, f"{share:.0f}", _NUMBER, "mm", "black" if share > 0.6 * self._high else "white")

    def name_rows(self, names: Sequence[str]) -> None:
        """Name the rows of the first panel, as many as there is room for."""
        plan, height = self._plan, self._plan.height / len(names)
        for place in range(0, len(names), math.ceil(self._fonts.height(_NAME) / height)):
            at = plan.left - _PAD, plan.top + (place + 0.5) * height
            self.write(at, _short(names[place]), _NAME, "rm")

    def name_columns(self, left: int, names: Sequence[str]) -> None:
        """Name the columns of a panel, aslant, as many as there is room for."""
        plan, width = self._plan, self._plan.width / len(names)
        for place in range(0, len(names), math.ceil(self._fonts.height(_NAME) / _SLOPE / width)):
            name = _short(names[place])
            begin = left + (place + 0.5) * width - _SLOPE * self._fonts.width(name, _NAME, turned=True)
            self.image.paste(
                "black", (round(begin), plan.top + plan.height + _PAD // 2), self._turned(name, _NAME, 45)
            )

    def paint_bar(self, left: int) -> None:
        """Paint the bar of colors, with its numbers and its title."""
        plan, high = self._plan, self._high
        height = round(plan.height * _BAR_SHARE)
        top = plan.top + (plan.height - height) // 2
        self._paste(self._colors[::-1, None], (left, top, _BAR_WIDTH, height))
        self._draw.rectangle((left, top, left + _BAR_WIDTH - 1, top + height - 1), outline="black")
        right, widest = left + _BAR_WIDTH, 0.0
        for number, text in _ticks(high, most=min(_MOST_TICKS, 2 * height // (3 * self._fonts.height(_SCALE)))):
            y = top + (height - 1) * (1 - number / high)
            self._draw.line((right, round(y), right + _PAD // 2, round(y)), fill="black")
            self.write((right + _PAD + 2, y), text, _SCALE, "lm")
            widest = max(widest, self._fonts.width(text, _SCALE))
        title = self._turned(SHARE_TITLE, _SCALE, 90)
        at = round(right + widest) + 2 * _PAD, max(top + (height - title.height) // 2, 0)
        self.image.paste("black", at, title)

    def _paste(self, colors: npt.NDArray[Any], box: tuple[int, int, int, int]) -> None:
        """Paint an array of colors over a box: left, top, width and height."""
        from PIL import Image

        left, top, width, height = box
        cells = Image.fromarray(np.ascontiguousarray(colors, np.uint8))
        self.image.paste(cells.resize((width, height), Image.Resampling.NEAREST), (left, top))

    def _turned(self, text: str, points: float, degrees: int) -> Image:
        """A text that rises by an angle, as a mask; turned twice as large, because turning blurs."""
        from PIL import Image, ImageDraw

        size = math.ceil(2 * self._fonts.width(text, points, turned=True)), 2 * self._fonts.height(points)
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).text((size[0], 0), text, 255, self._fonts[2 * points], "ra")
        return mask.rotate(degrees, Image.Resampling.BICUBIC, expand=True).reduce(2)


def _viridis() -> npt.NDArray[np.uint8]:
    """The 256 colors; shape (256, 3)."""
    known = np.frombuffer(_VIRIDIS, np.uint8).reshape(-1, 3)
    places = np.linspace(0, 255, len(known))
    return np.column_stack([np.interp(np.arange(256), places, band) for band in known.T]).round().astype(np.uint8)


def _ticks(high: float, most: int) -> Iterator[tuple[float, str]]:
    """The round numbers from 0 to `high`, at most so many steps of them, each with its text."""
    size = 10.0 ** math.floor(math.log10(high / most))
    factor = next(factor for factor in (1, 2, 2.5, 5, 10, 20) if high / (factor * size) <= most)
    digits = max(0, -math.floor(math.log10(size)) + (factor == 2.5) - (factor >= 10))  # noqa: PLR2004
    for place in range(math.floor(high / (factor * size)) + 1):
        yield place * factor * size, f"{place * factor * size:.{digits}f}"


def _short(name: str) -> str:
    return shorten(name, _LONGEST)
