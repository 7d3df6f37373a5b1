"""Where gradiend puts what a training leaves, and the trainings below a directory.

The layout below an experiment directory::

    model/                  the selected model, with training.json; model_best/ instead where both are kept
    seeds/seed_<n>/         the seeds that were tried, and seeds/seed_report.json
    lr_search.json          the learning-rate search
    training_convergence.*  its plot
    encoded_values*, encoder_*, decoder_*  what evaluations after the training wrote
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradiend_mlflow import tags
from gradiend_mlflow.errors import CheckpointError

RECORD = "training.json"
CONFIG = "config.json"
LR_SEARCH = "lr_search.json"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
JOURNALS = ".gradiend-mlflow"  # what MLflow has not been told yet; see journal.py
_SEEDS = "seeds"
_REPORT = "seed_report.json"
_NOT_TRAININGS = (
    *(_SEEDS, JOURNALS, "lr_search", "cache"),
    *("decoder_mlm_head", "classification_head", "custom_prediction_head"),
)
_SEED = re.compile(r"seed_-?\d+")
_OF_EARLIER_STEP = re.compile(r"(.+)_(?:epoch_\d+|step_\d+|temp)")
_OF_EVALUATIONS = re.compile(r"(encoded_values|encoder_|decoder_).*\.(csv|json|png|pdf|svg)")
_IN_TRAINING = ("encoded_values.json", "encoded_values.csv")  # of the evaluations by which the best step is found


@dataclass(frozen=True)
class TrainingDirectory:
    """Where one training's results lie: its experiment directory, the selected model, the seeds that were tried."""

    experiment_dir: Path
    model: Path
    seeds: tuple[Path, ...] = ()

    @staticmethod
    def of(model: Path, experiment_dir: Path | None = None) -> TrainingDirectory:
        """The training whose selected model lies in `model`; gradiend names that directory `model` by default."""
        if experiment_dir is None:
            experiment_dir = model.parent if model.name in ("model", "model_best") else model
        seeds = [path for path in (experiment_dir / _SEEDS).glob("seed_*") if _SEED.fullmatch(path.name)]
        recorded = [best_of(seed) for seed in sorted(seeds, key=seed_number) if (seed / RECORD).is_file()]
        return TrainingDirectory(experiment_dir, model, tuple(recorded))

    def report_file(self) -> Path:
        """Where gradiend's report on the choice among the seeds lies, if there is one."""
        return self.experiment_dir / _SEEDS / _REPORT

    def report(self) -> Mapping[str, Any] | None:
        """That report."""
        return read_json(self.report_file())

    def reports(self) -> tuple[Path, ...]:
        """What gradiend writes beside models: the seed report and the result of a learning-rate search."""
        return _existing(self.report_file(), self.experiment_dir / LR_SEARCH)

    def files(self) -> dict[str, tuple[Path, ...]]:
        """The files that a run holds, by artifact folder."""
        return {
            tags.FILES_FOLDER: (*_existing(self.model / RECORD, self.model / CONFIG), *self.reports()),
            tags.FIGURES_FOLDER: _existing(*sorted(self.experiment_dir.glob("training_convergence.*"))),
            tags.EVALUATION_FOLDER: tuple(self.evaluation_files()),
        }

    def evaluation_files(self) -> Iterator[Path]:
        """What evaluations of the selected model wrote: tables, results and plots, all newer than its training."""
        trained = modified(self.model / RECORD)
        for folder in (self.experiment_dir, *self._plot_folders()):
            for file in sorted(folder.iterdir()):
                named = _OF_EVALUATIONS.fullmatch(file.name) and file.name not in _IN_TRAINING
                if named and file.is_file() and modified(file) > trained:
                    yield file

    def _plot_folders(self) -> Iterator[Path]:
        """Where gradiend puts some plots: a folder named after the run_id, below the experiment directory."""
        for file in sorted(self.experiment_dir.glob("**/decoder_probability_shifts*")):
            folder = file.parent
            between = folder.relative_to(self.experiment_dir).parts
            if (
                between
                and JOURNALS not in between
                and not any((self.experiment_dir / part / "model").exists() for part in between)
            ):
                yield folder
                return

    def fingerprint(self) -> str:
        """A digest of all that a run of it holds, equal as long as nothing has changed; weights count by size."""
        digest = hashlib.sha256()
        for folder, files in sorted(self.files().items()):
            for file in files:
                digest.update(f"{folder}/{file.name}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
        for seed in self.seeds:
            digest.update(hashlib.sha256((seed / RECORD).read_bytes()).digest())
        for directory in (self.model, *self.seeds):
            sizes = [(directory / name).stat().st_size for name in _WEIGHTS if (directory / name).is_file()]
            digest.update(f"{sizes}\0".encode())
        return digest.hexdigest()


def find_trainings(path: Path) -> list[TrainingDirectory]:
    """The finished trainings in and below a directory, in the order of their ends.

    What is no training of its own is passed by: the probes of a learning-rate search, caches, heads, and the last
    step's model where the best step's is kept beside it. A seed's directory counts if it is `path` itself.
    """
    found = [TrainingDirectory.of(here) for here in _walk(path) if (here / RECORD).is_file() and _is_selected(here)]
    return sorted(found, key=lambda training: (modified(training.model / RECORD), training.model))


def unfinished_trainings(path: Path) -> list[Path]:
    """Experiment directories below `path` with seeds but without a selected model: trainings that were broken off."""
    return [
        here
        for here in _walk(path)
        if any((here / _SEEDS).glob(f"seed_*/{RECORD}"))
        and not any((here / name / RECORD).is_file() for name in ("model", "model_best", "."))
    ]


def _walk(path: Path) -> Iterator[Path]:
    """`path` and the directories below it, in order, each once even if links lead there again."""
    seen: set[str] = set()
    for folder, below, _ in os.walk(path, followlinks=True):
        real = os.path.realpath(folder)
        below[:] = [] if real in seen else sorted(name for name in below if name not in _NOT_TRAININGS)
        if real not in seen:
            yield Path(folder)
        seen.add(real)


def _is_selected(model: Path) -> bool:
    """Whether no better model lies beside it: the best step's, or the last where this is of an earlier one."""
    if best_of(model) != model:
        return False
    earlier = _OF_EARLIER_STEP.fullmatch(model.name)
    return not (earlier and (model.with_name(earlier.group(1)) / RECORD).is_file())


def best_of(model: Path) -> Path:
    """The directory of the best step's model, which gradiend may keep beside the last step's."""
    best = model.with_name(f"{model.name}_best")
    return best if (best / CONFIG).is_file() else model


def seed_number(directory: Path) -> int:
    """Which seed a directory below `seeds` is of."""
    return int(directory.name.removeprefix("seed_").removesuffix("_best"))


def has_weights(directory: Path) -> bool:
    """Whether a model's directory still holds its weights."""
    return any((directory / name).is_file() for name in _WEIGHTS)


def read_json(file: Path) -> Mapping[str, Any] | None:
    """A JSON object, or None if the file does not exist.

    Raises:
        CheckpointError: If it is there and no JSON object.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CheckpointError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file} should hold a JSON object; it holds a {type(content).__name__}")
    return content


def _existing(*files: Path) -> tuple[Path, ...]:
    return tuple(file for file in files if file.is_file())


def modified(file: Path) -> float:
    """When a file was last written, in seconds since the epoch; 0 if it does not exist."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0
