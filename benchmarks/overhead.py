"""What tracking costs a training, and its journal: `python -m benchmarks.overhead [--quick]`.

A step's cost is that of our hook, with the journal, while a server takes the records; where the weights are ranked at
a step, that of ranking a live GRADIEND. Whole trainings - those of the quickstart, with one seed - are timed in turns
without the plugin, with it, with sets of every tenth step, and with it before a server that takes connections and
never answers: `train()` alone, and how long its run is still on its way afterwards. `sync` sends a journal of many
steps.
"""

from __future__ import annotations

import gc
import hashlib
import math
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from gradiend import TextPredictionTrainer, TrainingArguments
from gradiend.model import ParamMappedGradiendModel

import gradiend_mlflow
from benchmarks.harness import Outcome, Row, alternate, progress, require, run_and_report
from gradiend_mlflow import MLflowCallback
from gradiend_mlflow.delivery.journals.journal import Journal, find_journals
from gradiend_mlflow.delivery.journals.records import Destination, EndRun, LogMetrics, StartRun
from gradiend_mlflow.store import pending
from gradiend_mlflow.store.store import MetricPoint
from gradiend_mlflow.tracking.loops.logged_sets import StepSets
from gradiend_mlflow.trainings.options import LogOptions
from tests.support.server import mlflow_server
from tests.support.synthetic import bert_parameters, write_checkpoint

_numbers = count()


def run(*, quick: bool) -> Outcome:
    """Time steps, trainings (quick: 2 rounds of 20 steps, else 9 of 100) and `sync` of 20,000 steps (quick: 1,000)."""
    steps, rounds, journaled = (20, 2, 1000) if quick else (100, 9, 20_000)
    with tempfile.TemporaryDirectory(prefix="gradiend-benchmark-") as folder, mlflow_server(Path(folder)) as uri:
        hook, size = _steps(uri, Path(folder, "hook"))
        ranked = {what: _ranked(Path(folder, what), shapes) for what, shapes in _live_models(quick=quick).items()}
        trainings, after = _trainings(uri, Path(folder, "train"), steps, rounds)
        sent = _sync(uri, Path(folder, "sync"), journaled)
    limit = trainings["without"]
    rows = [
        Row("one training step: our hook, with the journal", "us", {"ours": hook}, always_full=True),
        *(Row(f"the set of a step, {what}", "ms", samples) for what, samples in ranked.items()),
        Row(f"train() of the quickstart, {steps} steps", "s", {"ours": trainings["with"], "limit": limit}),
        Row("the same, with sets of every tenth step", "s", {"ours": trainings["sets of steps"], "limit": limit}),
        Row("the same, the server is a black hole", "s", {"ours": trainings["black hole"], "limit": limit}),
        Row("what is delivered after train() has returned", "s", {"ours": after}),
        Row(f"sync a journal of {journaled} steps", "s", {"ours": sent}),
    ]
    shares = {
        name: statistics.median((ours - plain) / plain for ours, plain in zip(trainings[name], limit, strict=True))
        for name in ("with", "sets of steps", "black hole")
    }
    note = (
        f"Overhead: train() takes {shares['with']:+.1%} longer with the plugin, {shares['sets of steps']:+.1%} with "
        f"sets of every tenth step, and {shares['black hole']:+.1%} with a server that never answers (medians over "
        f"{rounds} paired rounds; the limit is train() without it, and all leave the same model). The set of a step "
        "is ranked from the live model; its limit is one pass over the part's weights. "
        f"The journal takes {size:.0f} bytes a step; sync sends "
        f"{journaled / statistics.median(sent):.0f} steps of 5 values a second."
    )
    return Outcome(rows, [note], {"shares": shares, "journal_bytes_per_step": size})


def _steps(uri: str, folder: Path, number: int = 3000) -> tuple[list[float], float]:
    """Microseconds of each call of our hook, and bytes in the journal per step."""
    progress("overhead: steps")
    config = {"experiment_dir": str(folder), "output_dir": str(folder / "model"), "max_seeds": 1, "seed": 0}
    stats: dict[str, Any] = {"encoder_norms": {}, "decoder_norms": {}, "scores": {}, "mean_by_feature_class": {}}
    callback = MLflowCallback(experiment_name="steps", tracking_uri=uri)
    callback.on_train_begin(config=config, training_stats=stats)
    journal = find_journals(folder)[0].folder / "journal.jsonl"
    before, samples = journal.stat().st_size, []
    for step in range(1, number + 1):
        for name in ("encoder_norms", "decoder_norms", "scores"):
            stats[name][step] = 1.0 / (step + 2)
        stats["mean_by_feature_class"][step] = {"3SG": 1.0 / (step + 3)}
        begun = time.perf_counter()
        callback.on_step_end(step=step, loss=1.0 / (step + 4), model=None, config=config, training_stats=stats)
        samples.append((time.perf_counter() - begun) * 1e6)
        time.sleep(0.0005)  # a training does something between its steps
    size = (journal.stat().st_size - before) / number
    callback._last.close("FINISHED", wait=True)  # noqa: SLF001  # there is no checkpoint to end with
    require(not find_journals(folder), "not all was delivered")
    return samples, size


