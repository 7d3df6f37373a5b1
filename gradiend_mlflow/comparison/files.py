"""The files that a comparison keeps in its run: written, and read back."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.comparison.comparison import Comparison
from gradiend_mlflow.comparison.labels import TRAINING_RUN
from gradiend_mlflow.comparison.report import MOST_RUNS, steps_up_to, write_report
from gradiend_mlflow.comparison.selection import Skipped
from gradiend_mlflow.errors import ArtifactError, InvalidInputError
from gradiend_mlflow.overlap.overlap import compute_overlap
from gradiend_mlflow.overlap.seeds import SeedOverlap, SeedPolicy
from gradiend_mlflow.runs.search import COLUMN_TYPES, COLUMNS
from gradiend_mlflow.sets.artifact import parse_topk, save_topk
from gradiend_mlflow.sets.parts import shown_topk
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.reader import LoggedRun, Reader

FACTS = "comparison.json"
SETS = "sets.zip"
FORMAT = 1  # of comparison.json and sets.zip

_SET_NAME = "{:05d}.parquet"  # in sets.zip, by row
_PIECE = 2**20
_PREVIEWED_PAIRS = 500  # rows that the UI shows of a table


def write_files(comparison: Comparison, folder: Path) -> None:
    """Write all of a comparison's files into `folder`."""
    comparison.matrix.to_csv(folder / "matrix.csv")
    comparison.pairs.head(_PREVIEWED_PAIRS).to_csv(folder / "pairs.csv", index=False)
    comparison.runs.drop(columns=["sets", "params", "tags"]).to_csv(folder / "runs.csv", index=False)
    _write_sets(comparison, folder / SETS)
    facts = facts_of(comparison) | {"sets_sha256": sha256_of(folder / SETS)}
    with (folder / FACTS).open("w", encoding="utf-8") as file:
        json.dump(facts, file, default=_jsonable, allow_nan=False)
    write_report(comparison, folder / "report.html")
    _draw(comparison, folder)


