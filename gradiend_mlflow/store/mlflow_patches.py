"""Patches of MLflow's HTTP session: our retries replace MLflow's, and no global random number is drawn."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any

from mlflow.tracking.request_header import registry
from mlflow.utils import request_utils

from gradiend_mlflow.store.retries import current_retries

# Modules of MLflow and urllib3 that draw pauses and names at random; a training draws its batches from the same
# generator.
_RANDOM_USERS = (
    "urllib3.util.retry",
    "mlflow.utils.request_utils",
    "mlflow.utils.rest_utils",
    "mlflow.telemetry.client",
    "mlflow.store.tracking.sqlalchemy_store",
)


def shield_random() -> None:
    """Give MLflow and urllib3 a random generator of their own, so that no training's result depends on them."""
    for name in _RANDOM_USERS:
        module = sys.modules.get(name)
        if module is not None and getattr(module, "random", None) is random:
            module.random = random.Random()  # type: ignore[attr-defined]  # noqa: S311  # pauses, not secrets


_make_session: Callable[..., Any] = request_utils._get_request_session  # noqa: SLF001  # all requests pass here
_resolve_headers: Callable[..., dict[str, str]] = registry.resolve_request_headers


def _session(max_retries: int, backoff_factor: float, backoff_jitter: float, *args: Any, **kwargs: Any) -> Any:
    retries = current_retries.get()
    if retries is None:
        return _make_session(max_retries, backoff_factor, backoff_jitter, *args, **kwargs)
    without_retries = _make_session(0, 0, 0.0, (), *args[1:], **kwargs)
    return SimpleNamespace(request=partial(retries.request, without_retries.request))


@lru_cache(maxsize=1)
def _headers_at(second: int) -> dict[str, str]:  # noqa: ARG001  # the key: finding them is slow, so they last a second
    return _resolve_headers()


def _headers(request_headers: dict[str, str] | None = None) -> dict[str, str]:
    known = _resolve_headers() if current_retries.get() is None else _headers_at(int(time.monotonic()))
    return known | (request_headers or {})


request_utils._get_request_session = _session  # noqa: SLF001
registry.resolve_request_headers = _headers
