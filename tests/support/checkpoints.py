"""Random GRADIENDs of every kind that gradiend can save, and gradiend's own answers about them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from gradiend.model import ParamMappedGradiendModel
from hypothesis import strategies as st

Parameter = tuple[str, tuple[int, ...], str]  # name, shape, repr


@dataclass(frozen=True)
class Kind:
    """What a random GRADIEND looks like."""

    parameters: tuple[Parameter, ...]
    latent_dim: int = 1
    dtype: torch.dtype = torch.float32
    bias: bool = True
    seed: int = 0
    few_values: bool = False  # so that many importances are equal


@st.composite
def kinds(draw: st.DrawFn) -> Kind:
    """Any GRADIEND: sizes, selections, latent neurons, types, with and without bias, with and without ties."""
    reprs = st.sampled_from(["all", "indices", "mask", "empty"])
    shapes = st.lists(st.integers(1, 6), min_size=0, max_size=3).map(tuple)
    selections = draw(st.lists(st.tuples(shapes, reprs), min_size=0, max_size=4))
    parameters = [(f"layer.{i}.weight", shape, how) for i, (shape, how) in enumerate(selections)]
    parameters.insert(draw(st.integers(0, len(parameters))), ("always.weight", (draw(st.integers(1, 9)), 3), "all"))
    return Kind(
        parameters=tuple(parameters),
        latent_dim=draw(st.integers(1, 4)),
        dtype=draw(st.sampled_from([torch.float32, torch.bfloat16, torch.float16])),
        bias=draw(st.booleans()),
        seed=draw(st.integers(0, 2**16)),
        few_values=draw(st.booleans()),
    )


def make_model(
    parameters: Sequence[Parameter],
    *,
    latent_dim: int = 1,
    dtype: torch.dtype = torch.float32,
    bias: bool = True,
    seed: int = 0,
    few_values: bool = False,
) -> ParamMappedGradiendModel:
    """A GRADIEND with random weights over these parameters."""
    generator = torch.Generator().manual_seed(seed)
    param_map = {name: _spec(shape, how, generator) for name, shape, how in parameters}
    selected = sum(_selected(spec) for spec in param_map.values())
    model = _constructed(selected, latent_dim, param_map, bias_decoder=bias, torch_dtype=dtype, base_model="tiny-bert")
    with torch.no_grad():
        for parameter in model.parameters():
            values = torch.randn(parameter.shape, generator=generator)
            parameter.copy_((values * 2).round() / 2 if few_values else values)
    return model


def _constructed(*args: object, **kwargs: object) -> ParamMappedGradiendModel:
    """Gradiend's constructor fails when all random encoder weights happen to be negative, as few of them may be."""
    for seed in itertools.count():
        torch.manual_seed(seed)
        try:
            return ParamMappedGradiendModel(*args, **kwargs)
        except RuntimeError:
            continue
    raise AssertionError


def model_of(kind: Kind) -> ParamMappedGradiendModel:
    """The GRADIEND that a kind describes."""
    return make_model(
        kind.parameters,
        latent_dim=kind.latent_dim,
        dtype=kind.dtype,
        bias=kind.bias,
        seed=kind.seed,
        few_values=kind.few_values,
    )


def _spec(shape: tuple[int, ...], how: str, generator: torch.Generator) -> dict[str, object]:
    size = math.prod(shape)
    if how == "all":
        return {"shape": shape, "repr": "all"}
    if how == "empty":
        return {"shape": shape, "repr": "indices", "indices": torch.empty(0, dtype=torch.int32)}
    chosen = torch.rand(size, generator=generator) < 0.5
    if how == "mask":
        return {"shape": shape, "repr": "mask", "mask": chosen.reshape(shape)}
    return {"shape": shape, "repr": "indices", "indices": chosen.nonzero().squeeze(1).to(torch.int32)}


def _selected(spec: dict[str, object]) -> int:
    if spec["repr"] == "all":
        return math.prod(spec["shape"])
    tensor = spec["mask"] if spec["repr"] == "mask" else spec["indices"]
    return int(tensor.sum() if spec["repr"] == "mask" else tensor.numel())


def gradiends_importance(model: ParamMappedGradiendModel, part: str) -> dict[int, float]:
    """Gradiend's importance of every selected weight, by base-global index."""
    indices = model._get_base_global_index_map().tolist()
    return dict(zip(indices, model.get_weight_importance(part).float().tolist(), strict=True))


def gradiends_topk(model: ParamMappedGradiendModel, part: str, topk: float) -> list[int]:
    """Gradiend's own top-k as base-global indices, in its order."""
    local = torch.tensor(model.get_topk_weights(part=part, topk=topk))
    return model._get_base_global_index_map()[local].tolist()


def assert_equals_gradiend(topk_set: object, model: ParamMappedGradiendModel, part: str, topk: float) -> None:
    """The set is gradiend's; where importances tie at the edge, it takes the lowest indices and tells how many tie."""
    theirs = gradiends_topk(model, part, topk)
    importance = gradiends_importance(model, part)
    ours = topk_set.base_global_indices().tolist()
    assert len(ours) == len(set(ours)) == len(theirs)
    np.testing.assert_array_equal(topk_set.importance, np.float32([importance[index] for index in ours]))
    edge = min(importance[index] for index in theirs)
    assert {i for i in ours if importance[i] > edge} == {i for i in theirs if importance[i] > edge}
    at_edge = sorted(index for index, value in importance.items() if value == edge)
    if len(at_edge) == 1:
        assert set(ours) == set(theirs)
    assert ours == sorted(importance, key=lambda index: (-importance[index], index))[: len(ours)]
    assert topk_set.ties_at_cut == len(at_edge)


def assert_signed_as_in_model(topk_set: object, model: ParamMappedGradiendModel, part: str) -> None:
    """The set's signed weights are those of the model's own tensors, with the sign of each zero that is no sum."""
    decoder = model.decoder[0].linear
    values = {
        "encoder-weight": lambda: model.encoder[0].linear.weight.T,
        "decoder-weight": lambda: decoder.weight,
        "decoder-bias": lambda: decoder.bias[:, None],
        "decoder-sum": lambda: (decoder.weight.sum(dim=1) + (0 if decoder.bias is None else decoder.bias))[:, None],
    }[part]()
    places = {index: place for place, index in enumerate(model._get_base_global_index_map().tolist())}
    own = [places[index] for index in topk_set.base_global_indices().tolist()]
    expected = values.detach().float().numpy()[own]
    np.testing.assert_array_equal(topk_set.weights, expected)
    if part != "decoder-sum":
        np.testing.assert_array_equal(np.signbit(topk_set.weights), np.signbit(expected))
