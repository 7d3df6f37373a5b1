"""Heads and neurons are those that the real models compute with: a changed weight changes its head alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import transformers
from huggingface_hub.errors import StrictDataclassError

from gradiend_mlflow.sets.anatomy.architectures import component_of
from gradiend_mlflow.sets.anatomy.heads import Heads, heads_of, unit_count, units_of

N_HEADS, HEAD_SIZE = 4, 8
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": N_HEADS,
    "intermediate_size": 64,
    "vocab_size": 50,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GPT = {"n_embd": 32, "n_layer": 1, "n_head": N_HEADS, "vocab_size": 50, "rotary_dim": 4}
FALCON = TINY | {"alibi": False}
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("BertModel", "BertConfig", TINY),
    "deberta": ("DebertaModel", "DebertaConfig", TINY),
    "modernbert": ("ModernBertModel", "ModernBertConfig", TINY | {"cls_token_id": 1, "sep_token_id": 2}),
    "distilbert": (
        "DistilBertModel",
        "DistilBertConfig",
        {"dim": 32, "n_layers": 1, "n_heads": N_HEADS, "vocab_size": 50},
    ),
    "gpt2": ("GPT2Model", "GPT2Config", GPT),
    "gptj": ("GPTJModel", "GPTJConfig", GPT),
    "neox": ("GPTNeoXModel", "GPTNeoXConfig", TINY),
    "bloom": ("BloomModel", "BloomConfig", {"hidden_size": 32, "n_layer": 1, "n_head": N_HEADS, "vocab_size": 50}),
    "mpt": ("MptModel", "MptConfig", {"d_model": 32, "n_heads": N_HEADS, "n_layers": 1, "vocab_size": 50}),
    "falcon": ("FalconModel", "FalconConfig", FALCON | {"multi_query": False}),
    "falcon, one key": ("FalconModel", "FalconConfig", FALCON | {"multi_query": True}),
    "falcon, groups": ("FalconModel", "FalconConfig", FALCON | {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "llama": ("LlamaModel", "LlamaConfig", TINY | {"num_key_value_heads": 2}),
    "phi3": ("Phi3Model", "Phi3Config", TINY | {"num_key_value_heads": 2}),
    "opt": ("OPTModel", "OPTConfig", TINY | {"ffn_dim": 64, "word_embed_proj_dim": 32}),
    "t5": (
        "T5EncoderModel",
        "T5Config",
        {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": N_HEADS},
    ),
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    """A real model with one layer of four heads of eight units."""
    kind, config, options = MODELS[request.param]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        try:
            configured = getattr(transformers, config)(**options)
        except StrictDataclassError as error:  # transformers 5.12 refuses its own defaults of ModernBERT
            pytest.skip(f"transformers {transformers.__version__} cannot make a {config}, install 5.23: {error}")
        made = getattr(transformers, kind)(configured)
    for param in made.parameters():
        param.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
    return made.eval()


def attention_params(model: Any) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """The matrices that make queries, keys and values."""
    for name, param in model.named_parameters():
        if component_of(name) in {"attention_query", "attention_key", "attention_value", "attention_qkv"}:
            yield name, param


def context_of(model: Any) -> npt.NDArray[np.float64]:
    """What the heads hand to the output of the first attention; shape (tokens, heads, head size)."""
    seen: list[torch.Tensor] = []
    (output, *_) = [
        module
        for name, module in model.named_modules()
        if component_of(f"{name}.weight") == "attention_output" and hasattr(module, "weight")
    ]
    hook = output.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    with torch.no_grad():
        model(input_ids=torch.tensor([[3, 14, 15, 9, 26]]))
    hook.remove()
    return seen[0].reshape(-1, N_HEADS, HEAD_SIZE).double().numpy()


def test_a_changed_weight_changes_its_head_alone(model: Any) -> None:
    """For queries, keys and values, fused or not, grouped or not."""
    heads = Heads.from_config(model.config)
    assert heads is not None
    before = context_of(model)
    rng = np.random.default_rng(0)
    for name, param in attention_params(model):
        for offset in rng.choice(param.numel(), 12, replace=False):
            (head,) = heads_of(name, tuple(param.shape), np.array([offset]), heads)
            flat = param.data.view(-1)
            flat[offset] += 3
            changed = np.flatnonzero(np.abs(context_of(model) - before).max(axis=(0, 2)) > 1e-6)
            flat[offset] -= 3
            group = N_HEADS // heads.key_value
            expected = (
                range(int(head[2:]) * group, (int(head[2:]) + 1) * group) if head.startswith("kv") else [int(head)]
            )
            assert set(changed) <= set(expected), (name, offset)
            assert len(changed) or "key" in name or "bias" in name, (name, offset)  # a key's bias changes no attention


def outputs_by_module(model: Any) -> Iterator[tuple[str, torch.nn.Module]]:
    """Modules that multiply with a matrix of their own."""
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if weight is not None and weight.ndim == 2 and not isinstance(module, torch.nn.Embedding):
            yield name, module


def test_a_units_weights_are_those_that_its_output_depends_on(model: Any) -> None:
    """Whether a matrix is stored by outputs or by inputs."""
    heads = Heads.from_config(model.config)
    for name, module in outputs_by_module(model):
        weight = module.weight
        transposed = type(module).__name__ == "Conv1D"
        inputs = torch.ones(1, weight.shape[0 if transposed else 1])
        unit = 5
        (gradient,) = torch.autograd.grad(module(inputs)[0, unit], weight)
        offsets = gradient.flatten().nonzero().flatten().numpy()
        units = units_of(f"{name}.weight", tuple(weight.shape), offsets, heads)
        assert units is not None
        assert set(units) == {unit}, name
        assert len(offsets) == inputs.numel()


def test_an_embeddings_units_are_its_rows(model: Any) -> None:
    """Also where the other matrices are stored by inputs, as GPT-2's are."""
    heads = Heads.from_config(model.config)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Embedding):
            shape = tuple(module.weight.shape)
            units = units_of(f"{name}.weight", shape, np.arange(np.prod(shape)), heads)
            assert units is not None
            assert (units.reshape(shape) == np.arange(shape[0])[:, None]).all(), name
            assert unit_count(f"{name}.weight", shape, heads) == shape[0]


