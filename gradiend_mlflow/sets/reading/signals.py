"""What a GRADIEND measures of its base model: the gradient of its parameters, or what its config says instead.

Released versions of gradiend know gradients only. Its development line also trains on activations, at modules and
tokens that are chosen, and trains components of the inputs apart.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradiend_mlflow.untrusted import as_dict, as_int, as_list, as_str, optional, quoted
from gradiend_mlflow.wording import some_of, visible

GRADIENT = "gradient"

# What the config.json of a checkpoint may hold, by where; the empty name is the top.
_KNOWN = {
    "": "format_version architecture mapping metadata components component_split_mode",
    "architecture": "input_dim latent_dim activation_encoder activation_decoder bias_encoder bias_decoder "
    "init_fan_in_floor torch_dtype",
    "mapping": "mode param_map indices_file masks_file input_index_map_file",
    "metadata": "base_model is_training trust_remote_code encoder_decoder_same_device prediction_objective "
    "decoder_sequence_cloze_rhs_window tokenizer params source target pre_prune_config definition seed mapping_kind "
    "signal_id signal signal_space component_seed_stitching base_model_device_map base_model_max_memory",
}


@dataclass(frozen=True)
class Signal:
    """What is measured; the default is what all released versions of gradiend measure.

    Args:
        kind: "gradient", "activation", "activation_gradient", or what a later gradiend calls it.
        name: What the signal is called, where it is not called as its kind.
        token_selector: At which tokens it is measured, as JSON, where that is known.
        split: For each parameter of the space the component that it was trained with; empty if all were one.
    """

    kind: str = GRADIENT
    name: str | None = None
    token_selector: str | None = None
    split: tuple[str, ...] = ()

    def described(self) -> dict[str, Any]:
        """What differs from a plain gradient, for a space's fingerprint and file; empty for one."""
        plain = Signal()
        return {name: value for name, value in vars(self).items() if value != getattr(plain, name)}


def parse_signal(described: object) -> Signal:
    """The signal that `Signal.described` gave.

    Raises:
        ValueError: If it is not such a description.
    """
    given = as_dict(described, "its signal")
    if unknown := sorted(given.keys() - vars(Signal()).keys()):
        raise ValueError(f"its signal has {quoted(unknown[0])}, which this version does not know")
    return Signal(
        kind=as_str(given.get("kind", GRADIENT), "the signal's kind"),
        name=optional(given.get("name"), "the signal's name", as_str),
        token_selector=optional(given.get("token_selector"), "token_selector", as_str),
        split=tuple(as_list(given.get("split", []), "the split", as_str)),
    )


def signal_of(config: Mapping[str, Any], counts: Sequence[int]) -> Signal:
    """The signal of a checkpoint.

    Args:
        config: Its config.json.
        counts: How many inputs each parameter has.

    Raises:
        ValueError: If the config says something else than gradiend writes.
    """
    metadata = as_dict(config.get("metadata") or {}, "metadata")
    space = as_dict(metadata.get("signal_space") or {}, "signal_space")
    signal = _as_signal(metadata.get("signal") or {})
    kind = space.get("kind") or metadata.get("mapping_kind") or signal.get("kind") or GRADIENT
    name = metadata.get("signal_id") or space.get("signal_id") or signal.get("name")
    kind = as_str(kind, "the signal's kind").strip().lower()
    return Signal(
        kind=kind,
        name=None if name in (None, kind) else as_str(name, "signal_id"),
        token_selector=_token_selector(signal),
        split=_split_of(config, counts) or (),
    )


def with_arguments(signal: Signal, arguments: Mapping[str, Any]) -> Signal:
    """The same with its token selector, which gradiend writes among the arguments of the training, and only there.

    Raises:
        ValueError: If the arguments say something else than gradiend writes.
    """
    selector = _token_selector(_as_signal(arguments.get("signal") or {}))
    return replace(signal, token_selector=signal.token_selector or selector)


def _token_selector(signal: Mapping[str, Any]) -> str | None:
    selector = as_dict(signal.get("options") or {}, "the signal's options").get("token_selector")
    return None if selector is None else json.dumps(selector, sort_keys=True)


