"""Keeping our faults out of the user's code."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from gradiend_mlflow.store.current import is_testing

logger = logging.getLogger("gradiend_mlflow")


def safely(what: str, action: Callable[[], object]) -> None:
    """Do it, but never raise into the user's code: a failure is told."""
    try:
        action()
    except Exception as error:
        if is_testing():
            raise
        logger.warning("Could not %s: %s", what, describe(error), exc_info=logger.isEnabledFor(logging.DEBUG))


def describe(value: Any) -> str:
    """A one-line account of an exception, for a tag or a warning; also of one that cannot say what it is."""
    try:
        return f"{type(value).__name__}: {value}".strip().rstrip(":")
    except Exception:
        return type(value).__name__
