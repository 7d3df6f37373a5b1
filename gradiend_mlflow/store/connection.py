"""One server or database, asked with a deadline; its errors name it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import mlflow
from mlflow import MlflowClient

from gradiend_mlflow.errors import StoreError, UnavailableError
from gradiend_mlflow.store.mlflow_patches import shield_random
from gradiend_mlflow.store.retries import Retries, deadline_of_reading, reason_of
from gradiend_mlflow.store.uris import opening, without_password


class Connection:
    """A tracking server, or the database that stands for one: what reading and writing have in common.

    Args:
        tracking_uri: Where it is; default what `mlflow.get_tracking_uri()` says now.
        once: Make each request once, for one who repeats it himself. Default is to repeat one that is not answered
            for as many seconds as the environment's GRADIEND_MLFLOW_DEADLINE says (30).
        timeout: How many seconds a request may take, 30 at most.

    Raises:
        StoreError: From every method, if MLflow refuses or cannot be reached; it names the server. It is an
            `UnavailableError` if the same call may work later.
    """

    def __init__(self, tracking_uri: str | None = None, *, once: bool = False, timeout: float | None = None) -> None:
        self.uri: str = tracking_uri or mlflow.get_tracking_uri()
        self.retries = Retries(None if once else deadline_of_reading(), timeout)

    @cached_property
    def _client(self) -> MlflowClient:
        with opening(self.uri):
            client = MlflowClient(tracking_uri=self.uri)
        shield_random()
        return client

    @property
    def stalled(self) -> bool:
        """Whether this is a server that does not answer, so that waiting for it seems vain."""
        return self.retries.stalled

    def is_answering(self) -> bool:
        """Whether the server answers a request that asks for little."""
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
    def _asking(self, what: str) -> Iterator[None]:
        with self.retries.used():
            try:
                yield
            except StoreError:
                raise
            except Exception as error:  # MLflow lets through requests', SQLAlchemy's and its plugins' exceptions
                kind = UnavailableError if self.retries.may_pass(error) else StoreError
                reason = f"{reason_of(error)}{self.retries.told}"
                raise kind(f"could not {what} at MLflow on {self.shown_uri}: {reason}") from error
