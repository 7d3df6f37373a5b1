"""Where gradiend puts what a training leaves.

The layout below an experiment directory::

    model/                  the selected model, with training.json; model_best/ instead where both are kept
    seeds/seed_<n>/         the seeds that were tried, and seeds/seed_report.json
    lr_search.json          the learning-rate search
    training_convergence.*  its plot
    encoded_values*, encoder_*, decoder_*  what evaluations after the training wrote
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from gradiend_mlflow.disk.trees import is_inside, leads_out, read_regular, sha256_of
from gradiend_mlflow.errors import CheckpointError
from gradiend_mlflow.store import tags
from gradiend_mlflow.untrusted import as_dict, check_depth, parse_json

TRAINING_FILE = "training.json"
CONFIG = "config.json"
CONTEXT = "gradiend_context.json"
LR_SEARCH = "lr_search.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
SEEDS = "seeds"
_TENSORS = (".safetensors", ".bin")  # weights, and the selections of inputs that they are for
_SEED = re.compile(r"seed_-?\d+")
_OF_EVALUATIONS = re.compile(r"(encoded_values|encoder_|decoder_).*\.(csv|json|png|pdf|svg)")
_SAMPLES, _SAMPLE_BYTES = 64, 4096
_MOST_BYTES = 256 * 2**20  # of a JSON file: a training file with the losses of ten million steps
_STUB_BYTES = 1000  # gradiend may write only the first 120 characters of a training file
_IN_TRAINING = ("encoded_values.json", "encoded_values.csv")  # of the evaluations by which the best step is found


@dataclass(frozen=True)
class TrainingDirectory:
    """Where one training's results lie: its experiment directory, the selected model, the seeds that were tried.

    Files count only if they lie in `root`: links that lead out of it are not followed.
    """

    experiment_dir: Path
    model: Path
    root: Path
    seeds: tuple[Path, ...] = ()

    @staticmethod
    def of(model: Path, experiment_dir: Path | None = None, root: Path | None = None) -> TrainingDirectory:
        """The training whose selected model lies in `model`.

        Args:
            model: The model's directory.
            experiment_dir: The experiment directory that its trainer names. It counts only if the model lies in it,
                because a training can be told to write elsewhere. Default: the parent of a directory called `model`
                or `model_best`, else `model` itself.
            root: The directory that the user has named. It counts only if the experiment directory lies in it, which
                is the default.
        """
        model = model.resolve()
        around = None if experiment_dir is None else experiment_dir.resolve()
        if around is None or not model.is_relative_to(around):
            around = model.parent if model.name in ("model", "model_best") else model
        named = None if root is None else root.resolve()
        root = named if named is not None and around.is_relative_to(named) else around
        finished = [seed for seed in _seeds_in(around) if _holds(root, seed / TRAINING_FILE)]
        return TrainingDirectory(around, model, root, tuple(map(best_of, finished)))

    @property
    def report_file(self) -> Path:
        """Where gradiend's report on the choice among the seeds lies, if there is one."""
        return self.experiment_dir / SEEDS / "seed_report.json"

    def reports(self) -> tuple[Path, ...]:
        """What gradiend writes beside models: the seed report and the result of a learning-rate search."""
        return self._existing(self.report_file, self.experiment_dir / LR_SEARCH)

    def files(self) -> dict[str, tuple[Path, ...]]:
        """The files that a run holds, by artifact folder."""
        return {
            tags.FILES_FOLDER: (*self._existing(self.model / TRAINING_FILE, self.model / CONFIG), *self.reports()),
            tags.FIGURES_FOLDER: self._existing(*self._plots()),
            tags.EVALUATION_FOLDER: self.evaluation_files(),
        }

    def evaluation_files(self) -> tuple[Path, ...]:
        """The tables, results and plots that evaluations of the selected model wrote, oldest first.

        Only files that are newer than the training count.
        """
        trained = modified(self.model / TRAINING_FILE)
        found = self._existing(*self._evaluations())
        return tuple(sorted((file for file in found if modified(file) > trained), key=modified))

    def _plots(self) -> list[Path]:
        return sorted(self.experiment_dir.glob("training_convergence.*"))

    def _evaluations(self) -> list[Path]:
        own = self.experiment_dir.parts[1:]  # without the root
        # gradiend puts some plots into a folder named after the run_id, which it has appended already.
        folders = [
            self.experiment_dir,
            *(self.experiment_dir.joinpath(*own[-n:]) for n in range(1, min(len(own), 3) + 1)),
        ]
        return [
            file
            for folder in folders
            if folder.is_dir() and is_inside(folder, self.root)
            for file in sorted(folder.iterdir())
            if _OF_EVALUATIONS.fullmatch(file.name) and file.name not in _IN_TRAINING
        ]

    def links_out(self) -> tuple[Path, ...]:
        """What would be a part of the training, and is left out because it is a link that leads out of `root`."""
        models = [file for model in (self.model, *self.seeds) for file in _entries(model)]
        reports = [self.report_file, self.experiment_dir / LR_SEARCH]
        others = [*_seeds_in(self.experiment_dir), *reports, *self._plots(), *self._evaluations()]
        return tuple(file for file in (*models, *others) if leads_out(file, self.root))

    def has_weights(self, model: Path) -> bool:
        """Whether a model's directory still holds its weights, and no link by which reading them would lead out."""
        kept = any(_holds(self.root, model / name) for name in WEIGHTS)
        read = [file for file in _entries(model) if file.name == CONFIG or file.suffix in _TENSORS or file.is_dir()]
        return kept and not any(leads_out(file, self.root) for file in read)

    def json_of(self, file: Path) -> Mapping[str, Any]:
        """The JSON object in a file; an empty one if the file does not exist, or only as a link that leads out.

        Raises:
            CheckpointError: If the file exists and holds no JSON object.
        """
        return {} if leads_out(file, self.root) else read_json(file)

    def fingerprint(self) -> str:
        """A digest of all that a run of this training holds, equal as long as nothing has changed.

        Weights count by their size; by samples, too, if the training file beside them is a stub, which does not tell
        two trainings apart.
        """
        digest = hashlib.sha256()
        for folder, files in sorted(self.files().items()):
            for file in sorted(files):
                digest.update(f"{folder}/{file.name}\0".encode() + sha256_of(file))
        for directory in (self.model, *self.seeds):
            training_files = self._existing(directory / TRAINING_FILE)
            for file in training_files:
                digest.update(sha256_of(file))
            is_stub = all(file.stat().st_size < _STUB_BYTES for file in training_files)
            for file in self._existing(*(directory / name for name in WEIGHTS)):
                digest.update(
                    f"{file.stat().st_size}\0".encode() + (_samples(file) if is_stub and file.stat().st_size else b"")
                )
        return digest.hexdigest()

    def _existing(self, *files: Path) -> tuple[Path, ...]:
        return tuple(file for file in files if _holds(self.root, file))


