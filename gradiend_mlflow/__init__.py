"""MLflow tracking for GRADIEND: top-k weight sets logged by themselves, compared without loading a model.

The names below are loaded when they are first used, so that `import gradiend_mlflow` is instant and comparing runs
never loads torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradiend_mlflow.comparison.compare import compare
    from gradiend_mlflow.comparison.comparison import Comparison
    from gradiend_mlflow.comparison.files import load_comparison
    from gradiend_mlflow.comparison.selection import Skipped
    from gradiend_mlflow.delivery.sync import sync
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
    from gradiend_mlflow.figures.curve import plot_curve
    from gradiend_mlflow.figures.heatmap import plot_heatmap
    from gradiend_mlflow.figures.layers import plot_layers
    from gradiend_mlflow.figures.upset import plot_upset
    from gradiend_mlflow.figures.venn import plot_venn
    from gradiend_mlflow.overlap.chance import Chance
    from gradiend_mlflow.overlap.curve import OverlapCurve
    from gradiend_mlflow.overlap.grouping import GroupedOverlap
    from gradiend_mlflow.overlap.overlap import Overlap, compute_overlap
    from gradiend_mlflow.overlap.seeds import SeedOverlap
    from gradiend_mlflow.runs.pulling import load_topk
    from gradiend_mlflow.runs.search import search_runs
    from gradiend_mlflow.sets.artifact import load_topk_file, save_topk
    from gradiend_mlflow.sets.parts import PARTS
    from gradiend_mlflow.sets.space import WeightSpace
    from gradiend_mlflow.sets.topk import TopKSet
    from gradiend_mlflow.store.pending import flush
    from gradiend_mlflow.tracking.autolog import autolog
    from gradiend_mlflow.tracking.callback import MLflowCallback
    from gradiend_mlflow.tracking.log_topk import log_topk
    from gradiend_mlflow.tracking.start_run import start_run
    from gradiend_mlflow.trainings.import_runs import import_runs

_HOMES = {
    "comparison.compare": ("compare",),
    "comparison.comparison": ("Comparison",),
    "comparison.files": ("load_comparison",),
    "comparison.selection": ("Skipped",),
    "delivery.sync": ("sync",),
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
    "figures.curve": ("plot_curve",),
    "figures.heatmap": ("plot_heatmap",),
    "figures.layers": ("plot_layers",),
    "figures.upset": ("plot_upset",),
    "figures.venn": ("plot_venn",),
    "overlap.chance": ("Chance",),
    "overlap.curve": ("OverlapCurve",),
    "overlap.grouping": ("GroupedOverlap",),
    "overlap.overlap": ("Overlap", "compute_overlap"),
    "overlap.seeds": ("SeedOverlap",),
    "runs.pulling": ("load_topk",),
    "runs.search": ("search_runs",),
    "sets.artifact": ("load_topk_file", "save_topk"),
    "sets.parts": ("PARTS",),
    "sets.space": ("WeightSpace",),
    "sets.topk": ("TopKSet",),
    "store.pending": ("flush",),
    "tracking.autolog": ("autolog",),
    "tracking.callback": ("MLflowCallback",),
    "tracking.log_topk": ("log_topk",),
    "tracking.start_run": ("start_run",),
    "trainings.import_runs": ("import_runs",),
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
