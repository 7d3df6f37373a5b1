"""One run as a training sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gradiend_mlflow.delivery.records import (
    Destination,
    DrawPicture,
    EndRun,
    LinkModel,
    LogMetrics,
    LogParams,
    SetTags,
    Upload,
)
from gradiend_mlflow.store.store import MetricPoint, now_ms

if TYPE_CHECKING:
    from gradiend_mlflow.delivery.recorder import Recorder


class RunWriter:
    """One run as the training sees it: every method returns at once and never raises."""

    def __init__(self, recorder: Recorder, key: str) -> None:
        self._recorder = recorder
        self.key = key

    def child(self, name: str, run_tags: Mapping[str, str], *, start_time: int | None = None) -> RunWriter:
        """Start a run below this one."""
        return self._recorder.start(name, run_tags, Destination(), parent=self.key, start_time=start_time)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Log values of one step."""
        stamp = now_ms()
        points = tuple(MetricPoint(key, value, stamp, step) for key, value in values.items())
        if points:
            self._recorder.put(LogMetrics(self.key, points))

    def params(self, params: Mapping[str, str]) -> None:
        """Log params."""
        self._recorder.put(LogParams(self.key, dict(params)))

    def tags(self, run_tags: Mapping[str, str]) -> None:
        """Set tags."""
        if run_tags:
            self._recorder.put(SetTags(self.key, dict(run_tags)))

    def upload(self, files: Sequence[Path], folder: str) -> None:
        """Log files that stay unchanged until the recorder is closed."""
        for file in files:
            self._recorder.put(Upload(self.key, file, folder))

    def draw(self, directory: Path) -> None:
        """Log a picture of the sets whose files lie in a directory, unchanged until the recorder is closed."""
        self._recorder.put(DrawPicture(self.key, directory))

    def link_model(self, name: str, directory: Path, params: Mapping[str, str]) -> None:
        """Register a checkpoint that stays where it is as an external model of this run."""
        self._recorder.put(LinkModel(self.key, name, directory, dict(params)))

    def end(self, status: str) -> None:
        """End the run: FINISHED, FAILED or KILLED."""
        self._recorder.put(EndRun(self.key, status, now_ms()))

    def run_id(self, timeout: float) -> str | None:
        """MLflow's id of the run, or None if it has none within `timeout` seconds."""
        return self._recorder.run_id(self.key, timeout)
