"""Outages: each is logged once per server, however many trainings log to it."""

from __future__ import annotations

import threading

from gradiend_mlflow.errors import logger

_away: set[str] = set()
_lock = threading.Lock()


def report_outage(server: str, whereabouts: str, reason: object) -> None:
    """Warn that a server does not answer, unless that was reported and it has not answered since.

    Args:
        server: The server, without a password.
        whereabouts: Where its records are kept until then, as a part of a sentence.
        reason: Why it seems to be away.
    """
    with _lock:
        if server in _away:
            return
        _away.add(server)
    logger.warning(
        "MLflow on %s does not answer; the training goes on, and its records are sent when MLflow answers; %s. %s",
        server,
        whereabouts,
        reason,
    )


def report_recovery(server: str) -> None:
    """Log that a server answers again, if its outage was reported."""
    with _lock:
        if server not in _away:
            return
        _away.discard(server)
    logger.info("MLflow on %s answers again; the waiting records are being sent", server)
