"""Layers and components of the parameters that transformers' models really have, each built tiny."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from gradiend_mlflow import PARTS, TopKSet
from gradiend_mlflow.sets.anatomy.architectures import component_of, layer_namer
from gradiend_mlflow.sets.anatomy.naming import in_model_order, namers
from tests.support.checkpoints import gradiends_topk, make_model
from tests.support.sampling import quick

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 99,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GROUPED = {**TINY, "num_key_value_heads": 2, "head_dim": 8}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 99, "rotary_dim": 4, "add_cross_attention": True}
EXPERTS = {**GROUPED, "num_local_experts": 4, "num_experts": 4, "moe_intermediate_size": 16}
TWO_STACKS = {"d_model": 32, "vocab_size": 99, "encoder_layers": 2, "decoder_layers": 2}
TWO_STACKS |= {
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 4, "num_heads": 4, "vocab_size": 99}

SEPARATE = {"attention_query": "q_proj", "attention_key": "k_proj", "attention_value": "v_proj"}
BERT = {
    "embedding": "word_embeddings position_embeddings token_type_embeddings embeddings_project",
    "attention_query": "query",
    "attention_key": "key",
    "attention_value": "value",
    "attention_output": "attention.output.dense",
    "mlp_up": "intermediate.dense",
    "mlp_down": "output.dense",
    "lm_head": "lm_head lm_head.dense predictions predictions.dense transform.dense",
}
LLAMA = SEPARATE | {
    "embedding": "embed_tokens",
    "attention_output": "o_proj",
    "mlp_gate": "gate_proj",
    "mlp_up": "up_proj",
    "mlp_down": "down_proj",
    "lm_head": "lm_head",
}
EXPERT_WISE = SEPARATE | {
    "embedding": "embed_tokens",
    "attention_output": "o_proj",
    "router": "mlp.gate shared_expert_gate",
    "expert_mlp_up": "experts.gate_up_proj",
    "expert_mlp_down": "experts.down_proj",
    "shared_expert_mlp_gate": "shared_expert.gate_proj",
    "shared_expert_mlp_up": "shared_expert.up_proj",
    "shared_expert_mlp_down": "shared_expert.down_proj",
    "lm_head": "lm_head",
}
NEOX = {
    "embedding": "embed_in word_embeddings",
    "attention_qkv": "query_key_value",
    "attention_output": "dense",
    "mlp_up": "dense_h_to_4h",
    "mlp_down": "dense_4h_to_h",
    "lm_head": "lm_head embed_out",
}
TWO_STACKED = {
    "embedding": "shared relative_attention_bias",
    "attention_query": "q",
    "attention_key": "k",
    "attention_value": "v",
    "attention_output": "o",
    "mlp_down": "wo",
    "lm_head": "lm_head",
}


@dataclass(frozen=True)
class Architecture:
    """A model of transformers, and the last pieces of its parameters' names by component; norms are left out."""

    model: str
    config: str
    options: dict[str, Any] = field(repr=False)
    names: dict[str, str] = field(repr=False)

    def params(self) -> list[str]:
        """The names of the parameters of the model."""
        return list(self.shapes())

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the parameters of the model, which is built without memory, by name."""
        with torch.device("meta"):
            model = getattr(transformers, self.model)(getattr(transformers, self.config)(**self.options))
        return {name: tuple(param.shape) for name, param in model.named_parameters()}

    def expected(self, param: str) -> str | None:
        """The component with the longest name that fits."""
        name = re.sub(r"\.(weight|bias)$", "", param)
        found = [
            (len(piece), component)
            for component, pieces in self.names.items()
            for piece in pieces.split()
            if name == piece or name.endswith(f".{piece}")
        ]
        return max(found)[1] if found else None


ARCHITECTURES = [
    Architecture("BertForMaskedLM", "BertConfig", TINY, BERT),
    Architecture("RobertaForMaskedLM", "RobertaConfig", TINY, BERT),
    Architecture(
        "ElectraForMaskedLM",
        "ElectraConfig",
        TINY | {"embedding_size": 16},
        BERT | {"lm_head": "generator_predictions.dense generator_lm_head"},
    ),
    Architecture(
        "DebertaV2ForMaskedLM",
        "DebertaV2Config",
        TINY | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "share_att_key": False},
        BERT
        | {"attention_query": "query_proj pos_query_proj", "attention_key": "key_proj pos_key_proj"}
        | {"attention_value": "value_proj", "embedding": "word_embeddings position_embeddings rel_embeddings"},
    ),
    Architecture(
        "DebertaForMaskedLM",
        "DebertaConfig",
        TINY,
        BERT | {"attention_query": "q_bias", "attention_value": "v_bias", "attention_qkv": "in_proj"},
    ),
    Architecture(
        "DistilBertForMaskedLM",
        "DistilBertConfig",
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "vocab_size": 99},
        {
            "embedding": "word_embeddings position_embeddings",
            "attention_query": "q_lin",
            "attention_key": "k_lin",
            "attention_value": "v_lin",
            "attention_output": "out_lin",
            "mlp_up": "lin1",
            "mlp_down": "lin2",
            "lm_head": "vocab_transform vocab_projector",
        },
    ),
    Architecture(
        "AlbertForMaskedLM",
        "AlbertConfig",
        TINY | {"embedding_size": 16},
        BERT
        | {"attention_output": "attention.dense", "mlp_up": "ffn", "mlp_down": "ffn_output"}
        | {"embedding": "word_embeddings position_embeddings token_type_embeddings embedding_hidden_mapping_in"},
    ),
    Architecture(
        "ModernBertForMaskedLM",
        "ModernBertConfig",
        TINY | {"cls_token_id": 1, "sep_token_id": 2},
        {
            "embedding": "tok_embeddings",
            "attention_qkv": "Wqkv",
            "attention_output": "attn.Wo",
            "mlp_up": "Wi",
            "mlp_down": "mlp.Wo",
            "lm_head": "head.dense decoder",
        },
    ),
    Architecture(
        "MPNetForMaskedLM",
        "MPNetConfig",
        TINY,
        BERT
        | {"attention_query": "q", "attention_key": "k", "attention_value": "v", "attention_output": "attn.o"}
        | {"embedding": "word_embeddings position_embeddings relative_attention_bias"},
    ),
    Architecture(
        "GPT2LMHeadModel",
        "GPT2Config",
        GPT,
        {
            "embedding": "wte wpe",
            "attention_qkv": "c_attn",
            "attention_query": "q_attn",
            "attention_output": "attn.c_proj crossattention.c_proj",
            "mlp_up": "c_fc",
            "mlp_down": "mlp.c_proj",
        },
    ),
    Architecture(
        "GPTJForCausalLM",
        "GPTJConfig",
        GPT,
        SEPARATE
        | {"embedding": "wte", "attention_output": "out_proj", "mlp_up": "fc_in", "mlp_down": "fc_out"}
        | {"lm_head": "lm_head"},
    ),
    Architecture("GPTNeoXForCausalLM", "GPTNeoXConfig", TINY, NEOX),
    Architecture("BloomForCausalLM", "BloomConfig", {"hidden_size": 32, "n_layer": 2, "n_head": 4}, NEOX),
    Architecture("FalconForCausalLM", "FalconConfig", TINY, NEOX),
    Architecture(
        "MptForCausalLM",
        "MptConfig",
        {"d_model": 32, "n_heads": 4, "n_layers": 2, "vocab_size": 99},
        {"embedding": "wte", "attention_qkv": "Wqkv", "attention_output": "out_proj"}
        | {"mlp_up": "up_proj", "mlp_down": "down_proj"},
    ),
    Architecture(
        "OPTForCausalLM",
        "OPTConfig",
        TINY | {"ffn_dim": 64, "word_embed_proj_dim": 16},
        SEPARATE
        | {"embedding": "embed_tokens embed_positions project_in", "attention_output": "out_proj"}
        | {"mlp_up": "fc1", "mlp_down": "fc2", "lm_head": "project_out"},
    ),
    Architecture("LlamaForCausalLM", "LlamaConfig", GROUPED, LLAMA),
    Architecture("MistralForCausalLM", "MistralConfig", GROUPED, LLAMA),
    Architecture("Qwen2ForCausalLM", "Qwen2Config", GROUPED, LLAMA),
    Architecture("Qwen3ForCausalLM", "Qwen3Config", GROUPED, LLAMA),
    Architecture("GemmaForCausalLM", "GemmaConfig", GROUPED, LLAMA),
    Architecture("Gemma2ForCausalLM", "Gemma2Config", GROUPED, LLAMA),
    Architecture(
        "PhiForCausalLM",
        "PhiConfig",
        TINY,
        SEPARATE
        | {"embedding": "embed_tokens", "attention_output": "dense", "mlp_up": "fc1", "mlp_down": "fc2"}
        | {"lm_head": "lm_head"},
    ),
    Architecture(
        "Phi3ForCausalLM",
        "Phi3Config",
        GROUPED,
        {"embedding": "embed_tokens", "attention_qkv": "qkv_proj", "attention_output": "o_proj"}
        | {"mlp_up": "gate_up_proj", "mlp_down": "down_proj", "lm_head": "lm_head"},
    ),
    Architecture("MixtralForCausalLM", "MixtralConfig", EXPERTS, EXPERT_WISE),
    Architecture(
        "Qwen2MoeForCausalLM", "Qwen2MoeConfig", EXPERTS | {"shared_expert_intermediate_size": 16}, EXPERT_WISE
    ),
    Architecture(
        "GptOssForCausalLM",
        "GptOssConfig",
        EXPERTS,
        EXPERT_WISE
        | {"router": "router", "expert_mlp_up": "gate_up_proj gate_up_proj_bias", "other": "sinks"}
        | {"expert_mlp_down": "down_proj down_proj_bias"},
    ),
    Architecture("T5ForConditionalGeneration", "T5Config", T5, TWO_STACKED | {"mlp_up": "wi"}),
    Architecture(
        "MT5ForConditionalGeneration",
        "MT5Config",
        T5 | {"feed_forward_proj": "gated-gelu"},
        TWO_STACKED | {"mlp_gate": "wi_0", "mlp_up": "wi_1"},
    ),
    Architecture(
        "BartForConditionalGeneration",
        "BartConfig",
        TWO_STACKS,
        SEPARATE
        | {"embedding": "shared embed_positions", "attention_output": "out_proj", "mlp_up": "fc1", "mlp_down": "fc2"},
    ),
]


def params_of(kind: str) -> list[str]:
    """The parameters of an architecture by the name of its model."""
    (found,) = [architecture for architecture in ARCHITECTURES if architecture.model == kind]
    return found.params()


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda architecture: architecture.model)
def test_components(architecture: Architecture) -> None:
    """Every parameter but the norms, none of them by chance "other"."""
    for param in architecture.params():
        component = component_of(param)
        if "norm" in param.lower().split(".")[-2] or re.search(r"\.ln_\w+\.\w+$", param):
            assert component == "normalization", param
        else:
            assert component == architecture.expected(param), param


@pytest.mark.parametrize("architecture", quick(ARCHITECTURES, every=6))
def test_sets_are_gradiends(architecture: Architecture, tmp_path: Path) -> None:
    """Of a GRADIEND over all of its parameters, every part, whatever else is in the checkpoint."""
    model = make_model([(name, shape, "all") for name, shape in architecture.shapes().items()], dtype=torch.float32)
    model.save_pretrained(str(tmp_path))
    sets = TopKSet.all_from_checkpoint(tmp_path, topk=100)
    assert list(sets) == list(PARTS)
    for part, found in sets.items():
        assert set(found.base_global_indices().tolist()) == set(gradiends_topk(model, part, 100))
        assert dict(zip(*found.space.params, strict=True)) == architecture.shapes()


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda architecture: architecture.model)
def test_layers_are_the_blocks_of_the_model(architecture: Architecture) -> None:
    """As many as the config says, each with parameters; embeddings and heads lie in none."""
    layers = layer_namer(params := architecture.params())
    found = {layers(param) for param in params}
    if architecture.model.startswith(("T5", "MT5", "Bart")):
        depth = 2 if "Bart" in architecture.model else 4
        assert found - {"other", "cross"} == {
            f"{stack}_layer_{layer}" for stack in ("encoder", "decoder") for layer in range(depth)
        }
    else:
        assert found - {"other", "cross"} == {
            f"layer_{layer}" for layer in range(1 if "Albert" in architecture.model else 2)
        }
    assert {layers(param) for param in params if component_of(param) == "lm_head"} <= {"other"}


@pytest.mark.parametrize(
    ("model", "param", "layer"),
    [
        ("T5ForConditionalGeneration", "encoder.block.3.layer.1.DenseReluDense.wo.weight", "encoder_layer_3"),
        ("T5ForConditionalGeneration", "decoder.block.2.layer.1.EncDecAttention.q.weight", "cross"),
        ("T5ForConditionalGeneration", "decoder.block.2.layer.0.SelfAttention.q.weight", "decoder_layer_2"),
        ("BartForConditionalGeneration", "model.decoder.layers.1.encoder_attn.k_proj.bias", "cross"),
        ("OPTForCausalLM", "model.decoder.layers.1.self_attn.k_proj.bias", "layer_1"),
        ("GPT2LMHeadModel", "transformer.h.1.mlp.c_fc.bias", "layer_1"),
    ],
)
def test_layers_of_stacks(model: str, param: str, layer: str) -> None:
    """T5's second number is a part of the layer; a decoder without an encoder has plain layers."""
    params = params_of(model)
    assert param in params
    assert layer_namer(params)(param) == layer


