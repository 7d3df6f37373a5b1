"""Which layer and which component a parameter belongs to, by its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from gradiend_mlflow.errors import InvalidInputError

Grouping = str | Callable[[str], str] | Mapping[str, str]

OTHER = "other"
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


def layer_of(param: str) -> str:
    """The layer of a parameter, as gradiend names it.

    Example:
        >>> layer_of("bert.encoder.layer.3.output.dense.weight"), layer_of("bert.pooler.dense.weight")
        ('layer_3', 'other')
    """
    found = _LAYER.search(param)
    return f"layer_{found.group(1)}" if found else OTHER


def component_of(param: str) -> str:
    """The kind of a parameter, as gradiend names it; by name alone, so it may be wrong for some architectures.

    Example:
        >>> component_of("bert.encoder.layer.3.attention.self.query.weight")
        'attention_query'
    """
    name = param.lower()
    for component, pattern, of_attention in _COMPONENTS:
        if re.search(pattern, name) and of_attention in (None, "attention" in name):
            return component
    return OTHER


def group_namer(grouping: Grouping, params: Sequence[str]) -> Callable[[str], str]:
    """The function from a parameter's name to its group; "other" for what a callable or a mapping leaves out.

    Args:
        grouping: "layer", "component", "param", a callable from a parameter's name to its group, or a mapping.
        params: The parameters that are to be grouped; a mapping must name at least one of them.

    Raises:
        InvalidInputError: If `grouping` is none of these.
    """
    if isinstance(grouping, str):
        known: dict[str, Callable[[str], str]] = {"layer": layer_of, "component": component_of, "param": str}
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
    """Layers by number, then all other names in the order given."""
    numbered = [name for name in names if re.fullmatch(r"layer_\d+", name)]
    return sorted(numbered, key=lambda name: int(name[6:])) + [name for name in names if name not in numbered]
