"""From a GRADIEND's weights to the files that a run holds, with the tags that list them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gradiend_mlflow.errors import CheckpointError, MissingPartError, logger
from gradiend_mlflow.sets.artifact import save_topk
from gradiend_mlflow.sets.parts import DEFAULT_PART, Part, check_parts
from gradiend_mlflow.sets.picture import save_picture
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.sets.weights import GradiendWeights
from gradiend_mlflow.store import tags
from gradiend_mlflow.wording import csv_of

_PREVIEW_ROWS = 500  # what the MLflow UI shows of a table


@dataclass(frozen=True)
class StagedSets:
    """The sets of one GRADIEND as files, ready to be uploaded: `files` by artifact folder.

    `run_tags` are to be set when the files have been uploaded: they say which sets the run has.
    """

    sets: Mapping[Part, TopKSet]
    left_out: Mapping[Part, str]
    files: Mapping[str, tuple[Path, ...]]
    run_tags: Mapping[str, str]


def stage_topk(
    weights: GradiendWeights, *, topk: float, parts: Sequence[str], folder: Path, picture: bool = True
) -> StagedSets:
    """Rank, and write one file per part, a preview of all and, if wanted, a picture of where they lie to `folder`.

    A part that this GRADIEND does not have is left out and named.

    Raises:
        CheckpointError: If no part could be ranked.
    """
    sets: dict[Part, TopKSet] = {}
    left_out: dict[Part, str] = {}
    for part, made in TopKSet.all_from_weights(weights, parts=check_parts(parts), topk=topk).items():
        if isinstance(made, TopKSet):
            sets[part] = made
            continue
        level = logging.INFO if isinstance(made, MissingPartError) else logging.WARNING
        logger.log(level, "No top-k set of the part %s: %s", part, made)
        left_out[part] = str(made)
    if not sets:
        raise CheckpointError(f"no top-k set could be made: {'; '.join(left_out.values())}")
    folder.mkdir(parents=True, exist_ok=True)
    preview = folder / "preview.csv"
    preview.write_text(csv_of(_preview(sets)), encoding="utf-8", errors="backslashreplace", newline="")
    files, entries = [preview], {}
    for part, topk_set in sets.items():
        file = folder / f"{part}.parquet"
        save_topk(topk_set, file)
        entries[part] = {
            "path": f"{tags.TOPK_FOLDER}/{file.name}",
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "k": len(topk_set),
        }
        files.append(file)
    largest = max(len(topk_set) for topk_set in sets.values())
    run_tags = {tags.K: str(largest), tags.TOPK: json.dumps(entries)}
    if left_out:
        run_tags[tags.TOPK_LEFT_OUT] = json.dumps(left_out)
    figures = save_picture(sets, folder) if picture else ()
    return StagedSets(sets, left_out, {tags.TOPK_FOLDER: tuple(files), tags.FIGURES_FOLDER: tuple(figures)}, run_tags)


def _preview(sets: Mapping[Part, TopKSet]) -> pd.DataFrame:
    """The first weights of every part in one table, few enough that the MLflow UI shows them all."""
    rows = _PREVIEW_ROWS // len(sets)
    ordered = sorted(sets, key=lambda part: part != DEFAULT_PART)  # what is compared by default comes first
    first = {part: sets[part].top(min(rows, len(sets[part]))).to_frame() for part in ordered}
    return pd.concat(first, names=["part"]).reset_index(level="part")