@pytest.mark.parametrize(
    ("param", "component"),
    [
        ("model.layers.0.block_sparse_moe.experts.3.w1.weight", "expert_3_mlp_gate"),
        ("model.layers.0.block_sparse_moe.experts.3.w2.weight", "expert_3_mlp_down"),
        ("model.layers.0.block_sparse_moe.experts.3.w3.weight", "expert_3_mlp_up"),
        ("model.layers.0.block_sparse_moe.gate.weight", "router"),
        ("model.layers.5.mlp.experts.11.gate_proj.weight", "expert_11_mlp_gate"),
        ("bert.pooler.dense.weight", "other"),
        ("classifier.weight", "other"),
    ],
)
def test_names_of_other_versions(param: str, component: str) -> None:
    """Experts were modules of their own before they became one tensor."""
    assert component_of(param) == component


def test_one_matrix_for_query_key_and_value_is_never_one_of_them() -> None:
    """Over all architectures."""
    fused = {param for param in _all_params() if re.search(r"qkv|query_key_value|c_attn", param)}
    assert len(fused) > 10
    assert {component_of(param) for param in fused} == {"attention_qkv"}


def _all_params() -> Iterator[str]:
    for architecture in ARCHITECTURES:
        yield from architecture.params()


def test_order_of_layers() -> None:
    """By number, the encoder first; what lies in no layer last."""
    names = ["other", "decoder_layer_0", "cross", "encoder_layer_10", "encoder_layer_2", "decoder_layer_1"]
    assert in_model_order(names) == [
        "encoder_layer_2",
        "encoder_layer_10",
        "decoder_layer_0",
        "decoder_layer_1",
        "cross",
        "other",
    ]


def test_gradiends_names_on_wish() -> None:
    """Where someone needs the numbers of its own tables."""
    param = "encoder.block.3.layer.1.DenseReluDense.wo.weight"
    assert namers([param], "gradiend")["layer"](param) == "layer_1"
    assert namers([param])["layer"](param) == "layer_3", "no decoder is known"