def test_an_output_reads_its_head(model: Any) -> None:
    """The inputs of an attention's output are the heads, side by side; its bias is of none."""
    heads = Heads.from_config(model.config)
    for name, module in outputs_by_module(model):
        if component_of(f"{name}.weight") != "attention_output":
            continue
        for head in range(N_HEADS):
            inputs = torch.zeros(N_HEADS, HEAD_SIZE)
            inputs[head] = 1
            (gradient,) = torch.autograd.grad(module(inputs.view(1, -1)).sum(), module.weight)
            offsets = gradient.flatten().nonzero().flatten().numpy()
            assert set(heads_of(f"{name}.weight", tuple(module.weight.shape), offsets, heads)) == {str(head)}
        if getattr(module, "bias", None) is not None:
            assert heads_of(f"{name}.bias", tuple(module.bias.shape), np.arange(3), heads).tolist() == [None] * 3


@pytest.mark.parametrize(
    ("kind", "config", "outputs_last"), [("Mixtral", "MixtralConfig", False), ("GptOss", "GptOssConfig", True)]
)
def test_units_of_experts(kind: str, config: str, outputs_last: bool) -> None:
    """One per expert and output, whichever axis counts the outputs."""
    options = TINY | {"num_key_value_heads": 2, "num_local_experts": 3, "head_dim": 8}
    config = getattr(transformers, config)(**options)
    with torch.device("meta"):
        model = getattr(transformers, f"{kind}Model")(config)
    found = [(name, tuple(p.shape)) for name, p in model.named_parameters() if name.endswith("experts.down_proj")]
    (name, shape) = found[0]
    assert len(found) == 1
    heads = Heads.from_config(config)
    assert heads is not None
    assert heads.outputs_last is outputs_last
    flat = units_of(name, shape, np.arange(np.prod(shape)), heads)
    assert flat is not None
    units = flat.reshape(shape)
    assert unit_count(name, shape, heads) == 3 * 32
    assert len(set(units.flat)) == 3 * 32
    assert len(set(units[1, 0, :] if outputs_last else units[1, :, 0])) == 32


@pytest.mark.parametrize(
    ("param", "shape"),
    [
        ("layers.0.mlp.up_proj.weight", (8, 8)),
        ("layers.0.self_attn.q_norm.weight", (8,)),
        ("layers.0.self_attn.q_a_proj.weight", (8, 8)),  # compressed
        ("layers.0.self_attn.q_proj.weight", (7, 8)),  # not divisible
        ("h.0.attn.Wqkv.weight", (24, 8)),  # of no layout that is known
    ],
)
def test_what_belongs_to_no_head(param: str, shape: tuple[int, ...]) -> None:
    """None, rather than a number that means nothing."""
    assert heads_of(param, shape, np.array([0, 5]), Heads(query=4, key_value=4)).tolist() == [None, None]


def test_configs_without_heads() -> None:
    """State-space models, and values that are no numbers of heads."""
    assert Heads.from_config(transformers.MambaConfig(hidden_size=32, num_hidden_layers=1)) is None
    assert Heads.from_config(object()) is None


def test_two_stacks_may_have_other_heads() -> None:
    """The decoder's, cross attention included, are its own."""
    heads = Heads.from_config(transformers.BartConfig(encoder_attention_heads=4, decoder_attention_heads=2))
    assert heads == Heads(query=4, key_value=4, decoder=2)
    for param, last in (
        ("encoder.layers.0.self_attn.q_proj.weight", "3"),
        ("decoder.layers.0.encoder_attn.k_proj.weight", "1"),
    ):
        assert heads_of(f"model.{param}", (8, 8), np.array([63]), heads).tolist() == [last]
