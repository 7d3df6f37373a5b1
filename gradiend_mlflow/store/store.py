"""The one door to MLflow: explicit client, explicit run ids, errors that name the server.

Nothing here touches MLflow's global state: no active run, no `set_tracking_uri`, no environment variable.
"""

from __future__ import annotations

import difflib
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment, LoggedModelOutput, Metric, Param, Run, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
from mlflow.tracking import fluent
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.rest_utils import augmented_raise_for_status, http_request

from gradiend_mlflow.errors import StoreError, UnavailableError
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.current import is_current
from gradiend_mlflow.store.limits import fitting_tags, shortened_param
from gradiend_mlflow.store.mlflow_patches import shield_random
from gradiend_mlflow.store.retries import Patience, deadline_of_reading, reason_of
from gradiend_mlflow.store.uris import opening, without_password

DEFAULT_EXPERIMENT_ID = "0"
_METRICS_PER_BATCH = 1000
_PARAMS_PER_BATCH = 100
_RUNS_PER_PAGE = 1000
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


class Store:
    """A tracking server, or the database that stands for one.

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
        self.patience = Patience(None if once else deadline_of_reading(), timeout)

    @cached_property
    def _client(self) -> MlflowClient:
        with opening(self.uri):
            client = MlflowClient(tracking_uri=self.uri)
        shield_random()
        return client

    @property
    def stalled(self) -> bool:
        """Whether this is a server that does not answer, so that waiting for it seems vain."""
        return self.patience.stalled

    def is_answering(self) -> bool:
        """Whether the server answers a request that asks for little."""
        try:
            with self._asking("ask for anything"):
                self._client.search_experiments(max_results=1)
        except StoreError:
            return False
        return True

    # ------------------------------------------------------------------------------------------------ experiments

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

    def active_experiment_id(self) -> str:
        """The experiment that MLflow's own calls would log to now, or the default one of another server."""
        with self._asking("find the active experiment"):
            if not is_current(self.uri):
                return DEFAULT_EXPERIMENT_ID
            return str(fluent._get_experiment_id())  # noqa: SLF001  # what MLflow's own flavors ask

    def experiments(self) -> dict[str, Experiment]:
        """Every active experiment by its id."""
        found: dict[str, Experiment] = {}
        token = None
        with self._asking("list the experiments"):
            while True:
                page = self._client.search_experiments(max_results=_RUNS_PER_PAGE, page_token=token)
                found.update((experiment.experiment_id, experiment) for experiment in page)
                token = page.token
                if not token:
                    return found

    def find_experiments(self, names: Sequence[str], ids: Sequence[str]) -> dict[str, Experiment]:
        """The experiments of these names and ids, by id.

        Raises:
            StoreError: If one does not exist; it names the nearest that do.
        """
        chosen = [
            *(self._experiment("name", name) for name in names),
            *(self._experiment("id", experiment_id) for experiment_id in ids),
        ]
        return {experiment.experiment_id: experiment for experiment in chosen}

    def _experiment(self, what: str, key: str) -> Experiment:
        with self._asking(f"find the experiment of the {what} {key!r}"):
            get = self._client.get_experiment_by_name if what == "name" else self._client.get_experiment
            try:
                found = get(key)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                found = None
        if found is not None:
            return found
        known = self.experiments().values()
        existing = [experiment.name if what == "name" else experiment.experiment_id for experiment in known]
        near = difflib.get_close_matches(key, existing, n=3, cutoff=0.5) or sorted(existing)[:10]
        some = "" if len(near) == len(existing) else f", among {len(existing)}"
        raise StoreError(
            f"MLflow at {self.shown_uri} has no experiment of the {what} {key!r}. It has{some}: "
            f"{', '.join(map(repr, near)) or 'none'}"
        )

    # ----------------------------------------------------------------------------------------------------- writing

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

    # ----------------------------------------------------------------------------------------------------- reading

    def run(self, run_id: str) -> Run:
        """One run with its tags, params and latest metrics."""
        with self._asking(f"find the run {run_id}"):
            return self._client.get_run(run_id)

    def metric_history(self, run_id: str, key: str) -> dict[int, float]:
        """A metric's values by step; where a step has several, the last."""
        with self._asking(f"read the metric {key!r} of the run {run_id}"):
            return {point.step: point.value for point in self._client.get_metric_history(run_id, key)}

    def search(
        self,
        experiment_ids: Sequence[str],
        filter_string: str,
        *,
        order_by: Sequence[str] = (),
        max_results: int | None = None,
    ) -> list[Run]:
        """All runs of these experiments that match, over as many pages as it takes."""
        found: list[Run] = []
        token = None
        with self._asking(f"search for runs with the filter {filter_string!r}"):
            while True:
                wanted = _RUNS_PER_PAGE if max_results is None else min(_RUNS_PER_PAGE, max_results - len(found))
                page = self._client.search_runs(
                    list(experiment_ids), filter_string, max_results=wanted, order_by=list(order_by), page_token=token
                )
                found += page
                token = page.token
                if not token or (max_results is not None and len(found) >= max_results):
                    return found

    def fetch(self, artifact_uri: str, path: str) -> bytes:
        """The content of one artifact file of a run, in one request where the server allows it."""
        with self._asking(f"download {path} from {artifact_uri}"):
            repository = get_artifact_repository(artifact_uri, tracking_uri=self.uri)
            if isinstance(repository, HttpArtifactRepository):
                # As MLflow does it, but in memory, and without asking what else the server could do.
                response = http_request(repository._host_creds, f"/{path}", "GET")  # noqa: SLF001
                augmented_raise_for_status(response)
                return bytes(response.content)
            with tempfile.TemporaryDirectory(prefix="gradiend-mlflow-") as folder:
                file = Path(folder, "artifact")  # not named after anything that the server says
                # The public download_artifacts first lists the folder: a second request for every file.
                repository._download_file(path, str(file))  # noqa: SLF001
                return file.read_bytes()

    def run_of_key(self, experiment_id: str, key: str) -> str | None:
        """The id of the run that was started under a key, if one was."""
        found = self.search([experiment_id], f"tags.`{tags.KEY}` = '{key}'", max_results=1)
        return str(found[0].info.run_id) if found else None

    @property
    def shown_uri(self) -> str:
        """The URI without its password, for messages."""
        return without_password(self.uri, "***")

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        with self.patience.used():
            try:
                yield
            except StoreError:
                raise
            except Exception as error:  # MLflow lets through requests', SQLAlchemy's and its plugins' exceptions
                kind = UnavailableError if self.patience.may_pass(error) else StoreError
                reason = f"{reason_of(error)}{self.patience.told}"
                raise kind(f"could not {what} at MLflow on {self.shown_uri}: {reason}") from error


def _is_refusal(error: MlflowException) -> bool:
    """Whether it is the values that MLflow does not take, and not the run that is no more."""
    return error.error_code == "INVALID_PARAMETER_VALUE" and _OF_A_DELETED_RUN not in str(error)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
