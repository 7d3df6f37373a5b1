"""Colors of a Venn diagram."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from gradiend_mlflow import plot_venn
from gradiend_mlflow.figures.venns.ink import COLORS
from tests.figures.examples import overlap_of
from tests.support.sampling import quick


def contrast(a: Any, b: Any) -> float:
    """The WCAG's."""
    brightness = []
    for color in (a, b):
        channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
        brightness.append(0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2] + 0.05)
    return max(brightness) / min(brightness)


def behind(text: Text) -> Any:
    """The color that is rendered left of a text's first letter."""
    figure: Any = text.figure
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())
    box = text.get_window_extent()
    row, column = len(pixels) - 1 - int((box.y0 + box.y1) / 2), int(box.x0) - 1
    return pixels[row, column, :3] / 255


@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.parametrize("alpha", quick([0.5, 0.2, 0.9], first=1))
@pytest.mark.parametrize("n", [3, 4, 6])
def test_numbers_and_names_stand_out(style: str, alpha: float, n: int) -> None:
    """Black on light and white on dark, against what is really behind them."""
    with plt.style.context(style):
        figure = plot_venn(overlap_of(n), alpha=alpha, region_counts_fontsize=6)
        assert not isinstance(figure, Axes)
        for text in figure.axes[0].texts:
            assert contrast(text.get_color(), behind(text)) > 4, text.get_text()


def test_colors_differ_in_lightness_or_hue() -> None:
    """Also for those who see no difference between red and green: a rough simulation of deuteranopia."""
    # Vienot, Brettel and Mollon's matrix for linear RGB.
    matrix = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])
    seen = [matrix @ np.array(to_rgb(color)) ** 2.2 for color in COLORS]
    for a, b in itertools.combinations(seen, 2):
        assert np.linalg.norm(np.clip(a, 0, 1) ** (1 / 2.2) - np.clip(b, 0, 1) ** (1 / 2.2)) > 0.1
