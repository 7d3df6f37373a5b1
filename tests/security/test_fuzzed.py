"""What fuzzing found is tried again, and every reader gets some thousand mutated inputs: `make fuzz` in small."""

from __future__ import annotations

import random
import re
import zlib

import pytest

from tests.fuzz.__main__ import FOUND
from tests.fuzz.targets import TARGETS

_INPUTS = 3000
_TOKEN = re.compile(rb'"[^"]*"|-?\d+(?:\.\d+)?|true|false|null')
_ABSURD = [
    b"1e999", b"-1", b"5.0", b"NaN", b"null", b"true", b"[]", b"{}", b'""', b'"\\ud800"', b"9" * 30,
    b"9223372036854775807", b"[" * 2000, b'"' + b"x" * 5000 + b'"', b'{"a": [{}]}', b"[[1]]",
]  # fmt: skip


def mutated(chance: random.Random, data: bytes) -> bytes:
    """The input with a few bytes changed, left out or repeated, or with values of JSON that are absurd."""
    spoilt = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        at, length = chance.randrange(len(spoilt) + 1), chance.randrange(1, 9)
        kind = chance.randrange(6)
        if kind == 0 and at < len(spoilt):
            spoilt[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            spoilt[at : at + length] = chance.randbytes(length)
        elif kind == 2:
            del spoilt[at : at + length]
        elif kind == 3:
            spoilt[at:at] = data[at : at + 100 * length]
        elif tokens := list(_TOKEN.finditer(spoilt)):
            token = chance.choice(tokens)
            spoilt[token.start() : token.end()] = chance.choice(_ABSURD)
    return bytes(spoilt)


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
    for _ in range(_INPUTS):
        TARGETS[name](mutated(chance, chance.choice(seeds)))
