"""Axes to draw on."""

from __future__ import annotations

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure


@pytest.fixture
def ax() -> Axes:
    """Large axes that pyplot does not know."""
    return Figure(figsize=(12, 10)).subplots()
