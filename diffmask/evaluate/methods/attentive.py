"""An attentive probe: learned queries pool frozen tokens, and a linear layer reads what they pool."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from diffmask.config.evaluation import MULTI_LABEL, EvaluateSettings
from diffmask.core.machine import resolve_device
from diffmask.evaluate.methods.predicted import Predicted
from diffmask.evaluate.methods.text import decode
from diffmask.tasks.task import Task


class AttentivePool(nn.Module):
    """Pools tokens by attention and tells labels.

    Args:
        mean: Of the training tokens, (D,): they are standardised.
        std: Likewise.
        num_heads: Queries; each weighs the tokens, and pools its own part of their dimensions.
        num_labels: Logits.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor, num_heads: int, num_labels: int):
        super().__init__()
        width = len(mean)
        self.heads = math.gcd(num_heads, width)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        # queries of zero begin as the mean over the tokens
        self.queries = nn.Parameter(torch.zeros(self.heads, width))
        self.classify = nn.Linear(width, num_labels)
        nn.init.zeros_(self.classify.weight)
        nn.init.zeros_(self.classify.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (B, C) of tokens (B, L, D)."""
        states = (tokens.float() - self.mean) / self.std
        weights = (states @ self.queries.T / math.sqrt(states.shape[2])).softmax(1)
        pooled = torch.einsum("blh,blhd->bhd", weights, states.unflatten(2, (self.heads, -1)))
        return self.classify(pooled.flatten(1))


class AttentiveProber:
    """Trains an attentive probe for any seed and any share of the training clips.

    Attributes:
        tokens: Of all clips, (N, L, D).
        rows: For each split, the rows of its clips.
        task: The task.
        settings: How.
    """

    def __init__(self, tokens: Tensor, rows: Mapping[str, Sequence[int]], task: Task, settings: EvaluateSettings):
        self.tokens, self.rows, self.task, self.settings = tokens, rows, task, settings
        self.device = resolve_device(settings.device)

    def predict(self, train: Sequence[int], seed: int) -> Predicted:
        """Train on some of the training clips at each learning rate; the dev split chooses the rate and the epoch."""
        best: tuple[dict[str, Any], list[Any], list[Any]] | None = None
        for rate in self.settings.video.attentive.learning_rates:
            chosen, dev, test = self._train(train, rate, seed)
            if best is None or chosen["dev"] > best[0]["dev"]:
                best = chosen, dev, test
        assert best is not None
        return Predicted(best[1], best[2], best[0])

    def _train(self, train: Sequence[int], rate: float, seed: int) -> tuple[dict[str, Any], list[Any], list[Any]]:
        settings = self.settings.video.attentive
        rows = torch.tensor([self.rows["train"][place] for place in train])
        targets = self._targets([self.task.train.labels[place] for place in train])
        probe = AttentivePool(*_spread(self.tokens, rows), settings.heads, len(self.task.labels)).to(self.device)
        optimizer = torch.optim.AdamW(probe.parameters(), rate, weight_decay=settings.weight_decay)
        num_steps = settings.epochs * math.ceil(len(rows) / settings.batch_size)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
        random = torch.Generator().manual_seed(seed)
        best: dict[str, Any] = {"dev": -1.0}
        dev, state = [], {}
        for epoch in range(1, settings.epochs + 1):
            for part in torch.randperm(len(rows), generator=random).split(settings.batch_size):
                loss = self._loss(probe(self._take(rows[part])), targets[part].to(self.device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                decay.step()
            guessed = self._predict(probe, "dev")
            score = self.task.score(self.task.dev.labels, guessed)[self.settings.metric]
            if score > best["dev"]:
                best = {"learning_rate": rate, "dev": score, "epoch": epoch, "epochs": settings.epochs}
                dev, state = guessed, {name: value.clone() for name, value in probe.state_dict().items()}
        probe.load_state_dict(state)
        return best, dev, self._predict(probe, "test")

    def _take(self, rows: Tensor) -> Tensor:
        return self.tokens[rows].to(self.device)

    def _targets(self, labels: Sequence[Any]) -> Tensor:
        if self.task.kind != MULTI_LABEL:
            return torch.tensor(labels)
        table = torch.zeros(len(labels), len(self.task.labels))
        for row, label in enumerate(labels):
            table[row, label] = 1.0
        return table

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.task.kind == MULTI_LABEL:
            return binary_cross_entropy_with_logits(logits, targets)
        return cross_entropy(logits, targets)

    @torch.no_grad()
    def _predict(self, probe: AttentivePool, split: str) -> list[Any]:
        rows = torch.tensor(self.rows[split])
        parts = [probe(self._take(part)) for part in rows.split(self.settings.eval_batch_size)]
        return decode(torch.cat(parts).cpu().numpy(), self.task.kind)


def _spread(tokens: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of some clips' tokens, (D,), a few clips at a time."""
    total, squares = (
        torch.zeros(tokens.shape[2], dtype=torch.float64),
        torch.zeros(tokens.shape[2], dtype=torch.float64),
    )
    for part in rows.split(64):
        states = tokens[part].double().flatten(0, 1)
        total, squares = total + states.sum(0), squares + states.square().sum(0)
    count = len(rows) * tokens.shape[1]
    mean = total / count
    deviation = (squares / count - mean.square()).clamp_min(0.0).sqrt()
    return mean.float(), deviation.float().clamp_min(1e-6)
