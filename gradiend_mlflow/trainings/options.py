"""How trainings are logged: the options that `MLflowCallback`, `start_run`, `autolog` and `import_runs` share."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from gradiend_mlflow.checks import check_experiment, check_flags, check_int, check_names
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.sets.parts import DEFAULT_TOPK, PARTS, Part, check_parts, check_topk
from gradiend_mlflow.store.limits import is_long_tag

if TYPE_CHECKING:
    from typing_extensions import Unpack

DEFAULT_DEADLINE = 60.0
MOST_STEPS = 50  # whose sets a run keeps; its tag lists them, and MLflow cuts tags

_TAG_NAME = re.compile(r"[\w./ :-]{1,250}")

LogModels = bool | Literal["external"]
TopkSteps = int | Sequence[int] | Literal["eval"] | None


class LogKeywords(TypedDict, total=False):
    """The options as keywords; `autolog` documents all but `run_name`, the name of the run."""

    topk: float
    parts: Sequence[str]
    topk_steps: TopkSteps
    experiment_name: str | None
    run_name: str | None
    extra_tags: Mapping[str, str] | None
    log_models: LogModels
    registered_model_name: str | None
    tracking_uri: str | None
    deadline: float
    views: bool
    log_datasets: bool


@dataclass(frozen=True)
class LogOptions:
    """The options, checked.

    Raises:
        InvalidInputError: If one is not acceptable.
    """

    topk: int | float = DEFAULT_TOPK
    parts: Sequence[str] = PARTS
    topk_steps: TopkSteps = None
    experiment_name: str | None = None
    run_name: str | None = None
    extra_tags: Mapping[str, str] | None = None  # always a mapping once checked
    log_models: LogModels = False
    registered_model_name: str | None = None
    tracking_uri: str | None = None
    deadline: float = DEFAULT_DEADLINE
    views: bool = True
    log_datasets: bool = True

    @classmethod
    def of(cls, **keywords: Unpack[LogKeywords]) -> LogOptions:
        """The options that these keywords give.

        Raises:
            TypeError: If a keyword is none of the options; names those that there are.
            InvalidInputError: If the value of one is not acceptable.
        """
        known = [field.name for field in fields(cls)]
        for name in keywords:
            if name not in known:
                raise TypeError(f"unexpected keyword argument {name!r}; the options are {', '.join(known)}")
        return cls(**keywords)

    def __post_init__(self) -> None:
        check_flags(views=self.views, log_datasets=self.log_datasets)
        check_experiment(experiment_name=self.experiment_name)
        names = ("run_name", "tracking_uri", "registered_model_name")
        check_names(**{name: getattr(self, name) for name in names})
        object.__setattr__(self, "topk", check_topk(self.topk))
        object.__setattr__(self, "parts", check_parts(self.parts))
        object.__setattr__(self, "topk_steps", _checked_steps(self.topk_steps))
        object.__setattr__(self, "extra_tags", _checked_tags(self.extra_tags))
        if self.log_models not in (True, False, "external"):
            raise InvalidInputError(f'log_models must be True, False or "external"; got {self.log_models!r}')
        if self.registered_model_name is not None and not self.log_models:
            raise InvalidInputError(
                "registered_model_name registers the models that are logged: also give log_models=True"
            )
        if (
            isinstance(self.deadline, bool)
            or not isinstance(self.deadline, (int, float))
            or not 0 <= self.deadline <= threading.TIMEOUT_MAX
        ):
            raise InvalidInputError(f"deadline must be a finite number of seconds, 0 or more; got {self.deadline!r}")

    @property
    def part_of_steps(self) -> Part:
        """The part that is ranked at `topk_steps`: the one that is compared by default, or else the first."""
        parts = check_parts(self.parts)
        return "decoder-weight" if "decoder-weight" in parts else parts[0]


def _checked_steps(steps: Any) -> int | tuple[int, ...] | Literal["eval"] | None:
    if steps is None:
        return None
    if isinstance(steps, str) and steps == "eval":
        return "eval"
    if isinstance(steps, str) or not isinstance(steps, Iterable):
        try:
            return check_int("topk_steps", steps, least=1)
        except InvalidInputError:
            raise InvalidInputError(
                "topk_steps must be an interval (an int of at least 1), a list of steps, 'eval' for the steps at "
                f"which gradiend evaluates, or None; got {steps!r}"
            ) from None
    listed = [check_int("each of topk_steps", step, least=0) for step in islice(steps, MOST_STEPS + 1)]
    if not 1 <= len(listed) <= MOST_STEPS:
        raise InvalidInputError(f"topk_steps must list between 1 and {MOST_STEPS} steps; give an interval for more")
    return tuple(sorted(set(listed)))


def _checked_tags(extra_tags: Mapping[str, str] | None) -> dict[str, str]:
    if not (extra_tags is None or isinstance(extra_tags, Mapping)):
        raise InvalidInputError(f"extra_tags must be a mapping from name to value; got {extra_tags!r}")
    checked = {str(name): str(value) for name, value in (extra_tags or {}).items()}
    if reserved := [name for name in checked if name.startswith("gradiend.")]:
        raise InvalidInputError(f"extra_tags may not begin with 'gradiend.', which the plugin sets; got {reserved}")
    if odd := [name for name in checked if not _TAG_NAME.fullmatch(name)]:
        raise InvalidInputError(
            f"MLflow accepts up to 250 letters, digits, spaces and / . _ - : in a tag's name; got {odd}"
        )
    if long := [name for name, value in checked.items() if is_long_tag(value)]:
        raise InvalidInputError(f"the values of these extra_tags exceed MLflow's 8,000 characters: {long}")
    return checked
