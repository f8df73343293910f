"""What a policy needs to look at clips, before training or in the middle of it."""

from dataclasses import fields, replace

from diffmask.assemble.recipe import UNIT_SETTINGS, choose
from diffmask.assemble.video import FEATURES, UNIT_SIZES, VIDEO_POLICIES, build_video_masker, video_recipe, video_units
from diffmask.config import VideoMaskingConfig
from diffmask.core.errors import InputError
from diffmask.report.clips.preview import ClipLook
from diffmask.report.preview.build_look import held_at
from diffmask.video.adapter import VideoAdapter
from diffmask.video.model.targets import IMAGENET_MEAN, IMAGENET_STD, PixelTargets
from diffmask.video.units.features import FromRows
from diffmask.video.units.grid import Grid

BASELINE = "random-tube"
"""What policies are compared with."""
ROW_FEATURES = ("difference", "boxes", "attention")
"""What rows bring along: scores that were made once."""
_DEFAULTS = {each.name: getattr(VideoMaskingConfig(), each.name) for each in fields(VideoMaskingConfig)}


def build_clip_look(masking: VideoMaskingConfig, grid: Grid, *, progress: float | None = None) -> ClipLook:
    """Return how a policy looks at clips.

    Args:
        masking: The masking.
        grid: How clips are cut.
        progress: Hold the schedules at this share of the training; None draws masks from all of it.

    Raises:
        InputError: If a setting cannot be used.
    """
    recipe, units = video_recipe(masking), video_units(masking)
    adapter = VideoAdapter(
        grid,
        IMAGENET_MEAN,
        IMAGENET_STD,
        targets=PixelTargets(grid.tubelet, grid.patch_size),
        kind=units,
        size=masking.unit_size or UNIT_SIZES.get(units, ()),
        features=tuple(FEATURES.get(name) or FromRows(name) for name in recipe.features),
        seed=masking.seed,
    )
    masker = build_video_masker(masking, adapter)
    if progress is not None:
        if not 0.0 <= progress <= 1.0:
            raise InputError(f"the progress {progress:g} is outside [0, 1]; 0.5 is the middle of the training")
        masker = held_at(masker, progress)
    return ClipLook(masker, adapter, scores=not recipe.is_random)


def scores_needed(maskings: list[VideoMaskingConfig]) -> list[str]:
    """Return which scores rows must bring along for any of these."""
    read = [name for masking in maskings for name in video_recipe(masking).features]
    return sorted({name for name in read if name in ROW_FEATURES})


def for_video_policy(masking: VideoMaskingConfig, policy: str) -> VideoMaskingConfig:
    """Return the masking with another policy, without the settings that say nothing to it.

    Raises:
        InputError: If there is no such policy.
    """
    recipe = choose(VIDEO_POLICIES, policy, "policy for video")
    made = replace(masking, policy=policy)
    if recipe.has_fixed_units and made.units != recipe.units:
        made = replace(made, units=None)
    known = {name for each in VIDEO_POLICIES.values() for name in each.all_settings}
    read = {*recipe.settings, *UNIT_SETTINGS.get(video_units(made), ()), "anchors"}
    silent = known - read
    if recipe.is_random:
        silent |= {"direction", "hint_share"}
    if (made.weighting or recipe.weighting) != "softmax" and not recipe.is_random:
        silent.add("temperature")
    return replace(made, **{name: _DEFAULTS[name] for name in silent})


def changed_by(masking: VideoMaskingConfig, policy: str) -> set[str]:
    """Return the settings that are given and say nothing to a policy."""
    made = for_video_policy(masking, policy)
    return {name for name in _DEFAULTS if name != "policy" and getattr(made, name) != getattr(masking, name)}
