"""Checkpoints that somebody spoilt: each fault is said of the tensor that has it, and none gives other weights."""

from __future__ import annotations

import json
import math
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gradiend.model import ParamMappedGradiendModel
from safetensors.torch import load_file, save_file

from gradiend_mlflow import CheckpointError, InvalidInputError, TopKSet
from tests.support.checkpoints import assert_equals_gradiend

MASKED, INDEXED = "masked.weight", "indexed.weight"
DECODER = "decoder.0.linear.weight"
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A valid one, with a whole parameter, a masked and an indexed one."""
    spec = {
        "whole.weight": {"shape": (3, 4), "repr": "all"},
        MASKED: {"shape": (40,), "repr": "mask", "mask": torch.arange(40) % 2 == 0},
        INDEXED: {"shape": (400,), "repr": "indices", "indices": torch.arange(5, 45, 8, dtype=torch.int32)},
    }
    torch.manual_seed(0)
    model = ParamMappedGradiendModel(12 + 20 + 5, 1, spec, base_model="tiny-bert")
    model.save_pretrained(str(tmp_path / "model"), use_safetensors=False)
    return tmp_path / "model"


def sets_of(path: Path) -> list[TopKSet]:
    """All inputs, so that every selection is used."""
    return [TopKSet.from_checkpoint(path, part=part, topk=1.0) for part in ("decoder-weight", "encoder-weight")]


def edit_config(folder: Path, edit: Edit) -> None:
    """Change what config.json says."""
    config = json.loads((folder / "config.json").read_text())
    edit(config)
    (folder / "config.json").write_text(json.dumps(config))


def edit_tensors(file: Path, edit: Edit) -> None:
    """Change what a file of tensors holds."""
    state = torch.load(file)
    edit(state)
    torch.save(state, file)


def test_the_valid_one_is_read(checkpoint: Path) -> None:
    """As gradiend reads it."""
    for topk_set in sets_of(checkpoint):
        assert_equals_gradiend(topk_set, ParamMappedGradiendModel.from_pretrained(str(checkpoint)), topk_set.part, 1.0)


def test_what_python_writes_is_read(checkpoint: Path) -> None:
    """NaN in the metadata, which are the user's; tags that are not gradiend's."""
    expected = sets_of(checkpoint)
    edit_config(checkpoint, lambda config: config["metadata"].update(best=math.nan, worst=-math.inf, more={"a": [1]}))
    assert sets_of(checkpoint) == expected


CONFIGS: dict[str, tuple[Edit, str]] = {
    "metadata is a list": (lambda c: c.update(metadata=[1]), "metadata must be an object"),
    "base model is a list": (lambda c: c["metadata"].update(base_model=["a"]), "base_model must be a string"),
    "architecture is a list": (lambda c: c.update(architecture=[1]), "architecture must be an object"),
    "mapping is a string": (lambda c: c.update(mapping="all"), "mapping must be an object"),
    "no map": (lambda c: c["mapping"].pop("param_map"), "param_map must be a list"),
    "a map of strings": (lambda c: c["mapping"].update(param_map=["a"]), r"param_map\[0\] must be an object"),
    "infinite inputs": (lambda c: c["architecture"].update(input_dim=math.inf), "input_dim must be an integer"),
    "broken inputs": (lambda c: c["architecture"].update(input_dim=3.5), "input_dim must be an integer"),
    "no neurons": (lambda c: c["architecture"].update(latent_dim=0), "latent_dim must be an integer"),
    "more neurons": (lambda c: c["architecture"].update(latent_dim=2), "should have the shape"),
    "a shape that is a string": (lambda c: entry(c, 0).update(shape="34"), "a shape must be a list"),
    "a negative shape": (lambda c: entry(c, 0).update(shape=[-3, -4]), r"a shape\[0\] must be an integer from 0"),
    "a huge shape": (lambda c: entry(c, 0).update(shape=[2**62, 2**62]), "63 bits"),
    "a long shape": (lambda c: entry(c, 0).update(shape=[1] * 1000), "at most 64 axes"),
    "a name twice": (lambda c: entry(c, 0).update(name=MASKED), "unique names"),
    "half a character": (lambda c: entry(c, 0).update(name="\ud800"), "strings of whole characters"),
    "an unknown repr": (lambda c: entry(c, 0).update(repr="some"), "gradiend knows all, mask and indices"),
    "no repr": (lambda c: entry(c, 0).pop("repr"), "repr must be a string"),
    "a key that is a list": (lambda c: entry(c, 1).update(key=["L1"]), "key must be a string"),
    "an unknown key": (lambda c: entry(c, 1).update(key="L9"), "lacks 'L9'"),
    "another count": (lambda c: entry(c, 1).update(num_selected=1), r"weights; config\.json says 1"),
    "no file": (lambda c: c["mapping"].pop("masks_file"), "names None as masks_file"),
    "a file elsewhere": (lambda c: c["mapping"].update(masks_file="../mask.pth"), "a file beside it"),
    "a file that is not there": (lambda c: c["mapping"].update(masks_file="mask.pth"), r"mask\.pth cannot be read"),
}


def entry(config: dict[str, Any], at: int) -> dict[str, Any]:
    """What a config says of one parameter."""
    found: dict[str, Any] = config["mapping"]["param_map"][at]
    return found


@pytest.mark.parametrize("fault", CONFIGS)
def test_spoilt_configs_are_named(checkpoint: Path, fault: str) -> None:
    """Values of other types, absurd sizes, files that are not its own."""
    edit, message = CONFIGS[fault]
    edit_config(checkpoint, edit)
    with pytest.raises(CheckpointError, match=message) as caught:
        sets_of(checkpoint)
    assert str(checkpoint) in str(caught.value)
    assert len(str(caught.value)) < len(str(checkpoint)) + 500


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"architecture": 1e999, "mapping": {}}', "lacks the 'architecture' and 'mapping'"),
        ('{"architecture": ' + "9" * 5000 + "}", "integer beyond 64 bits"),
        ("[]", "must be an object"),
        ("\udcff", "not UTF-8"),
        ("", "not valid JSON"),
    ],
)
def test_configs_that_are_none_are_named(checkpoint: Path, text: str, message: str) -> None:
    """Brackets without end, numbers without end, and other documents."""
    (checkpoint / "config.json").write_text(text, errors="surrogateescape")
    with pytest.raises(CheckpointError, match=message):
        TopKSet.from_checkpoint(checkpoint)


WEIGHTS: dict[str, tuple[Callable[[torch.Tensor], Any], str]] = {
    "a list": (lambda t: t.tolist(), "should be a tensor; got a list"),
    "a number": (lambda t: 5, "should be a tensor; got a int"),
    "float8": (lambda t: t.to(torch.float8_e4m3fn), "has the type torch.float8_e4m3fn"),
    "integers": (lambda t: t.int(), "has the type torch.int32"),
    "complex": (lambda t: t.to(torch.complex64), "has the type torch.complex64"),
    "meta": (lambda t: t.to("meta"), "is a meta tensor"),
    "sparse": (lambda t: t.to_sparse(), "is a sparse or nested tensor"),
    "quantized": (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "is a quantized tensor"),
    "another shape": (lambda t: t.flatten(), "should have the shape"),
    "one number, expanded": (lambda t: torch.zeros(1, 1).expand(t.shape), "but only 4 bytes are stored"),
    "NaN": (lambda t: t * math.nan, "not finite"),
    "beyond float32": (lambda t: t.double() * 1e300, "beyond those of float32"),
}


@pytest.mark.parametrize("fault", WEIGHTS)
def test_weights_that_are_none_are_named(checkpoint: Path, fault: str) -> None:
    """Whatever a pickle may hold in place of a matrix."""
    edit, message = WEIGHTS[fault]
    edit_tensors(
        checkpoint / "pytorch_model.bin", lambda state: state.update({DECODER: edit(state[DECODER].detach())})
    )
    with pytest.raises(CheckpointError, match=message):
        sets_of(checkpoint)


def test_a_file_may_say_that_its_numbers_have_the_other_sign(checkpoint: Path) -> None:
    """As torch reads them."""
    expected = sets_of(checkpoint)
    for name in (DECODER, "encoder.0.linear.weight"):
        edit_tensors(
            checkpoint / "pytorch_model.bin",
            lambda state, name=name: state.update({name: torch._neg_view(-state[name].detach())}),
        )
    assert sets_of(checkpoint) == expected


@pytest.mark.timeout(20)
def test_sizes_that_nothing_backs_are_refused(checkpoint: Path) -> None:
    """A terabyte of weights in four bytes."""
    size = 2**40

    def claim(config: dict[str, Any]) -> None:
        config["architecture"]["input_dim"] = size
        config["mapping"] = {"param_map": [{"name": "a", "shape": [size], "repr": "all"}]}

    edit_config(checkpoint, claim)
    for shape, name in (((size, 1), DECODER), ((size,), "decoder.0.linear.bias")):
        huge = torch.zeros(1).expand(shape)
        edit_tensors(checkpoint / "pytorch_model.bin", lambda state, huge=huge, name=name: state.update({name: huge}))
    for part in ("decoder-weight", "decoder-bias", "decoder-sum"):
        with pytest.raises(CheckpointError, match="but only 4 bytes are stored"):
            TopKSet.from_checkpoint(checkpoint, part=part)


MASKS: dict[str, tuple[Callable[[torch.Tensor], Any], str]] = {
    "longer": (lambda t: torch.cat([t, t]), "has 80 entries; the parameter has 40 weights"),
    "shorter": (lambda t: t[:-1], "has 39 entries; the parameter has 40 weights"),
    "NaN": (lambda t: t.float() * math.nan, "has the type torch.float32"),
    "nothing selected": (lambda t: t * 0, "has 0 weights; config.json says"),
    "one more": (torch.ones_like, "has 40 weights; config.json says"),
    "a list": (lambda t: t.tolist(), "should be a tensor"),
    "expanded": (lambda t: torch.ones(1, dtype=torch.uint8).expand(40), "but only 1 bytes are stored"),
}
INDICES: dict[str, tuple[Callable[[torch.Tensor], Any], str]] = {
    "too many": (lambda t: torch.arange(401), "has 401 entries; the parameter has 400 weights"),
    "one more": (lambda t: torch.cat([t, t[:1] + 1]), "has 6 weights; config.json says 5"),
    "one twice": (lambda t: torch.cat([t[:-1], t[:1]]), "has an index twice"),
    "one outside": (lambda t: t + 390, "the parameter has 400 weights"),
    "one negative": (lambda t: t - 6, "has the index -1"),
    "broken ones": (lambda t: t + 0.5, "has the type torch.float32"),
    "bools": (lambda t: t > 20, "has the type torch.bool"),
    "a dict": (lambda t: {"a": t}, "should be a tensor"),
}


@pytest.mark.parametrize("fault", MASKS)
def test_spoilt_masks_are_named(checkpoint: Path, fault: str) -> None:
    """Each of them would have given other weights, or an error of torch's."""
    edit, message = MASKS[fault]
    edit_tensors(checkpoint / "mapping_masks.pth", lambda state: state.update({"L1": edit(state["L1"])}))
    with pytest.raises(CheckpointError, match=message) as caught:
        sets_of(checkpoint)
    assert MASKED in str(caught.value)


