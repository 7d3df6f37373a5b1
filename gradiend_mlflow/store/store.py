"""Writing to MLflow by explicit run ids: no active run, tracking URI or environment variable is touched."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from mlflow.entities import LoggedModelOutput, Metric, Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags

from gradiend_mlflow.store import tags
from gradiend_mlflow.store.limits import fitting_tags, shortened_param
from gradiend_mlflow.store.reader import Reader

_METRICS_PER_BATCH = 1000
_PARAMS_PER_BATCH = 100
_OF_A_DELETED_RUN = "Current state is deleted"
_NOT_IN_ARTIFACT_NAMES = re.compile(r"[^A-Za-z0-9._-]")
_NOT_IN_MODEL_NAMES = re.compile(r"[/:.%\"']")

T = TypeVar("T")


def now_ms() -> int:
    """The time in milliseconds since the epoch, as MLflow counts it."""
    return int(time.time() * 1000)


@dataclass(frozen=True)
class MetricPoint:
    """One value of one metric: `timestamp` in milliseconds since the epoch."""

    key: str
    value: float
    timestamp: int
    step: int


class Store(Reader):
    """A server or a database that is written to. Args and errors are those of `Connection`."""

    def experiment_id(self, name: str) -> str:
        """The id of an experiment; made as a model-training one if there is none of that name."""
        with self._asking(f"find or create the experiment {name!r}"):
            found = self._client.get_experiment_by_name(name)
            if found is not None:
                return str(found.experiment_id)
            try:
                return str(
                    self._client.create_experiment(name, tags={tags.MLFLOW_EXPERIMENT_KIND: tags.MODEL_TRAINING})
                )
            except MlflowException:
                # Another process may have made it in between.
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
                return str(found.experiment_id)

    def create_run(
        self, experiment_id: str, *, name: str, run_tags: Mapping[str, str], start_time: int | None = None
    ) -> str:
        """Start a run and return its id; user and source tags are added as MLflow's own API adds them."""
        with self._asking(f"create the run {name!r}"):
            run = self._client.create_run(
                experiment_id, run_name=name, tags=resolve_tags(fitting_tags(run_tags)), start_time=start_time
            )
            return str(run.info.run_id)

    def log_metrics(self, run_id: str, points: Iterable[MetricPoint]) -> list[MetricPoint]:
        """Log metric values, in as few requests as the server takes.

        Returns:
            The points that the server refused.
        """
        with self._asking(f"log metrics to the run {run_id}"):
            return [
                refused
                for batch in _batches(points, _METRICS_PER_BATCH)
                for refused in self._log_metrics(run_id, batch)
            ]

    def _log_metrics(self, run_id: str, points: list[MetricPoint]) -> list[MetricPoint]:
        metrics = [Metric(point.key, point.value, point.timestamp, point.step) for point in points]
        try:
            self._client.log_batch(run_id, metrics=metrics)
        except MlflowException as error:
            if not _is_refusal(error):
                raise
            if len(points) == 1:
                return points
            # One bad point rejects its whole batch: find it in ever smaller halves.
            half = len(points) // 2
            return self._log_metrics(run_id, points[:half]) + self._log_metrics(run_id, points[half:])
        return []

    def log_params(self, run_id: str, params: Mapping[str, str]) -> dict[str, str]:
        """Log params; over-long values are cut.

        Returns:
            The params that the run refused, with the reason: those it already has with another value.
        """
        refused: dict[str, str] = {}
        with self._asking(f"log params to the run {run_id}"):
            for batch in _batches(params.items(), _PARAMS_PER_BATCH):
                fitting = [Param(key, shortened_param(value)) for key, value in batch]
                try:
                    self._client.log_batch(run_id, params=fitting)
                except MlflowException as error:
                    if not _is_refusal(error):
                        raise
                    # One changed value rejects its whole batch: find it.
                    refused |= self._log_params_singly(run_id, fitting)
        return refused

    def _log_params_singly(self, run_id: str, params: Sequence[Param]) -> dict[str, str]:
        refused: dict[str, str] = {}
        for param in params:
            try:
                self._client.log_batch(run_id, params=[param])
            except MlflowException as error:
                if not _is_refusal(error):
                    raise
                refused[param.key] = str(error)
        return refused

    def set_tags(self, run_id: str, run_tags: Mapping[str, str]) -> None:
        """Set tags on a run, replacing those of the same names."""
        with self._asking(f"set tags on the run {run_id}"):
            for batch in _batches(fitting_tags(run_tags).items(), _PARAMS_PER_BATCH):
                self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in batch])

    def upload(self, run_id: str, file: Path, folder: str | None) -> None:
        """Log a file, or the files of a directory, as artifacts into a folder of the run; None means the top.

        Characters of the file's name that MLflow corrupts in silence become underscores.
        """
        with self._asking(f"upload {file.name} to the run {run_id}"), tempfile.TemporaryDirectory() as temporary:
            name = _NOT_IN_ARTIFACT_NAMES.sub("_", file.name)
            if file.is_dir():
                self._client.log_artifacts(run_id, str(file), folder)
            elif name == file.name:
                self._client.log_artifact(run_id, str(file), folder)
            else:
                self._client.log_artifact(run_id, shutil.copy2(file, Path(temporary, name)), folder)

    def log_image(self, run_id: str, image: Any, key: str) -> None:
        """Log a PIL image under a key, by which the UI shows the images of several runs side by side."""
        with self._asking(f"log the image {key} to the run {run_id}"):
            self._client.log_image(run_id, image, key=key, step=0, synchronous=True)

    def link_model(
        self, run_id: str, experiment_id: str, name: str, directory: Path, params: Mapping[str, str]
    ) -> None:
        """Register a checkpoint that stays where it is as an external model of the run, as MLflow's own API does."""
        from mlflow.models.utils import get_external_mlflow_model_spec

        with self._asking(f"register {directory} as a model of the run {run_id}"):
            if self._client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'", max_results=1):
                return  # told before, and the answer was lost
            model = self._client.create_logged_model(
                experiment_id,
                name=_NOT_IN_MODEL_NAMES.sub("_", name),
                source_run_id=run_id,
                tags=resolve_tags({"mlflow.model.isExternal": "true", tags.DIRECTORY: str(directory)}),
                params={key: shortened_param(value) for key, value in params.items()},
                model_type="gradiend",
            )
            with tempfile.TemporaryDirectory(prefix="gradiend-mlflow-") as folder:
                get_external_mlflow_model_spec(model).save(str(Path(folder, "MLmodel")))
                self._client.log_model_artifacts(model.model_id, folder)
            self._client.finalize_logged_model(model.model_id, "READY")
            self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])

    def end_run(self, run_id: str, status: str, end_time: int | None = None) -> None:
        """End a run: status FINISHED, FAILED or KILLED; MLflow prints a link to it."""
        with self._asking(f"end the run {run_id}"):
            self._client.set_terminated(run_id, status=status, end_time=end_time)

    def end_imported_run(self, run_id: str, status: str, end_time: int) -> None:
        """The same in one request and without a link: somebody who imports a hundred runs wants no hundred links."""
        with self._asking(f"end the run {run_id}"):
            tracking = self._client._tracking_client  # noqa: SLF001  # the public way to give an end time prints
            tracking.store.update_run_info(run_id, RunStatus.from_string(status), end_time, None)


def _is_refusal(error: MlflowException) -> bool:
    """Whether it is the values that MLflow does not take, and not the run that is no more."""
    return error.error_code == "INVALID_PARAMETER_VALUE" and _OF_A_DELETED_RUN not in str(error)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
