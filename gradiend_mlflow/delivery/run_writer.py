"""One run as a training sees it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from gradiend_mlflow.delivery.journals.records import (
    Describe,
    Destination,
    DrawPicture,
    EndRun,
    LinkModel,
    LogInputs,
    LogMetrics,
    LogParams,
    Record,
    SetTags,
    StartRun,
    Upload,
)
from gradiend_mlflow.store.limits import storable, storable_all
from gradiend_mlflow.store.models.logged import RunModel
from gradiend_mlflow.store.store import DataInput, MetricPoint, now_ms


class RecordQueue(Protocol):
    """Takes records at once and delivers them later."""

    def put(self, record: Record) -> None:
        """Queue a record; never raises and never waits for MLflow."""

    def run_id(self, key: str, timeout: float) -> str | None:
        """MLflow's id of the run `key`, or None if it has none within `timeout` seconds."""


class RunWriter:
    """A new run that is written to: every method returns at once and never raises.

    The run starts with the record that is put for its `key`.
    """

    def __init__(self, queue: RecordQueue) -> None:
        self._queue = queue
        self.key = uuid.uuid4().hex

    @classmethod
    def started(
        cls,
        queue: RecordQueue,
        name: str,
        run_tags: Mapping[str, str],
        destination: Destination,
        *,
        start_time: int | None = None,
        parent: str | None = None,
        deferred: bool = False,
    ) -> RunWriter:
        """Start a run; `start_time` in milliseconds since the epoch, default now."""
        run = cls(queue)
        begun = now_ms() if start_time is None else start_time
        queue.put(
            StartRun(run.key, storable(name), storable_all(run_tags), begun, destination, parent, deferred=deferred)
        )
        return run

    def child(self, name: str, run_tags: Mapping[str, str], *, start_time: int | None = None) -> RunWriter:
        """Start a run below this one; `start_time` in milliseconds since the epoch, default now."""
        return RunWriter.started(self._queue, name, run_tags, Destination(), start_time=start_time, parent=self.key)

    def metrics(self, step: int, values: Mapping[str, float]) -> tuple[MetricPoint, ...]:
        """Log metric values of one step; returns them as they are logged."""
        now = now_ms()
        points = tuple(MetricPoint(key, value, now, step) for key, value in values.items())
        if points:
            self._queue.put(LogMetrics(self.key, points))
        return points

    def params(self, params: Mapping[str, str]) -> None:
        """Log params."""
        self._queue.put(LogParams(self.key, storable_all(params)))

    def tags(self, run_tags: Mapping[str, str]) -> None:
        """Set tags."""
        if run_tags:
            self._queue.put(SetTags(self.key, storable_all(run_tags)))

    def describe(self, description: str) -> None:
        """Set the description of the run's page, as `description_of` writes it."""
        self._queue.put(Describe(self.key, storable(description)))

    def inputs(self, inputs: Sequence[DataInput]) -> None:
        """Log data that the run has used."""
        if inputs:
            self._queue.put(LogInputs(self.key, tuple(inputs)))

    def upload(self, files: Sequence[Path], folder: str) -> None:
        """Log files as artifacts; they must not change until everything is delivered."""
        for file in files:
            self._queue.put(Upload(self.key, file, folder))

    def draw(self, directory: Path) -> None:
        """Log a picture of the sets whose files are in a directory; they must not change until it is delivered."""
        self._queue.put(DrawPicture(self.key, directory))

    def log_model(self, model: RunModel, points: tuple[MetricPoint, ...]) -> None:
        """Make a checkpoint the run's model; its directory must not change until everything is delivered.

        The points are metrics that have been logged, and say how good it is.
        """
        self._queue.put(LinkModel(self.key, points=points, **vars(model)))

    def end(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        self._queue.put(EndRun(self.key, status, now_ms()))

    def run_id(self, timeout: float) -> str | None:
        """MLflow's id of the run, or None if it has none within `timeout` seconds."""
        return self._queue.run_id(self.key, timeout)