@pytest.mark.parametrize("fault", INDICES)
def test_spoilt_indices_are_named(checkpoint: Path, fault: str) -> None:
    """As masks."""
    edit, message = INDICES[fault]
    edit_tensors(checkpoint / "mapping_indices.pth", lambda state: state.update({"L2": edit(state["L2"])}))
    with pytest.raises(CheckpointError, match=message) as caught:
        sets_of(checkpoint)
    assert INDEXED in str(caught.value)


def test_a_mask_that_selects_nothing_is_read(checkpoint: Path) -> None:
    """If the rest agrees, as gradiend does."""
    edit_tensors(checkpoint / "mapping_masks.pth", lambda state: state.update({"L1": state["L1"] * 0}))
    state = torch.load(checkpoint / "pytorch_model.bin")
    kept = [*range(12), *range(32, 37)]
    state |= {name: state[name][kept].clone() for name in (DECODER, "decoder.0.linear.bias")}
    state["encoder.0.linear.weight"] = state["encoder.0.linear.weight"][:, kept].clone()
    torch.save(state, checkpoint / "pytorch_model.bin")
    edit_config(checkpoint, lambda config: config["architecture"].update(input_dim=17))
    edit_config(checkpoint, lambda config: entry(config, 1).update(num_selected=0))
    model = ParamMappedGradiendModel.from_pretrained(str(checkpoint))
    for topk_set in sets_of(checkpoint):
        assert_equals_gradiend(topk_set, model, topk_set.part, 1.0)