def _as_signal(value: object) -> Mapping[str, Any]:
    """Gradiend takes the kind alone for a signal."""
    return {"kind": value} if isinstance(value, str) else as_dict(value, "signal")


def _split_of(config: Mapping[str, Any], counts: Sequence[int]) -> tuple[str, ...] | None:
    """The component of each parameter; empty if there are none, None if one ends within a parameter."""
    components = as_list(config.get("components") or [], "components", as_dict)
    if not components:
        return ()
    ends = np.cumsum(np.asarray(counts, dtype=np.int64))
    of_param = np.full(len(counts), "", dtype=object)
    for component in components:
        name = as_str(component.get("id"), "a component's id")
        start, end = (as_int(component.get(side), f"{name}'s {side}", least=0) for side in ("start", "end"))
        inside = (ends > start) & (ends <= end)
        if int(np.asarray(counts)[inside].sum()) != end - start:
            return None
        of_param[inside] = name
    return tuple(map(str, of_param))


def unknown_keys(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What a config.json holds that nothing here reads, such as "metadata.units".

    "components" is named if one ends within a parameter: sets name a component for each parameter.
    """
    found = []
    for where, known in _KNOWN.items():
        holder = config.get(where) if where else config
        keys = sorted(set(holder) - set(known.split())) if isinstance(holder, Mapping) else []
        found += [f"{where}.{key}" if where else key for key in keys]
    try:
        split = _split_of(config, counts_of(config)) if config.get("components") else ()
    except ValueError:
        split = None
    return (*found, *(["components"] if split is None else []))


def counts_of(config: Mapping[str, Any]) -> list[int]:
    """How many inputs each parameter of a config.json has.

    Raises:
        ValueError: If it does not say so as gradiend writes it.
    """
    entries = as_list(as_dict(config.get("mapping"), "mapping").get("param_map"), "param_map", as_dict)
    selected = (optional(entry.get("num_selected"), "num_selected", as_int) for entry in entries)
    shapes = (as_list(entry.get("shape"), "a shape", as_int) for entry in entries)
    return [math.prod(shape) if count is None else count for count, shape in zip(selected, shapes, strict=True)]


def conflict_of(first: Signal, second: Signal) -> str | None:
    """Why sets of the two cannot be compared, or None if they can."""
    if first.kind == second.kind:
        return None
    return f"the first ranks by the signal {visible(first.kind)!r} and the second by {visible(second.kind)!r}"


def common_signal(signals: Sequence[Signal], params: Sequence[Sequence[str]], union: Sequence[str]) -> Signal:
    """What the signals of several sets have in common, over the union of their parameters."""
    component_of: dict[str, str] = {}
    for signal, names in zip(signals, params, strict=True):
        component_of |= dict(zip(names, signal.split, strict=False))
    agree = all(
        [component_of.get(name) for name in names] == list(signal.split)
        for signal, names in zip(signals, params, strict=True)
    )
    first = signals[0]
    return Signal(
        kind=first.kind,
        name=first.name if len({signal.name for signal in signals}) == 1 else None,
        token_selector=first.token_selector if len({signal.token_selector for signal in signals}) == 1 else None,
        split=tuple(component_of[name] for name in union) if agree and component_of else (),
    )


def signal_notes(signals: Mapping[str, Signal]) -> Iterator[str]:
    """What one should know of sets whose signals differ, or that were trained in components."""
    for what, attribute in (("signals", "name"), ("token selectors", "token_selector")):
        by_value: dict[str, str] = {}
        for label, signal in signals.items():
            by_value.setdefault(visible(str(getattr(signal, attribute) or "not said")), label)
        if len(by_value) > 1:
            found = [f"{value} ({label})" for value, label in by_value.items()]
            yield f"The runs have {len(by_value)} {what}, which may differ in scale: {', '.join(some_of(found))}."
    split = [label for label, signal in signals.items() if signal.split]
    if split:
        yield (
            "gradiend trained components of the inputs apart, so ranks across them mix scales; by_split() compares "
            f"within them: {', '.join(some_of(split))}."
        )
