"""The files that make a checkpoint a model of MLflow: what it is, what it takes and gives, what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FLAVOR = "gradiend"
CHECKPOINT = "gradiend"  # the folder of a model's checkpoint
_LOADER = "gradiend_mlflow.models.encoder"
_NEEDED = ("mlflow", "gradiend-mlflow", "gradiend", "torch", "transformers")


def write_spec(folder: Path, *, base_model: str | None, **known: Any) -> Mapping[str, Any]:
    """Write all files of a model but its checkpoint, which belongs into `CHECKPOINT` below; returns the flavor.

    The requirements are the versions that are installed here.

    Args:
        folder: Where to.
        base_model: The id or path of its base model, which is not part of it.
        known: What MLflow knows of it already: `run_id`, `model_id`, ...
    """
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import add_to_model
    from mlflow.types.schema import ColSpec, DataType, Schema
    from mlflow.utils.environment import _PythonEnv

    text, label = (ColSpec(DataType.string, name) for name in ("text", "label"))
    signature = ModelSignature(Schema([text, label]), Schema([ColSpec(DataType.double, "encoding")]))
    model = Model(signature=signature, **known)
    flavor = {"data": CHECKPOINT, "base_model": base_model, "gradiend_version": _version("gradiend")}
    model.add_flavor(FLAVOR, **flavor)
    add_to_model(model, loader_module=_LOADER, data=CHECKPOINT, python_env="python_env.yaml")
    needed = [f"{name}=={found}" for name in _NEEDED if (found := _version(name)) is not None]
    (folder / "requirements.txt").write_text("\n".join(needed) + "\n", encoding="utf-8")
    env = _PythonEnv.current()
    _PythonEnv(env.python, env.build_dependencies, ["-r requirements.txt"]).to_yaml(str(folder / "python_env.yaml"))
    model.save(str(folder / "MLmodel"))
    return flavor


def _version(name: str) -> str | None:
    try:
        return version(name).partition("+")[0]  # what follows says how it was built, and is in no index
    except PackageNotFoundError:
        return None