def test_an_unsorted_selection_is_read_as_gradiend_reads_it(checkpoint: Path) -> None:
    """Any order is valid."""
    edit_tensors(checkpoint / "mapping_indices.pth", lambda state: state.update({"L2": state["L2"].flip(0).clone()}))
    model = ParamMappedGradiendModel.from_pretrained(str(checkpoint))
    for topk_set in sets_of(checkpoint):
        assert_equals_gradiend(topk_set, model, topk_set.part, 1.0)


class Opens:
    """A pickle that creates a file when it is loaded."""

    def __reduce__(self) -> Any:
        return open, ("executed", "w")


@pytest.mark.parametrize(
    "state", [[1, 2], 5, {"decoder": Opens()}, None], ids=["a list", "a number", "a call", "nothing"]
)
def test_pickles_that_are_no_state_are_named(checkpoint: Path, state: Any) -> None:
    """And run nothing."""
    torch.save(state, checkpoint / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin cannot be read"):
        TopKSet.from_checkpoint(checkpoint)
    (checkpoint / "pytorch_model.bin").write_bytes(pickle.dumps(state))
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin cannot be read"):
        TopKSet.from_checkpoint(checkpoint)
    assert not Path("executed").exists()


def test_compressed_archives_are_refused(checkpoint: Path) -> None:
    """A kilobyte may hold gigabytes; torch itself compresses nothing."""
    file = checkpoint / "pytorch_model.bin"
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data + bytes(2**20))
    with pytest.raises(CheckpointError, match="compressed"):
        TopKSet.from_checkpoint(checkpoint)


