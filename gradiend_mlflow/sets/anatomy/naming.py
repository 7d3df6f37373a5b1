"""The groups of a base model's parameters: layers and components, ours or gradiend's, or whatever a user says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.sets.anatomy.architectures import CROSS, OTHER, component_of, layer_namer

Grouping = str | Callable[[str], str] | Mapping[str, str]
Naming = Literal["architecture", "gradiend"]
Namer = Callable[[str], str]

_LAYER = re.compile(r"(?:layers?|h)\.(\d+)")
# gradiend's kinds of parameters, the first that fits counts: the pattern of a name, and whether the name must (True)
# or must not (False) contain "attention".
_COMPONENTS: tuple[tuple[str, str, bool | None], ...] = (
    ("embeddings", "embedding", None),
    ("attention_query", "query|q_proj|wq", None),
    ("attention_key", "key|k_proj|wk", None),
    ("attention_value", "value|v_proj|wv", None),
    ("attention_output", "o_proj|out_proj|dense", True),
    ("mlp_up", "intermediate|up_proj|gate_proj|fc1", None),
    ("mlp_down", "output|down_proj|fc2", False),
    ("normalization", "norm|ln", None),
    ("head", "lm_head|classifier|score", None),
)


def gradiend_layer_of(param: str) -> str:
    """The layer of a parameter, as gradiend names it.

    Example:
        >>> gradiend_layer_of("bert.encoder.layer.3.output.dense.weight")
        'layer_3'
    """
    found = _LAYER.search(param)
    return f"layer_{found.group(1)}" if found else OTHER


def gradiend_component_of(param: str) -> str:
    """The kind of a parameter, as gradiend names it; wrong for architectures that it does not know.

    Example:
        >>> gradiend_component_of("bert.encoder.layer.3.attention.self.query.weight")
        'attention_query'
    """
    name = param.lower()
    for component, pattern, of_attention in _COMPONENTS:
        if re.search(pattern, name) and of_attention in (None, "attention" in name):
            return component
    return OTHER


def namers(params: Sequence[str], naming: Naming = "architecture") -> dict[str, Namer]:
    """The functions from a parameter's name to its "layer", its "component", and itself, "param".

    Args:
        params: The names of all the parameters of the base model that are known.
        naming: "architecture": by the names that transformers' architectures use. "gradiend": as gradiend names them.

    Raises:
        InvalidInputError: If `naming` is neither.
    """
    check_choice("naming", naming, get_args(Naming))
    if naming == "gradiend":
        return {"layer": gradiend_layer_of, "component": gradiend_component_of, "param": str}
    return {"layer": layer_namer(params), "component": component_of, "param": str}


def group_namer(grouping: Grouping, params: Sequence[str], naming: Naming = "architecture") -> Namer:
    """The function from a parameter's name to its group; "other" for what a callable or a mapping leaves out.

    Args:
        grouping: "layer", "component", "param", a callable from a parameter's name to its group, or a mapping.
        params: The parameters that are to be grouped; a mapping must name at least one of them.
        naming: Whose layers and components: see `namers`.

    Raises:
        InvalidInputError: If `grouping` or `naming` is none of these.
    """
    if isinstance(grouping, str):
        known = namers(params, naming)
        if grouping not in known:
            raise InvalidInputError(
                f"grouping must be one of {', '.join(known)}, a callable or a mapping; got {grouping!r}"
            )
        return known[grouping]
    if isinstance(grouping, Mapping):
        if grouping and not any(param in grouping for param in params):
            raise InvalidInputError(
                f"grouping names none of the parameters; it has {', '.join(map(repr, list(grouping)[:3]))}, ..., "
                f"the parameters are {', '.join(map(repr, params[:3]))}, ..."
            )
        return lambda param: str(grouping.get(param, OTHER))
    if not callable(grouping):
        raise InvalidInputError(
            f"grouping must be a name, a callable or a mapping of parameter names; got {type(grouping).__name__}"
        )
    return lambda param: OTHER if (name := grouping(param)) is None else str(name)


def in_model_order(names: list[str]) -> list[str]:
    """Layers by number, those of an encoder before those of a decoder, then all other names in the order given."""
    numbered = [name for name in names if re.fullmatch(r"(?:encoder_|decoder_)?layer_\d+", name)]
    layers = sorted(numbered, key=lambda name: (name.startswith("decoder"), int(name.rpartition("_")[2])))
    cross = [name for name in names if name == CROSS]
    return layers + cross + [name for name in names if name not in {*numbered, CROSS}]
