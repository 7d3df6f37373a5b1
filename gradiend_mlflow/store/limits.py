"""How long a param or a tag may be in MLflow, and which characters and numbers its databases can store."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

from gradiend_mlflow.checks import UNSTORABLE

_PARAM_LENGTH = 6000
_TAG_LENGTH = 8000


def storable(text: str) -> str:
    r"""The text with escapes in place of the characters that databases refuse.

    Example:
        >>> print(storable("a\0b"))
        a\x00b
    """
    return UNSTORABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def storable_all(values: Mapping[str, str]) -> dict[str, str]:
    """Names and values, each as `storable` returns it."""
    return {storable(key): storable(value) for key, value in values.items()}


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
    return {storable(key): _shortened(str(value), _TAG_LENGTH) for key, value in run_tags.items()}


def as_stored(value: float) -> float:
    """A metric's value as MLflow's databases return it: they store infinity as the largest number."""
    if math.isnan(value):
        return value
    return max(-sys.float_info.max, min(sys.float_info.max, value))


def _shortened(value: str, length: int) -> str:
    kept = storable(value)
    return kept if len(kept) <= length else kept[: length - 1] + "…"
