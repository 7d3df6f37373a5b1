"""The patches on MLflow's HTTP session: its retries become ours, and no global random number is drawn."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

from mlflow.tracking.request_header import registry
from mlflow.utils import request_utils

from gradiend_mlflow.store.retries import Retries, _current

# Where MLflow and urllib3 draw pauses and names at random; a training draws its batches from the same generator.
_DRAWING = (
    "urllib3.util.retry",
    "mlflow.utils.request_utils",
    "mlflow.utils.rest_utils",
    "mlflow.telemetry.client",
    "mlflow.store.tracking.sqlalchemy_store",
)


class _RetryingSession:
    """What MLflow takes for its session."""

    def __init__(self, session: Any, retries: Retries) -> None:
        self._session, self._retries = session, retries

    def request(self, *args: Any, **kwargs: Any) -> Any:
        return self._retries.request(self._session.request, *args, **kwargs)


def shield_random() -> None:
    """Let MLflow and urllib3 draw from a generator of their own, so that no training's result depends on them."""
    for name in _DRAWING:
        module = sys.modules.get(name)
        if module is not None and getattr(module, "random", None) is random:
            module.random = random.Random()  # type: ignore[attr-defined]  # noqa: S311  # pauses, not secrets


def _install() -> None:
    # Where every request of MLflow passes.
    original: Callable[..., Any] = request_utils._get_request_session  # noqa: SLF001

    def session(max_retries: int, backoff_factor: float, backoff_jitter: float, *args: Any, **kwargs: Any) -> Any:
        retries = _current.get()
        if retries is None:
            return original(max_retries, backoff_factor, backoff_jitter, *args, **kwargs)
        return _RetryingSession(original(0, 0, 0.0, (), *args[1:], **kwargs), retries)  # no code is retried

    request_utils._get_request_session = session  # noqa: SLF001
    resolve: Callable[..., dict[str, str]] = registry.resolve_request_headers

    def headers(request_headers: dict[str, str] | None = None) -> dict[str, str]:
        retries = _current.get()
        known = resolve() if retries is None else retries.headers(resolve)
        return known | (request_headers or {})

    registry.resolve_request_headers = headers


_install()
