"""Reading from MLflow with a deadline: experiments, runs, metrics, artifact files; errors name the server."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment, LifecycleStage, Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import fluent
from mlflow.utils.credentials import get_default_host_creds

from gradiend_mlflow.checks import check_names
from gradiend_mlflow.errors import ArtifactError, DeniedError, StoreError, UnavailableError
from gradiend_mlflow.forks import at_work
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.current import chosen_experiment, is_current, origin_of
from gradiend_mlflow.store.mlflow_patches import shield_random
from gradiend_mlflow.store.places.databases import bound_connections, is_database
from gradiend_mlflow.store.places.downloads import download
from gradiend_mlflow.store.places.faults import account_advice, is_denied, reason_of
from gradiend_mlflow.store.retries import Haste, Retries, reading_deadline
from gradiend_mlflow.store.secrets import has_secrets, masked, scrubbed
from gradiend_mlflow.store.trust.paging import all_pages, pages
from gradiend_mlflow.store.uris import absent_place, opening
from gradiend_mlflow.untrusted import quoted

DEFAULT_EXPERIMENT_ID = "0"
_RUNS_PER_PAGE = 1000
_VALUES_PER_PAGE = 25_000  # of a metric, as MLflow's client asks


@dataclass(frozen=True)
class LoggedRun:
    """A run as MLflow stores it. Times in milliseconds since the epoch; `metrics` are the latest values."""

    run_id: str
    name: str
    experiment_id: str
    status: str  # MLflow's, or DELETED
    start_time: int
    end_time: int | None
    artifact_uri: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]


class Reader:
    """A tracking server, or a database without one, to read from; where there is none, none is created.

    Args:
        tracking_uri: Its address; default is what `mlflow.get_tracking_uri()` returns now.
        once: Make each request once, for a caller who repeats it himself. By default a request that is not answered
            is repeated for as many seconds as the environment variable GRADIEND_MLFLOW_DEADLINE says (30).
        timeout: How many seconds a request may take; default and maximum are 30.

    Raises:
        InvalidInputError: If `tracking_uri` is neither a string nor None.
        StoreError: From every method, if MLflow refuses the request or cannot be reached; it names the server. It is
            an `UnavailableError` if the same call may work later.
    """

    creates = False  # whether a database that is not there is created

    def __init__(self, tracking_uri: str | None = None, *, once: bool = False, timeout: float | None = None) -> None:
        check_names(tracking_uri=tracking_uri)
        self.uri: str = tracking_uri or mlflow.get_tracking_uri()
        self._origin = origin_of(tracking_uri)
        self.retries = Retries(None if once else reading_deadline(), timeout)

    @cached_property
    def _client(self) -> MlflowClient:
        if not self.creates and (place := absent_place(self.uri)) is not None:
            raise StoreError(
                f"there is no MLflow database at {place}, {self._origin}. Name the one that has your runs, such as "
                "http://127.0.0.1:5000 or sqlite:////path/to/mlflow.db: in a shell with --tracking-uri or the "
                "environment variable MLFLOW_TRACKING_URI, in Python with mlflow.set_tracking_uri(...) or "
                "tracking_uri=..."
            )
        if is_database(self.uri):
            bound_connections()
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
        """The URI without its secrets, for messages."""
        return masked(self.uri)

    @contextmanager
    def _asking(self, action: str, haste: Haste | None = None) -> Iterator[None]:
        """Limit the requests of the block; turn whatever they raise into a StoreError that names the action."""
        failure: StoreError | None = None
        cause: Exception | None = None
        with self.retries.used(haste), at_work():
            try:
                yield
            except StoreError as error:
                if (text := scrubbed(str(error), self.uri, self._sent())) == str(error):
                    raise
                failure = type(error)(text)  # it quoted what a server has answered
            except Exception as error:  # MLflow lets through the exceptions of requests, SQLAlchemy and its plugins
                failure, cause = self._failure(action, error), error
        if failure is None:
            return
        if cause is not None and not (has_secrets(self.uri) or self._sent()):
            raise failure from cause
        try:
            raise failure from None
        finally:
            failure.__context__ = None  # the texts of the causes may contain what is secret

    def _failure(self, action: str, error: Exception) -> StoreError:
        place, sent = self.retries.asked, self._sent()
        where = f"the artifact store {place}" if place else f"MLflow on {self.shown_uri}"
        told = scrubbed(f"could not {action} at {where}", self.uri, sent)
        told = f"{told}: {reason_of(error, self.uri, sent)}"
        if self.retries.may_pass(error):
            return UnavailableError(f"{told}{self.retries.explanation}", place=place)
        if is_denied(error):
            return DeniedError(f"{told}{account_advice(error, place)}")
        return StoreError(told)

    def _sent(self) -> frozenset[str]:
        """What proves who the user is, beside the address: MLflow's settings, and what the last request had."""
        known = get_default_host_creds(self.uri)
        return self.retries.sent | {secret.strip() for secret in (known.password, known.token) if secret}

    def active_experiment_id(self) -> str:
        """The experiment that MLflow's own calls would log to now; on a server that is not MLflow's current one, 0."""
        with self._asking("find the active experiment"):
            if not is_current(self.uri):
                return DEFAULT_EXPERIMENT_ID
            _, name = chosen_experiment()
            found = None if name is None else self._client.get_experiment_by_name(name)
            if name is not None and found is None and not self.creates:  # MLflow would create it
                missing = self._no_experiment("name", name, self.experiments().values())
                raise StoreError(f"{missing}; MLFLOW_EXPERIMENT_NAME names it")
            return str(fluent._get_experiment_id())  # noqa: SLF001  # what MLflow's own flavors ask

    def experiments(self) -> dict[str, str]:
        """The name of every active experiment, by its id."""
        with self._asking("list the experiments"):
            found = all_pages(
                lambda token: self._client.search_experiments(max_results=_RUNS_PER_PAGE, page_token=token)
            )
        return {experiment.experiment_id: experiment.name for experiment in found}

    def find_experiments(self, names: Sequence[str], ids: Sequence[str]) -> dict[str, str]:
        """The experiments with these names and these ids, as names by id.

        Raises:
            StoreError: If one does not exist; it lists the experiments with the most similar names or ids. If one is
                deleted; it says how to restore it.
        """
        by_id = self.experiments()
        by_name = {name: experiment_id for experiment_id, name in by_id.items()}
        for what, wanted, existing in (("name", names, by_name), ("id", ids, by_id)):
            for key in wanted:
                if key not in existing:
                    self.check_not_deleted(**{what: key})
                    raise StoreError(self._no_experiment(what, key, existing))
        return {by_name[name]: name for name in names} | {experiment_id: by_id[experiment_id] for experiment_id in ids}

    def check_not_deleted(self, *, name: str = "", id: str = "") -> None:  # noqa: A002  # as in MLflow
        """Accept an experiment, by its name or its id, that is not deleted, or not there.

        Raises:
            StoreError: If it is deleted; it says how to restore it.
        """
        with self._asking(f"find the experiment {name or id!r}"):
            try:
                found = self._client.get_experiment_by_name(name) if name else self._client.get_experiment(id)
            except MlflowException as error:
                if self.retries.may_pass(error):
                    raise
                return
            if found is not None:
                self.refuse_deleted(found)

    def refuse_deleted(self, experiment: Experiment) -> None:
        """Raise a StoreError that says how to restore it if an experiment is deleted."""
        if experiment.lifecycle_stage == LifecycleStage.DELETED:
            raise StoreError(
                f"the experiment {experiment.name!r} of MLflow at {self.shown_uri} is deleted. Restore it with "
                f"`mlflow experiments restore --experiment-id {experiment.experiment_id}`, or choose another name"
            )

    def _no_experiment(self, what: str, key: str, existing: Collection[str]) -> str:
        near = difflib.get_close_matches(key, existing, n=3, cutoff=0.5) or sorted(existing)[:10]
        some = "" if len(near) == len(existing) else f", among {len(existing)}"
        return (
            f"MLflow at {self.shown_uri} has no experiment with the {what} {key!r}. It has{some}: "
            f"{', '.join(map(repr, near)) or 'none'}"
        )

    def run(self, run_id: str) -> LoggedRun:
        """One run with its tags, params and latest metrics."""
        with self._asking(f"find the run {run_id}"):
            return _logged(self._client.get_run(run_id))

    def metric_history(self, run_id: str, key: str) -> dict[int, float]:
        """A metric's values by step; where a step has several, the last."""
        with self._asking(f"read the metric {key!r} of the run {run_id}"):
            # The public function turns pages for as long as the server names another.
            history = self._client._tracking_client.store.get_metric_history  # noqa: SLF001
            points = all_pages(lambda token: history(run_id, key, max_results=_VALUES_PER_PAGE, page_token=token))
            return {point.step: point.value for point in points}

    def search(
        self,
        experiment_ids: Sequence[str],
        filter_string: str,
        *,
        order_by: Sequence[str] = (),
        max_results: int | None = None,
        progress: bool | None = False,
    ) -> list[LoggedRun]:
        """All runs of these experiments that match the filter, on however many pages; at most `max_results`.

        With `progress`, which is as for `with_progress`, a bar counts the pages.
        """
        with self._asking(f"search for runs with the filter {filter_string!r}"):
            size = min(max_results or _RUNS_PER_PAGE, _RUNS_PER_PAGE)
            asked = partial(self._client.search_runs, list(experiment_ids), filter_string, ViewType.ACTIVE_ONLY, size)
            found = all_pages(partial(asked, list(order_by)), max_results, progress=progress)
        return [_logged(run) for run in found[:max_results]]

    def search_pages(
        self, experiment_ids: Sequence[str], filter_string: str, *, order_by: Sequence[str] = ()
    ) -> Iterator[list[LoggedRun]]:
        """The same page by page, for a caller who must not hold all runs at once; each page has a deadline."""

        def page_after(token: str | None) -> Any:
            with self._asking(f"search for runs with the filter {filter_string!r}"):
                asked = list(experiment_ids), filter_string, ViewType.ACTIVE_ONLY, _RUNS_PER_PAGE, list(order_by)
                return self._client.search_runs(*asked, token)

        return ([_logged(run) for run in page] for page in pages(page_after))

    def fetch(self, artifact_uri: str, path: str, *, sha256: str, most: int, haste: Haste | None = None) -> bytes:
        """The content of one artifact file of a run, downloaded in one request where the server allows it.

        Raises:
            ArtifactError: If the content has more than `most` bytes or does not have that SHA-256.
            StoreError: If it cannot be downloaded, or does not lie where artifacts may lie.
        """
        with self._asking(f"download {path} from {quoted(artifact_uri)}", haste):
            content = download(artifact_uri, path, most, tracking_uri=self.uri, retries=self.retries)
        if len(content) > most:
            raise ArtifactError(f"{path} has more than the {most:,} bytes that such a file may have")
        digest = hashlib.sha256(content).hexdigest()
        if digest != sha256:
            raise ArtifactError(
                f"{path} is not the file that was logged: its SHA-256 is {digest[:12]}…, and the run listed "
                f"{sha256[:12]}… when it was looked up. If it has been logged again since then, search again"
            )
        return content

    def run_of_key(self, experiment_id: str, key: str) -> str | None:
        """The id of the run that was started with this key (the tag `gradiend.key`), if there is one."""
        for carried in (tags.shown_key(key), key):  # earlier versions tagged runs with the key itself
            if found := self.search([experiment_id], f"tags.`{tags.KEY}` = '{carried}'", max_results=1):
                return found[0].run_id
        return None


def _logged(run: Run) -> LoggedRun:
    return LoggedRun(
        run_id=run.info.run_id,
        name=run.info.run_name,
        experiment_id=run.info.experiment_id,
        status="DELETED" if run.info.lifecycle_stage == LifecycleStage.DELETED else run.info.status,
        start_time=run.info.start_time,
        end_time=run.info.end_time,
        artifact_uri=run.info.artifact_uri,
        tags=run.data.tags,
        params=run.data.params,
        metrics=run.data.metrics,
    )
