"""What a policy needs to look at clips, before training or in the middle of it."""

from diffmask.assemble.video import VideoMasking
from diffmask.config import VideoMaskingConfig
from diffmask.report.clips.preview import ClipLook
from diffmask.report.preview.build_look import held_at
from diffmask.video.model.targets import IMAGENET_MEAN, IMAGENET_STD, PixelTargets
from diffmask.video.units.grid import Grid

BASELINE = "random-tube"
"""What policies are compared with."""
ROW_FEATURES = ("difference", "boxes", "attention")
"""What rows bring along: scores that were made once."""


def build_clip_look(masking: VideoMasking, grid: Grid, *, progress: float | None = None) -> ClipLook:
    """Return how a policy looks at clips.

    Args:
        masking: What the settings come to.
        grid: How clips are cut.
        progress: Hold the schedules at this share of the training; None draws masks from all of it.

    Raises:
        InputError: If a setting cannot be used.
    """
    pixels = PixelTargets(grid.tubelet, grid.patch_size)
    adapter = masking.adapter(grid, IMAGENET_MEAN, IMAGENET_STD, pixels)
    masker = masking.masker_for(adapter)
    if progress is not None:
        masker = held_at(masker, progress)
    return ClipLook(masker, adapter, scores=not masking.is_random)


def scores_needed(maskings: list[VideoMaskingConfig]) -> list[str]:
    """Return which scores rows must bring along for any of these."""
    read = [name for masking in maskings for name in VideoMasking(masking).features]
    return sorted({name for name in read if name in ROW_FEATURES})
