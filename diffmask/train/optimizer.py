"""Learning rates by depth: the layers near the input, which hold general knowledge, move less.

A learning rate for each layer of an encoder: the lower, the smaller.
"""

import re
from collections import defaultdict
from collections.abc import Set
from typing import Any

import torch

LAYER = re.compile(r"\.(?:layer|layers|block|blocks|h)\.(\d+)\.")


def parameter_groups(
    model: torch.nn.Module, decayed: Set[str], learning_rate: float, weight_decay: float, layer_decay: float
) -> list[dict]:
    """Return optimizer groups whose learning rate falls by `layer_decay` from each layer to the one below.

    The head and what follows the last layer train at `learning_rate`, the embeddings at the lowest rate.

    Args:
        model: The model; its layers are told by their names (`layer.3`, `layers.3`, `blocks.3`, ...).
        decayed: Names of the parameters that get weight decay.
        learning_rate: Rate of the head.
        weight_decay: Decay of the parameters named in `decayed`.
        layer_decay: Factor per layer, in (0, 1].
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    depths = {name: int(match.group(1)) + 1 for name, _ in named if (match := LAYER.search(name))}
    top = max(depths.values(), default=0) + 1
    groups: dict[tuple[int, bool], dict] = {}
    for name, parameter in named:
        depth = depths.get(name, 0 if "embed" in name.lower() and "decoder_embed" not in name else top)
        group = groups.setdefault(
            (depth, name in decayed),
            {
                "params": [],
                "lr": learning_rate * layer_decay ** (top - depth),
                "weight_decay": weight_decay if name in decayed else 0.0,
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


_LAYER = re.compile(r"\blayers?\.(\d+)\.")


def layer_groups(model: torch.nn.Module, rate: float, layer_decay: float, weight_decay: float) -> list[dict[str, Any]]:
    """Return groups of parameters for an optimizer (Clark et al. 2020; Bao et al. 2022, BEiT).

    What is above the layers has the whole rate, the last layer that times `layer_decay`, and so on down to what embeds.

    Args:
        model: With an encoder whose parameters are named `...layer.N...`.
        rate: The highest.
        layer_decay: What remains of it from one layer to the next lower one.
        weight_decay: Of weights; biases and norms have none.
    """
    depths = {name: _depth(name) for name, _ in model.named_parameters()}
    num_layers = 1 + max((depth for depth in depths.values() if depth is not None), default=-1)
    groups: dict[tuple[int, bool], list[torch.nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            depth = depths[name]
            embeds = depth is None and "embeddings" in name
            below_top = num_layers + 1 if embeds else 0 if depth is None else num_layers - depth
            groups[below_top, parameter.ndim > 1].append(parameter)
    return [
        {"params": parameters, "lr": rate * layer_decay**below_top, "weight_decay": weight_decay if decays else 0.0}
        for (below_top, decays), parameters in sorted(groups.items(), key=lambda group: group[0])
    ]


def _depth(name: str) -> int | None:
    """Return the number of the layer that a parameter is in."""
    found = _LAYER.search(name)
    return int(found[1]) if found else None
