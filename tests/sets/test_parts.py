"""What `topk` and `part` mean, against gradiend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradiend_mlflow import InvalidInputError
from gradiend_mlflow.sets.parts import PARTS, check_part, check_parts, check_topk, logged_topk, resolve_topk
from tests.support.checkpoints import make_model


@given(topk=st.one_of(st.integers(1, 60), st.floats(1e-6, 1.0)), size=st.integers(1, 40))
@settings(deadline=None)
def test_resolve_topk_is_gradiends_rule(topk: float, size: int) -> None:
    """The same number of weights as `get_topk_weights` returns."""
    model = make_model([("weight", (size,), "all")])
    assert resolve_topk(topk, size) == len(model.get_topk_weights(topk=topk))


@pytest.mark.parametrize("topk", [True, -1, 0.0, 1.5, float("nan"), "10", None])
def test_unacceptable_topk_is_refused_as_gradiend_refuses_it(topk: Any) -> None:
    """Both refuse; ours says what came and what is wanted."""
    with pytest.raises((TypeError, ValueError)):
        make_model([("weight", (5,), "all")]).get_topk_weights(topk=topk)
    with pytest.raises(InvalidInputError, match=r"topk .*fraction.*; got"):
        resolve_topk(topk, 5)


def test_zero_is_refused_with_what_gradiend_makes_of_it() -> None:
    """Gradiend gives the most important weight, which nobody means by 0; files of earlier versions may say it."""
    model = make_model([("weight", (5,), "all")])
    assert len(model.get_topk_weights(topk=0)) == 1
    with pytest.raises(InvalidInputError, match=r"int of at least 1.*; got 0 .*the one most important weight.*topk=1"):
        check_topk(0)
    assert logged_topk(0) == 1
    assert logged_topk(7) == 7
    with pytest.raises(InvalidInputError, match="got False"):
        logged_topk(topk=False)


def test_numpy_numbers_are_numbers() -> None:
    """A k or a fraction from an array is taken like a plain one."""
    assert resolve_topk(np.int64(3), 10) == 3
    assert resolve_topk(np.float32(0.5), 10) == 5


def test_unknown_part_names_the_four() -> None:
    """A wrong part is answered with the right ones."""
    with pytest.raises(
        InvalidInputError, match=r"encoder-weight, decoder-weight, decoder-bias, decoder-sum.*'decoder'"
    ):
        check_part("decoder")


def test_parts_are_a_sequence_without_repetition() -> None:
    """Repetitions collapse; a bare string or nothing is refused with what to write instead."""
    assert check_parts(["decoder-bias", "decoder-bias"]) == ("decoder-bias",)
    assert check_parts(PARTS) == PARTS
    with pytest.raises(InvalidInputError, match=r"write \['decoder-bias'\]"):
        check_parts("decoder-bias")
    with pytest.raises(InvalidInputError, match="empty"):
        check_parts([])
