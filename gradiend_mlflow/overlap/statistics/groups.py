"""Which runs belong together: mappings from runs to groups, and the grouped trainings that a test compares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.sets.space import IntArray, Matrix
from gradiend_mlflow.wording import some_of

UNGROUPED = "Other"  # gradiend's name for the runs that belong to no group
INTERVAL_FROM = 4  # trainings in a group


def complete_groups(groups: Mapping[str, Any], labels: Sequence[str]) -> dict[str, str]:
    """The group of each label, in the order of `groups`; labels that it does not name come last, in "Other".

    Args:
        groups: A mapping from label to group or from group to labels.
        labels: All labels.

    Raises:
        InvalidInputError: If `groups` is neither, names an unknown label, or names a label twice.
    """
    named = group_by_label(groups)
    if unknown := [str(label) for label in named if label not in labels]:
        raise InvalidInputError(f"groups names {', '.join(unknown)}; the runs are: {', '.join(labels)}")
    return named | {label: UNGROUPED for label in labels if label not in named}


def group_by_label(groups: object) -> dict[str, str]:
    """A mapping from label to group, made of it or of one from group to labels.

    Raises:
        InvalidInputError: If it is neither, or names a label twice.
    """
    groups = as_mapping(groups)
    if not isinstance(groups, Mapping):
        raise InvalidInputError(
            f"groups must be a column or a mapping from label to group or group to labels; got {type(groups).__name__}"
        )
    if all(isinstance(value, str) for value in groups.values()):
        return dict(groups)
    found: dict[str, str] = {}
    for group, members in groups.items():
        if isinstance(members, str) or not isinstance(members, Sequence):
            raise InvalidInputError(
                f"groups must name a list of labels per group, or a group, a string, per label; got {members!r} "
                f"for {group!r}"
            )
        for label in members:
            if label in found:
                raise InvalidInputError(f"a run may be in one group; {label!r} is in {found[label]!r} and {group!r}")
            found[label] = str(group)
    return found


def as_mapping(given: Any) -> Any:
    """A pandas Series as the mapping from its index that it is, without missing values; anything else as it is."""
    if isinstance(given, pd.Series):
        if not given.index.is_unique:
            raise InvalidInputError("a Series that names runs must name each once in its index; some are there twice")
        return given.dropna().to_dict()
    return given


def no_such_group() -> InvalidInputError:
    """The error that says that a group cannot be called as those without one are."""
    return InvalidInputError(
        f"{UNGROUPED!r} is what runs are called that are in no group, as in gradiend: give a group of that name "
        "another one, or leave its runs out of a mapping"
    )


@dataclass(frozen=True, eq=False)
class GroupedTrainings:
    """N trainings in G groups, and maybe a control group.

    Attributes:
        labels: One per training.
        matrix: Their overlap; float64, shape (N, N).
        names: The names of the groups, the control last.
        groups: The group of each training, as an index into `names`; shape (N,).
        strata: The stratum of each training, from 0; shape (N,).
        has_control: Whether the last group is the control.
        left_out: The labels of the trainings that are in no group.
    """

    labels: tuple[str, ...]
    matrix: Matrix
    names: tuple[str, ...]
    groups: IntArray
    strata: IntArray
    has_control: bool
    left_out: tuple[str, ...]

    @property
    def tested(self) -> tuple[str, ...]:
        """The names of the groups without the control."""
        return self.names[:-1] if self.has_control else self.names

    @property
    def sizes(self) -> IntArray:
        """The number of trainings of each group; shape (G,)."""
        return np.bincount(self.groups, minlength=len(self.names))

    def of(self, rows: npt.NDArray[Any]) -> GroupedTrainings:
        """Some of the trainings, by index or mask, in the same groups."""
        chosen = np.arange(len(self.labels))[rows]
        return replace(
            self,
            labels=tuple(self.labels[row] for row in chosen),
            matrix=self.matrix[np.ix_(chosen, chosen)],
            groups=self.groups[chosen],
            strata=self.strata[chosen],
        )


def grouped_trainings(
    labels: Sequence[str],
    matrix: npt.NDArray[Any],
    groups: Mapping[str, Any],
    control: str | None,
    strata: Mapping[str, str] | None,
) -> GroupedTrainings:
    """The trainings that a test compares; those in no group, or in "Other", are left out.

    Raises:
        InvalidInputError: If `groups` or `strata` is not acceptable, `control` is not a group, there are fewer than
            two groups beside it, or none of them has two trainings.
    """
    group_of = complete_groups(groups, labels)
    if control != UNGROUPED and not isinstance((as_mapping(groups) or {}).get(UNGROUPED, ""), str):
        raise no_such_group()
    names = [name for name in dict.fromkeys(group_of.values()) if name not in (control, UNGROUPED)]
    if control is not None:
        if control not in group_of.values():
            raise InvalidInputError(f"control must be one of the groups, {', '.join(names)}; got {control!r}")
        names.append(control)
    rows = [row for row, label in enumerate(labels) if group_of[label] in names]
    made = GroupedTrainings(
        labels=tuple(labels[row] for row in rows),
        matrix=np.asarray(matrix, dtype=np.float64)[np.ix_(rows, rows)],
        names=tuple(names),
        groups=np.array([names.index(group_of[labels[row]]) for row in rows], dtype=np.int64),
        strata=_strata([labels[row] for row in rows], strata),
        has_control=control is not None,
        left_out=tuple(label for label in labels if group_of[label] not in names),
    )
    _check_groups(made)
    return made


def _check_groups(trainings: GroupedTrainings) -> None:
    beside = f" beside the control {trainings.names[-1]!r}" if trainings.has_control else ""
    found = ", ".join(some_of(trainings.tested)) or "none"
    if len(trainings.tested) < 2:  # noqa: PLR2004
        raise InvalidInputError(f"a test of groups needs at least two groups{beside}; got {found}")
    if trainings.sizes[: len(trainings.tested)].max() < 2:  # noqa: PLR2004
        raise InvalidInputError(
            f"no two trainings are in one group, so nothing is within a group; each of the groups{beside} has one "
            f"training: {found}"
        )


def _strata(labels: Sequence[str], strata: Mapping[str, str] | None) -> IntArray:
    if strata is None:
        return np.zeros(len(labels), dtype=np.int64)
    strata = as_mapping(strata)
    if not isinstance(strata, Mapping):
        raise InvalidInputError(f"strata must be a mapping from label to stratum; got {type(strata).__name__}")
    if missing := [label for label in labels if label not in strata]:
        raise InvalidInputError(
            f"strata must name every training that is tested; it lacks {', '.join(some_of(missing))}"
        )
    numbers = {stratum: number for number, stratum in enumerate(dict.fromkeys(strata[label] for label in labels))}
    return np.array([numbers[strata[label]] for label in labels], dtype=np.int64)


def notes_on(tested: GroupedTrainings, *, has_interval: bool) -> Iterator[str]:
    """What one should know of a test of these groups before believing its numbers."""
    sizes = dict(zip(tested.tested, tested.sizes.tolist(), strict=False))
    if tested.left_out:
        yield (
            f"In no group, so left out of the test: {', '.join(some_of(tested.left_out))}. A group of that kind that "
            f"is meant as one needs a name other than {UNGROUPED!r}."
        )
    if alone := [name for name, size in sizes.items() if size == 1]:
        yield f"Groups of one training, which count between groups only: {', '.join(some_of(alone))}."
    pure = [len(set(tested.groups[tested.strata == stratum])) == 1 for stratum in range(max(tested.strata) + 1)]
    if any(pure) and not all(pure):
        some = f"{sum(pure):,} {'has' if sum(pure) == 1 else 'have'}"
        yield (f"Of {len(pure):,} strata {some} trainings of one group only, among which nothing is exchanged.")
    if not has_interval:
        small = [f"{name} has {size}" for name, size in sizes.items() if size < INTERVAL_FROM]
        why = ", ".join(some_of(small)) or "a group has only one in a stratum"
        yield f"No confidence interval: it needs {INTERVAL_FROM} trainings in every group, and {why}."
