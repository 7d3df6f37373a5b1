"""What gradiend's tests take from a conftest.py that its sdist does not have; loaded by `-p gradiend_fixtures`."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch


@pytest.fixture
def temp_dir(tmp_path: Path) -> str:
    """A folder of the test's own."""
    return str(tmp_path)


@pytest.fixture
def set_seed() -> Callable[[int], None]:
    """Seeds all generators."""

    def seed(number: int) -> None:
        random.seed(number)
        np.random.seed(number)  # noqa: NPY002  # what gradiend draws from
        torch.manual_seed(number)

    return seed


@pytest.fixture
def mock_model() -> Any:
    """Gradiend's stand-in for a language model."""
    from tests.testing_mocks import SimpleMockModel

    return SimpleMockModel()


@pytest.fixture
def mock_tokenizer() -> Any:
    """Gradiend's stand-in for a tokenizer."""
    from tests.testing_mocks import MockTokenizer

    return MockTokenizer()
