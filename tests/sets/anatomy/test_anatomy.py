"""Heads and tokens: kept in a set's file, equal to the tokenizer's own, and never a reason to fail."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gradiend import TextPredictionTrainer
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

import gradiend_mlflow
from gradiend_mlflow import ArtifactError, TopKSet, WeightSpace, load_topk_file, save_topk
from gradiend_mlflow.sets.anatomy.anatomy import Anatomy, merged, parse_anatomy
from gradiend_mlflow.sets.anatomy.heads import Heads
from gradiend_mlflow.sets.anatomy.sources import model_in_memory, model_on_disk
from gradiend_mlflow.sets.artifact import parse_topk
from tests.support.trainings import MakeTrainer, train

ROWS = "bert.embeddings.word_embeddings.weight"
SPACE = WeightSpace((ROWS, "bert.encoder.layer.0.attention.self.key.weight"), ((10, 4), (8, 4)))
KNOWN = Anatomy(Heads(4, 2), 10, {4: "[MASK]", 7: "##ing"}, frozenset({4}))

heads = st.none() | st.builds(
    Heads, st.integers(1, 64), st.integers(1, 64), st.none() | st.integers(1, 64), st.sampled_from(["by head", None])
)
tokens = st.dictionaries(st.integers(0, 2**40), st.text(max_size=20))


@given(heads, st.none() | st.integers(0, 2**40), tokens)
def test_what_is_written_is_read(heads: Heads | None, vocab: int | None, tokens: dict[int, str]) -> None:
    """Any letters, any rows."""
    anatomy = Anatomy(heads, vocab, tokens, frozenset(list(tokens)[:1]))
    assert parse_anatomy(anatomy.to_text().encode()) == anatomy


def packed(told: Any) -> bytes:
    """In the form in which a file holds it."""
    return base64.b64encode(zlib.compress(json.dumps(told).encode()))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"!!!!",
        base64.b64encode(b"no zlib"),
        base64.b64encode(zlib.compress(b"{}")[:-1]),
        base64.b64encode(zlib.compress(b"[" * 2**25)),
        packed([]),
        packed({"vocab": 5.0}),
        packed({"heads": {"query": 0, "key_value": 1}}),
        packed({"heads": {"query": 4}}),
        packed({"tokens": {"1": "a"}}),
        packed({"tokens": [[1]]}),
        packed({"tokens": [[-1, "a"]]}),
        packed({"tokens": [[1, 2]]}),
        packed({"special": [1e999]}),
    ],
)
def test_anything_else_is_refused(text: bytes) -> None:
    """Bombs included."""
    with pytest.raises(ValueError, match=r"."):
        parse_anatomy(text)


def test_later_versions_may_say_more() -> None:
    """What is not known is left alone, a layout of fused matrices too."""
    told = {"heads": {"query": 4, "key_value": 4, "fused": "in a spiral", "depth": 3}, "color": "green"}
    assert parse_anatomy(packed(told)) == Anatomy(Heads(4, 4))


def test_a_file_keeps_it(tmp_path: Path) -> None:
    """In what is read back, and in the table; it makes no other set."""
    bare = TopKSet.from_indices([17, 41, 29], space=SPACE)
    topk_set = replace(bare, anatomy=KNOWN)
    assert topk_set == bare
    save_topk(topk_set, tmp_path / "set.parquet")
    read = load_topk_file(tmp_path / "set.parquet")
    assert read.anatomy == KNOWN
    assert read.top(2).anatomy == KNOWN
    frame = read.to_frame()[["layer", "component", "head", "neuron", "token"]]
    assert frame.astype(object).where(frame.notna(), None).to_numpy().tolist() == [
        ["other", "embedding", None, 4, "[MASK]"],
        ["layer_0", "attention_key", "kv0", 0, None],
        ["other", "embedding", None, 7, "##ing"],
    ]


def test_a_file_without_it_has_no_names(tmp_path: Path) -> None:
    """As those of version 1."""
    save_topk(TopKSet.from_indices([17], space=SPACE), tmp_path / "set.parquet")
    assert load_topk_file(tmp_path / "set.parquet").anatomy == Anatomy()


def test_what_is_planted_in_a_file_is_refused(tmp_path: Path) -> None:
    """Although the digest fits."""

    class Odd(Anatomy):
        def to_text(self) -> str:
            return "odd"

    save_topk(replace(TopKSet.from_indices([17], space=SPACE), anatomy=Odd(vocab=3)), tmp_path / "set.parquet")
    with pytest.raises(ArtifactError, match="names are not deflated base64"):
        parse_topk((tmp_path / "set.parquet").read_bytes(), origin="it")


def test_several_sets_know_together() -> None:
    """Tokens that differ are shown both, heads that differ not at all."""
    other = Anatomy(Heads(8, 8), 10, {4: "<mask>", 5: "a"}, frozenset())
    assert merged([KNOWN, other, KNOWN, Anatomy()]) == Anatomy(
        None, 10, {4: "[MASK] / <mask>", 5: "a", 7: "##ing"}, frozenset({4})
    )


@pytest.fixture(scope="module")
def trained(base_model: str, tmp_path_factory: pytest.TempPathFactory) -> TextPredictionTrainer:
    """A real training, whose base model's embedding is among its parameters."""
    return train(base_model, tmp_path_factory.mktemp("runs"), ("3SG", "3PL"))


