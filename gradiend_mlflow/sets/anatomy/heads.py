"""Which attention head and which output unit a weight belongs to, by its coordinates in its parameter."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.sets.anatomy.architectures import component_of

IntArray = npt.NDArray[np.int64]

Fused = Literal["side by side", "by head", "by group"]

# How a fused matrix of query, key and value is laid out, by transformers' model type. Side by side: all queries, then
# all keys, then all values. By head: query, key and value of the first head, then of the second. By group: the queries
# of the heads that share a key and a value, that key, that value, then the next group.
_FUSED: dict[str, Fused] = {
    **dict.fromkeys(("gpt2", "imagegpt", "openai-gpt", "decision_transformer", "mpt"), "side by side"),
    **dict.fromkeys(("modernbert", "modernbert-decoder", "phi3", "phimoe"), "side by side"),
    **dict.fromkeys(("gpt_neox", "gpt_neox_japanese", "bloom", "deberta"), "by head"),
}
_TRANSPOSED = ("gpt2", "imagegpt", "openai-gpt", "decision_transformer")  # their Conv1D is (inputs, outputs)
_OUTPUTS_LAST = ("gpt_oss",)  # its experts are (experts, inputs, outputs)
_PARTIAL = ("q_a_proj", "kv_a_proj")  # compressed: of no head yet


@dataclass(frozen=True)
class Heads:
    """How the attention of a base model is divided.

    Attributes:
        query: Number of heads; of the encoder, if a model has two stacks.
        key_value: Number of heads of keys and values: fewer than `query` with grouped-query attention.
        decoder: Number of heads of the decoder, if it is another.
        fused: The layout of matrices that hold query, key and value; None if it is not known.
        transposed: Whether matrices are stored as (inputs, outputs).
        outputs_last: Whether those of experts are.
    """

    query: int
    key_value: int
    decoder: int | None = None
    fused: Fused | None = None
    transposed: bool = False
    outputs_last: bool = False

    @classmethod
    def from_config(cls, config: Any) -> Heads | None:
        """Of a base model's transformers config; None if it names no number of heads.

        Example:
            >>> from types import SimpleNamespace
            >>> Heads.from_config(SimpleNamespace(model_type="llama", num_attention_heads=8, num_key_value_heads=2))
            Heads(query=8, key_value=2, decoder=None, fused=None, transposed=False, outputs_last=False)
        """
        kind, query = getattr(config, "model_type", None), _count(getattr(config, "num_attention_heads", None))
        if query is None:
            return None
        fused, key_value = _FUSED.get(str(kind)), getattr(config, "num_key_value_heads", None)
        if kind == "falcon":
            fused, key_value = _falcon(config)
        decoder = _count(getattr(config, "decoder_attention_heads", None))
        return cls(
            query=query,
            key_value=_count(key_value) or query,
            decoder=None if decoder == query else decoder,
            fused=fused,
            transposed=kind in _TRANSPOSED,
            outputs_last=kind in _OUTPUTS_LAST,
        )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**16 else None


def _falcon(config: Any) -> tuple[Fused, int | None]:
    if getattr(config, "new_decoder_architecture", False):
        return "by group", getattr(config, "num_kv_heads", None)
    return ("side by side", 1) if getattr(config, "multi_query", False) else ("by head", None)


def heads_of(param: str, shape: Sequence[int], offsets: IntArray, heads: Heads) -> npt.NDArray[np.object_]:
    """The attention head of each weight of a parameter.

    Args:
        param: The parameter's name.
        shape: Its shape.
        offsets: Flat offsets of weights in it; shape (n,).
        heads: How the base model's attention is divided.

    Returns:
        Shape (n,): "3", or "kv3" for keys and values that several heads share; None for what belongs to no head, such
        as the bias of an attention's output, and where the layout is not known.

    Example:
        >>> offsets = np.array([0, 17, 63])
        >>> heads_of("layers.0.self_attn.k_proj.weight", (8, 8), offsets, Heads(query=4, key_value=2)).tolist()
        ['kv0', 'kv0', 'kv1']
    """
    nothing = np.full(len(offsets), None, dtype=object)
    component = component_of(param)
    if not component.startswith("attention_") or any(piece in param for piece in _PARTIAL):
        return nothing
    query = heads.decoder if heads.decoder is not None and "decoder." in param else heads.query
    key_value = heads.key_value if heads.key_value < heads.query else query
    units, size = _units(shape, offsets, heads, inputs=component == "attention_output")
    namer: Callable[[IntArray], npt.NDArray[np.object_]] | None = None
    if component == "attention_qkv":
        namer = _fused_namer(size, query, key_value, heads.fused)
    elif component in ("attention_key", "attention_value"):
        namer = _namer(size, key_value, "kv" if key_value < query else "")
    elif component == "attention_query" or len(shape) > 1:
        namer = _namer(size, query, "")
    return nothing if namer is None else namer(units)


def units_of(
    param: str, shape: Sequence[int], offsets: IntArray, heads: Heads | None = None
) -> npt.NDArray[np.int64] | None:
    """The output unit ("neuron") of each weight of a parameter, counted from 0; shape (n,).

    A matrix has one per output: a row, or a column where it is stored as (inputs, outputs). A stack of experts'
    matrices has one per expert and output, counted through. Of an embedding they are its rows. A parameter of one
    dimension - a bias, a norm - has none: None.
    """
    if len(shape) < 2:  # noqa: PLR2004
        return None
    units, size = _units(shape, offsets, _stored(param, heads), inputs=False)
    return units + size * (offsets // (shape[-2] * shape[-1]))


def unit_count(param: str, shape: Sequence[int], heads: Heads | None = None) -> int:
    """How many output units a parameter has; 0 if it has one dimension."""
    if len(shape) < 2:  # noqa: PLR2004
        return 0
    _, size = _units(shape, np.zeros(0, dtype=np.int64), _stored(param, heads), inputs=False)
    return size * math.prod(shape[:-2])


def _stored(param: str, heads: Heads | None) -> Heads | None:
    """What is known of how a parameter is stored: only matrices of attention and MLPs are stored by inputs."""
    return heads if re.search("attention|mlp", component_of(param)) else None


def _units(shape: Sequence[int], offsets: IntArray, heads: Heads | None, *, inputs: bool) -> tuple[IntArray, int]:
    """The index of each weight along the outputs, or the inputs, of its matrix, and their number."""
    if len(shape) < 2:  # noqa: PLR2004
        return offsets, int(np.prod(shape))
    transposed = heads is not None and (heads.outputs_last if len(shape) > 2 else heads.transposed)  # noqa: PLR2004
    rows, columns = np.divmod(offsets % (shape[-2] * shape[-1]), shape[-1])
    return (columns, shape[-1]) if transposed != inputs else (rows, shape[-2])


def _namer(size: int, count: int, prefix: str) -> Callable[[IntArray], npt.NDArray[np.object_]] | None:
    """The function from units to heads, if `size` units are divided among `count` heads."""
    if size % count:
        return None
    names = np.array([f"{prefix}{head}" for head in range(count)], dtype=object)
    return lambda units: names[units // (size // count)]


def _fused_namer(
    size: int, query: int, key_value: int, layout: Fused | None
) -> Callable[[IntArray], npt.NDArray[np.object_]] | None:
    total = query + 2 * key_value
    if layout not in get_args(Fused) or size % total:
        return None
    shared = "kv" if key_value < query else ""
    keys = [f"{shared}{head}" for head in range(key_value)]
    queries = [str(head) for head in range(query)]
    if layout == "side by side":
        order = [*queries, *keys, *keys]
    else:
        group = query // key_value
        order = [n for i, key in enumerate(keys) for n in (*queries[i * group : (i + 1) * group], key, key)]
    names = np.array(order, dtype=object)
    return lambda units: names[units // (size // total)]
