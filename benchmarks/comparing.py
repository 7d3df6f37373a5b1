"""Comparing runs from the question to the heatmap: `python -m benchmarks.comparing [--quick]`.

Each figure is of a whole process: a script as a user writes it, from the interpreter's start to its end. Ours asks a
database with the runs' sets; the peer loads the checkpoints that the sets were logged from. Then ours alone, with ever
more runs.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

# Read when MLflow is imported or used, here and in the scripts.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import numpy as np
from mlflow import MlflowClient

from benchmarks.harness import Outcome, Row, progress, require, run_and_report
from benchmarks.memory import Taken, is_measurable, script_takes
from benchmarks.pulling import PART, PATH, STORED, random_set
from gradiend_mlflow import WeightSpace, log_topk, save_topk
from gradiend_mlflow.store import tags
from tests.support.synthetic import Shapes, bert_parameters, write_checkpoint

TOPK = 1000
_CHECKED = 10  # runs whose counts are computed anew
_REPETITIONS = 3
_MANY = 1000  # runs whose comparison is not repeated
_SPACE = WeightSpace(tuple(bert_parameters()), tuple(bert_parameters().values()), base_model="bert-base")

_OURS = """
import sys
import numpy as np
import gradiend_mlflow

uri, number, topk, log, cache, figure, matrix = sys.argv[1:]
runs = gradiend_mlflow.search_runs("benchmark", max_results=int(number), tracking_uri=uri)
comparison = gradiend_mlflow.compare(
    runs, topk=int(topk), value="intersection", log=log == "log", refresh=True, cache=cache, tracking_uri=uri
)
comparison.plot_heatmap().savefig(figure)
np.save(matrix, comparison.matrix.to_numpy())
"""

# One model after the other, because twelve of BERT-base's size do not fit into the memory at once; gradiend by itself
# would load all of them before it ranks the first. The plot then asks for what was ranked.
_PEER = """
import sys
import numpy as np
from gradiend.trainer.suite.definitions import _load_gradiend_only_model
from gradiend.visualizer import plot_topk_overlap_heatmap

topk, figure, matrix, *checkpoints = sys.argv[1:]


class Ranked:
    def __init__(self, checkpoint):
        self.weights = _load_gradiend_only_model(checkpoint).get_topk_weights(part="decoder-weight", topk=int(topk))

    def get_topk_weights(self, **_):
        return self.weights


models = {checkpoint: Ranked(checkpoint) for checkpoint in checkpoints}
shown = plot_topk_overlap_heatmap(models, topk=int(topk), percentages=False, show=False, output_path=figure)
np.save(matrix, np.asarray(shown["matrix"]))
"""

# What ours cannot do without: to load MLflow, its database and matplotlib. It compares nothing and draws nothing.
_LIMIT = """
import sys
from matplotlib.figure import Figure
from mlflow import MlflowClient

