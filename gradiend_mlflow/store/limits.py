"""How long a param or a tag may be in MLflow, and which numbers its databases can store."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

_PARAM_LENGTH = 6000
_TAG_LENGTH = 8000


def shortened_param(value: str) -> str:
    """A param's value, cut to the length that MLflow accepts."""
    return _shortened(value, _PARAM_LENGTH)


def is_long_param(value: str) -> bool:
    """Whether a param's value is too long for MLflow."""
    return len(value) > _PARAM_LENGTH


def is_long_tag(value: str) -> bool:
    """Whether a tag's value is too long for MLflow."""
    return len(value) > _TAG_LENGTH


def fitting_tags(run_tags: Mapping[str, Any]) -> dict[str, str]:
    """Tags with their values as strings, cut to the length that MLflow accepts."""
    return {key: _shortened(str(value), _TAG_LENGTH) for key, value in run_tags.items()}


def as_stored(value: float) -> float:
    """A metric's value as MLflow's databases return it: they store infinity as the largest number."""
    if math.isnan(value):
        return value
    return max(-sys.float_info.max, min(sys.float_info.max, value))


def _shortened(value: str, length: int) -> str:
    return value if len(value) <= length else value[: length - 1] + "…"
