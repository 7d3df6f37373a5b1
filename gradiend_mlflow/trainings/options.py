"""How trainings are logged: what `MLflowCallback`, `start_run`, `autolog` and `import_runs` have in common."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from gradiend_mlflow.checks import check_names
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.sets.parts import DEFAULT_TOPK, PARTS, check_parts, check_topk
from gradiend_mlflow.store.limits import is_long_tag

DEFAULT_DEADLINE = 60.0

_TAG_NAME = re.compile(r"[\w./ :-]{1,250}")

LogModels = bool | Literal["external"]


@dataclass(frozen=True)
class LogOptions:
    """The options, checked.

    Raises:
        InvalidInputError: If one is not acceptable.
    """

    topk: int | float = DEFAULT_TOPK
    parts: Sequence[str] = PARTS
    experiment_name: str | None = None
    run_name: str | None = None
    extra_tags: Mapping[str, str] | None = field(default_factory=dict)
    log_models: LogModels = False
    tracking_uri: str | None = None
    deadline: float = DEFAULT_DEADLINE

    def __post_init__(self) -> None:
        check_names(experiment_name=self.experiment_name, run_name=self.run_name, tracking_uri=self.tracking_uri)
        if not (self.extra_tags is None or isinstance(self.extra_tags, Mapping)):
            raise InvalidInputError(f"extra_tags must be a mapping from name to value; got {self.extra_tags!r}")
        object.__setattr__(self, "topk", check_topk(self.topk))
        object.__setattr__(self, "parts", check_parts(self.parts))
        object.__setattr__(self, "extra_tags", dict(self.extra_tags or {}))
        reserved = [name for name in self.extra_tags or () if str(name).startswith("gradiend.")]
        if reserved:
            raise InvalidInputError(
                f"extra_tags may not begin with 'gradiend.', which the plugin sets; got {reserved}"
            )
        odd = [name for name in self.extra_tags or () if not _TAG_NAME.fullmatch(str(name))]
        if odd:
            raise InvalidInputError(
                f"MLflow takes letters, digits and / . _ - : and spaces in a tag's name, up to 250; got {odd}"
            )
        long = [name for name, value in (self.extra_tags or {}).items() if is_long_tag(str(value))]
        if long:
            raise InvalidInputError(f"MLflow takes no tag as long as these of extra_tags: {long}")
        if self.log_models not in (True, False, *get_args(get_args(LogModels)[1])):
            raise InvalidInputError(f'log_models must be True, False or "external"; got {self.log_models!r}')
        if (
            isinstance(self.deadline, bool)
            or not isinstance(self.deadline, (int, float))
            or not 0 <= self.deadline <= threading.TIMEOUT_MAX
        ):
            raise InvalidInputError(f"deadline must be a finite number of seconds, 0 or more; got {self.deadline!r}")
