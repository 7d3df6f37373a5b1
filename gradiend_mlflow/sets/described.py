"""What the metadata of a set's file says of the set."""

from __future__ import annotations

from dataclasses import dataclass

from gradiend_mlflow.errors import ArtifactError
from gradiend_mlflow.sets.parts import Part, check_part, logged_topk
from gradiend_mlflow.untrusted import as_dict, as_float, as_int, as_str, optional, parse_json, quoted

FORMAT_VERSION = 2
_VERSIONS = (1, 2)
PREFIX = b"gradiend_mlflow."  # of our keys of the metadata
SET_KEY = PREFIX + b"topk"
# What a file of version 1, which has no digest, has; with others it is one of version 2 that was changed.
_WRITERS = {"gradiend_version", "gradiend_mlflow_version"}
_VERSION_1 = {"format_version", "part", "topk", "k", "input_dim", "latent_dim", "weight_width"} | _WRITERS
_MOST_BYTES = 2**16  # bytes of JSON


@dataclass(frozen=True)
class Description:
    """What it says, checked."""

    version: int
    k: int
    width: int
    part: Part
    topk: int | float
    input_dim: int
    latent_dim: int
    ties_at_cut: int | None


def parse_description(raw: bytes) -> Description:
    """The metadata's text, checked.

    Raises:
        ArtifactError, ValueError: If it is of an unknown version, or of another form.
    """
    told = as_dict(parse_json(raw, most=_MOST_BYTES), f"its metadata {SET_KEY.decode()!r}")
    version = told.get("format_version")
    if type(version) is not int or version not in _VERSIONS:
        raise ArtifactError(
            f"it has the format version {quoted(version)}; this package reads versions 1 to {FORMAT_VERSION}. "
            "A newer gradiend-mlflow may read it: pip install -U gradiend-mlflow"
        )
    if version == 1 and told.keys() != _VERSION_1:
        raise ArtifactError(f"format version 1 does not have the keys {quoted(sorted(told.keys() ^ _VERSION_1))}")
    if version > 1 and told.get("digest") != "sha256":
        raise ArtifactError(f"its digest should be 'sha256'; it is {quoted(told.get('digest'))}")
    topk = told.get("topk")
    return Description(
        version=version,
        **{name: as_int(told.get(name), name, least=1) for name in ("k", "input_dim", "latent_dim")},
        width=as_int(told.get("weight_width"), "weight_width", least=1, most=2**31 - 1),
        part=check_part(as_str(told.get("part"), "part", most=100)),
        topk=logged_topk(as_int(topk, "topk") if isinstance(topk, int) else as_float(topk, "topk")),
        ties_at_cut=optional(told.get("ties_at_cut"), "ties_at_cut", as_int),
    )
