"""What fuzzing found is tried again, and every reader gets some thousand mutated inputs: `make fuzz` in small."""

from __future__ import annotations

import random
import zlib

import pytest

from tests.fuzz.__main__ import FOUND
from tests.fuzz.mutations import mutated, mutated_json
from tests.fuzz.targets import TARGETS

_SHARE = 300  # of the inputs that `make fuzz` tries


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read(name: str) -> None:
    """Otherwise every mutation would be refused for the same reason."""
    for seed in TARGETS[name].seeds():
        TARGETS[name].read(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_stays_mended(name: str) -> None:
    """Inputs that once brought another error, a hang, too much memory, or other content."""
    for file in sorted(FOUND.glob(f"{name}/*")):
        TARGETS[name](file.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_inputs_are_read_or_refused(name: str) -> None:
    """The same ones each time."""
    chance = random.Random(zlib.crc32(name.encode()))
    seeds = TARGETS[name].seeds()
    for _ in range(TARGETS[name].runs // _SHARE):
        seed, other = chance.choice(seeds), chance.choice([mutated, mutated_json])
        try:
            data = other(chance, seed)
        except (ValueError, RecursionError):  # it is no JSON that holds values
            data = mutated(chance, seed)
        TARGETS[name](data)