def test_names_of_a_real_training(trained: TextPredictionTrainer, base_model: str) -> None:
    """The checkpoint's and the live model's are the tokenizer's own strings, of no row but the set's."""
    on_disk = TopKSet.from_checkpoint(trained.model_path, topk=400)
    live = TopKSet.from_model(trained.get_model(), topk=400)
    assert on_disk.anatomy == live.anatomy
    assert on_disk.anatomy.heads == Heads(2, 2)
    frame = on_disk.to_frame()
    rows = frame[frame["token"].notna()]
    assert len(rows)
    tokenizer = AutoTokenizer.from_pretrained(base_model)
    assert set(on_disk.anatomy.tokens) == set(rows["neuron"])
    assert rows["token"].tolist() == tokenizer.convert_ids_to_tokens(rows["neuron"].tolist())
    assert set(rows["param"]) <= {ROWS, "cls.predictions.bias", "cls.predictions.decoder.weight"}
    special = {row for row in on_disk.anatomy.tokens if row in tokenizer.all_special_ids}
    assert on_disk.anatomy.special == special
    assert frame.loc[frame["component"] == "attention_query", "head"].isin(["0", "1"]).all()


def test_the_run_holds_them(make_trainer: MakeTrainer, tracking: Any) -> None:
    """In its sets and in the preview, whichever model the training selected."""
    gradiend_mlflow.autolog(topk=300)
    make_trainer().train()
    (run,) = tracking.search_runs(["0"])
    (topk_set,) = gradiend_mlflow.load_topk([run.info.run_id], topk=300).values()
    assert topk_set.anatomy.heads == Heads(2, 2)
    assert topk_set.anatomy.tokens


@pytest.mark.parametrize(
    "content", ["", "[]", '{"model": 3}', '{"model": {"vocab": {"a": "b"}}, "added_tokens": 1}', "[" * 10**5]
)
def test_odd_files_give_no_names_and_no_error(tmp_path: Path, content: str) -> None:
    """Of a base model's tokenizer; a set without names is better than none."""
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 9, "n_head": 4}))
    (tmp_path / "tokenizer.json").write_text(content)
    assert model_on_disk(str(tmp_path)).anatomy([1]).tokens == {}


def test_a_base_model_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a directory nor in the hub's cache: not known, and nothing is fetched."""
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("something was fetched"))
    assert model_on_disk("nobody/nothing").anatomy([1]) == Anatomy()
    assert model_on_disk(str(tmp_path / "gone")).anatomy([1]) == Anatomy()
    assert model_on_disk(None).anatomy([1]) == Anatomy()


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ({"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"id": 2, "content": "<s>", "special": True}]}, {2}),
        ({"model": {"vocab": [["a", -1.5], ["b", -2]]}, "added_tokens": [{"id": 2, "content": "<s>"}]}, set()),
    ],
)
def test_tokens_of_every_kind_of_tokenizer(tmp_path: Path, told: Any, known: set[int]) -> None:
    """WordPiece and BPE count by a mapping, unigram models by a list."""
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 3, "num_attention_heads": 2}))
    (tmp_path / "tokenizer.json").write_text(json.dumps(told))
    anatomy = model_on_disk(str(tmp_path)).anatomy([0, 1, 2, 7])
    assert anatomy == Anatomy(Heads(2, 2), 3, {0: "a", 1: "b", 2: "<s>"}, frozenset(known))


def test_a_tokenizer_that_is_written_anew(tmp_path: Path) -> None:
    """In a process that has read the old one."""
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 3, "num_attention_heads": 2}))
    for token in ("old", "newer"):
        (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {token: 0}}}))
        assert model_on_disk(str(tmp_path)).anatomy([0]).tokens == {0: token}


def test_a_tokenizer_of_ones_own(caplog: pytest.LogCaptureFixture) -> None:
    """It may lack anything; its fault is a line for who debugs."""
    config = SimpleNamespace(num_attention_heads=2, vocab_size=5)
    model = SimpleNamespace(base_model=SimpleNamespace(config=config), tokenizer=object())
    found = model_in_memory(model)
    assert found is not None
    assert found.anatomy(np.array([1])) == Anatomy()
