"""Does the plugin keep its promises on this machine's device? For a GPU, or whatever else gradiend finds here.

Trains the same GRADIEND without the plugin and with it, in each of gradiend's types of weights, and prints for each
whether the two are the same to the last bit, and whether the logged sets are gradiend's own. Takes a minute, on a GPU
or not; the exit status is 1 if a line says no.

    python examples/on_this_device.py [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from gradiend import TextPredictionTrainer

import gradiend_mlflow
from quickstart import build_base_model, pronoun_trainer

TOPK = 1000
TYPES = (torch.float32, torch.bfloat16, torch.float16)


def trained(base_model: str, folder: Path, dtype: torch.dtype) -> TextPredictionTrainer:
    """A training of a few steps."""
    arguments = {"max_steps": 10, "eval_steps": 5, "max_seeds": 1, "torch_dtype": dtype}
    trainer = pronoun_trainer(base_model, ("3SG", "3PL"), experiment_dir=str(folder), **arguments)
    trainer.train()
    return trainer


def weights_of(trainer: TextPredictionTrainer) -> dict[str, torch.Tensor]:
    """The GRADIEND's tensors, on the CPU."""
    return {name: tensor.cpu() for name, tensor in trainer.get_model().gradiend.state_dict().items()}


def main(folder: Path) -> int:
    """Compare trainings of each type; how many lines say no."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "the CPU"
    base_model = build_base_model(folder / "base_model")
    failed = 0
    for dtype in TYPES:
        gradiend_mlflow.autolog(disable=True)
        plain = weights_of(trained(base_model, folder / f"{dtype} plain", dtype))
        gradiend_mlflow.autolog(topk=TOPK, experiment_name=f"{dtype} on {device}", parts=["decoder-weight"])
        trainer = trained(base_model, folder / f"{dtype} tracked", dtype)
        tracked = weights_of(trainer)
        same = plain.keys() == tracked.keys() and all(torch.equal(plain[name], tracked[name]) for name in plain)
        (logged,) = gradiend_mlflow.load_topk(gradiend_mlflow.search_runs(f"{dtype} on {device}"), topk=TOPK).values()
        gradiend = trainer.get_model().gradiend
        importance = gradiend.get_weight_importance("decoder-weight").float().cpu().numpy()
        own = gradiend.get_topk_weights(part="decoder-weight", topk=TOPK)
        # By importance, because gradiend leaves open which of several that tie at the cut are in.
        equal = np.array_equal(np.sort(importance[list(own)])[::-1], logged.importance)
        print(f"{device}, {dtype}: the same GRADIEND: {_word(same)}; gradiend's own sets: {_word(equal)}")
        failed += not (same and equal)
    return failed


def _word(yes: bool) -> str:
    return "yes" if yes else "NO"


if __name__ == "__main__":
    torch.use_deterministic_algorithms(mode=True, warn_only=True)  # else two trainings on a GPU differ by themselves
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(1 if main(Path(sys.argv[1] if len(sys.argv) > 1 else temporary)) else 0)
