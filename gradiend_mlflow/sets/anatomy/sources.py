"""Where a base model's heads and tokens come from: a model in memory, or files that are there; never a download."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from gradiend_mlflow.disk.trees import read_regular
from gradiend_mlflow.errors import logger
from gradiend_mlflow.sets.anatomy.anatomy import LONGEST_TOKEN, Anatomy
from gradiend_mlflow.sets.anatomy.heads import Heads
from gradiend_mlflow.untrusted import as_dict, parse_json

# What transformers' configs call the number of heads, and the size of the vocabulary, in their files.
_ALIASES = {"num_attention_heads": ("n_head", "n_heads", "num_heads", "encoder_attention_heads")}
_MOST_BYTES = 2**27


@dataclass(frozen=True)
class BaseModel:
    """A base model as far as it is known.

    Attributes:
        heads: How its attention is divided.
        vocab: Number of rows of its token embedding.
        tokens_of: The tokenizer's strings of some rows, by row; rows without a token are left out.
        special: Rows of special tokens.
    """

    heads: Heads | None = None
    vocab: int | None = None
    tokens_of: Callable[[Iterable[int]], Mapping[int, str]] = lambda rows: {}  # noqa: ARG005
    special: frozenset[int] = frozenset()

    def anatomy(self, rows: Iterable[int]) -> Anatomy:
        """What a set with weights in some rows of the embedding keeps of it."""
        tokens = {row: token[:LONGEST_TOKEN] for row, token in self.tokens_of(rows).items()}
        return Anatomy(self.heads, self.vocab, tokens, self.special & tokens.keys())


UNKNOWN = BaseModel()


def model_in_memory(model: Any) -> BaseModel | None:
    """Of a live GRADIEND's base model and tokenizer; None if it has no base model."""
    config, tokenizer = getattr(getattr(model, "base_model", None), "config", None), getattr(model, "tokenizer", None)
    if config is None:
        return None
    try:
        known = BaseModel(Heads.from_config(config), _vocab(config))
        if tokenizer is None:
            return known
        size, special = len(tokenizer), frozenset(tokenizer.all_special_ids)
    except Exception as error:  # a config or a tokenizer of somebody's own
        return _unknown(model, error)

    def tokens_of(rows: Iterable[int]) -> Mapping[int, str]:
        ids = [row for row in rows if row < size]
        return {row: str(token) for row, token in zip(ids, tokenizer.convert_ids_to_tokens(ids), strict=True) if token}

    return BaseModel(known.heads, known.vocab, tokens_of, special)


def model_on_disk(name: str | None) -> BaseModel:
    """Of a base model's id or directory, by its config and its tokenizer's file, if this machine has them."""
    if name is None:
        return UNKNOWN
    try:
        config = _file(name, "config.json")
        return UNKNOWN if config is None else _read(_as_it_is(config), _as_it_is(_file(name, "tokenizer.json")))
    except Exception as error:  # files of any kind; a set without names is better than none
        return _unknown(name, error)


def _unknown(model: object, error: Exception) -> BaseModel:
    logger.debug("The heads and tokens of %s are not known: %s: %s", model, type(error).__name__, error)
    return UNKNOWN


def _file(name: str, file: str) -> Path | None:
    """A file of a base model: in its directory, or in the cache of the Hugging Face hub."""
    if Path(name).is_dir():
        found = Path(name, file)
        return found if found.is_file() else None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(name, file)
    return Path(cached) if isinstance(cached, str) else None


class _Version(NamedTuple):
    """A file, and what changes when it is written anew."""

    file: Path
    changed: int
    size: int


def _as_it_is(file: Path | None) -> _Version | None:
    if file is None:
        return None
    status = file.stat()
    return _Version(file, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)  # the trainings of a study share their base model
def _read(config: _Version, tokenizer: _Version | None) -> BaseModel:
    told = _json(config.file)
    for known, others in _ALIASES.items():
        told.setdefault(known, next((told[other] for other in others if other in told), None))
    described = SimpleNamespace(**{str(key): value for key, value in told.items()})
    heads, vocab = Heads.from_config(described), _vocab(described)
    if tokenizer is None:
        return BaseModel(heads, vocab)
    tokens, special = _tokens(_json(tokenizer.file))
    return BaseModel(heads, vocab, lambda rows: {row: tokens[row] for row in rows if row in tokens}, special)


def _json(file: Path) -> dict[str, Any]:
    return dict(as_dict(parse_json(read_regular(file, most=_MOST_BYTES), most=_MOST_BYTES), str(file)))


def _tokens(told: Mapping[str, Any]) -> tuple[dict[int, str], frozenset[int]]:
    """The strings by id of a `tokenizer.json`, and which ids are special tokens."""
    vocab = told["model"].get("vocab", {})
    pairs = vocab.items() if isinstance(vocab, dict) else ((entry[0], row) for row, entry in enumerate(vocab))
    tokens = {row: token for token, row in pairs if isinstance(row, int) and isinstance(token, str)}
    added = told.get("added_tokens") or []
    tokens |= {one["id"]: str(one["content"]) for one in added}
    return tokens, frozenset(one["id"] for one in added if one.get("special"))


def _vocab(config: Any) -> int | None:
    size = getattr(config, "vocab_size", None)
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None
