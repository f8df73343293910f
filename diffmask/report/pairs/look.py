"""How a policy looks at clips and their texts: one masker for the words, one for the patches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diffmask.assemble.video_text import VideoTextMasking
from diffmask.core.masker import Masker
from diffmask.core.policy import Policy
from diffmask.report.clips.look import ClipLook
from diffmask.report.text.look import TextLook
from diffmask.text.anchors.anchor_set import AnchorSet
from diffmask.train.meter import of_side
from diffmask.video.units.grid import Grid


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
        if "text" in masking.masked:
            text = TextLook.of(masking.text, tokenizer, anchors, progress=progress)
        if "video" in masking.masked:
            video = ClipLook.of(masking.video, grid, progress=progress)
        return cls(text, video)

    @property
    def masker(self) -> Any:
        """What is hidden on both sides, as far as commands ask: what the policies have learned."""
        sides = {"text": self.text, "video": self.video}
        return _Maskers({name: look.masker for name, look in sides.items() if look is not None})