def test_damaged_safetensors_are_named(checkpoint: Path) -> None:
    """Cut off, with a header that promises more, or with types that torch does not have."""
    state = {name: tensor.detach().clone() for name, tensor in torch.load(checkpoint / "pytorch_model.bin").items()}
    file = checkpoint / "model.safetensors"
    save_file(state, file)
    assert set(load_file(file)) == set(state)
    whole = file.read_bytes()
    for data in (whole[:-1], whole[:100], b"", b"\xff" * 8 + whole[8:], whole.replace(b'"F32"', b'"X99"')):
        file.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            TopKSet.from_checkpoint(checkpoint)


def test_a_config_without_end_is_refused(checkpoint: Path) -> None:
    """A hole of a terabyte, which takes no room on the disk."""
    with (checkpoint / "config.json").open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(CheckpointError, match="at most 67,108,864 are read"):
        TopKSet.from_checkpoint(checkpoint)


@pytest.mark.parametrize("path", [5, None, ["a"]])
def test_what_is_no_path_is_refused(path: Any) -> None:
    """Before anything is looked for."""
    with pytest.raises(InvalidInputError, match="expected the path of a GRADIEND checkpoint"):
        TopKSet.from_checkpoint(path)


LIVE: dict[str, tuple[Edit, type[Exception], str]] = {
    "a mask of another size": (
        lambda m: m[MASKED].update(mask=torch.ones(41, dtype=torch.bool)),
        CheckpointError,
        "has 41 entries",
    ),
    "no mask": (lambda m: m[MASKED].pop("mask"), CheckpointError, "should be a tensor; got a NoneType"),
    "an unknown repr": (lambda m: m[MASKED].update(repr="some"), InvalidInputError, "gradiend knows all"),
    "no shape": (lambda m: m[MASKED].pop("shape"), InvalidInputError, "is not what gradiend builds"),
    "a number for a spec": (lambda m: m.update({MASKED: 5}), InvalidInputError, "is not what gradiend builds"),
    "an index outside": (
        lambda m: m[INDEXED].update(indices=torch.arange(396, 401)),
        CheckpointError,
        "has the index 400",
    ),
}


@pytest.mark.parametrize("fault", LIVE)
def test_spoilt_models_in_memory_are_named(checkpoint: Path, fault: str) -> None:
    """By the same rules."""
    edit, expected, message = LIVE[fault]
    model = ParamMappedGradiendModel.from_pretrained(str(checkpoint))
    edit(model.param_map)
    with pytest.raises(expected, match=message):
        TopKSet.from_model(model, topk=1.0)
