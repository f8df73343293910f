"""Learning rates by depth: layers near the input, which hold general knowledge, learn more slowly.

The rule of Clark et al. 2020 (ELECTRA) and Bao et al. 2022 (BEiT).
"""

import re
from collections.abc import Set

import torch

_LAYER = re.compile(r"(?:^|\.)(?:layer|layers|block|blocks|h)\.(\d+)\.")


def parameter_groups(
    model: torch.nn.Module, decayed: Set[str], learning_rate: float, weight_decay: float, layer_decay: float
) -> list[dict]:
    """Return optimizer groups whose learning rate falls by `layer_decay` from each layer to the one below.

    The head and what follows the last layer learn at `learning_rate`, the embeddings at the lowest rate.

    Args:
        model: The model; its layers are recognised by their names (`layer.3`, `layers.3`, `blocks.3`, ...).
        decayed: Names of the parameters that get weight decay.
        learning_rate: Rate of the head.
        weight_decay: Decay of the parameters named in `decayed`.
        layer_decay: Factor per layer, in (0, 1].
    """
    named = list(model.named_parameters())
    depths = {name: int(match[1]) + 1 for name, _ in named if (match := _LAYER.search(name))}
    top = max(depths.values(), default=0) + 1
    groups: dict[tuple[int, bool], dict] = {}
    for name, parameter in named:
        if not parameter.requires_grad:
            continue
        # VideoMAE's decoder_embed leads from the encoder to the head that is trained
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
