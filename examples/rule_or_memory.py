"""Rule or memory: do the transitions of one kind change the same weights, and is that more than an accident?

Two small language models learn articles, another one for each gender in each case, as German would without its shared
forms. In the data of the first a marker tells the gender in all cases: there is a rule. In the data of the second the
marker means nothing and every noun has a gender of its own, which can only be remembered. Then a GRADIEND, with two
seeds, is trained for each change of gender in each case, and one call compares them. Everything is made here: no
download, no GPU, two to three minutes.

This shows how to ask, not how often the method finds a rule. Which weights are compared was chosen by hand so that
the two worlds differ: among all weights of so small a model the rule is not found. Choose k, part and parameters of
your own study before you look at its answer.

    python examples/rule_or_memory.py
"""

from __future__ import annotations

import argparse
import os
import random
from pathlib import Path

import pandas as pd
import torch
from gradiend import TextPredictionTrainer, TrainingArguments
from transformers import BertConfig, BertForMaskedLM, BertTokenizer

import gradiend_mlflow

TRANSITIONS = [("masculine", "feminine"), ("neuter", "plural")]
GENDERS = [gender for transition in TRANSITIONS for gender in transition]
CASES = ["nominative", "genitive", "dative", "accusative"]
SPLITS = ["train", "train", "validation", "test"] * 2  # of the 8 sentences for each gender in each case


def sentences(*, rule: bool) -> dict[str, pd.DataFrame]:
    """Sentences by gender and case, such as "[MASK] noun5 feminine dative", with the article that belongs there."""
    chance, found = random.Random(0), {}
    for cell in (f"{gender}_{case}" for gender in GENDERS for case in CASES):
        gender, case = cell.split("_")
        nouns = [f"noun{chance.randrange(8) if rule else number}" for number in range(8)]
        own = [noun if rule else f"{gender}{case}{noun}" for noun in nouns]  # remembered nouns occur in one cell only
        markers = [gender if rule else chance.choice(GENDERS) for _ in nouns]
        masked = [f"[MASK] {noun} {marker} {case}" for noun, marker in zip(own, markers, strict=True)]
        found[cell] = pd.DataFrame({"masked": masked, "split": SPLITS, cell: f"the{gender}{case}"})
    return found


def learn(data: dict[str, pd.DataFrame], folder: Path, steps: int = 400) -> str:
    """A small BERT that has learned to put in the articles; returns its folder."""
    folder.mkdir(parents=True)
    every = pd.concat([frame.rename(columns={cell: "article"}) for cell, frame in data.items()])
    words = sorted({word for text in every["masked"] for word in text.split()[1:]} | set(every["article"]))
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    tokenizer = BertTokenizer(str(folder / "vocab.txt"))
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = BertForMaskedLM(BertConfig(vocab_size=len(vocabulary), **size, **dropout))
    inputs = tokenizer(every["masked"].tolist(), return_tensors="pt")
    at_mask = inputs["input_ids"] == tokenizer.mask_token_id
    labels = torch.full_like(inputs["input_ids"], -100)
    labels[at_mask] = torch.tensor(tokenizer.convert_tokens_to_ids(every["article"].tolist()))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        output = model(**inputs, labels=labels)
        output.loss.backward()
        optimizer.step()
    print(f"The language model puts in {(output.logits.argmax(-1) == labels)[at_mask].float().mean():.0%} rightly.")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def study(name: str, *, rule: bool, seeds: int = 2) -> gradiend_mlflow.Comparison:
    """Train, log and compare the transitions in one kind of data; says what came out."""
    print(f"\n{name}\n{'=' * len(name)}")
    data = sentences(rule=rule)
    base_model = learn(data, Path(name) / "base_model")
    gradiend_mlflow.autolog(experiment_name=name)
    for case in CASES:
        for source, target in TRANSITIONS:
            arguments = TrainingArguments(
                experiment_dir=f"{name}/runs",
                params=["*word_embeddings*"],  # of which words: that is what the question is about
                learning_rate=1e-2,
                train_batch_size=4,
                encoder_eval_max_size=4,
                max_seeds=seeds,
                min_convergent_seeds=None,  # try all of them
                saved_seed_runs="all_tried",
            )
            TextPredictionTrainer(
                model=base_model,
                run_id=f"{source} -> {target}, {case}",
                data=data,
                target_classes=[f"{source}_{case}", f"{target}_{case}"],
                random_state=0,
                args=arguments,
            ).train()
    runs = gradiend_mlflow.search_runs(name)
    groups = {row.run_id: row.gradiend_run_id.partition(",")[0] for row in runs.itertuples()}
    # Over all pairs of seeds, as the test takes them, so that its means are those of the table.
    several = {"seeds": "all_tried", "seed_aggregate": "mean", "seed_pairing_mode": "all_pairs"} if seeds > 1 else {}
    comparison = gradiend_mlflow.compare(runs, topk=200, groups=groups, **several)
    test = comparison.test_groups()
    print(comparison.to_frame("groups").to_string(index=False))
    print(test)
    if seeds > 1:
        ceiling = comparison.ceiling["mean"].mean()
        print(f"Two seeds of one training overlap by {ceiling:.0%}, which no two trainings can be expected to exceed.")
    print(f"Conclusion: {conclusion(test)} See the MLflow run {comparison.run_id}.")
    return comparison


def conclusion(test: gradiend_mlflow.GroupTest) -> str:
    """What a test of the transitions says of the data."""
    if test.too_few:
        return "too few trainings to tell."
    if test.p_value <= 0.05 and test.difference > 0:  # noqa: PLR2004
        return "a rule. In different cases, transitions of one kind have more weights in common than others."
    low, high = test.confidence_interval
    return (
        "memory, as far as this study can tell. Transitions of one kind have no more weights in common than others "
        f"(the difference lies between {low:+.0%} and {high:+.0%})."
    )


def main() -> None:
    """Ask the question of both kinds of data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("rule_or_memory"), help="where everything goes")
    parser.add_argument("--seeds", type=int, default=2, help="seeds of each training (default: 2)")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    os.chdir(options.output)  # mlflow.db and its artifacts lie where the process runs
    study("a rule", rule=True, seeds=options.seeds)
    study("memory", rule=False, seeds=options.seeds)


if __name__ == "__main__":
    main()
