"""`describe_run` and `ui_page`: what one run is, what came of it, and where MLflow's UI shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.display.results import Shown, html_facts, html_link
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.runs.named import find_run
from gradiend_mlflow.runs.search import experiments_of, time_of
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.reader import LoggedRun, Reader
from gradiend_mlflow.store.ui.pages import address_of, command_of_ui, page_of_run, page_of_view
from gradiend_mlflow.store.ui.views import VIEWS
from gradiend_mlflow.wording import named, some_of

_RESULTS = re.compile(r"(best|overlap|seeds?)/.+|eval/(\w+/)?correlation")  # metrics that say what came of it
_ABOUT = {
    "base model": tags.BASE_MODEL,
    "seed": tags.SEED,
    "converged": tags.CONVERGED,
    "gradiend's run_id": tags.RUN_ID,
    "directory": tags.DIRECTORY,
    "failure": tags.FAILURE,
    "superseded by": tags.SUPERSEDED_BY,
}
_ASKED = {"part": "part", "topk": "topk", "measure": "value", "runs": "n_runs"}  # params of a comparison


@dataclass(frozen=True, repr=False)
class RunDescription(Shown):
    """What a run of ours is, and what came of it; a notebook shows it as a table.

    Attributes:
        run_id: MLflow's id.
        run_name: What it is called.
        kind: "training", "seed", "suite" or "comparison".
        status: MLflow's, or DELETED.
        experiment: The experiment's name.
        start_time: UTC; None if unknown.
        end_time: UTC; None if it has not ended.
        about: What was trained, or asked, by name.
        results: The metrics that answer: the selected model's, or the overlap's.
        sets: The number of weights of each part's set.
        left_out: The parts that it has no set of, each with the reason.
        source_runs: The ids of the runs that a comparison is of.
        page: The address of its page in MLflow's UI.
        start_ui: The command that starts the UI, where no server has it already.
    """

    run_id: str
    run_name: str
    kind: str
    status: str
    experiment: str
    start_time: datetime | None
    end_time: datetime | None
    about: Mapping[str, str]
    results: Mapping[str, float]
    sets: Mapping[str, int]
    left_out: Mapping[str, str]
    source_runs: tuple[str, ...]
    page: str
    start_ui: str | None

    def facts(self) -> dict[str, str]:
        """All of it as a person reads it: texts by name, in the order of their weight."""
        when = "" if self.start_time is None else f", {self.start_time:%Y-%m-%d %H:%M} UTC"
        took = ""
        if self.start_time is not None and self.end_time is not None:
            took = f", took {self.end_time - self.start_time}".partition(".")[0]
        facts = {
            self.kind: f"{self.run_name}  ({self.run_id})",
            "experiment": self.experiment,
            "status": f"{self.status}{when}{took}",
            **self.about,
            **{key: f"{value:.4g}" for key, value in self.results.items()},
            **{f"set {part}": f"{k:,} weights" for part, k in self.sets.items()},
            **{f"no set {part}": reason for part, reason in self.left_out.items()},
        }
        if self.source_runs:
            facts["of"] = " ".join(some_of(self.source_runs))
        facts["page"] = self.page
        if self.start_ui:
            facts["start the UI"] = self.start_ui
        return facts

    def _line(self) -> str:
        return f"{self.kind} {named([self.run_name])}, {self.status}, in {named([self.experiment])}"

    def _html(self) -> Iterator[str]:
        yield html_facts({name: text for name, text in self.facts().items() if text not in {self.page, self.start_ui}})
        yield html_link(self.page if self.start_ui is None else f"{self.page} (start `{self.start_ui}`)")


def describe_run(run: Any, *, tracking_uri: str | None = None) -> RunDescription:
    """What one training, seed, suite or comparison is, and what came of it; nothing is downloaded.

    Args:
        run: MLflow's id, a name that one run has, or a row with a `run_id`.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Raises:
        InvalidInputError: If the run is not one of GRADIEND's, or several have that name: they are listed.
        StoreError: If there is no such run, or MLflow cannot be reached.
    """
    store = Reader(tracking_uri)
    found = find_run(store, run)
    kind = found.tags.get(tags.KIND)
    if kind is None:
        raise InvalidInputError(f"the run {found.run_id} is not one of GRADIEND's: it has no tag {tags.KIND}")
    experiments = store.experiments()
    return RunDescription(
        run_id=found.run_id,
        run_name=found.name,
        kind=kind,
        status=found.status,
        experiment=experiments.get(found.experiment_id, found.experiment_id),
        start_time=time_of(found.start_time),
        end_time=time_of(found.end_time),
        about=_about(found),
        results={key: found.metrics[key] for key in sorted(found.metrics) if _RESULTS.fullmatch(key)},
        sets={part: entry["k"] for part, entry in tags.sets_of(found.tags).items()},
        left_out=tags.left_out_of(found.tags),
        source_runs=tuple(tags.strings_of(found.tags, tags.SOURCE_RUNS)),
        page=address_of(page_of_run(found.experiment_id, found.run_id), store.uri),
        start_ui=command_of_ui(store.uri),
    )


def ui_page(
    run: Any = None,
    *,
    experiment_name: str | None = None,
    view: str = "trainings",
    tracking_uri: str | None = None,
) -> tuple[str, str | None]:
    """The address of a page in MLflow's UI: a run's, or a view of an experiment's run list.

    Args:
        run: MLflow's id of a run, a name that one run has, or a row with a `run_id`; default none.
        experiment_name: The experiment whose runs are shown; default the active one.
        view: Which view of it: "trainings", "comparisons" or "seeds".
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Returns:
        The address, and the command that starts the UI; None where a server has it already.

    Raises:
        InvalidInputError: If both a run and an experiment are given, or `view` is none of these.
        StoreError: If the run or the experiment does not exist, or MLflow cannot be reached.
    """
    views = {one.name.lower(): one for one in VIEWS}
    shown = views[check_choice("view", view, list(views))]
    if run is not None and experiment_name is not None:
        raise InvalidInputError("give a run or an experiment, not both: a run has one page, wherever it is")
    store = Reader(tracking_uri)
    if run is not None:
        found = find_run(store, run)
        page = page_of_run(found.experiment_id, found.run_id)
    else:
        (experiment_id,) = experiments_of(store, experiment_name, None, everywhere=False)
        page = page_of_view(experiment_id, shown)
    return address_of(page, store.uri), command_of_ui(store.uri)


def _about(run: LoggedRun) -> dict[str, str]:
    if run.tags.get(tags.KIND) == tags.COMPARISON:
        return {name: run.params[param] for name, param in _ASKED.items() if param in run.params}
    classes = tags.target_classes_of(run.tags)
    told = {name: run.tags[tag] for name, tag in _ABOUT.items() if tag in run.tags}
    return {"target classes": ", ".join(classes), **told} if classes else told