uri, figure = sys.argv[1:]
MlflowClient(uri).search_experiments()
Figure().savefig(figure)
"""


def run(*, quick: bool) -> Outcome:
    """Compare 12 runs of 109M inputs (quick: 4 of 11M) both ways, and up to 2000 runs (quick: 30) our way."""
    if not is_measurable():
        return Outcome([], ["Comparing: not measured, as this system does not tell a process's anonymous memory."])
    shapes = bert_parameters(hidden=256, layers=4) if quick else bert_parameters()
    with tempfile.TemporaryDirectory(prefix="gradiend-benchmark-") as folder:
        paired = _paired(Path(folder, "paired"), shapes, count=4 if quick else 12)
    samples, logged = _grown(quick=quick)
    growth = [*_growth(samples), *_growth({max(samples): [logged]}, also=", and log it with report and all figures")]
    notes = [
        (
            "Comparing: whole processes, their start and the heatmap's PNG included, the local cache empty. The peer "
            "releases each model once it is ranked, which takes less memory than gradiend's own way to load them all. "
            "The limit loads MLflow, the database and matplotlib, and compares nothing."
        ),
        f"Of more runs, sets of {STORED:,} random weights are compared whole; they have next to nothing in common.",
    ]
    return Outcome([*paired, *growth], notes)


def log_checkpoints(folder: Path, shapes: Shapes, count: int) -> tuple[str, list[Path]]:
    """Write checkpoints and log their sets to a database; two of a kind each, so that there is something to share."""
    uri, experiment_id = _database(folder)
    client = MlflowClient(uri)
    checkpoints = [folder / f"checkpoint-{number}" for number in range(count)]
    for number, checkpoint in enumerate(checkpoints):
        progress(f"comparing: writing and logging {checkpoint.name}")
        write_checkpoint(checkpoint, shapes, seed=number // 2)
        run_id = client.create_run(experiment_id, run_name=checkpoint.name).info.run_id
        log_topk(checkpoint, run_id=run_id, topk=STORED, parts=[PART], tracking_uri=uri)
        client.set_terminated(run_id)
    return uri, checkpoints


def log_sets(folder: Path, count: int) -> str:
    """Fill a database with runs and their artifacts, as `gradiend_mlflow.log_topk` leaves them; returns its URI."""
    uri, experiment_id = _database(folder)
    client = MlflowClient(uri)
    for number in range(count):
        file = folder / "set.parquet"
        save_topk(random_set(_SPACE, number), file)
        entry = {"path": PATH, "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "k": STORED}
        run_tags = {tags.KIND: tags.TRAINING, tags.TOPK: json.dumps({PART: entry})}
        run = client.create_run(experiment_id, run_name=f"run-{number}", tags=run_tags)
        target = Path(urlsplit(run.info.artifact_uri).path, PATH)
        target.parent.mkdir(parents=True)
        file.replace(target)
        client.update_run(run.info.run_id, status="FINISHED")
    return uri


def _database(folder: Path) -> tuple[str, str]:
    folder.mkdir()
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    experiment_id = MlflowClient(uri).create_experiment("benchmark", artifact_location=(folder / "runs").as_uri())
    return uri, experiment_id


def _paired(folder: Path, shapes: Shapes, *, count: int) -> list[Row]:
    uri, checkpoints = log_checkpoints(folder, shapes, count)
    os.sync()  # gigabytes were written
    matrices = {name: folder / f"{name}.npy" for name in ("ours", "logged", "peer")}
    taken: dict[str, list[Taken]] = {"ours": [], "logged": [], "limit": []}
    for _ in range(_REPETITIONS):
        taken["ours"].append(_ours(uri, count, TOPK, "no", matrices["ours"]))
        taken["logged"].append(_ours(uri, count, TOPK, "log", matrices["logged"]))
        taken["limit"].append(script_takes(_LIMIT, uri, str(folder / "limit.png")))
    progress("comparing: the peer")
    arguments = [str(folder / "peer.png"), str(matrices["peer"]), *map(str, checkpoints)]
    taken["peer"] = [script_takes(_PEER, str(TOPK), *arguments)]
    ours, logged, peer = (np.load(file) for file in matrices.values())
    require(np.array_equal(ours, peer) and np.array_equal(logged, peer), "ours and the peer's matrices differ")
    require(ours[0, 1] == TOPK, "the first two runs should share all their weights")
    for checkpoint in checkpoints:
        shutil.rmtree(checkpoint)
    inputs = sum(math.prod(shape) for shape in shapes.values())
    seconds = {name: [one.seconds for one in some] for name, some in taken.items()}
    gigabytes = {name: [one.peak / 1e9 for one in some] for name, some in taken.items()}
    beyond = [logged - ours for logged, ours in zip(seconds["logged"], seconds["ours"], strict=True)]
    what = f"compare {count} runs of {inputs / 1e6:.0f}M inputs and draw the heatmap, the whole process"
    return [
        Row(work, unit, {"ours": figures[name], "peer": figures["peer"], "limit": figures["limit"]})
        for name, also in (("ours", ""), ("logged", ", and log it with report and all figures"))
        for work, unit, figures in (
            (f"{what}{also}", "s", seconds),
            ("its peak anonymous memory", "GB", gigabytes),
        )
    ] + [Row(f"compare() of {count} runs, logged, beyond the same with log=False", "s", {"ours": beyond})]


def growth_samples(*, quick: bool) -> dict[int, list[Taken]]:
    """What whole comparisons of ever more runs took, by their number: three times each where it is short."""
    return _grown(quick=quick)[0]


@cache  # the growth's curve is this too
def _grown(*, quick: bool) -> tuple[dict[int, list[Taken]], Taken]:
    """The same, and what the comparison of most runs took that was logged."""
    numbers = (30,) if quick else (10, 30, 100, 300, 1000, 2000)
    with tempfile.TemporaryDirectory(prefix="gradiend-benchmark-") as temporary:
        folder = Path(temporary, "growing")
        progress(f"comparing: logging {max(numbers)} runs")
        uri = log_sets(folder, max(numbers))
        some = [set(random_set(_SPACE, number).base_global_indices().tolist()) for number in range(_CHECKED)]
        expected = [[len(a & b) for b in some] for a in some]
        samples = {
            number: _compared(folder, uri, number, expected, repetitions=1 if quick or number >= _MANY else 3)
            for number in numbers
        }
        return samples, _ours(uri, max(numbers), STORED, "log", folder / "logged.npy")


def _compared(folder: Path, uri: str, number: int, expected: list[list[int]], *, repetitions: int) -> list[Taken]:
    matrices = [folder / f"{number}-{repetition}.npy" for repetition in range(repetitions)]
    taken = [_ours(uri, number, STORED, "no", file) for file in matrices]
    for file in matrices:
        matrix = np.load(file)
        require(np.array_equal(matrix[:_CHECKED, :_CHECKED], expected), "the first runs' counts are wrong")
        require(matrix.shape == (number, number), f"{number} runs should be compared")
    return taken


def _growth(samples: Mapping[int, Sequence[Taken]], *, also: str = "") -> list[Row]:
    return [
        row
        for number, taken in samples.items()
        for row in (
            Row(
                f"compare {number:,} runs, k = {STORED:,}, the whole process{also}",
                "s",
                {"ours": [one.seconds for one in taken]},
            ),
            Row("its peak anonymous memory", "GB", {"ours": [one.peak / 1e9 for one in taken]}),
        )
    ]


def _ours(uri: str, number: int, topk: int, log: str, matrix: Path) -> Taken:
    progress(f"comparing: ours, {number} runs")
    cache, figure = matrix.with_suffix(".cache"), matrix.with_suffix(".png")
    taken = script_takes(_OURS, uri, str(number), str(topk), log, str(cache), str(figure), str(matrix))
    shutil.rmtree(cache)
    return taken


if __name__ == "__main__":
    run_and_report("comparing", [run])
