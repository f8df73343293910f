"""The masks of words and of patches, drawn in one step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from diffmask.core.masker import Choice, Drawn
from diffmask.core.noise import SIDE, keys, row_uniforms
from diffmask.core.types import IGNORE_INDEX, PositionMask, UnitMask
from diffmask.core.units import Units
from diffmask.video.units.grid import PatchCounts, find_places
from diffmask.video_text.model.objectives import PairIds

Batch = Mapping[str, Any]
TEXT, VIDEO = "text", "video"
_IDS = ("video_id", "text_id", "sample_id")


@dataclass(frozen=True)
class JointMasking:
    """How a run masks words and patches, each side with its own policy, budget and schedules.

    Attributes:
        text: The masking of words, a `train.masking.Masking`.
        video: The masking of patches, another one.
        weights: By name, the weight of each loss: text, video, contrastive, matching.
        masked: The sides that are masked; all is seen of the other.
        complement: Spare, in each row, the domain's units of one side, text or video by the toss of a coin: what makes
            the domain different is never hidden on both.
        whole_texts: Contrastive and matching losses read texts without masks.
        seed: Seed of the coin, and of the negatives of matching.
        layer_decay: Factor of the learning rate from each layer to the one below it.
    """

    text: Any
    video: Any
    weights: Mapping[str, float]
    masked: tuple[str, ...] = (TEXT, VIDEO)
    complement: bool = False
    whole_texts: bool = True
    seed: int = 0
    layer_decay: float = 1.0

    @property
    def sides(self) -> dict[str, Any]:
        """The maskings of the sides that are masked."""
        return {name: getattr(self, name) for name in self.masked}

    @property
    def fixed(self) -> "JointMasking":
        """The masks of evaluation, always the same and each side's own, and the same draw of negatives."""
        seed = self.text.evaluation.seed
        return replace(self, text=self.text.fixed, video=self.video.fixed, complement=False, seed=seed)

    def reseeded(self, seed: int) -> "JointMasking":
        """Return the same with other masks."""
        return replace(self, text=self.text.reseeded(seed), video=self.video.reseeded(seed), seed=seed)

    def pad(self, rows: Sequence[Sequence[Mapping[str, Any]]], /) -> dict[str, Any]:
        """Make a batch of rows, each the crops of one clip with their text."""
        crops = list(chain.from_iterable(rows))
        ids = {name: torch.tensor([crop[name] for crop in crops]) for name in _IDS}
        clips = [{name: value for name, value in crop.items() if name not in (TEXT, *_IDS[:2])} for crop in crops]
        return {TEXT: self.text.pad([crop[TEXT] for crop in crops]), VIDEO: self.video.pad([clips])} | ids

    def draw(self, batch: Batch, step: int, num_steps: int) -> Drawn:
        """Mask both sides of a batch at an optimiser step."""
        choices = {name: self._choose(name, batch, step, num_steps) for name in self.masked}
        words, patches = self._words(batch, choices, step), self._patches(batch, choices, step)
        inputs = {TEXT: words, VIDEO: patches, "ids": [batch[name] for name in _IDS], "step": step}
        rows = len(batch[_IDS[0]])
        counts = [self.predicted(inputs, name).sum() if name in (TEXT, VIDEO) else rows for name in self.weights]
        device = batch[_IDS[0]].device
        return Drawn(inputs, choices, torch.stack([torch.as_tensor(count, device=device) for count in counts]))

    def _choose(self, name: str, batch: Batch, step: int, num_steps: int) -> Choice:
        side = getattr(self, name)
        units, weights = side.weigh(batch[name], step, num_steps)
        if self.complement:
            weights = weights.masked_fill(spared(name, side.domain, units, self.seed, step), 0.0)
        return Choice(units, weights, side.masker.draw(weights, units, step, num_steps))

    def _words(self, batch: Batch, choices: Mapping[str, Choice], step: int) -> dict[str, Tensor]:
        """Return the words as they are read, which of them are predicted, and the whole text if it is read, too."""
        text = batch[TEXT]
        if TEXT not in choices:
            nothing = torch.full_like(text["input_ids"], IGNORE_INDEX)
            return {name: text[name] for name in ("input_ids", "attention_mask")} | {"labels": nothing}
        units, _, masked = choices[TEXT]
        words = self.text.adapter.corrupt(text, units, masked, step)
        return words | {"whole": text["input_ids"]} if self.whole_texts else words

    def _patches(self, batch: Batch, choices: Mapping[str, Choice], step: int) -> dict[str, Any]:
        adapter = self.video.adapter
        if VIDEO not in choices:
            return {"frames": adapter.normalised(batch[VIDEO]["frames"])}
        units, _, masked = choices[VIDEO]
        return adapter.corrupt(batch[VIDEO], units, masked, step)

    def predicted(self, inputs: Batch, side: str) -> PositionMask:
        """Return for which positions of a side there is a loss."""
        return getattr(self, side).adapter.predicted(inputs[side])

    def losses(self, model: torch.nn.Module, inputs: Batch) -> dict[str, Tensor]:
        """Return each loss by its name, float32 (N,): of every predicted word or patch, row by row, or of every row."""
        words, patches = inputs[TEXT], inputs[VIDEO]
        visible = predicted = places = None
        if "masked" in patches:
            counts = PatchCounts(patches["num_masked"], patches["targets"].shape[1])
            visible, predicted = find_places(patches["masked"], patches["predicted"], counts)
        if TEXT in self.weights:
            places = (words["labels"] != IGNORE_INDEX).nonzero(as_tuple=True)
        output = model(
            input_ids=words["input_ids"],
            attention_mask=words["attention_mask"],
            frames=patches["frames"],
            visible=visible,
            predicted=predicted if VIDEO in self.weights else None,
            places=places,
            clean_ids=words.get("whole"),
            pairs=PairIds(*inputs["ids"]),
            step=inputs["step"],
            seed=self.seed,
            objectives=tuple(self.weights),
        )
        found = {name: output[name] for name in self.weights if name not in (TEXT, VIDEO)}
        if places is not None:
            found[TEXT] = cross_entropy(output.token_logits.float(), words["labels"][places], reduction="none")
        if VIDEO in self.weights:
            found[VIDEO] = (
                mse_loss(output.patches.float(), patches["targets"].float(), reduction="none").mean(2).flatten()
            )
        return found


def spared(side: str, domain: Callable[[Units], UnitMask], units: Units, seed: int, step: int) -> UnitMask:
    """Return the domain's units in the rows where a coin spares a side, bool (B, U); it never spares both of a row.

    Args:
        side: text or video.
        domain: Tells which of the smallest units belong to the domain.
        units: The units of the side.
        seed: Seed of the coin, and of the negatives of matching.
        step: Step of the training.
    """
    of_domain = units.pool(domain(units.smallest).float()) > 0
    coin = row_uniforms(keys(seed, step, units.sample_ids, stream=SIDE)) < 0.5  # (B,): True spares words
    return of_domain & (coin if side == TEXT else ~coin)[:, None]