def _live_models(*, quick: bool) -> dict[str, Mapping[str, tuple[int, ...]]]:
    """The parameters of base models, by what they are."""
    large = bert_parameters(hidden=256, layers=4) if quick else bert_parameters()
    models = {"of a tiny model": bert_parameters(hidden=16, layers=1), "of BERT's size": large}
    return {f"{what} ({sum(map(math.prod, shapes.values())) / 1e6:.0f}M)": shapes for what, shapes in models.items()}


def _ranked(folder: Path, shapes: Mapping[str, tuple[int, ...]], number: int = 15) -> dict[str, list[float]]:
    """Milliseconds of ranking a live GRADIEND at a step, and of one pass over the weights that are ranked."""
    progress("overhead: sets of steps")
    write_checkpoint(folder, shapes, seed=1)
    model = ParamMappedGradiendModel.from_pretrained(str(folder))
    step_sets, passed = StepSets(LogOptions(topk_steps=1)), model.decoder[0].linear.weight.detach().numpy()
    steps = count()
    contenders = {
        "ours": lambda: step_sets.rank(next(steps), model, evaluated=False),
        "limit": lambda: float(abs(passed).max()),
    }
    step_sets.rank(next(steps), model, evaluated=False)
    seconds = alternate(contenders, {"ours": number, "limit": number}, lambda _: None)
    return {name: [1000 * one for one in own] for name, own in seconds.items()}


def _trainings(uri: str, folder: Path, steps: int, rounds: int) -> tuple[dict[str, list[float]], list[float]]:
    """Seconds of `train()` by contender, in paired rounds, and of what is delivered after it."""
    samples: dict[str, list[float]] = {"without": [], "with": [], "sets of steps": [], "black hole": []}
    after = []
    with _black_hole() as hole:
        servers = {"without": None, "with": uri, "sets of steps": uri, "black hole": hole}
        for number in range(rounds + 1):
            digests = {}
            for name, server in servers.items():
                progress(f"round {number} of {rounds}: {name}")
                gc.collect()
                seconds, digests[name] = _train(folder, steps, server, 10 if name == "sets of steps" else None)
                begun = time.perf_counter()
                gradiend_mlflow.flush()  # so that it does not fall into the next one's time
                if number > 0:  # the first round loads what is loaded once
                    samples[name].append(seconds)
                    after += [time.perf_counter() - begun] if name == "with" else []
            _are_equal(digests)
    pending._active.clear()  # noqa: SLF001  # what waits for the black hole goes with its folder
    return samples, after


def _are_equal(results: Mapping[str, Any]) -> None:
    require(len(set(results.values())) == 1, f"tracking has changed the result of the training: {results}")


def _train(folder: Path, steps: int, uri: str | None, topk_steps: int | None) -> tuple[float, str]:
    """Train as the quickstart does; returns the seconds of `train()` and a digest of the model."""
    from quickstart import PRONOUNS, build_base_model, pronoun_sentences

    base_model = folder / "base_model"
    if not base_model.exists():
        build_base_model(base_model)
    trainer = TextPredictionTrainer(
        model=str(base_model),
        run_id="3SG_3PL",
        data={name: pronoun_sentences(name) for name in PRONOUNS},
        target_classes=["3SG", "3PL"],
        random_state=0,
        args=TrainingArguments(
            experiment_dir=str(folder / f"run_{next(_numbers)}"),
            learning_rate=1e-3,
            max_steps=steps,
            eval_steps=max(1, steps // 3),
            train_batch_size=8,
            encoder_eval_max_size=20,
            max_seeds=1,
        ),
    )
    if uri is not None:
        gradiend_mlflow.autolog(experiment_name="trainings", tracking_uri=uri, topk_steps=topk_steps)
    try:
        begun = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - begun
    finally:
        gradiend_mlflow.autolog(disable=True)
    return seconds, hashlib.sha256(Path(trainer.model_path, "model.safetensors").read_bytes()).hexdigest()


@contextmanager
def _black_hole() -> Iterator[str]:
    """A server that takes every connection and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1000)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def _sync(uri: str, folder: Path, steps: int) -> list[float]:
    def check(results: Mapping[str, Any]) -> None:
        require(results["ours"] == ["synced"], "sync failed")

    folders = [folder / str(next(_numbers)) for _ in range(3)]
    for place in folders:
        _write_journal(place, uri, steps, place.name)
    waiting = iter(folders)

    def send() -> Any:
        return gradiend_mlflow.sync(next(waiting), tracking_uri=uri, progress=False)["result"].tolist()

    return alternate({"ours": send}, {"ours": 3}, check)["ours"]


def _write_journal(folder: Path, uri: str, steps: int, key: str) -> None:
    journal = Journal(folder, uri)
    journal.append(StartRun(key, "run", {}, 1000, Destination(experiment_name="synced")))
    for step in range(steps):
        names = ("train/loss", "train/encoder_norm", "train/decoder_norm", "eval/correlation", "eval/mean/3SG")
        journal.append(LogMetrics(key, tuple(MetricPoint(name, 1 / (step + 2), 1000 + step, step) for name in names)))
    journal.append(EndRun(key, "FINISHED", 1000 + steps))
    journal.close()


if __name__ == "__main__":
    run_and_report("overhead", [run])
