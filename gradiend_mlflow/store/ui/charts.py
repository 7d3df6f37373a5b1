"""The charts that a saved view of MLflow's run list opens with: which come first, and how large they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_BY_STEP = {"scaleType": "linear", "xAxisKey": "step", "lineSmoothness": 0, "useGlobalLineSmoothing": True}


@dataclass(frozen=True)
class Section:
    """Charts under one heading, which is what their keys begin with; MLflow adds its charts of the other keys to it.

    Attributes:
        name: The heading.
        bars: Metrics with one value a run.
        lines: Metrics by step.
        images: Keys of logged images.
        columns: How many charts stand side by side.
        height: Of each, in pixels.
    """

    name: str
    bars: Sequence[str] = ()
    lines: Sequence[str] = ()
    images: Sequence[str] = ()
    columns: int = 2
    height: int = 360


def chart_state(sections: Sequence[Section]) -> dict[str, Any]:
    """The charts' part of the UI's state."""
    return {
        "compareRunCharts": [chart for section in sections for chart in _charts(section)],
        "compareRunSections": [_heading(section) for section in sections],
        "isAccordionReordered": True,  # else the headings are sorted by name
    }


def _heading(section: Section) -> dict[str, Any]:
    return {
        "uuid": section.name,
        "name": section.name,
        "display": True,
        "isReordered": True,
        "columns": section.columns,
        "cardHeight": section.height,
    }


def _charts(section: Section) -> list[dict[str, Any]]:
    return [
        *(_chart("BAR", section, key, metricKey=key) for key in section.bars),
        *(_chart("LINE", section, key, metricKey=key, **_BY_STEP) for key in section.lines),
        *(_chart("IMAGE", section, key, imageKeys=[key], step=0) for key in section.images),
    ]


def _chart(kind: str, section: Section, key: str, **what: Any) -> dict[str, Any]:
    return {
        "uuid": key,
        "type": kind,
        "metricSectionId": section.name,
        "isGenerated": False,  # else the UI makes a line of one point of a metric whose only value has a step
        **what,
    }
