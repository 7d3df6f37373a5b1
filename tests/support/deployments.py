"""MLflow as a lab may have it: each kind is started once, when it is first asked for, and ends with the session."""

from __future__ import annotations

import multiprocessing
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

from shared_server import accounts
from shared_server.accounts import Account
from shared_server.postgres import Postgres, postgres
from shared_server.s3 import BUCKET, s3
from shared_server.tracking_server import tracking_server
from tests.support.processes import train_tracked
from tests.support.proxy import Proxy
from tests.support.server import mlflow_server

PAIRS = [("3SG", "3PL"), ("1SG", "1PL")]
STUDY = "pronouns"


@dataclass(frozen=True)
class Deployment:
    """A tracking address, and what a client sets in its environment to use it."""

    uri: str
    environment: Mapping[str, str] = field(default_factory=dict)
    reader: Account | None = None  # an account that may not write, where there are accounts


class Deployments:
    """All kinds, by the name of their method."""

    store: Proxy  # in front of the object store, once `s3` has been asked for

    def __init__(self, folder: Path, base_model: str) -> None:
        self._folder = folder
        self._base_model = base_model
        self._stack = ExitStack()
        self._started: dict[str, Deployment] = {}

    def __getitem__(self, name: str) -> Deployment:
        """One of them, with a study of two trainings in it."""
        if name not in self._started:
            make: Callable[[Path], Deployment] = getattr(self, name)
            folder = self._folder / name
            folder.mkdir()
            self._started[name] = make(folder)
            self._study(self._started[name], folder / "runs")
        return self._started[name]

    def close(self) -> None:
        """End all of them."""
        self._stack.close()

    @cached_property
    def postgres(self) -> Postgres:
        """The database of all that have one."""
        return self._stack.enter_context(postgres())

    @cached_property
    def s3(self) -> dict[str, str]:
        """What a client of the object store sets, which it reaches through `store`."""
        settings = self._stack.enter_context(s3(self._folder / "s3"))
        self.store = Proxy(settings["MLFLOW_S3_ENDPOINT_URL"])
        self._stack.callback(self.store.close)
        return {**settings, "MLFLOW_S3_ENDPOINT_URL": self.store.uri}

    def sqlite(self, folder: Path) -> Deployment:
        """A file: what the others are measured by."""
        return Deployment(f"sqlite:///{folder}/mlflow.db")

    def server(self, folder: Path) -> Deployment:
        """A server on a file."""
        return Deployment(self._stack.enter_context(mlflow_server(folder)))

    def proxied(self, folder: Path) -> Deployment:
        """A server on PostgreSQL that passes artifacts on to S3."""
        return self._on_postgres(folder, "--artifacts-destination", f"s3://{BUCKET}/proxied", environment=self.s3)

    def direct(self, folder: Path) -> Deployment:
        """A server on PostgreSQL whose clients have S3 to themselves."""
        root = ["--no-serve-artifacts", "--default-artifact-root", f"s3://{BUCKET}/direct"]
        return Deployment(self._on_postgres(folder, *root).uri, self.s3)

    def accounts(self, folder: Path) -> Deployment:
        """The proxied one, for a writer; there is a reader, too."""
        admin, writer, reader = Account("admin"), Account("writer"), Account("reader")
        self.postgres.run("createdb", "users")
        settings = accounts.configure(folder, self.postgres.uri("users"), admin)
        options = ["--artifacts-destination", f"s3://{BUCKET}/accounts", *accounts.OPTIONS]
        uri = self._on_postgres(folder, *options, environment=settings | self.s3).uri
        accounts.create(uri, admin, writer, reader)
        return Deployment(uri, writer.environment, reader)

    def _on_postgres(self, folder: Path, *options: str, environment: Mapping[str, str] | None = None) -> Deployment:
        database = f"{folder.name}_{secrets.token_hex(4)}"
        self.postgres.run("createdb", database)
        options = ("--backend-store-uri", self.postgres.uri(database), *options)
        return Deployment(
            self._stack.enter_context(tracking_server(folder, *options, environment=environment, workers=2))
        )

    def _study(self, deployment: Deployment, folder: Path) -> None:
        """Two processes train at once."""
        context: Any = multiprocessing.get_context("fork")
        with patch.dict(os.environ, deployment.environment):
            workers = [
                context.Process(target=train_tracked, args=(pair, self._base_model, folder, STUDY, deployment.uri))
                for pair in PAIRS
            ]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join(120)
            assert [worker.exitcode for worker in workers] == [0, 0]
