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
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from gradiend_mlflow.errors import CheckpointError
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.pending import JOURNALS

TRAINING_FILE = "training.json"
CONFIG = "config.json"
LR_SEARCH = "lr_search.json"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_SEEDS = "seeds"
_NOT_TRAININGS = (_SEEDS, "lr_search", "cache", "decoder_mlm_head", "classification_head", "custom_prediction_head")
_OF_MLFLOW = re.compile(r"(m-)?[0-9a-f]{32}")  # a run's or a logged model's directory in a local store
_SEED = re.compile(r"seed_-?\d+")
_OF_EARLIER_STEP = re.compile(r"(?<=.)_(?:epoch_\d+|step_\d+|temp|best)$")
_OF_EVALUATIONS = re.compile(r"(encoded_values|encoder_|decoder_).*\.(csv|json|png|pdf|svg)")
_SAMPLES, _SAMPLE_BYTES = 64, 4096
_STUB_BYTES = 1000  # gradiend may write only the first 120 characters of a training file
_IN_TRAINING = ("encoded_values.json", "encoded_values.csv")  # of the evaluations by which the best step is found


@dataclass(frozen=True)
class TrainingDirectory:
    """Where one training's results lie: its experiment directory, the selected model, the seeds that were tried."""

    experiment_dir: Path
    model: Path
    seeds: tuple[Path, ...] = ()

    @staticmethod
    def of(model: Path, experiment_dir: Path | None = None) -> TrainingDirectory:
        """The training whose selected model lies in `model`.

        Args:
            model: The model's directory.
            experiment_dir: The experiment directory that its trainer names. It counts only if the model lies in it,
                because a training can be told to write elsewhere. Default: the parent of a directory called `model`
                or `model_best`, else `model` itself.
        """
        model = model.resolve()
        around = None if experiment_dir is None else experiment_dir.resolve()
        if around is None or not model.is_relative_to(around):
            around = model.parent if model.name in ("model", "model_best") else model
        seeds = [path for path in (around / _SEEDS).glob("seed_*") if _SEED.fullmatch(path.name)]
        finished = [best_of(seed) for seed in sorted(seeds, key=seed_number) if (seed / TRAINING_FILE).is_file()]
        return TrainingDirectory(around, model, tuple(finished))

    @property
    def report_file(self) -> Path:
        """Where gradiend's report on the choice among the seeds lies, if there is one."""
        return self.experiment_dir / _SEEDS / "seed_report.json"

    def reports(self) -> tuple[Path, ...]:
        """What gradiend writes beside models: the seed report and the result of a learning-rate search."""
        return _existing(self.report_file, self.experiment_dir / LR_SEARCH)

    def files(self) -> dict[str, tuple[Path, ...]]:
        """The files that a run holds, by artifact folder."""
        return {
            tags.FILES_FOLDER: (*_existing(self.model / TRAINING_FILE, self.model / CONFIG), *self.reports()),
            tags.FIGURES_FOLDER: _existing(*sorted(self.experiment_dir.glob("training_convergence.*"))),
            tags.EVALUATION_FOLDER: self.evaluation_files(),
        }

    def evaluation_files(self) -> tuple[Path, ...]:
        """The tables, results and plots that evaluations of the selected model wrote, oldest first.

        Only files that are newer than the training count.
        """
        own = self.experiment_dir.parts[1:]  # without the root
        # gradiend puts some plots into a folder named after the run_id, which it has appended already.
        folders = [
            self.experiment_dir,
            *(self.experiment_dir.joinpath(*own[-n:]) for n in range(1, min(len(own), 3) + 1)),
        ]
        trained = modified(self.model / TRAINING_FILE)
        found = [
            file
            for folder in folders
            if folder.is_dir()
            for file in sorted(folder.iterdir())
            if _OF_EVALUATIONS.fullmatch(file.name) and file.name not in _IN_TRAINING and file.is_file()
        ]
        return tuple(sorted((file for file in found if modified(file) > trained), key=modified))

    def fingerprint(self) -> str:
        """A digest of all that a run of this training holds, equal as long as nothing has changed.

        Weights count by their size; by samples, too, if the training file beside them is a stub, which does not tell
        two trainings apart.
        """
        digest = hashlib.sha256()
        for folder, files in sorted(self.files().items()):
            for file in sorted(files):
                digest.update(f"{folder}/{file.name}\0".encode() + _digest(file))
        for directory in (self.model, *self.seeds):
            training_files = _existing(directory / TRAINING_FILE)
            for file in training_files:
                digest.update(_digest(file))
            is_stub = all(file.stat().st_size < _STUB_BYTES for file in training_files)
            for file in _existing(*(directory / name for name in _WEIGHTS)):
                digest.update(
                    f"{file.stat().st_size}\0".encode() + (_samples(file) if is_stub and file.stat().st_size else b"")
                )
        return digest.hexdigest()


# ------------------------------------------------------------------------------------------------------- searching


@dataclass(frozen=True)
class FoundTrainings:
    """What lies below a directory: finished trainings, ordered by their ends, and what cannot be imported.

    `faults` are directories with the reason: trainings that were broken off, and directories that cannot be read.
    """

    trainings: tuple[TrainingDirectory, ...]
    faults: tuple[tuple[Path, str], ...]