def best_of(model: Path) -> Path:
    """The directory of the best step's model, which gradiend may keep beside the last step's."""
    best = model.with_name(f"{model.name}_best")
    return best if (best / CONFIG).is_file() else model


def seed_number(directory: Path) -> int:
    """The seed that a directory below `seeds` is of."""
    return int(directory.name.removeprefix("seed_").removesuffix("_best"))


def read_json(file: Path) -> Mapping[str, Any]:
    """The JSON object in a file; an empty one if the file does not exist.

    Raises:
        CheckpointError: If the file exists and holds no JSON object.
    """
    try:
        content = parse_json(read_regular(file, most=_MOST_BYTES), most=_MOST_BYTES, non_finite=True)
        check_depth(content)
        return as_dict(content, "it")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error


def _samples(file: Path) -> bytes:
    """Some blocks of a file, evenly spread: enough to tell two trainings' weights apart in no time."""
    with file.open("rb") as opened, mmap(opened.fileno(), 0, access=ACCESS_READ) as content:
        starts = [len(content) * number // _SAMPLES for number in range(_SAMPLES)]
        return b"".join(content[start : start + _SAMPLE_BYTES] for start in starts)


def _holds(root: Path, file: Path) -> bool:
    """Whether there is such a file, and no link on the way to it leads out of `root`."""
    return file.is_file() and is_inside(file, root)


def _seeds_in(experiment_dir: Path) -> list[Path]:
    found = [path for path in (experiment_dir / SEEDS).glob("seed_*") if _SEED.fullmatch(path.name)]
    return sorted(found, key=seed_number)


def _entries(model: Path) -> list[Path]:
    """What lies in a model's directory, at the two levels where gradiend looks for it."""
    return [file for folder in (model, model / "model") if folder.is_dir() for file in sorted(folder.iterdir())]


def modified(file: Path) -> float:
    """When a file was last written, in seconds since the epoch; 0 if it does not exist."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0
