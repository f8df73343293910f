"""Continued pretraining that chooses what to mask by how much it makes a domain different.

The names below are loaded when they are first used, so that `import diffmask` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from diffmask.version import __version__ as __version__

if TYPE_CHECKING:
    from diffmask.core.masker import Masker
    from diffmask.core.policy import Policy, linear_weights, rank_weights, softmax_weights
    from diffmask.core.schedule import (
        Buckets,
        Constant,
        Cosine,
        Floor,
        Linear,
        Piecewise,
        Polynomial,
        Scaled,
        Schedule,
        Steps,
    )
    from diffmask.core.units import Units
    from diffmask.policies.difference import Difference
    from diffmask.policies.feature import Feature
    from diffmask.policies.uniform import Uniform
    from diffmask.pretrain import pretrain
    from diffmask.text.adapter import TextAdapter, text_adapter
    from diffmask.text.anchors.anchor_set import AnchorSet, load_anchors
    from diffmask.text.anchors.find import AnchorSettings, build_anchors
    from diffmask.text.collator import FollowEpochs, MaskingCollator, Visits
    from diffmask.text.segment.tokenise import TokeniseSettings, stream, tokenise
    from diffmask.train.buckets import RowOrder
    from diffmask.train.masking import Masking
    from diffmask.train.trainer import MaskedTrainer
    from diffmask.video.adapter import VideoAdapter
    from diffmask.video.anchors.anchor_set import load_visual_anchors
    from diffmask.video.index.index import read_clips
    from diffmask.video.model.load import load_video_model
    from diffmask.video.read.dataset import ClipDataset, Sampling
    from diffmask.video.units.grid import Grid

_HOMES = {
    "AnchorSet": "text.anchors.anchor_set",
    "AnchorSettings": "text.anchors.find",
    "Buckets": "core.schedule",
    "ClipDataset": "video.read.dataset",
    "Constant": "core.schedule",
    "Cosine": "core.schedule",
    "Difference": "policies.difference",
    "Feature": "policies.feature",
    "Floor": "core.schedule",
    "FollowEpochs": "text.collator",
    "Grid": "video.units.grid",
    "Linear": "core.schedule",
    "MaskedTrainer": "train.trainer",
    "Masker": "core.masker",
    "Masking": "train.masking",
    "MaskingCollator": "text.collator",
    "Piecewise": "core.schedule",
    "Policy": "core.policy",
    "Polynomial": "core.schedule",
    "RowOrder": "train.buckets",
    "Sampling": "video.read.dataset",
    "Scaled": "core.schedule",
    "Schedule": "core.schedule",
    "Steps": "core.schedule",
    "TextAdapter": "text.adapter",
    "TokeniseSettings": "text.segment.tokenise",
    "Uniform": "policies.uniform",
    "Units": "core.units",
    "VideoAdapter": "video.adapter",
    "Visits": "text.collator",
    "build_anchors": "text.anchors.find",
    "linear_weights": "core.policy",
    "load_anchors": "text.anchors.anchor_set",
    "load_video_model": "video.model.load",
    "load_visual_anchors": "video.anchors.anchor_set",
    "pretrain": "pretrain",
    "rank_weights": "core.policy",
    "read_clips": "video.index.index",
    "softmax_weights": "core.policy",
    "stream": "text.segment.tokenise",
    "text_adapter": "text.adapter",
    "tokenise": "text.segment.tokenise",
}

__all__ = [
    "AnchorSet",
    "AnchorSettings",
    "Buckets",
    "ClipDataset",
    "Constant",
    "Cosine",
    "Difference",
    "Feature",
    "Floor",
    "FollowEpochs",
    "Grid",
    "Linear",
    "MaskedTrainer",
    "Masker",
    "Masking",
    "MaskingCollator",
    "Piecewise",
    "Policy",
    "Polynomial",
    "RowOrder",
    "Sampling",
    "Scaled",
    "Schedule",
    "Steps",
    "TextAdapter",
    "TokeniseSettings",
    "Uniform",
    "Units",
    "VideoAdapter",
    "Visits",
    "build_anchors",
    "linear_weights",
    "load_anchors",
    "load_video_model",
    "load_visual_anchors",
    "pretrain",
    "rank_weights",
    "read_clips",
    "softmax_weights",
    "stream",
    "text_adapter",
    "tokenise",
]


def __getattr__(name: str) -> Any:
    """Load a public name from the module it lives in."""
    if name not in _HOMES:
        raise AttributeError(f"module 'diffmask' has no attribute {name!r}")
    return getattr(importlib.import_module(f"diffmask.{_HOMES[name]}"), name)