def find_trainings(path: Path) -> FoundTrainings:
    """Look for trainings in and below a directory.

    What is no training of its own is passed over: the probes of a learning-rate search, caches, heads, and the models
    of earlier steps beside the selected one. A seed's directory counts only if it is `path` itself.
    """
    faults: list[tuple[Path, str]] = []
    trainings: list[TrainingDirectory] = []
    for here in _walk(path, faults):
        try:
            if (here / TRAINING_FILE).is_file() and _is_selected(here):
                trainings.append(TrainingDirectory.of(here))
            elif fault := _fault_of(here):
                faults.append((here, fault))
        except OSError as error:
            faults.append((here, f"it cannot be read: {error}"))
    trainings.sort(key=lambda training: (modified(training.model / TRAINING_FILE), training.model))
    return FoundTrainings(tuple(trainings), tuple(faults))


def _walk(path: Path, faults: list[tuple[Path, str]]) -> Iterator[Path]:
    """`path` and the directories below it, in order, each once even if links lead there again."""

    def add_fault(error: OSError) -> None:
        faults.append((Path(error.filename), f"it cannot be read: {error}"))

    seen: set[str] = set()
    for folder, below, names in os.walk(path, followlinks=True, onerror=add_fault):
        real = os.path.realpath(folder)
        if real in seen:
            below[:] = []
            continue
        seen.add(real)
        here = Path(folder)
        # Beside these, such names are gradiend's own; elsewhere they may be anybody's.
        is_experiment = {"model", "model_best", LR_SEARCH, TRAINING_FILE} & {*below, *names} or _has_seeds(here)
        # What runs hold in MLflow's store are copies.
        skip = _NOT_TRAININGS if is_experiment else ("artifacts",) if _OF_MLFLOW.fullmatch(here.name) else ()
        below[:] = sorted(name for name in below if name not in (JOURNALS, *skip))
        yield here


def _is_selected(model: Path) -> bool:
    """Whether this is the training's only model or, where gradiend keeps the best and the last step's, the best."""
    last = _last_of(model)
    is_best = model.name.endswith("_best") and (last / TRAINING_FILE).is_file()
    return best_of(model) == model and (last == model or is_best)


def _fault_of(here: Path) -> str | None:
    """Why a directory without a selected model should have one; None if there is no sign that it should."""
    if _has_seeds(here):
        selected = any((here / name / TRAINING_FILE).is_file() for name in ("model", "model_best", "."))
        return None if selected else "the training was broken off: there are seeds, but no selected model"
    if (_last_of(here) / TRAINING_FILE).is_file() or not _holds_gradiend(here):
        return None
    return f"there is a model, but no {TRAINING_FILE}: the training was broken off, or copied in part"


def _has_seeds(experiment_dir: Path) -> bool:
    return any((experiment_dir / _SEEDS).glob(f"seed_*/{TRAINING_FILE}"))


def _holds_gradiend(directory: Path) -> bool:
    """Whether a directory holds a GRADIEND, and not a base model or a head."""
    try:
        return has_weights(directory) and "mapping" in read_json(directory / CONFIG)
    except CheckpointError:
        return False


def _last_of(model: Path) -> Path:
    """The directory of the last step's model, if `model` is named like that of an earlier step; else `model`."""
    return model.with_name(_OF_EARLIER_STEP.sub("", model.name)) if model.name else model


def best_of(model: Path) -> Path:
    """The directory of the best step's model, which gradiend may keep beside the last step's."""
    best = model.with_name(f"{model.name}_best")
    return best if (best / CONFIG).is_file() else model


def seed_number(directory: Path) -> int:
    """The seed that a directory below `seeds` is of."""
    return int(directory.name.removeprefix("seed_").removesuffix("_best"))


# --------------------------------------------------------------------------------------------------------- files


def has_weights(directory: Path) -> bool:
    """Whether a model's directory still holds its weights."""
    return any((directory / name).is_file() for name in _WEIGHTS)


def read_json(file: Path) -> Mapping[str, Any]:
    """The JSON object in a file; an empty one if the file does not exist.

    Raises:
        CheckpointError: If the file exists and holds no JSON object.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise CheckpointError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file} should hold a JSON object; it holds a {type(content).__name__}")
    return content


def _digest(file: Path) -> bytes:
    return hashlib.sha256(file.read_bytes()).digest()


def _samples(file: Path) -> bytes:
    """Some blocks of a file, evenly spread: enough to tell two trainings' weights apart in no time."""
    with file.open("rb") as opened, mmap(opened.fileno(), 0, access=ACCESS_READ) as content:
        starts = [len(content) * number // _SAMPLES for number in range(_SAMPLES)]
        return b"".join(content[start : start + _SAMPLE_BYTES] for start in starts)


def _existing(*files: Path) -> tuple[Path, ...]:
    return tuple(file for file in files if file.is_file())


def modified(file: Path) -> float:
    """When a file was last written, in seconds since the epoch; 0 if it does not exist."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0
