"""k nearest neighbours on frozen features, by cosine similarity."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from diffmask.config.evaluation import MULTI_LABEL, EvaluateSettings
from diffmask.evaluate.methods.predicted import Predicted
from diffmask.tasks.task import Task

TEMPERATURE = 0.07
"""Of the neighbours' weights, exp(similarity / temperature) (Wu et al. 2018; Caron et al. 2021, DINO)."""


class Neighbours:
    """Labels clips as those of the training clips that are most alike; there is nothing to train, and no chance in it.

    Features are centred by the mean of the training clips: encoders give all clips one large part in common.

    Attributes:
        features: For each split, float (N, D).
        task: The task.
        settings: How.
    """

    def __init__(self, features: dict[str, Tensor], task: Task, settings: EvaluateSettings):
        self.features, self.task, self.settings = features, task, settings

    def predict(self, train: Sequence[int], seed: int) -> Predicted:
        """Predict by some of the training clips; the dev split chooses how many neighbours, the fewest of equals."""
        known = self.features["train"][list(train)]
        mean = known.mean(0)
        known = normalize(known - mean, dim=1)
        labels = self._labels([self.task.train.labels[place] for place in train])
        counts = sorted({min(count, len(train)) for count in self.settings.video.neighbours})
        votes = {
            split: _votes(normalize(self.features[split] - mean, dim=1) @ known.T, labels, counts)
            for split in ("dev", "test")
        }
        scores = {
            count: self.task.score(self.task.dev.labels, self._decode(votes["dev"][count]))[self.settings.metric]
            for count in counts
        }
        best = max(counts, key=lambda count: (scores[count], -count))
        dev, test = (self._decode(votes[split][best]) for split in ("dev", "test"))
        return Predicted(dev, test, {"neighbours": best, "dev": scores[best]})

    def _labels(self, labels: Sequence[Any]) -> Tensor:
        """Return ones where an example has a label, (N, C)."""
        table = torch.zeros(len(labels), len(self.task.labels))
        for row, label in enumerate(labels):
            table[row, label] = 1.0
        return table

    def _decode(self, votes: Tensor) -> list[Any]:
        if self.task.kind == MULTI_LABEL:
            return [torch.nonzero(row > 0.5).flatten().tolist() for row in votes]
        return votes.argmax(1).tolist()


def _votes(similarity: Tensor, labels: Tensor, counts: Sequence[int]) -> dict[int, Tensor]:
    """Return for each number of neighbours the share of the votes of each label, (M, C)."""
    values, places = similarity.topk(max(counts), dim=1)
    weights = ((values - values[:, :1]) / TEMPERATURE).exp()
    found = {}
    for count in counts:
        part = weights[:, :count, None]
        found[count] = (part * labels[places[:, :count]]).sum(1) / part.sum(1)
    return found
