"""Servers that are not there: told once each, however many trainings log to them."""

from __future__ import annotations

import logging
import threading

logger = logging.getLogger("gradiend_mlflow")

_away: set[str] = set()
_lock = threading.Lock()


def say_outage(server: str, meanwhile: str, reason: object) -> None:
    """Warn that a server is not there, unless that has been said and it has not been back since.

    Args:
        server: The server, without a password.
        meanwhile: Where what it should be told is kept.
        reason: Why it seems so.
    """
    with _lock:
        if server in _away:
            return
        _away.add(server)
    logger.warning(
        "MLflow on %s is not there; the training goes on, and what it says is sent when MLflow answers; %s. %s",
        server,
        meanwhile,
        reason,
    )


def say_it_is_back(server: str) -> None:
    """Say so, if it was told that it is not there."""
    with _lock:
        if server not in _away:
            return
        _away.discard(server)
    logger.info("MLflow on %s answers again; what waited is being sent", server)
