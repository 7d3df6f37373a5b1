"""The files that a comparison keeps in its run. `loading.py` reads them back."""

from __future__ import annotations

import json
import os
import zipfile
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.comparison.comparison import Comparison
from gradiend_mlflow.comparison.report import MOST_RUNS, steps_up_to, write_report
from gradiend_mlflow.disk.trees import sha256_of
from gradiend_mlflow.display.progress import with_progress
from gradiend_mlflow.figures.given import VENN_SIZES
from gradiend_mlflow.overlap.statistics.group_test import GroupTest
from gradiend_mlflow.runs.labels import TRAINING_RUN
from gradiend_mlflow.runs.search import COLUMNS
from gradiend_mlflow.sets.artifact import topk_bytes
from gradiend_mlflow.wording import csv_of

FACTS = "comparison.json"
SETS = "sets.zip"
FORMAT = 1  # of comparison.json and sets.zip

SET_NAME = "{:05d}.parquet"  # in sets.zip, by row
_PREVIEWED_PAIRS = 500  # rows that the UI shows of a table
_AHEAD = 8  # sets that wait for those before them

Item = TypeVar("Item")
Made = TypeVar("Made")


def written_files(comparison: Comparison, folder: Path, *, progress: bool | None = False) -> Generator[Path]:
    """Write all of a comparison's files into `folder`, one after the other, and give each as soon as it is whole.

    There is a bar over them as `with_progress` has it. The sets are written aside: most of that is Arrow's work, most
    of the rest Python's own.
    """
    stopped = Event()
    with ThreadPoolExecutor(1) as aside:
        sets = aside.submit(_write_sets, comparison, folder / SETS, stopped)
        steps: list[Callable[[], Sequence[str]]] = [
            lambda: _write_tables(comparison, folder),
            lambda: _write_report(comparison, folder),
            lambda: _write_facts(comparison, folder, sets),
            *(partial(_draw, draw, folder, name) for name, draw in _figures(comparison)),
        ]
        try:
            for step in with_progress(steps, "log", "file", show=progress):
                yield from (folder / name for name in step())
        finally:  # who has enough does not wait for the sets
            stopped.set()


def _write_tables(comparison: Comparison, folder: Path) -> Sequence[str]:
    tables = {
        "matrix.csv": csv_of(comparison.matrix, index=True),
        "pairs.csv": csv_of(comparison.first_pairs(_PREVIEWED_PAIRS)),
        "runs.csv": csv_of(comparison.runs.drop(columns=["sets", "params", "tags"])),
    }
    for name, text in tables.items():
        (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
    return list(tables)


def _write_facts(comparison: Comparison, folder: Path, sets: Future[None]) -> Sequence[str]:
    sets.result()
    facts = facts_of(comparison) | {"sets_sha256": sha256_of(folder / SETS).hex()}
    with (folder / FACTS).open("w", encoding="utf-8") as file:
        file.writelines(_json_of(facts))
    return SETS, FACTS


def _write_report(comparison: Comparison, folder: Path) -> Sequence[str]:
    write_report(comparison, folder / "report.html")
    return ("report.html",)


def _figures(comparison: Comparison) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The figures that suit the comparison: what each is called, and how it is drawn."""
    n = len(comparison.shown.labels)
    title = comparison.subject
    yield "overlap_heatmap", lambda: comparison.plot_heatmap(title=title)
    if n in VENN_SIZES:
        yield "venn", lambda: comparison.plot_venn(title=title)
    if 2 < n <= MOST_RUNS and not comparison.is_empty:  # noqa: PLR2004  # a Venn diagram shows all of two sets; no figure shows very many
        yield "upset", lambda: comparison.plot_upset(title=title)
    if n <= MOST_RUNS:  # a curve has a matrix per point
        # Fewer points than by default, because with many runs each takes a while.
        ks = steps_up_to(int(comparison.whole.n_weights.min()))
        yield "curve", lambda: comparison.plot_curve(title=f"{comparison.part}, as k grows", ks=ks)
    if not comparison.is_empty:
        yield "layers", lambda: comparison.plot_layers(title=title)
    test = comparison.tested
    if isinstance(test, GroupTest):  # else the description says why it is not
        yield "groups", lambda: comparison.plot_groups(test=test, title=title)


def _draw(draw: Callable[[], Any], folder: Path, name: str) -> Sequence[str]:
    from gradiend_mlflow.figures.drawing.canvas import write

    names = f"{name}.png", f"{name}.pdf"
    write(draw(), [folder / one for one in names])
    return names


def _write_sets(comparison: Comparison, path: Path, stopped: Event) -> None:
    """The sets as they are compared, each as the file of a top-k set; no more of them once it is stopped."""
    # Most of it is Arrow's work, which threads do side by side.
    with zipfile.ZipFile(path, "w") as archive, ThreadPoolExecutor(os.cpu_count()) as pool:
        for row, content in enumerate(_in_turn(pool, topk_bytes, comparison.sets.values())):
            if stopped.is_set():
                return
            # ZipInfo has a fixed time, so that the same sets make the same file.
            archive.writestr(zipfile.ZipInfo(SET_NAME.format(row)), content)


def _in_turn(pool: Executor, make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """What `make` makes of each item, in their order; few at a time, because each waits in memory."""
    waiting: deque[Future[Made]] = deque()
    for item in items:
        waiting.append(pool.submit(make, item))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def facts_of(comparison: Comparison) -> dict[str, Any]:
    """What `load_comparison` needs besides the sets, and the numbers for other readers; matrices are arrays."""
    overlap, chance = comparison.overlap, comparison.chance()
    facts = {
        "format": FORMAT,
        "part": comparison.part,
        "topk": comparison.topk,
        "value": comparison.value,
        "rbo_p": overlap.rbo_p,
        "unit": comparison.unit,
        "labels": list(overlap.labels),
        "sizes": overlap.n_weights.tolist(),
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


def _json_of(value: Any) -> Iterator[str]:
    """JSON, piece by piece; of matrices, in which NaN becomes null, a row at a time, for as text they are large."""
    if isinstance(value, dict):
        for place, (key, own) in enumerate(value.items()):
            yield f"{', ' if place else '{'}{json.dumps(key)}: "
            yield from _json_of(own)
        yield "}" if value else "{}"
    elif isinstance(value, np.ndarray):
        for place, row in enumerate(value):
            yield f"{', ' if place else '['}{_json_of_row(row)}"
        yield "]" if len(value) else "[]"
    else:
        yield json.dumps(value, default=pd.Timestamp.isoformat, allow_nan=False)


def _json_of_row(row: npt.NDArray[Any]) -> str:
    """Numbers: of most matrices few differ, and to write one takes longer than to find where it is."""
    values, at = np.unique(row, return_inverse=True)
    if 2 * len(values) > len(row):
        return _json_of_numbers(row)
    texts = np.array(_json_of_numbers(values)[1:-1].split(", "), dtype=object)
    return f"[{', '.join(texts[at].tolist())}]"


def _json_of_numbers(numbers: npt.NDArray[Any]) -> str:
    return json.dumps(np.where(np.isnan(numbers), np.array(None), numbers).tolist(), allow_nan=False)
