"""Train six pronoun GRADIENDs, log them to MLflow by themselves, and compare which weights they change.

Everything is made here: a small BERT, its tokenizer, the sentences. No download, no GPU, about a minute.

    python examples/quickstart.py                             # the small BERT
    python examples/quickstart.py --model bert-base-uncased   # a real one, from the Hugging Face hub or a folder
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from gradiend import TextPredictionTrainer, TrainingArguments
from transformers import BertConfig, BertForMaskedLM, BertTokenizer

import gradiend_mlflow

PRONOUNS = {"1SG": ["I"], "1PL": ["We"], "3SG": ["He", "She"], "3PL": ["They"]}
VERBS = {"1SG": "am", "1PL": "are", "3SG": "is", "3PL": "are"}
ADJECTIVES = ["happy", "tired", "late", "early", "ready", "busy", "hungry", "cold", "warm", "alone"]
PLACES = ["home", "school", "work", "church", "sea", "lake", "office", "garden", "river", "station"]

EXPERIMENT = "pronouns"


def pronoun_sentences(pronoun_class: str) -> pd.DataFrame:
    """Sentences with a masked pronoun of one class, such as "[MASK] am happy near the lake ."."""
    choices = list(itertools.product(PRONOUNS[pronoun_class], ADJECTIVES, PLACES))
    random.Random(0).shuffle(choices)
    splits = itertools.cycle(["train", "train", "train", "validation", "test"])
    return pd.DataFrame(
        {
            "masked": f"[MASK] {VERBS[pronoun_class]} {adjective} near the {place} .",
            "split": split,
            pronoun_class: pronoun,
        }
        for (pronoun, adjective, place), split in zip(choices, splits, strict=False)
    )


def build_base_model(folder: Path, *, hidden_size: int = 64, layers: int = 2) -> str:
    """A BERT with random weights whose vocabulary is the sentences' words; returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [word.lower() for words in PRONOUNS.values() for word in words]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "near", "the"]
    vocabulary += [*words, *sorted(set(VERBS.values())), *ADJECTIVES, *PLACES]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * hidden_size,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return str(folder)


def pronoun_trainer(base_model: str, pair: Sequence[str], **arguments: Any) -> TextPredictionTrainer:
    """A trainer that tells two pronouns apart; `arguments` are those of its TrainingArguments."""
    return TextPredictionTrainer(
        model=base_model,
        run_id="_".join(pair),
        data={pronoun_class: pronoun_sentences(pronoun_class) for pronoun_class in PRONOUNS},
        target_classes=list(pair),
        random_state=0,
        args=TrainingArguments(**arguments),
    )


def main() -> None:
    """Train, log, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a base model to use instead of the small BERT made here")
    parser.add_argument("--output", type=Path, default=Path("demo"), help="where everything goes (default: demo)")
    parser.add_argument("--steps", type=int, default=30, help="training steps per GRADIEND (default: 30)")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    os.chdir(options.output)  # mlflow.db and its artifacts lie where the process runs

    base_model = options.model or build_base_model(Path("base_model"))
    gradiend_mlflow.autolog(experiment_name=EXPERIMENT)
    for pair in itertools.combinations(PRONOUNS, 2):
        trainer = pronoun_trainer(
            base_model,
            pair,
            experiment_dir="runs",
            learning_rate=1e-5 if options.model else 1e-3,
            max_steps=options.steps,
            eval_steps=max(1, options.steps // 3),
            train_batch_size=8,
            encoder_eval_max_size=20,
        )
        trainer.train()

    comparison = gradiend_mlflow.compare(experiment_names=[EXPERIMENT], part="decoder-weight", topk=1000)

    print("\nHow many of their top 1000 decoder weights do the GRADIENDs share?\n")
    print(comparison.matrix.map("{:.0%}".format).to_string())
    print(f"\nThe comparison, with its heatmap and Venn diagram, is the MLflow run {comparison.run_id}.")
    ui = [Path(sys.executable).with_name("mlflow"), "ui", "--backend-store-uri", f"sqlite:///{Path.cwd()}/mlflow.db"]
    experiment_id = comparison.runs["experiment_id"].iloc[0]
    print('To look at it, start the MLflow UI and open the page (its runs are under "Model training"):\n')
    print(f"    {shlex.join(map(str, ui))}")
    print(f"    http://127.0.0.1:5000/#/experiments/{experiment_id}/runs?workflowType=machine_learning\n")


if __name__ == "__main__":
    main()
