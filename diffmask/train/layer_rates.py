"""A learning rate for each layer of an encoder: the lower, the smaller."""

import re
from collections import defaultdict
from typing import Any

import torch

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
