"""Which layer and which component a parameter belongs to, by the names that transformers' architectures use.

The tables below are all there is to an architecture; a new one is a new alternative in a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

OTHER = "other"
CROSS = "cross"

_ATTENTION = re.compile(r"(?:attn|attention)[^.]*\.|(?:^|\.)(?:query|key|value|[qkv]_proj)$")
_CROSS_ATTENTION = re.compile(r"(encdecattention|encoder_attn|crossattention|cross_attn)\.")
_STACK = re.compile(r"(?:^|\.)(encoder|decoder)\.(?:\w+\.)?(?:layers?|block)\.\d+\.")
# ALBERT's groups share one layer; in T5's `block.3.layer.1` the second number is a part of the layer.
_LAYER = re.compile(r"(?:^|\.)(?:albert_layer_groups|blocks?|layers?|h)\.(\d+)\.")
_EXPERT = re.compile(r"(?:^|\.)(?:experts\.(\d+)|(shared_expert)s?|experts)\.")

# What a name's last piece says, without `.weight` and `.bias` and in lower case; the first pattern that fits counts.
_ANYWHERE = (
    ("normalization", r"(?:^|\.)(?:[^.]*norm[^.]*|(?:[^.]*_)?ln(?:_[^.]*)?)$"),
    ("router", r"(?:moe|mlp|feed_forward|ffn)\.gate$|(?:^|\.)router(?:\.\w+)?$|shared_expert_gate$"),
    (
        "lm_head",
        r"(?:^|\.)(?:lm_head|lm_loss|embed_out|project_out|vocab_(?:transform|projector)|generator_lm_head)\b",
    ),
    ("lm_head", r"(?:^|\.)(?:cls\.|generator_)?predictions\b|^(?:head\.dense|decoder)$"),
    ("embedding", r"(?:^|\.)(?:[^.]*embed[^.]*|wte|wpe|shared|relative_attention_bias|project_in|mask_emb)$"),
)
_IN_ATTENTION = (
    ("attention_qkv", r"qkv|query_key_value|c_attn|in_proj|\bkv_"),
    ("attention_query", r"(?:\b|_)(?:q|query)(?:_\w+)?$|\bwq$"),
    ("attention_key", r"(?:\b|_)(?:k|key)(?:_\w+)?$|\b(?:wk|pos_proj)$"),
    ("attention_value", r"(?:\b|_)(?:v|value)(?:_\w+)?$|\bwv$"),
    ("attention_output", r"\b(?:o|wo|dense|proj|[co]_proj|out_proj|out_lin)$"),
)
_IN_MLP = (
    ("mlp_gate", r"\b(?:gate_proj|wi_0)$|(?:experts\.\d+|feed_forward)\.w1$"),
    # Where the gate and the way up are one matrix, it is the way up.
    ("mlp_up", r"\b(?:(?:gate_)?up_proj(?:_bias)?|c_fc|fc1|fc_in|lin1|wi|wi_1|w3|dense_h_to_4h|ff\.layer_1|ffn)$"),
    ("mlp_up", r"\bintermediate\.dense$"),
    ("mlp_down", r"\b(?:down_proj(?:_bias)?|c_proj|fc2|fc_out|lin2|wo|w2|dense_4h_to_h|ff\.layer_2|ffn_output)$"),
    ("mlp_down", r"\boutput(?:\.dense)?$"),
)


def component_of(param: str) -> str:
    """The kind of a parameter.

    Args:
        param: Its name in the base model.

    Returns:
        "embedding", "attention_query", "attention_key", "attention_value", "attention_qkv" (several of them in one
        matrix), "attention_output", "mlp_gate", "mlp_up", "mlp_down", "router", "normalization", "lm_head", or
        "other". The matrices of experts have their expert before it: "expert_3_mlp_up", "shared_expert_mlp_up", and
        "expert_mlp_up" where one parameter holds those of all experts.

    Example:
        >>> component_of("model.layers.3.self_attn.o_proj.weight"), component_of("h.3.mlp.c_proj.weight")
        ('attention_output', 'mlp_down')
    """
    name = re.sub(r"\.(?:weight|bias)$", "", param.lower())
    for component, pattern in _ANYWHERE:
        if re.search(pattern, name):
            return component
    pieces = ".".join(name.split(".")[-3:])  # as many as a pattern looks at
    for component, pattern in _IN_ATTENTION if _ATTENTION.search(name) else _IN_MLP:
        if re.search(pattern, pieces):
            return _expert(name) + component
    return OTHER


def _expert(name: str) -> str:
    found = _EXPERT.search(name)
    if found is None:
        return ""
    number, shared = found.groups()
    return f"{shared}_" if shared else f"expert_{number}_" if number else "expert_"


def layer_namer(params: Iterable[str]) -> Callable[[str], str]:
    """The function from a parameter's name to its layer.

    Args:
        params: The names of all the parameters of the base model that are known. They tell whether it has one stack
            of layers or two: OPT's `decoder.layers.0` is a layer, BART's is a layer of the decoder.

    Returns:
        A function whose values are "layer_0", or, in a model with an encoder and a decoder, "encoder_layer_0",
        "decoder_layer_0" and "cross" (all attention from the decoder to the encoder); "other" outside of layers.

    Example:
        >>> layer_namer([])("bert.encoder.layer.3.output.dense.weight")
        'layer_3'
        >>> params = ["encoder.block.3.layer.1.layer_norm.weight", "decoder.block.3.layer.2.layer_norm.weight"]
        >>> [layer_namer(params)(param) for param in params]
        ['encoder_layer_3', 'decoder_layer_3']
    """
    names = [param.lower() for param in params]
    stacks = {found.group(1) for name in names if (found := _STACK.search(name))}
    two_stacks = len(stacks) > 1 or any(_CROSS_ATTENTION.search(name) for name in names)

    def layer_of(param: str) -> str:
        name = param.lower()
        if two_stacks and _CROSS_ATTENTION.search(name):
            return CROSS
        found = _LAYER.search(name)
        if found is None:
            return OTHER
        stack = _STACK.search(name) if two_stacks else None
        return f"{stack.group(1)}_layer_{found.group(1)}" if stack else f"layer_{found.group(1)}"

    return layer_of
