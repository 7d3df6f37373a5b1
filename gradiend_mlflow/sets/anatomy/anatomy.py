"""What is known of a base model beyond its weights' names and shapes: its heads, and the tokens of its embedding."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from gradiend_mlflow.sets.anatomy.architectures import component_of
from gradiend_mlflow.sets.anatomy.heads import Fused, Heads
from gradiend_mlflow.untrusted import as_bool, as_dict, as_int, as_list, as_str, optional, parse_json, quoted

_MOST_BYTES = 2**24
_MOST_HEADS = 2**16
LONGEST_TOKEN = 1000
# Embeddings whose rows are no tokens.
_OTHER_ROWS = ("position", "wpe", "token_type", "relative", "rel_embeddings")


@dataclass(frozen=True)
class Anatomy:
    """What a set keeps of its base model, to say what its weights are.

    Attributes:
        heads: How attention is divided; None if it is not known.
        vocab: Number of rows of the token embedding; None if it is not known.
        tokens: The tokenizer's string by row, of the rows that the set has weights in.
        special: Those of them that are special tokens.

    Example:
        >>> known = Anatomy(vocab=30522, tokens={103: "[MASK]"}, special=frozenset({103}))
        >>> known.has_tokens("bert.embeddings.word_embeddings.weight", (30522, 768)), known.tokens[103]
        (True, '[MASK]')
    """

    heads: Heads | None = None
    vocab: int | None = None
    tokens: Mapping[int, str] = field(default_factory=dict)
    special: frozenset[int] = frozenset()

    def has_tokens(self, param: str, shape: tuple[int, ...]) -> bool:
        """Whether the rows of a parameter are tokens: those of the embedding, and of the output layer."""
        return (
            self.vocab is not None
            and len(shape) > 0
            and shape[0] == self.vocab
            and component_of(param) in {"embedding", "lm_head"}
            and not any(piece in param.lower() for piece in _OTHER_ROWS)
        )

    def to_text(self) -> str:
        """As a short line of letters; `parse_anatomy` reads it."""
        told = {
            "heads": None if self.heads is None else asdict(self.heads),
            "vocab": self.vocab,
            "tokens": sorted(self.tokens.items()),
            "special": sorted(self.special),
        }
        packed = zlib.compress(json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode(), 9)
        return base64.b64encode(packed).decode()


def parse_anatomy(text: bytes) -> Anatomy:
    """What `Anatomy.to_text` wrote; keys that are not known are left alone.

    Raises:
        ValueError: If it is anything else.
    """
    try:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(base64.b64decode(text, validate=True), _MOST_BYTES)
    except (ValueError, zlib.error):
        raise ValueError("its names are not deflated base64") from None
    if not unpacker.eof:
        raise ValueError(f"its names are cut, or take more than {_MOST_BYTES:,} bytes")
    told = as_dict(parse_json(raw), "names")
    tokens = dict(as_list(told.get("tokens", []), "tokens", _parse_token))
    return Anatomy(
        heads=optional(told.get("heads"), "heads", _parse_heads),
        vocab=optional(told.get("vocab"), "vocab", as_int),
        tokens=tokens,
        special=frozenset(as_list(told.get("special", []), "special", as_int)) & tokens.keys(),
    )


def _parse_token(told: Any, name: str) -> tuple[int, str]:
    if not isinstance(told, list) or len(told) != 2:  # noqa: PLR2004
        raise ValueError(f"{name} must be a row and its token; got {quoted(told)}")
    return as_int(told[0], name), as_str(told[1], name, most=LONGEST_TOKEN)


def _parse_heads(told: Any, name: str) -> Heads:
    given = as_dict(told, name)
    fused = given.get("fused")

    def count(value: Any, what: str) -> int:
        return as_int(value, what, least=1, most=_MOST_HEADS)

    return Heads(
        query=count(given.get("query"), "heads.query"),
        key_value=count(given.get("key_value"), "heads.key_value"),
        decoder=optional(given.get("decoder"), "heads.decoder", count),
        fused=fused if fused in get_args(Fused) else None,  # a layout of a later version is one that is not known
        transposed=as_bool(given.get("transposed", False), "heads.transposed"),
        outputs_last=as_bool(given.get("outputs_last", False), "heads.outputs_last"),
    )


def merged(anatomies: Iterable[Anatomy]) -> Anatomy:
    """What several sets know together; where their tokens of a row differ, it has them all, as "a / b".

    What they disagree on otherwise is not known.
    """
    known = list(anatomies)
    tokens: dict[int, list[str]] = {}
    for anatomy in known:
        for row, token in anatomy.tokens.items():
            if token not in tokens.setdefault(row, []):
                tokens[row].append(token)
    return Anatomy(
        heads=_agreed(anatomy.heads for anatomy in known),
        vocab=_agreed(anatomy.vocab for anatomy in known),
        tokens={row: " / ".join(found) for row, found in tokens.items()},
        special=frozenset().union(*(anatomy.special for anatomy in known)),
    )


def _agreed(values: Iterable[Any]) -> Any:
    found = {value for value in values if value is not None}
    return found.pop() if len(found) == 1 else None
