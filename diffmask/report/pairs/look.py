"""How a policy looks at clips and their texts: one masker for the words, one for the patches."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, cast

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diffmask.assemble.video import DOMAIN_SCORE
from diffmask.assemble.video_text import VideoTextMasking, told_of
from diffmask.core.masker import Masker
from diffmask.core.policy import Policy
from diffmask.core.schedule import Schedule
from diffmask.core.types import UnitMask
from diffmask.core.units import Units
from diffmask.report.clips.look import ClipLook
from diffmask.report.text.look import TextLook
from diffmask.text.anchors.anchor_set import AnchorSet
from diffmask.train.meter import DomainTypes, HighScores, of_side
from diffmask.video.units.features import FromRows
from diffmask.video.units.grid import Grid
from diffmask.video_text.masking import spared


@dataclass(frozen=True)
class _Policies:
    """The policies of the sides that are masked, as the one that commands ask for what it has learned."""

    sides: Mapping[str, Policy]

    def state_dict(self) -> dict[str, Tensor]:
        """Return what all have learned, as a checkpoint holds it."""
        return {
            of_side(key, name): value for name, each in self.sides.items() for key, value in each.state_dict().items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Give each what it had learned."""
        for name, policy in self.sides.items():
            ending = of_side("", name)
            policy.load_state_dict({key.removesuffix(ending): state[key] for key in state if key.endswith(ending)})


@dataclass(frozen=True)
class _Maskers:
    """The maskers of the sides that are masked."""

    sides: Mapping[str, Masker]

    @property
    def policy(self) -> _Policies:
        """Their policies."""
        return _Policies({name: masker.policy for name, masker in self.sides.items()})


@dataclass(frozen=True)
class _Sparing:
    """A masker of one side that spares the domain where the toss of a coin says so, as `masking.complement` does.

    Attributes:
        masker: The masker.
        side: text or video.
        domain: Tells which units belong to the domain.
        seed: Seed of the coin.
    """

    masker: Masker
    side: str
    domain: Callable[[Units], UnitMask]
    seed: int

    def __call__(self, units: Units, step: int, num_steps: int) -> UnitMask:
        """Return the mask of a training step."""
        weights = self.masker.weights(units, step / num_steps)
        weights = weights.masked_fill(spared(self.side, self.domain, units, self.seed, step), 0.0)
        return self.masker.draw(weights, units, step, num_steps)

    @property
    def policy(self) -> Policy:
        """What scores the units."""
        return self.masker.policy

    @property
    def ratio(self) -> Schedule:
        """Share of the positions that is masked, over progress."""
        return self.masker.ratio

    def ratios(self, sample_ids: Tensor, step: int, num_steps: int) -> float | Tensor:
        """Return the share of the positions to mask at a step, as the masker does."""
        return self.masker.ratios(sample_ids, step, num_steps)

    @property
    def strength(self) -> Schedule:
        """How far the policy is followed, over progress."""
        return self.masker.strength

    @property
    def guided_share(self) -> Schedule:
        """Share of the budget that the policy draws, over progress."""
        return self.masker.guided_share


@dataclass(frozen=True)
class PairLook:
    """How a policy of both sides looks at clips and their texts.

    Attributes:
        text: How it looks at the words; None if they are not masked.
        video: How it looks at the patches; None if they are not masked.
    """

    text: TextLook | None
    video: ClipLook | None

    @classmethod
    def of(
        cls,
        masking: VideoTextMasking,
        tokenizer: PreTrainedTokenizerBase,
        anchors: AnchorSet | None,
        grid: Grid,
        *,
        progress: float | None = None,
    ) -> Self:
        """Return how a policy looks at clips and their texts.

        Args:
            masking: What the settings of the masking come to.
            tokenizer: Tokenizer of the texts.
            anchors: Anchors of the words; None if there are none.
            grid: How clips are cut.
            progress: Hold the schedules at this share of the training; None draws masks from all of it.

        Raises:
            InputError: If a setting cannot be used.
        """
        text = video = None
        complement = masking.config.complement
        if "text" in masking.masked:
            text = told_of("text", lambda: TextLook.of(masking.text, tokenizer, anchors, progress=progress))
        if "video" in masking.masked:
            further = (FromRows("difference"),) if complement else ()
            video = told_of("video", lambda: ClipLook.of(masking.video, grid, progress=progress, further=further))
        if not complement or text is None or video is None:
            return cls(text, video)
        assert anchors is not None  # complement was refused without
        words = DomainTypes(anchors.tf_icf >= masking.config.text.domain_threshold)
        patches, seed = HighScores("difference", DOMAIN_SCORE), masking.config.seed
        return cls(
            replace(text, masker=cast(Any, _Sparing(text.masker, "text", words, seed))),
            replace(video, masker=cast(Any, _Sparing(video.masker, "video", patches, seed))),
        )

    @property
    def masker(self) -> Any:
        """What is hidden on both sides, as far as commands ask: what the policies have learned."""
        sides = {"text": self.text, "video": self.video}
        return _Maskers({name: look.masker for name, look in sides.items() if look is not None})
