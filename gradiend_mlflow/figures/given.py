"""What figures are given: an overlap, or models, checkpoints and sets by label as gradiend's figures, and mappings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from gradiend_mlflow.display.progress import with_progress
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.overlap.seeds import SeedOverlap
from gradiend_mlflow.overlap.statistics.difference import OverlapDifference
from gradiend_mlflow.overlap.units import compute_overlap
from gradiend_mlflow.sets.parts import Part, check_part
from gradiend_mlflow.sets.topk import TopKSet

# By the number of sets that a Venn diagram shows: the width in inches of a figure of its own.
VENN_SIZES = {2: 5.0, 3: 5.0, 4: 6.0, 5: 6.5, 6: 7.0}
NOT_CONVERGED = "†"  # gradiend's marker
_DEFAULT_TOPK = 1000  # as in gradiend's figures and in `compare`


def overlap_of(given: Any, topk: float | None = None, part: Part | None = None) -> Any:
    """The overlap that is to be drawn.

    Args:
        given: An overlap, which is returned as it is; or a mapping from label to model, trainer's model, directory of
            a checkpoint, or `TopKSet`. Models and checkpoints are ranked here, which loads torch.
        topk: How many weights, or which fraction of a GRADIEND's inputs; default 1000. A set is cut to it, and is
            left as it is by default.
        part: Which importance ranks the weights; default "decoder-weight", or that of the sets.

    Raises:
        InvalidInputError: If `given` is neither, `topk` or `part` is given beside an overlap, which has its own, or a
            set is of another part or has fewer weights than `topk`.
        CheckpointError: If a directory is no readable checkpoint.
    """
    if isinstance(given, (Overlap, SeedOverlap, OverlapDifference)):
        if topk is not None or part is not None:
            raise InvalidInputError(
                "topk and part choose weights of models and checkpoints; an overlap has been computed with its own"
            )
        return given
    if not isinstance(given, Mapping):
        return given  # is refused as what it is, with what each figure takes
    ranked = with_progress(given.items(), "rank", "GRADIEND")
    return compute_overlap({str(label): _set_of(label, what, topk, part) for label, what in ranked})


def _set_of(label: object, what: Any, topk: float | None, part: Part | None) -> TopKSet:
    if isinstance(what, TopKSet):
        if part is not None and what.part != check_part(part):
            raise InvalidInputError(f"the set of {label!r} is of {what.part}, not of {part}: log that part too")
        if topk is None:
            return what
        return what.top(topk)
    of: dict[str, Any] = {"part": part or "decoder-weight", "topk": _DEFAULT_TOPK if topk is None else topk}
    if isinstance(what, (str, PathLike)):
        return TopKSet.from_checkpoint(what, **of)
    if callable(getattr(what, "get_model", None)):  # a trainer
        what = what.get_model()
    return TopKSet.from_model(what, **of)


def check_labels(labels: Sequence[str], **mappings: Mapping[str, Any] | None) -> None:
    """Check mappings from labels to something; None is none.

    Raises:
        InvalidInputError: If one is no mapping, or has a label that is not there.
    """
    for name, mapping in mappings.items():
        if mapping is not None and not isinstance(mapping, Mapping):
            raise InvalidInputError(f"{name} must be a mapping from label; got {type(mapping).__name__}")
        if unknown := [repr(label) for label in mapping or () if label not in labels]:
            raise InvalidInputError(f"{name} names {', '.join(unknown)}; the labels are {', '.join(labels)}")
