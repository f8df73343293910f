"""One run of continued pretraining, from a config to a model."""

from diffmask.pretrain.head import HEAD_FILE
from diffmask.pretrain.run import Outcome, pretrain

__all__ = ["HEAD_FILE", "Outcome", "pretrain"]
