"""A logged model's encodings are those of gradiend's own evaluation, whatever the base model predicts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import torch
from gradiend import TextPredictionTrainer, TrainingArguments
from gradiend.trainer.text.classification.trainer import TextClassificationTrainer
from mlflow import MlflowClient
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForSequenceClassification,
    BertTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

import gradiend_mlflow
from gradiend_mlflow import InvalidInputError
from quickstart import pronoun_sentences

SPECIAL = {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
PAIR = ["1SG", "3PL"]


def sentences(name: str) -> pd.DataFrame:
    """With two words before the pronoun, which a causal model needs."""
    frame = pronoun_sentences(name)
    return frame.assign(masked="near home " + frame["masked"])


def tokenizer(**more: str) -> PreTrainedTokenizerFast:
    """One token per word of the sentences."""
    special = SPECIAL | more
    texts = [text for name in PAIR for text in [*sentences(name)["masked"], *sentences(name)[name]]]
    words = dict.fromkeys([*special.values(), *(word for text in texts for word in text.split())])
    split = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=special["unk_token"]))
    split.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=split, **special)


def gpt2(folder: Path) -> str:
    """A causal model."""
    words = tokenizer()
    config = GPT2Config(vocab_size=len(words), n_embd=32, n_layer=1, n_head=2, n_positions=512)
    return _saved(folder, words, GPT2LMHeadModel, config)


def bart(folder: Path) -> str:
    """A model with encoder and decoder."""
    words = tokenizer(mask_token="<mask>")
    config = BartConfig(
        vocab_size=len(words),
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=512,
        pad_token_id=words.pad_token_id,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        decoder_start_token_id=words.eos_token_id,
        forced_eos_token_id=words.eos_token_id,
    )
    return _saved(folder, words, BartForConditionalGeneration, config)


def _saved(folder: Path, words: Any, kind: Any, config: Any) -> str:
    torch.manual_seed(0)
    kind(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


ARGUMENTS: dict[str, Any] = {
    "learning_rate": 1e-3,
    "max_steps": 2,
    "eval_steps": 2,
    "train_batch_size": 4,
    "encoder_eval_max_size": 4,
    "max_seeds": 1,
}


def logged_model(trainer: Any, client: MlflowClient) -> Any:
    """Train, and load what was logged with MLflow."""
    gradiend_mlflow.autolog(topk=10, log_models=True)
    trainer.train()
    gradiend_mlflow.flush()
    (run,) = client.search_runs(["0"])
    return mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")


@pytest.mark.parametrize("base_model", [gpt2, pytest.param(bart, marks=pytest.mark.long)])
def test_texts_are_encoded_as_in_the_evaluation(
    base_model: Callable[[Path], str], tracking: MlflowClient, tmp_path: Path
) -> None:
    """A causal model sees the beginning, the others the whole text with their own mask."""
    trainer = TextPredictionTrainer(
        model=base_model(tmp_path / "base"),
        run_id="_".join(PAIR),
        data={name: sentences(name) for name in PAIR},
        target_classes=PAIR,
        random_state=0,
        args=TrainingArguments(experiment_dir=str(tmp_path / "runs"), **ARGUMENTS),
    )
    model = logged_model(trainer, tracking)
    rows = trainer.evaluate_encoder(return_df=True, split="train", max_size=4)["encoder_df"]
    if "template" not in rows:
        pytest.skip("this gradiend's evaluations do not keep the texts; install 0.2.3")
    asked = pd.DataFrame({"text": rows["template"], "label": rows["alternative_token"]})
    found = model.predict(asked)["encoding"]
    assert found.tolist() == pytest.approx(rows["encoded"].tolist(), abs=1e-5)  # padded differently
    assert len(set(found)) > 1
    if base_model is gpt2:
        with pytest.raises(InvalidInputError, match="has less than 2 tokens before"):
            model.predict(pd.DataFrame({"text": ["[MASK] am happy"], "label": ["I"]}))


@pytest.mark.long
def test_labels_of_a_classifier(base_model: str, tracking: MlflowClient, tmp_path: Path) -> None:
    """By name or number."""
    words = BertTokenizer.from_pretrained(base_model)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=2,
        id2label={0: "calm", 1: "tired"},
        label2id={"calm": 0, "tired": 1},
    )
    frame = pronoun_sentences("1SG").head(60)
    texts = frame["masked"].str.replace("[MASK]", "I", regex=False)
    data = pd.DataFrame({"text": texts, "label": ["calm", "tired"] * 30, "split": frame["split"]})
    trainer = TextClassificationTrainer(
        model=_saved(tmp_path / "base", words, BertForSequenceClassification, config),
        run_id="mood",
        data=data,
        target_classes=["calm", "tired"],
        args=TrainingArguments(experiment_dir=str(tmp_path / "runs"), **ARGUMENTS),
    )
    model = logged_model(trainer, tracking)
    own = trainer.get_model()
    asked = texts.head(3).tolist()
    for label, number in (("calm", 0), ("tired", 1)):
        expected = [own.encode(text, number, return_float=True) for text in asked]
        for given in (label, str(number)):
            found = model.predict(pd.DataFrame({"text": asked, "label": [given] * 3}))
            assert found["encoding"].tolist() == expected
    with pytest.raises(InvalidInputError, match="'happy' is no label of the classifier; it has calm, tired, or"):
        model.predict(pd.DataFrame({"text": asked[:1], "label": ["happy"]}))
