"""How a set is read from a GRADIEND: a checkpoint directory or a live model, one part of it or all in one pass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

from gradiend_mlflow.errors import CheckpointError, MissingPartError
from gradiend_mlflow.sets.anatomy.places import anatomy_of
from gradiend_mlflow.sets.parts import DEFAULT_TOPK, PARTS, Part, check_part, check_parts, check_topk, resolve_topk

if TYPE_CHECKING:
    from typing_extensions import Self

    from gradiend_mlflow.sets.weights import GradiendWeights

Made = TypeVar("Made", bound="Ranked")


class Ranked:
    """The ways to a `TopKSet` that rank weights."""

    @classmethod
    @abstractmethod
    def as_ranked(cls, **fields: Any) -> Self:
        """A set of all these fields, which are not checked or copied: for what this package has ranked itself."""

    @classmethod
    def from_checkpoint(
        cls, path: str | PathLike[str], *, part: Part = "decoder-weight", topk: float = DEFAULT_TOPK
    ) -> Self:
        """Read a set from a GRADIEND checkpoint directory, in one pass and without loading a model.

        Equal to `get_topk_weights(part, topk)` of the loaded `ModelWithGradiend`, which returns base-global indices
        too (a bare `ParamMappedGradiendModel` returns indices of its own inputs). Ties go to the lower index.

        Args:
            path: The directory that `save_pretrained` wrote: config.json with model.safetensors or
                pytorch_model.bin.
            part: Which importance ranks the weights.
            topk: How many weights, or which fraction in (0, 1] of the checkpoint's input_dim.

        Raises:
            CheckpointError: If the directory is not a readable GRADIEND checkpoint, or holds values that are not
                finite.
            MissingPartError: If the GRADIEND does not have the part: a decoder without bias has no decoder-bias.
            InvalidInputError: If `part` or `topk` is not acceptable.
        """
        from gradiend_mlflow.sets.weights import open_checkpoint

        return cls.from_weights(open_checkpoint(path), part=part, topk=topk)

    @classmethod
    def from_model(cls, model: Any, *, part: Part = "decoder-weight", topk: float = DEFAULT_TOPK) -> Self:
        """Read a set from a live `ModelWithGradiend` or `ParamMappedGradiendModel`, which stays as and where it is.

        Args:
            model: The model.
            part: Which importance ranks the weights.
            topk: How many weights, or which fraction in (0, 1] of the model's input_dim.

        Raises:
            CheckpointError: If the model's weights are not built yet, or are not finite.
            MissingPartError: As for `from_checkpoint`.
            InvalidInputError: If `model` is neither of the two, or `part` or `topk` is not acceptable.
        """
        from gradiend_mlflow.sets.weights import open_model

        return cls.from_weights(open_model(model), part=part, topk=topk)

    @classmethod
    def all_from_checkpoint(
        cls, path: str | PathLike[str], *, parts: Sequence[Part] = PARTS, topk: float = DEFAULT_TOPK
    ) -> dict[str, Self]:
        """Read the sets of several parts in one pass over the checkpoint, which is faster than one after the other.

        Args:
            path: As for `from_checkpoint`.
            parts: Which importances rank the weights.
            topk: How many weights of each, or which fraction in (0, 1] of the checkpoint's input_dim.

        Returns:
            The sets by part, in the order given. A part that this GRADIEND does not have has none: a decoder without
            bias has no decoder-bias.

        Raises:
            CheckpointError: As for `from_checkpoint`, for any of the parts.
            MissingPartError: If the GRADIEND has none of the parts.
            InvalidInputError: If `parts` or `topk` is not acceptable.

        Example:
            sets = TopKSet.all_from_checkpoint("runs/3SG_3PL/model", topk=1000)
            sets["decoder-sum"].base_global_indices()
        """
        from gradiend_mlflow.sets.weights import open_checkpoint

        return _those_there(cls.all_from_weights(open_checkpoint(path), parts=check_parts(parts), topk=topk))

    @classmethod
    def all_from_model(
        cls, model: Any, *, parts: Sequence[Part] = PARTS, topk: float = DEFAULT_TOPK
    ) -> dict[str, Self]:
        """The same of a live `ModelWithGradiend` or `ParamMappedGradiendModel`, which stays as and where it is.

        Args:
            model: The model.
            parts: As for `all_from_checkpoint`.
            topk: The same.

        Raises:
            CheckpointError: As for `from_model`, for any of the parts.
            MissingPartError: If the GRADIEND has none of the parts.
            InvalidInputError: If `model`, `parts` or `topk` is not acceptable.
        """
        from gradiend_mlflow.sets.weights import open_model

        return _those_there(cls.all_from_weights(open_model(model), parts=check_parts(parts), topk=topk))

    @classmethod
    def from_weights(cls, weights: GradiendWeights, *, part: Part, topk: float) -> Self:
        """Rank the weights of an opened GRADIEND; for this package, where several parts are read from one.

        Args:
            weights: What `open_checkpoint` or `open_model` returned.
            part: Which importance ranks the weights.
            topk: How many weights, or which fraction in (0, 1] of `input_dim`.

        Raises:
            CheckpointError: As for `from_checkpoint`.
            InvalidInputError: If `part` or `topk` is not acceptable.
        """
        (found,) = cls.all_from_weights(weights, parts=[part], topk=topk).values()
        if isinstance(found, CheckpointError):
            raise found
        return found

    @classmethod
    def all_from_weights(
        cls, weights: GradiendWeights, *, parts: Sequence[Part], topk: float
    ) -> dict[Part, Self | CheckpointError]:
        """The same of several parts, in one pass over the weights; for a part without a ranking the reason."""
        from gradiend_mlflow.sets.ranking.rank import rank

        ranked = rank(weights, [check_part(part) for part in parts], resolve_topk(topk, weights.input_dim))
        base_model, space = weights.base_model(), weights.space
        made: dict[Part, Self | CheckpointError] = {}
        for part, ranking in ranked.items():
            if isinstance(ranking, CheckpointError):
                made[part] = ranking
                continue
            made[part] = cls.as_ranked(
                part=part,
                topk=check_topk(topk),
                input_dim=weights.input_dim,
                space=space,
                latent_dim=weights.latent_dim,
                anatomy=anatomy_of(base_model, *space.params, ranking.param_ids, ranking.offsets),
                **ranking._asdict(),
            )
        return made


def _those_there(made: dict[Part, Made | CheckpointError]) -> dict[str, Made]:
    """The sets, without the parts that the GRADIEND does not have.

    Raises:
        CheckpointError: If another part has no set, or none has.
    """
    faults = [one for one in made.values() if isinstance(one, CheckpointError)]
    for fault in faults:
        if len(faults) == len(made) or not isinstance(fault, MissingPartError):
            raise fault
    return {part: one for part, one in made.items() if not isinstance(one, CheckpointError)}
