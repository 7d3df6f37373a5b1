"""From a GRADIEND's weights to the files that a run holds."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from gradiend_mlflow.errors import CheckpointError, MissingPartError
from gradiend_mlflow.sets.artifact import save_topk
from gradiend_mlflow.sets.parts import Part, check_parts
from gradiend_mlflow.sets.picture import save_picture
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.store import tags

if TYPE_CHECKING:
    from gradiend_mlflow.sets.weights import GradiendWeights

logger = logging.getLogger("gradiend_mlflow")

_PREVIEW_ROWS = 500  # what the MLflow UI shows of a table


@dataclass(frozen=True)
class StagedSets:
    """The sets of one GRADIEND as files, ready to be uploaded.

    `files` belong into `tags.TOPK_FOLDER`, `figures` into `tags.FIGURES_FOLDER`.
    """

    sets: Mapping[Part, TopKSet]
    left_out: Mapping[Part, str]
    files: tuple[Path, ...]
    run_tags: Mapping[str, str]  # to be set when the files are there
    figures: tuple[Path, ...] = ()


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
    for part in check_parts(parts):
        try:
            sets[part] = TopKSet.from_weights(weights, part=part, topk=topk)
        except CheckpointError as error:
            level = logging.INFO if isinstance(error, MissingPartError) else logging.WARNING
            logger.log(level, "No top-k set of the part %s: %s", part, error)
            left_out[part] = str(error)
    if not sets:
        raise CheckpointError(f"no top-k set could be made: {'; '.join(left_out.values())}")
    folder.mkdir(parents=True, exist_ok=True)
    files = {part: folder / f"{part}.parquet" for part in sets}
    for part, file in files.items():
        save_topk(sets[part], file)
    preview = folder / "preview.csv"
    _preview(sets).to_csv(preview, index=False)
    entries = {
        part: {
            "path": f"{tags.TOPK_FOLDER}/{file.name}",
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "k": len(sets[part]),
        }
        for part, file in files.items()
    }
    run_tags = {tags.TOPK: json.dumps(entries)}
    if left_out:
        run_tags[tags.TOPK_LEFT_OUT] = json.dumps(left_out)
    figures = save_picture(sets, folder) if picture else ()
    return StagedSets(sets, left_out, (*files.values(), preview), run_tags, figures)


def _preview(sets: Mapping[Part, TopKSet]) -> pd.DataFrame:
    """The first weights of every part in one table, few enough that the MLflow UI shows them all."""
    rows = _PREVIEW_ROWS // len(sets)
    frames = []
    for part, topk_set in sets.items():
        frame = topk_set.top(min(rows, len(topk_set))).to_frame()
        frame.insert(0, "part", part)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)
