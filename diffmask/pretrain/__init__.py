"""One run of continued pretraining, from a config to a model."""

from diffmask.pretrain.head import HEAD_FILE
from diffmask.pretrain.run import RunOutcome, pretrain

__all__ = ["HEAD_FILE", "RunOutcome", "pretrain"]