def sha256_of(file: Path) -> str:
    """The hex digest of a file, read in pieces, because with 2000 runs it has hundreds of megabytes."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while piece := content.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _draw(comparison: Comparison, folder: Path) -> None:
    from gradiend_mlflow.figures.drawing.canvas import save
    from gradiend_mlflow.figures.venn import VENN_SIZES

    n = len(comparison.shown.labels)
    title = f"{comparison.part}, top {shown_topk(comparison.topk)}"
    save(comparison.plot_heatmap(title=title), folder / "overlap_heatmap")
    if n in VENN_SIZES:
        save(comparison.plot_venn(title=title), folder / "venn")
    if 2 < n <= MOST_RUNS and comparison.regions:  # noqa: PLR2004  # a Venn diagram shows all of two sets; no figure shows very many
        save(comparison.plot_upset(title=title), folder / "upset")
    if n <= MOST_RUNS:  # a curve has a matrix per point
        # Fewer points than by default, because with many runs each takes a while.
        ks = steps_up_to(int(comparison.whole.sizes.min()))
        save(comparison.plot_curve(title=f"{comparison.part}, as k grows", ks=ks), folder / "curve")
    if comparison.regions:  # the intersection of seeds may be empty in every training
        save(comparison.plot_layers(title=title), folder / "layers")


def _write_sets(comparison: Comparison, path: Path) -> None:
    """The sets as they are compared, each as the file of a top-k set."""
    with tempfile.TemporaryDirectory(prefix="gradiend-mlflow-") as temporary, zipfile.ZipFile(path, "w") as archive:
        for row, topk_set in enumerate(comparison.sets.values()):
            file = Path(temporary, _SET_NAME.format(row))
            save_topk(topk_set, file)
            # ZipInfo has a fixed time, so that the same sets make the same file.
            archive.writestr(zipfile.ZipInfo(file.name), file.read_bytes())


def facts_of(comparison: Comparison) -> dict[str, Any]:
    """What `load_comparison` needs besides the sets, and the numbers for other readers; matrices are arrays."""
    overlap, chance = comparison.overlap, comparison.chance()
    facts = {
        "format": FORMAT,
        "part": comparison.part,
        "topk": comparison.topk,
        "value": comparison.value,
        "rbo_p": overlap.rbo_p,
        "labels": list(overlap.labels),
        "sizes": overlap.sizes.tolist(),
        "intersection": overlap.intersection,
        "matrix": {"labels": list(comparison.shown.labels), "values": comparison.matrix.to_numpy()},
        "chance": {name: getattr(chance, name) for name in ("expected", "p_value", "q_value")},
        "runs": _run_facts(comparison),
        "groups": comparison.groups,
        "skipped": [asdict(run) for run in comparison.skipped],
        "notes": list(comparison.notes),
    }
    if comparison.seed_overlap is not None:
        facts["seeds"] = {
            **asdict(comparison.seed_overlap.policy),
            "labels": list(comparison.seed_overlap.labels),
            "members": comparison.seed_overlap.members,
        }
    return facts


def _run_facts(comparison: Comparison) -> list[dict[Any, Any]]:
    """The rows of `runs`, with the SHA-256 of each set that was compared; None for missing values."""
    runs = comparison.runs[["label", *COLUMNS, TRAINING_RUN]].astype(object)
    return [
        row | {"sha256": row["sets"][comparison.part]["sha256"]}
        for row in runs.where(runs.notna(), None).to_dict("records")
    ]


def _jsonable(value: pd.Timestamp | npt.NDArray[Any]) -> Any:
    """A time or an array in types that JSON knows; NaN becomes null.

    Of a matrix only one row at a time becomes a list: with many runs the whole would fill the memory.
    """
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if value.ndim > 1:
        return list(value)
    return np.where(np.isnan(value), np.array(None), value).tolist()


def load_comparison(run_id: str, *, tracking_uri: str | None = None) -> Comparison:
    """Load a logged comparison from its own run; the compared runs need not exist any more.

    The comparison holds the sets as they were compared, so every measure, chance level, layer, shared weight, table
    and figure is that of the comparison that `compare` returned. It does not hold weights beyond the compared `topk`:
    `stored` is `sets`, and `overlap_curve` ends there.

    Args:
        run_id: MLflow's id of the comparison's run, `comparison.run_id`.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Raises:
        InvalidInputError: If the run is not a comparison, or was not completed.
        StoreError: If the run does not exist or MLflow cannot be reached.
        ArtifactError: If its files are damaged or not those that were logged.

    Example:
        ::

            load_comparison(run_id).matrix
    """
    store = Reader(tracking_uri)
    run = store.run(run_id)
    if run.tags.get(tags.KIND) != tags.COMPARISON:
        raise InvalidInputError(f"the run {run_id} is not a comparison")
    facts, archive = fetch_files(store, run)
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        sets = {
            label: parse_topk(files.read(_SET_NAME.format(row)), origin=f"{SETS}, {label}")
            for row, label in enumerate(facts["labels"])
        }
    return _rebuilt(facts, sets, run_id)


def fetch_files(store: Reader, run: LoggedRun) -> tuple[dict[str, Any], bytes]:
    """The content of a comparison's comparison.json and its sets.zip, both verified.

    Raises:
        InvalidInputError, StoreError, ArtifactError: As for `load_comparison`.
    """
    digest = run.tags.get(tags.COMPARISON_SHA256)
    if digest is None:
        raise InvalidInputError(f"the comparison {run.run_id} was not completed, or was logged without its sets")
    facts = json.loads(store.fetch(run.artifact_uri, FACTS, sha256=digest))
    if facts["format"] != FORMAT:
        raise ArtifactError(f"{FACTS} is of the format {facts['format']}; this version reads {FORMAT}")
    return facts, store.fetch(run.artifact_uri, SETS, sha256=facts["sets_sha256"])


def _rebuilt(facts: dict[str, Any], sets: dict[str, TopKSet], run_id: str) -> Comparison:
    overlap = compute_overlap(sets, rbo_p=facts["rbo_p"])
    seed_overlap = None
    if "seeds" in facts:
        policy = dict(facts["seeds"])
        labels, members = tuple(policy.pop("labels")), tuple(map(tuple, policy.pop("members")))
        seed_overlap = SeedOverlap(labels, overlap, members, SeedPolicy(**policy))
    return Comparison(
        overlap=overlap,
        sets=sets,
        stored=sets,
        runs=_runs(facts["runs"]),
        part=facts["part"],
        topk=facts["topk"],
        value=facts["value"],
        seed_overlap=seed_overlap,
        groups=facts["groups"],
        skipped=tuple(Skipped(**run) for run in facts["skipped"]),
        notes=tuple(facts["notes"]),
        run_id=run_id,
    )


def _runs(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The frame of `Comparison.runs`, with the types of `search_runs`."""
    frame = pd.DataFrame(rows, dtype=object).drop(columns="sha256")
    for column in ("target_classes", "parts"):
        frame[column] = frame[column].map(tuple)
    frame["start_time"] = pd.to_datetime(frame["start_time"], format="ISO8601")
    return frame.astype(COLUMN_TYPES)
