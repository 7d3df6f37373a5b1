"""The files that a comparison leaves in its run: figures, tables, the sets, everything as JSON."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gradiend_mlflow.artifact import save_topk
from gradiend_mlflow.canvas import save
from gradiend_mlflow.labels import TRAINING_RUN
from gradiend_mlflow.parts import shown_topk
from gradiend_mlflow.report import MOST_RUNS, steps_up_to, write_report
from gradiend_mlflow.runs import COLUMNS
from gradiend_mlflow.venn import VENN_SIZES

if TYPE_CHECKING:
    from gradiend_mlflow.comparison import Comparison

FACTS = "comparison.json"
SETS = "sets.zip"
FORMAT = 1  # of comparison.json and sets.zip

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
        file.writelines(_pieces(facts))
    write_report(comparison, folder / "report.html")
    _draw(comparison, folder)


def sha256_of(file: Path) -> str:
    """The hex digest of a file, piece by piece: of 2000 runs it has hundreds of megabytes."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while piece := content.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _draw(comparison: Comparison, folder: Path) -> None:
    n = len(comparison.shown.labels)
    title = f"{comparison.part}, top {shown_topk(comparison.topk)}"
    save(comparison.plot_heatmap(title=title), folder / "overlap_heatmap")
    if n in VENN_SIZES:
        save(comparison.plot_venn(title=title), folder / "venn")
    if 2 < n <= MOST_RUNS:  # noqa: PLR2004  # of two sets the Venn diagram says it all; of very many no picture does
        save(comparison.plot_upset(title=title), folder / "upset")
    if n <= MOST_RUNS:  # a curve has a matrix per point
        # Fewer points than the curve has by itself: of many runs each takes a while.
        ks = steps_up_to(int(comparison.whole.sizes.min()))
        save(comparison.plot_curve(title=f"{comparison.part}, as k grows", ks=ks), folder / "curve")
    save(comparison.plot_layers(title=title), folder / "layers")


def _write_sets(comparison: Comparison, path: Path) -> None:
    """The compared sets as they are compared, each as the file of a top-k set, by row."""
    with tempfile.TemporaryDirectory(prefix="gradiend-mlflow-") as temporary, zipfile.ZipFile(path, "w") as archive:
        for row, topk_set in enumerate(comparison.sets.values()):
            file = Path(temporary, set_name(row))
            save_topk(topk_set, file)
            # With a fixed time, so that the same sets make the same file.
            archive.writestr(zipfile.ZipInfo(file.name), file.read_bytes())


def set_name(row: int) -> str:
    """The name in `sets.zip` of the set of a row."""
    return f"{row:05d}.parquet"


def facts_of(comparison: Comparison) -> dict[str, Any]:
    """All that `load_comparison` needs but the sets, and the numbers for whoever reads JSON; matrices are arrays."""
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
        "runs": _runs(comparison),
        "groups": comparison.groups,
        "skipped": [asdict(run) for run in comparison.skipped],
        "notes": list(comparison.notes),
    }
    if comparison.seed_overlap is not None:
        facts["seeds"] = {
            **asdict(comparison.seed_overlap.policy),
            "labels": list(comparison.seed_overlap.labels),
            "members": [[int(row) for row in rows] for rows in comparison.seed_overlap.members],
        }
    return facts


def _runs(comparison: Comparison) -> list[dict[str, Any]]:
    """The rows of `runs`, in types that JSON knows, with the SHA-256 of each set that was compared."""
    columns = ["label", *COLUMNS, *([TRAINING_RUN] if TRAINING_RUN in comparison.runs else [])]
    rows = []
    for row in comparison.runs[columns].astype(object).to_dict("records"):
        known = {str(name): None if _is_missing(value) else value for name, value in row.items()}
        known["start_time"] = None if known["start_time"] is None else known["start_time"].isoformat()
        rows.append(known | {"sha256": row["sets"][comparison.part]["sha256"]})
    return rows


def _is_missing(value: Any) -> bool:
    return bool(np.ndim(value) == 0 and not isinstance(value, dict) and pd.isna(value))


def _pieces(value: Any) -> Iterator[str]:
    """A value as JSON in pieces, arrays row by row: as Python's lists those of many runs would fill the memory.

    NaN, which JSON does not know, becomes null.
    """
    if isinstance(value, Mapping) and value:
        for number, (key, item) in enumerate(value.items()):
            yield f"{', ' if number else '{'}{json.dumps(key)}: "
            yield from _pieces(item)
        yield "}"
    elif isinstance(value, np.ndarray):
        for number, row in enumerate(value):
            listed = [None if np.isnan(cell) else cell for cell in row.tolist()]
            yield f"{', ' if number else '['}{json.dumps(listed, allow_nan=False)}"
        yield "]"
    else:
        yield json.dumps(value, allow_nan=False)
