"""The size of one part's file: `python -m benchmarks.size [--quick]`.

The peer is what gradiend's `export_topk_features` writes of the same checkpoint. The limit is what any code needs on
average for what a set says, if every set of k among D weights is as likely as another: log2 binomial(D, k) bits for
which weights, log2 k! for their ranks, and for each weight the 32 bits of its importance and one for its sign, since
with one latent neuron the signed weight is the importance and a sign. Importances that descend need less than 32 bits
each, so a file can come below that part of it.
"""

from __future__ import annotations

import csv
import json
import math
import tempfile
from pathlib import Path

from gradiend.model import ParamMappedGradiendModel
from gradiend.model.model_with_gradiend import ModelWithGradiend

from benchmarks.harness import Outcome, Row, progress, require, run_and_report
from gradiend_mlflow import TopKSet, load_topk_file, save_topk
from tests.support.synthetic import bert_parameters, write_checkpoint

TOPK = 10_000
_PART = "decoder-weight"
_SEED = 20


def run(*, quick: bool) -> Outcome:
    """Weigh the file of one set of 109M inputs (quick: 9M) beside gradiend's JSON and CSV of it."""
    shapes = bert_parameters(hidden=256, layers=1) if quick else bert_parameters()
    with tempfile.TemporaryDirectory(prefix="gradiend-benchmark-") as folder:
        checkpoint = Path(folder, "checkpoint")
        progress("size: writing the checkpoint")
        write_checkpoint(checkpoint, shapes, seed=_SEED)
        ours = Path(folder, f"{_PART}.parquet")
        topk_set = TopKSet.from_checkpoint(checkpoint, part=_PART, topk=TOPK)
        save_topk(topk_set, ours)
        progress("size: gradiend's export")
        exporter = _Exporter(checkpoint)
        peers = {suffix: Path(folder, f"peer.{suffix}") for suffix in ("json", "csv")}
        for file in peers.values():
            exporter.export_topk_features(str(file), part=_PART, topk=TOPK)
        _check(load_topk_file(ours), peers)
        sizes = {suffix: file.stat().st_size for suffix, file in peers.items()}
        size = ours.stat().st_size
    limit = limit_bytes(topk_set.input_dim, TOPK)
    what = f"file of one part, k = {TOPK:,} of {topk_set.input_dim / 1e6:.0f}M inputs; peer: its"
    rows = [
        Row(
            f"{what} {suffix.upper()}",
            "kB",
            {"ours": [size / 1e3], "peer": [sizes[suffix] / 1e3], "limit": [limit / 1e3]},
        )
        for suffix in peers
    ]
    note = (
        "Size: the limit is the entropy of the set, its ranks, float32 importances and signs. Gradiend's files lack "
        "the signed weights; ours has them, and the names and shapes of all parameters."
    )
    return Outcome(rows, [note], {"bytes": {"ours": size, **sizes, "limit": limit}})


def limit_bytes(size: int, k: int) -> float:
    """What a ranked set of `k` of `size` weights with importances and signs takes at least; see this module."""
    ordered = math.lgamma(size + 1) - math.lgamma(size - k + 1)  # ln(binomial(size, k) * k!)
    return (ordered / math.log(2) + k * (32 + 1)) / 8


class _Exporter:
    """gradiend's own export of a checkpoint, without the base model that it otherwise comes with and does not use."""

    get_topk_feature_metadata = ModelWithGradiend.get_topk_feature_metadata
    export_topk_features = ModelWithGradiend.export_topk_features

    def __init__(self, checkpoint: Path) -> None:
        self.gradiend = ParamMappedGradiendModel.from_pretrained(str(checkpoint))


def _check(read: TopKSet, peers: dict[str, Path]) -> None:
    """The three files must tell the same weights."""
    wanted = set(read.base_global_indices().tolist())
    rows = json.loads(peers["json"].read_text(encoding="utf-8"))
    require({row["base_global_index"] for row in rows} == wanted, "gradiend's JSON has other weights")
    with peers["csv"].open(encoding="utf-8", newline="") as file:
        found = {int(row["base_global_index"]) for row in csv.DictReader(file)}
    require(found == wanted and len(wanted) == TOPK, "gradiend's CSV has other weights")


if __name__ == "__main__":
    run_and_report("size", [run])
