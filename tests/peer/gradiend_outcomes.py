"""Writes down what became of each test, and which runs it has left in MLflow; loaded by `-p gradiend_outcomes`.

By its name alone, because gradiend's tests are a package of the same name as ours.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gradiend_mlflow

FILE, DATABASE = "PEER_OUTCOMES", "PEER_DATABASE"  # where to write; MLflow's database, if trainings are tracked


class Outcomes:
    """Outcomes and runs by test."""

    def __init__(self, file: Path, database: Path | None) -> None:
        self._file, self._database = file, database
        self._tests: dict[str, dict[str, Any]] = {}

    def pytest_sessionstart(self) -> None:
        """Tracking begins before any test is imported."""
        if self._database:
            gradiend_mlflow.autolog(tracking_uri=f"sqlite:///{self._database}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """What cannot be imported is said too."""
        if report.failed:
            self._tests[report.nodeid] = {"outcome": "cannot be imported"}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test that fails while it is set up or torn down has failed."""
        kept = self._tests.setdefault(report.nodeid, {"outcome": report.outcome})
        if report.outcome != "passed" and kept["outcome"] != "failed":
            kept["outcome"] = report.outcome

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        """Count the runs before and after a test."""
        before = self._runs()
        result = yield
        if left := self._runs() - before:
            self._tests[item.nodeid]["runs"] = dict(left)
        return result

    def pytest_sessionfinish(self) -> None:
        """For who compares."""
        self._file.write_text(json.dumps(self._tests, indent=1), encoding="utf-8")

    def _runs(self) -> Counter[str]:
        """How many runs have which status, when all is delivered."""
        if self._database is None:
            return Counter()
        gradiend_mlflow.flush()
        if not self._database.exists():
            return Counter()
        with sqlite3.connect(self._database) as database:
            return Counter(dict(database.execute("SELECT status, COUNT(*) FROM runs GROUP BY status").fetchall()))


def pytest_configure(config: pytest.Config) -> None:
    """As pytest calls it."""
    database = os.environ.get(DATABASE)
    config.pluginmanager.register(Outcomes(Path(os.environ[FILE]), Path(database) if database else None))
