"""One server or database, asked with a deadline; its errors name it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import mlflow
from mlflow import MlflowClient

from gradiend_mlflow.errors import StoreError, UnavailableError
from gradiend_mlflow.store.mlflow_patches import shield_random
from gradiend_mlflow.store.retries import Retries, reading_deadline, reason_of
from gradiend_mlflow.store.uris import opening, without_password


class Connection:
    """A tracking server, or a database without one: what reading and writing have in common.

    Args:
        tracking_uri: Its address; default is what `mlflow.get_tracking_uri()` returns now.
        once: Make each request once, for a caller who repeats it himself. By default a request that is not answered
            is repeated for as many seconds as the environment variable GRADIEND_MLFLOW_DEADLINE says (30).
        timeout: How many seconds a request may take; default and maximum are 30.

    Raises:
        StoreError: From every method, if MLflow refuses the request or cannot be reached; it names the server. It is
            an `UnavailableError` if the same call may work later.
    """

    def __init__(self, tracking_uri: str | None = None, *, once: bool = False, timeout: float | None = None) -> None:
        self.uri: str = tracking_uri or mlflow.get_tracking_uri()
        self.retries = Retries(None if once else reading_deadline(), timeout)

    @cached_property
    def _client(self) -> MlflowClient:
        with opening(self.uri):
            client = MlflowClient(tracking_uri=self.uri)
        shield_random()
        return client

    def is_answering(self) -> bool:
        """Whether the server answers a small request."""
        try:
            with self._asking("ask for anything"):
                self._client.search_experiments(max_results=1)
        except StoreError:
            return False
        return True

    @property
    def shown_uri(self) -> str:
        """The URI without its password, for messages."""
        return without_password(self.uri, "***")

    @contextmanager
    def _asking(self, action: str) -> Iterator[None]:
        """Limit the requests of the block; turn whatever they raise into a StoreError that names the action."""
        with self.retries.used():
            try:
                yield
            except StoreError:
                raise
            except Exception as error:  # MLflow lets through the exceptions of requests, SQLAlchemy and its plugins
                kind = UnavailableError if self.retries.may_pass(error) else StoreError
                reason = f"{reason_of(error)}{self.retries.explanation}"
                raise kind(f"could not {action} at MLflow on {self.shown_uri}: {reason}") from error
