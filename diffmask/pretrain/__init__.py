"""One run of continued pretraining, from a config to a model."""

from diffmask.pretrain.run import HEAD_FILE, Outcome, pretrain

__all__ = ["HEAD_FILE", "Outcome", "pretrain"]
