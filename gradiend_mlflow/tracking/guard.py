"""Keeping this package's faults out of the user's code."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from gradiend_mlflow.errors import logger
from gradiend_mlflow.store.current import is_testing


@contextmanager
def safely(what: str, *, reported: set[str] | None = None) -> Iterator[None]:
    """Turn an exception in the block into a warning; MLflow's testing mode raises it.

    Args:
        what: What the block does: "could not" is put before it.
        reported: Where it is noted what has failed, so that each thing is reported once. Default: report every time.
    """
    try:
        yield
    except Exception as error:
        if is_testing():
            raise
        if reported is not None:
            if what in reported:
                return
            reported.add(what)
        logger.warning("Could not %s: %s", what, describe(error), exc_info=logger.isEnabledFor(logging.DEBUG))


def describe(error: BaseException) -> str:
    """One line that describes an exception, for a tag or a warning; works even if `str(error)` raises."""
    try:
        return f"{type(error).__name__}: {error}".strip().rstrip(":")
    except Exception:
        return type(error).__name__
