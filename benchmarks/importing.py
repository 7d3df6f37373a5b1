"""Importing finished trainings into an MLflow server: `python -m benchmarks.importing [--quick]`.

Many small trainings show what the requests cost: directories per second, the second time when nothing is new too. One
of BERT's size shows what its weights cost; the limit is one pass over their bytes in the page cache.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from benchmarks.extraction import limit
from benchmarks.harness import Outcome, Row, alternate, progress, require, run_and_report
from gradiend_mlflow import import_runs
from gradiend_mlflow.store import tags
from tests.support.server import mlflow_server
from tests.support.synthetic import bert_parameters, write_checkpoint

_STEPS = 100
_SMALL = {"embeddings.weight": (500, 16), "encoder.weight": (64, 64)}
_experiment_names = (f"import-{number}" for number in count())


def run(*, quick: bool) -> Outcome:
    """Time the import of 100 small trainings (quick: 8) and of one with 109M inputs (quick: 11M)."""
    number = 8 if quick else 100
    with tempfile.TemporaryDirectory(prefix="gradiend-benchmark-") as folder, mlflow_server(Path(folder)) as uri:
        progress(f"importing: writing {number} trainings")
        many = Path(folder, "many")
        for index in range(number):
            write_training(many / f"run_{index}" / "model", _SMALL, seed=index)
        shapes = bert_parameters(hidden=256, layers=4) if quick else bert_parameters()
        progress("importing: writing a large one")
        large = Path(folder, "large")
        extents = write_training(large / "model", shapes, seed=0)
        rows = [
            Row(f"import {number} small trainings", "s", _many(uri, many, number, again=False)),
            Row("import them again, nothing is new", "s", _many(uri, many, number, again=True)),
        ]
        processor: dict[str, list[float]] = {}
        what = f"import one training of {extents['decoder.0.linear.bias'][1] // 4 / 1e6:.0f}M inputs, all four parts"
        rows += [
            Row(what, "s", _large(uri, large, extents, processor)),
            Row("the same, processor time, picture included", "s", processor),
        ]
    rates = ", ".join(f"{number / row.figure('ours'):.0f}" for row in rows[:2] if row.figure("ours"))
    note = (
        f"Importing: {rates} directories a second, the first time and again, each with {_STEPS} steps of 4 metrics "
        "and four sets; the limit of the large one is one pass over its tensors' bytes in the page cache."
    )
    return Outcome(rows, [note])


def write_training(model: Path, shapes: Mapping[str, tuple[int, ...]], *, seed: int) -> dict[str, tuple[int, int]]:
    """Write a finished training with one seed, as gradiend leaves it; returns its tensors' places in their file."""
    extents = write_checkpoint(model, shapes, seed=seed)
    steps = [str(step) for step in range(1, _STEPS + 1)]
    by_step = {step: 1.0 / int(step) for step in steps}
    record = {
        "training_args": {"experiment_dir": str(model.parent.parent), "output_dir": str(model), "seed": seed},
        "training_stats": {"scores": by_step, "encoder_norms": by_step, "decoder_norms": by_step},
        "losses": list(by_step.values()),
        "best_score_checkpoint": {"correlation": 1.0, "global_step": 1},
        "convergence_info": {"converged": True},
        "time": {"total": 60.0},
    }
    (model / "training.json").write_text(json.dumps(record), encoding="utf-8")
    return extents


def _many(uri: str, folder: Path, number: int, *, again: bool) -> dict[str, list[float]]:
    def check(results: Mapping[str, Any]) -> None:
        found = results["ours"]["result"].tolist()
        require(found == ["unchanged" if again else "imported"] * number, f"the import did something else: {found}")

    name = next(_experiment_names)
    if again:
        _import(uri, folder, name)
    return alternate(
        {"ours": lambda: _import(uri, folder, name if again else next(_experiment_names))}, {"ours": 3}, check
    )


def _large(
    uri: str, folder: Path, extents: Mapping[str, tuple[int, int]], processor: dict[str, list[float]]
) -> dict[str, list[float]]:
    weights = folder / "model" / "model.safetensors"
    wanted = sum(size for _, size in extents.values())

    def check(results: Mapping[str, Any]) -> None:
        require(results["limit"] == wanted, "the limit did not read all bytes")
        run = MlflowClient(uri).get_run(results["ours"]["run_id"][0])
        require(len(json.loads(run.data.tags[tags.TOPK])) == 4, "the imported run lacks sets")  # noqa: PLR2004

    limit(weights, [*extents.values()])  # so that nobody has to go to the disk
    return alternate(
        {
            "ours": lambda: _import(uri, folder, next(_experiment_names)),
            "limit": lambda: limit(weights, [*extents.values()]),
        },
        {"ours": 5, "limit": 5},
        check,
        processor=processor,
    )


def _import(uri: str, folder: Path, experiment_name: str) -> Any:
    return import_runs(folder, experiment_name=experiment_name, tracking_uri=uri, progress=False)


if __name__ == "__main__":
    run_and_report("importing", [run])
