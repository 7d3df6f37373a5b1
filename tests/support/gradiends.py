"""Makes a folder of `tests/checkpoints/`: a small GRADIEND that the installed gradiend trains, prunes and ranks.

    python -m tests.support.gradiends tests/checkpoints

Run it in an environment with the version of gradiend that is wanted: it imports nothing of this package, so that it
runs with versions that tracking refuses.
"""

from __future__ import annotations

import inspect
import json
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from gradiend import TextPredictionTrainer, TrainingArguments
from gradiend.model import ParamMappedGradiendModel
from gradiend.trainer import PostPruneConfig
from transformers import BertConfig, BertForMaskedLM, BertTokenizer

CLASSES = {"3SG": "he", "3PL": "they"}
PLACES = ["home", "school", "work", "sea", "lake", "garden"]
PARTS = ("encoder-weight", "decoder-weight", "decoder-bias", "decoder-sum")
ARGUMENTS = {
    "learning_rate": 1e-2,
    "max_steps": 2,
    "eval_steps": 1,
    "train_batch_size": 2,
    "encoder_eval_max_size": 2,
    "max_seeds": 1,
}


def base_model(folder: Path) -> str:
    """A BERT of four neurons; returns its folder."""
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "near", "is", *CLASSES.values(), *PLACES]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    torch.manual_seed(0)
    sizes = {"hidden_size": 4, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertForMaskedLM(BertConfig(vocab_size=len(words), max_position_embeddings=256, **sizes)).save_pretrained(folder)
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return str(folder)


def sentences(name: str) -> Any:
    """A table of masked sentences of one class."""
    import pandas as pd

    splits = ["train", "train", "train", "validation", "test", "train"]
    rows = [
        {"masked": f"[MASK] is near the {place} .", "split": split, name: CLASSES[name]}
        for place, split in zip(PLACES, splits, strict=True)
    ]
    return pd.DataFrame(rows)


def make(target: Path) -> None:
    """Train and prune, and keep the checkpoint with the ranking that this gradiend gives."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        known = inspect.signature(TrainingArguments).parameters
        trainer = TextPredictionTrainer(
            model=base_model(work / "base"),
            run_id="3SG_3PL",
            data={name: sentences(name) for name in CLASSES},
            target_classes=list(CLASSES),
            random_state=0,
            args=TrainingArguments(
                experiment_dir=str(work / "runs"),
                post_prune_config=PostPruneConfig(topk=0.1, part="decoder-weight"),
                **{key: value for key, value in ARGUMENTS.items() if key in known},
            ),
        )
        trainer.train()
        target.mkdir(parents=True)
        for file in Path(trainer.model_path).iterdir():
            shutil.copyfile(file, target / file.name)
    _hide(target, folder)
    model = ParamMappedGradiendModel.from_pretrained(str(target))
    ranking = {part: _ranked(model, part) for part in PARTS}
    (target / "ranking.json").write_text(json.dumps(ranking), encoding="utf-8")


def _hide(target: Path, folder: str) -> None:
    """The files are to say nothing of the machine."""
    for file in target.glob("*.json"):
        file.write_text(file.read_text(encoding="utf-8").replace(folder, "/study"), encoding="utf-8")


def _ranked(model: ParamMappedGradiendModel, part: str) -> dict[str, list[Any]]:
    """Gradiend's top 50 of a part in its order: numbers of the weights, and their importances."""
    local = torch.tensor(model.get_topk_weights(part=part, topk=50))
    return {
        "indices": model._get_base_global_index_map()[local].tolist(),
        "importances": model.get_weight_importance(part)[local].tolist(),
    }


if __name__ == "__main__":
    make(Path(sys.argv[1]).absolute() / version("gradiend"))
