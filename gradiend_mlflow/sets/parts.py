"""gradiend's four parts, and what its `topk` means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any, Literal, get_args

import numpy as np

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.errors import InvalidInputError

Part = Literal["encoder-weight", "decoder-weight", "decoder-bias", "decoder-sum"]
PARTS: tuple[Part, ...] = get_args(Part)
DEFAULT_PART: Part = "decoder-weight"  # as in gradiend
DEFAULT_TOPK = 10_000


def check_part(part: str) -> Part:
    """Return `part` if it is one of gradiend's four.

    Raises:
        InvalidInputError: If it is not.
    """
    return check_choice("part", part, PARTS)


def check_parts(parts: Sequence[str]) -> tuple[Part, ...]:
    """Return `parts` as a tuple without repetitions, in the order given.

    Raises:
        InvalidInputError: If `parts` is empty, is a bare string, or contains anything that is not a part.
    """
    if isinstance(parts, str):
        raise InvalidInputError(f"parts must be a sequence of part names; got the string {parts!r}: write [{parts!r}]")
    if not isinstance(parts, Iterable):
        raise InvalidInputError(f"parts must be a sequence of part names; got {parts!r}")
    checked = tuple(dict.fromkeys(check_part(part) for part in parts))
    if not checked:
        raise InvalidInputError(f"parts is empty; name at least one of {', '.join(PARTS)}")
    return checked


def check_topk(topk: Any) -> int | float:
    """Return `topk` as a plain int or float, as `GradiendModel.get_topk_weights` accepts it.

    Raises:
        InvalidInputError: If it is a bool, an int below 1, a float outside (0, 1], or no number.
    """
    if isinstance(topk, (float, np.floating)) and 0.0 < topk <= 1.0:
        return float(topk)
    is_int = isinstance(topk, Integral) and not isinstance(topk, bool)
    if is_int and int(topk) >= 1:
        return int(topk)
    meant = (
        ". gradiend's get_topk_weights(topk=0) gives the one most important weight, and the other functions of "
        "gradiend refuse 0: write topk=1 for that weight"
    )
    raise InvalidInputError(
        "topk must be a number of weights (an int of at least 1) or a fraction in (0, 1] of the inputs (a float); "
        f"got {topk!r} of type {type(topk).__name__}{meant if is_int and topk == 0 else ''}"
    )


def logged_topk(topk: Any) -> int | float:
    """A `topk` as earlier versions have written it: they took 0 as 1, as gradiend's `get_topk_weights` does.

    Raises:
        InvalidInputError: As for `check_topk`.
    """
    return check_topk(1 if type(topk) is int and topk == 0 else topk)


def resolve_topk(topk: float, input_dim: int) -> int:
    """How many weights `topk` means for a GRADIEND with `input_dim` inputs.

    The rule is that of `gradiend.GradiendModel.get_topk_weights`: a fraction means
    `ceil(fraction * input_dim)`, and no more than all of them.

    Raises:
        InvalidInputError: If `topk` is not acceptable; see `check_topk`.

    Example:
        >>> resolve_topk(0.1, 15), resolve_topk(1000, 15)
        (2, 15)
    """
    checked = check_topk(topk)
    wanted = math.ceil(checked * input_dim) if isinstance(checked, float) else checked
    return min(wanted, input_dim)


def shown_topk(topk: float) -> str:
    """`topk` for a message: a number of weights, or a fraction in percent.

    Example:
        >>> shown_topk(1000), shown_topk(0.001)
        ('1000', '0.1%')
    """
    return f"{topk:.4%}".rstrip("0%").rstrip(".") + "%" if isinstance(topk, float) else f"{topk}"
