"""MLflow tracking for GRADIEND: top-k weight sets logged by themselves, compared without loading a model.

The names below are loaded when they are first used, so that `import gradiend_mlflow` is instant and comparing runs
never loads torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradiend_mlflow.artifact import load_topk_file, save_topk
    from gradiend_mlflow.autologging import autolog
    from gradiend_mlflow.block import start_run
    from gradiend_mlflow.callback import MLflowCallback
    from gradiend_mlflow.chance import Chance
    from gradiend_mlflow.choosing import Skipped
    from gradiend_mlflow.comparing import compare
    from gradiend_mlflow.comparison import Comparison
    from gradiend_mlflow.curve import OverlapCurve
    from gradiend_mlflow.curves import plot_curve
    from gradiend_mlflow.errors import (
        ArtifactError,
        CheckpointError,
        GradiendMLflowError,
        InvalidInputError,
        MissingPartError,
        SkippedRunsError,
        SpaceConflictError,
        StoreError,
    )
    from gradiend_mlflow.grouping import GroupedOverlap
    from gradiend_mlflow.heatmap import plot_heatmap
    from gradiend_mlflow.importing import import_runs
    from gradiend_mlflow.layers import plot_layers
    from gradiend_mlflow.overlap import Overlap, compute_overlap
    from gradiend_mlflow.parts import PARTS
    from gradiend_mlflow.pending import flush
    from gradiend_mlflow.publish import log_topk
    from gradiend_mlflow.pulling import load_topk
    from gradiend_mlflow.reloading import load_comparison
    from gradiend_mlflow.runs import search_runs
    from gradiend_mlflow.seeds import SeedOverlap
    from gradiend_mlflow.space import WeightSpace
    from gradiend_mlflow.syncing import sync
    from gradiend_mlflow.topk import TopKSet
    from gradiend_mlflow.upset import plot_upset
    from gradiend_mlflow.venn import plot_venn

_HOMES = {
    "artifact": ("load_topk_file", "save_topk"),
    "autologging": ("autolog",),
    "importing": ("import_runs",),
    "block": ("start_run",),
    "callback": ("MLflowCallback",),
    "chance": ("Chance",),
    "choosing": ("Skipped",),
    "comparing": ("compare",),
    "comparison": ("Comparison",),
    "curve": ("OverlapCurve",),
    "errors": (
        "ArtifactError",
        "CheckpointError",
        "GradiendMLflowError",
        "InvalidInputError",
        "MissingPartError",
        "SkippedRunsError",
        "SpaceConflictError",
        "StoreError",
    ),
    "heatmap": ("plot_heatmap",),
    "venn": ("plot_venn",),
    "upset": ("plot_upset",),
    "curves": ("plot_curve",),
    "layers": ("plot_layers",),
    "grouping": ("GroupedOverlap",),
    "overlap": ("Overlap", "compute_overlap"),
    "parts": ("PARTS",),
    "pending": ("flush",),
    "publish": ("log_topk",),
    "pulling": ("load_topk",),
    "reloading": ("load_comparison",),
    "runs": ("search_runs",),
    "seeds": ("SeedOverlap",),
    "space": ("WeightSpace",),
    "syncing": ("sync",),
    "topk": ("TopKSet",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [  # all strings
    "PARTS",
    "ArtifactError",
    "Chance",
    "CheckpointError",
    "Comparison",
    "GradiendMLflowError",
    "GroupedOverlap",
    "InvalidInputError",
    "MLflowCallback",
    "MissingPartError",
    "Overlap",
    "OverlapCurve",
    "SeedOverlap",
    "Skipped",
    "SkippedRunsError",
    "SpaceConflictError",
    "StoreError",
    "TopKSet",
    "WeightSpace",
    "autolog",
    "compare",
    "compute_overlap",
    "flush",
    "import_runs",
    "load_comparison",
    "load_topk",
    "load_topk_file",
    "log_topk",
    "plot_curve",
    "plot_heatmap",
    "plot_layers",
    "plot_upset",
    "plot_venn",
    "save_topk",
    "search_runs",
    "start_run",
    "sync",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("gradiend-mlflow")
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Kept in the module, so that the next look-up finds it without coming here.
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])
