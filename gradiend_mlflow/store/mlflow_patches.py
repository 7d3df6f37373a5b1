"""Patches of MLflow: our requests have our retries and limits, no address is a server's idea, a child connects anew.

Besides, no global random number is drawn.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401  # what requests import when they are made, and no child must find half imported
import netrc  # noqa: F401
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any

from mlflow.environment_variables import MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD
from mlflow.store.artifact import artifact_repository_registry
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository
from mlflow.tracking._tracking_service.client import TrackingServiceClient
from mlflow.tracking.request_header import registry
from mlflow.utils import request_utils

from gradiend_mlflow.store.places.s3 import place_of, s3_client
from gradiend_mlflow.store.retries import current_retries
from gradiend_mlflow.store.trust.addresses import check_artifact_uri
from gradiend_mlflow.store.trust.answers import limited

# Modules of MLflow and urllib3 that draw pauses and names at random; a training draws its batches from the same
# generator.
_RANDOM_USERS = (
    "botocore.retryhandler",
    "google.api_core.retry.retry_base",
    "google.cloud.storage._media._upload",
    "s3transfer",
    "s3transfer.utils",
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


# Where MLflow keeps locks and connections. A child uses neither those of its parent's threads, nor its databases.
_LOCKS = (
    ("mlflow.tracking._tracking_service.registry", "_building_store_lock"),
    ("mlflow.tracking._model_registry.registry", "_building_store_lock"),
)
_STORES = ("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store")
_inherited: list[Any] = []  # the parent's connections: closing one would say goodbye in the parent's name


def _connect_anew() -> None:
    """In a forked child, give MLflow new locks, and new connections to its databases."""
    for name, lock in _LOCKS:
        if name in sys.modules:
            setattr(sys.modules[name], lock, threading.Lock())
    for name in _STORES:
        store = getattr(sys.modules.get(name), "SqlAlchemyStore", None)
        if store is None:
            continue
        store._engine_map_lock = threading.Lock()  # noqa: SLF001  # MLflow 3.17 has no public way
        for engine in store._engine_map.values():  # noqa: SLF001
            if engine.url.database not in (None, "", ":memory:"):  # those of a database in memory are the database
                _inherited.append(engine.pool)
                engine.dispose(close=False)
    # Artifact repositories have pools of threads, which the child lacks.
    getattr(sys.modules.get("mlflow.tracking._tracking_service.utils"), "_artifact_repos_cache", {}).clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_connect_anew)


_make_session: Callable[..., Any] = request_utils._get_request_session  # noqa: SLF001  # all requests pass here
_resolve_headers: Callable[..., dict[str, str]] = registry.resolve_request_headers


def _session(max_retries: int, backoff_factor: float, backoff_jitter: float, *args: Any, **kwargs: Any) -> Any:
    retries = current_retries.get()
    if retries is None:
        return _make_session(max_retries, backoff_factor, backoff_jitter, *args, **kwargs)
    session = _our_session(os.getpid(), *args[1:], **kwargs)
    return SimpleNamespace(request=partial(retries.request, session.request))


@lru_cache(maxsize=8)
def _our_session(pid: int, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG001  # the key: no process uses another's
    return limited(_make_session(0, 0, 0.0, (), *args, **kwargs))


_artifact_stores: Any = artifact_repository_registry._artifact_repository_registry  # noqa: SLF001  # all pass here
_make_repository: Callable[..., Any] = _artifact_stores.get_artifact_repository
_kept_repository: Callable[..., Any] = TrackingServiceClient._get_artifact_repo  # noqa: SLF001


def _repository(artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> Any:
    retries = current_retries.get()
    if retries is None:
        return _make_repository(artifact_uri, tracking_uri, registry_uri)
    check_artifact_uri(artifact_uri, tracking_uri or "")
    retries.note_place(place_of(artifact_uri))
    repository = _make_repository(artifact_uri, tracking_uri, registry_uri)
    # Else MLflow asks the server whether to send large files to addresses that the server says.
    repository._is_multipart_upload_enabled = MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD.get  # noqa: SLF001
    return repository


def _repository_of_run(self: Any, *args: Any, **kwargs: Any) -> Any:
    repository = _kept_repository(self, *args, **kwargs)
    retries = current_retries.get()
    if retries is not None:  # MLflow keeps repositories, and may have opened this one for somebody else
        check_artifact_uri(repository.artifact_uri, self.tracking_uri)
        retries.note_place(place_of(repository.artifact_uri))
    return repository


_their_s3_client: Callable[..., Any] = S3ArtifactRepository._get_s3_client  # noqa: SLF001


def _s3_client(self: S3ArtifactRepository) -> Any:
    retries = current_retries.get()
    if retries is None or self._access_key_id is not None:  # keys that MLflow was given for this one
        return _their_s3_client(self)
    client = s3_client(retries, self.artifact_uri)
    shield_random()
    return client


@lru_cache(maxsize=1)
def _headers_at(second: int) -> dict[str, str]:  # noqa: ARG001  # the key: finding them is slow, so they last a second
    return _resolve_headers()


def _headers(request_headers: dict[str, str] | None = None) -> dict[str, str]:
    known = _resolve_headers() if current_retries.get() is None else _headers_at(int(time.monotonic()))
    return known | (request_headers or {})


request_utils._get_request_session = _session  # noqa: SLF001
registry.resolve_request_headers = _headers
_artifact_stores.get_artifact_repository = _repository
S3ArtifactRepository._get_s3_client = _s3_client  # type: ignore[method-assign]  # noqa: SLF001
TrackingServiceClient._get_artifact_repo = _repository_of_run  # type: ignore[method-assign]  # noqa: SLF001
