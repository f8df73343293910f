"""The policies for video by name: what each hides, where it comes from, what it costs and needs.

The masking of a run on video: its policy, its units, what its rows bring along and what it predicts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from diffmask.assemble.recipe import DIRECTIONS, UNIT_SETTINGS, Recipe, build_weighting, check_scoring, choose, uniform
from diffmask.assemble.schedules import RATIO_FLOOR, build_schedule
from diffmask.assemble.text_masking import EVAL_SEED
from diffmask.config import ScheduleConfig, TargetConfig, VideoConfig, VideoDataConfig, VideoMaskingConfig
from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.core.policy import Policy
from diffmask.core.schedule import Schedule
from diffmask.core.select import mask_count
from diffmask.policies.feature import Feature
from diffmask.policies.predicted_loss import LEARNING_RATE, PredictedLoss
from diffmask.policies.uniform import Uniform
from diffmask.train.masking import Masking
from diffmask.train.meter import HighScores
from diffmask.video.adapter import VideoAdapter
from diffmask.video.index.index import check_reader
from diffmask.video.model.load import LoadedVideo
from diffmask.video.model.targets import FeatureTargets
from diffmask.video.read.dataset import Sampling
from diffmask.video.score.embedders import PatchEmbedder, build_embedder, parse_layer
from diffmask.video.units.features import APPEARANCE_DIM, Appearance, Embedded, FromRows, Motion, PatchFeature
from diffmask.video.units.grid import Grid

if TYPE_CHECKING:
    from diffmask.video.anchors.anchor_set import VisualAnchors

UNITS = ("patch", "tube", "frame", "block", "cell")


def _predicted_loss(config: VideoMaskingConfig) -> Policy:
    rate = LEARNING_RATE if config.predictor_rate is None else config.predictor_rate
    return PredictedLoss("appearance", APPEARANCE_DIM, rate, config.seed)


VIDEO_POLICIES: dict[str, Recipe] = {
    "random-patch": Recipe(
        uniform,
        "single patches at random",
        "He et al. 2022 (MAE); Feichtenhofer et al. 2022",
        units="patch",
        has_fixed_units=True,
    ),
    "random-tube": Recipe(
        uniform,
        "places at random, each hidden through all of time",
        "Tong et al. 2022 (VideoMAE)",
        units="tube",
        has_fixed_units=True,
    ),
    "random-frame": Recipe(
        uniform,
        "whole frames at random",
        "Tong et al. 2022 (VideoMAE, ablation)",
        units="frame",
        has_fixed_units=True,
    ),
    "random-block": Recipe(
        uniform,
        "boxes in time, height and width at random",
        "Feichtenhofer et al. 2022 (ablation); Xie et al. 2022 (SimMIM)",
        units="block",
        settings=("unit_size",),
        has_fixed_units=True,
    ),
    "running-cell": Recipe(
        uniform,
        "places at random, each running through its cell as time goes on",
        "Qing et al. 2023 (MAR); Wang et al. 2023 (VideoMAE V2)",
        units="cell",
        settings=("unit_size",),
        has_fixed_units=True,
    ),
    "difference": Recipe(
        lambda config: Feature("difference"),
        "patches near the anchors of the domain",
        "Wilf et al. 2023 (Difference-Masking)",
        cost="a score map a clip, made once; or the embedder in each step (live)",
        needs="`diffmask anchors` of clips",
        units="patch",
        settings=("anchors", "live"),
        features=("difference",),
    ),
    "boxes": Recipe(
        lambda config: Feature("boxes"),
        "patches in boxes that were drawn beforehand: faces, bodies, hands",
        "Wilf et al. 2023 (Difference-Masking, as coded for video)",
        cost="boxes through each crop",
        needs="a table of boxes",
        units="patch",
        weighting="linear",
        settings=("boxes", "box_label"),
        features=("boxes",),
    ),
    "motion": Recipe(
        lambda config: Feature("motion", standardised=True),
        "patches that change from frame to frame",
        "frame differences; Huang et al. 2023 (MGMAE) take optical flow",
        cost="differences of the frames in each step",
        units="patch",
        features=("motion",),
    ),
    "attention": Recipe(
        lambda config: Feature("attention", standardised=True),
        "patches that a teacher attends to (direction: show for the others, hint_share for hints)",
        "Kakogeorgiou et al. 2022 (AttMask); Li et al. 2023 (UMT)",
        cost="a score map a clip, made once",
        needs="a teacher",
        units="patch",
        settings=("teacher",),
        features=("attention",),
    ),
    "hard-patch": Recipe(
        _predicted_loss,
        "patches whose loss is predicted to be high, by a small network that learns along",
        "Wang et al. 2023 (HPM)",
        cost="a small network over all patches in each step",
        units="patch",
        settings=("predictor_rate",),
        features=("appearance",),
    ),
}

_DEFAULTS = {each.name: each.default for each in fields(VideoMaskingConfig)}
_READ_BY_ALL = ("anchors", "live")  # the domain's patches are told by them, whatever the policy
_READERS = {
    setting: name
    for name, recipe in reversed(VIDEO_POLICIES.items())
    for setting in recipe.all_settings
    if setting not in _READ_BY_ALL
}


def video_recipe(config: VideoMaskingConfig) -> Recipe:
    """Return the policy that a config names.

    Raises:
        InputError: If a name is unknown, or a setting is given that cannot take effect.
    """
    recipe = choose(VIDEO_POLICIES, config.policy, "policy for video")
    read = {*recipe.settings, *UNIT_SETTINGS.get(video_units(config), ())}
    for setting, reader in _READERS.items():
        if getattr(config, setting) != _DEFAULTS[setting] and setting not in read:
            wanted = "masking.units=block" if setting == "unit_size" else f"masking.policy={reader}"
            raise InputError(
                f"masking.{setting} is given, and the policy {config.policy} does not read it; leave it out, or use "
                f"{wanted}"
            )
    _check_scores(config, recipe)
    return recipe


def _check_scores(config: VideoMaskingConfig, recipe: Recipe) -> None:
    check_scoring(config)
    weighting = config.weighting or recipe.weighting
    # random masking may be given a temperature, so that it differs from other runs in one line
    if not recipe.is_random and config.temperature != _DEFAULTS["temperature"] and weighting != "softmax":
        raise InputError(
            f"masking.temperature={config.temperature:g} is that of softmax, by which {config.policy} does not weigh; "
            "use masking.weighting=softmax, or leave the temperature out"
        )
    if recipe.is_random and (config.direction != "hide" or config.hint_share > 0):
        raise InputError(
            f"masking.direction and hint_share go by scores, and {config.policy} scores all units alike; leave them "
            "out, or choose another policy"
        )
    if config.direction == "show" and weighting == "linear":
        raise InputError(
            "masking.direction=show turns scores below zero, which linear weights clip; use softmax or rank"
        )


def video_units(config: VideoMaskingConfig) -> str:
    """Return what is masked whole.

    Raises:
        InputError: If a name is unknown, or the units are not those of a policy that is made by them.
    """
    recipe = choose(VIDEO_POLICIES, config.policy, "policy for video")
    if config.units is None:
        return recipe.units
    if config.units not in UNITS:
        raise InputError(f"unknown units {config.units!r}; choose from: {', '.join(UNITS)}")
    if recipe.has_fixed_units and config.units != recipe.units:
        other = next(name for name, each in VIDEO_POLICIES.items() if each.is_random and each.units == config.units)
        raise InputError(
            f"masking.units={config.units} does not go with {config.policy}, which masks units of its own "
            f"({recipe.units}); use masking.policy={other}, or leave the units out"
        )
    return config.units


DOMAIN_SCORE = 1.0
"""Patches that score at least this - one standard deviation above the mean - count as the domain's own."""
UNIT_SIZES = {"block": (2, 2, 2), "cell": (2, 2)}
"""Patches of units whose size the config does not say."""
_POINTS = 1000
_PLURALS = {"patch": "patches"}
FEATURES: dict[str, PatchFeature] = {"motion": Motion(), "appearance": Appearance()}
"""What is found in the frames themselves; rows bring the rest along."""


@dataclass(frozen=True)
class VideoParts:
    """What a run on video is made of, loaded once.

    Attributes:
        loaded: The model.
        anchors: The domain's anchors, where the config names them.
        embedder: What gives the features that are predicted, where they are.
    """

    loaded: LoadedVideo
    anchors: "VisualAnchors | None" = None
    embedder: PatchEmbedder | None = None


def build_sampling(config: VideoDataConfig, grid: Grid) -> Sampling:
    """Return how rows are made of clips.

    Raises:
        InputError: If a setting cannot be used.
    """
    if config.sampling == "uniform" and config.stride != VideoDataConfig.stride:
        raise InputError(
            f"data.stride={config.stride} is for dense sampling, and data.sampling=uniform takes a frame of each part "
            "of the clip; leave one out"
        )
    check_reader(config.reader)
    scale, ratio = tuple(config.crop_scale), tuple(config.crop_ratio)
    return Sampling(
        grid,
        kind=config.sampling,
        stride=config.stride,
        clips_per_video=config.clips_per_video,
        repeats=config.repeats,
        crop_scale=scale,  # pyright: ignore[reportArgumentType] (checked there)
        crop_ratio=ratio,  # pyright: ignore[reportArgumentType]
        flip=config.flip,
        retries=config.retries,
        reader=config.reader,
    )


def target_embedder(config: TargetConfig, device: str) -> PatchEmbedder | None:
    """Return what gives the features that are predicted; None where pixels are.

    Raises:
        InputError: If a setting cannot be used or take effect.
    """
    if config.decoder == "cell" and config.decoded_share == 1.0:
        raise InputError(
            "target.decoder=cell says which masked patches are decoded, and all are; set target.decoded_share=0.5, or "
            "leave the decoder out"
        )
    if config.kind == "features":
        if not config.normalised:
            raise InputError("target.normalised=false is for pixels, and features are predicted; leave it out")
        if config.embedder is None:
            raise InputError(
                "target.kind=features needs an embedder; give target.embedder=clip:MODEL:WEIGHTS or student:FOLDER"
            )
        return build_embedder(config.embedder, layer=parse_layer(config.layer), device=device)
    if config.kind != "pixels":
        raise InputError(f"unknown target {config.kind!r}; choose from: features, pixels")
    for name in ("embedder", "layer"):
        if getattr(config, name) is not None:
            raise InputError(
                f"target.{name} is given, and pixels are predicted; leave it out, or use target.kind=features"
            )
    return None


def _is_live(config: VideoConfig, parts: VideoParts) -> bool:
    """Tell whether rows are scored while training, in the place of maps made once; the same for every policy."""
    if parts.anchors is None:
        return False
    return _is_shared(parts) if config.masking.live is None else config.masking.live


def _is_shared(parts: VideoParts) -> bool:
    """Tell whether the features that are predicted are those that the anchors are held against."""
    if parts.embedder is None or parts.anchors is None:
        return False
    return parts.embedder.key == parts.anchors.metadata["embedder"]["key"]


def build_video_masking(config: VideoConfig, parts: VideoParts) -> Masking:
    """Return how a run masks: in training, and in evaluation, where the masks are the same for every run.

    Raises:
        InputError: If a setting cannot be used.
    """
    masking, device = config.masking, config.training.device or "auto"
    if masking.eval_units not in UNITS:
        raise InputError(
            f"unknown units {masking.eval_units!r} in `masking.eval_units`; choose from: {', '.join(UNITS)}"
        )
    if not 0.0 < config.training.layer_decay <= 1.0:
        raise InputError(
            f"training.layer_decay={config.training.layer_decay:g} is outside (0, 1]; 1 trains all layers alike"
        )
    adapter = _adapter(config, parts, device)
    # what is evaluated is predicted whole, and its domain patches are told by the same scores
    size = UNIT_SIZES.get(masking.eval_units, ())
    evaluation = replace(
        adapter, kind=masking.eval_units, size=size, decoded_share=1.0, features=_domain(config, parts, device)
    )
    masker = build_video_masker(masking, adapter)
    ratio = build_schedule(ScheduleConfig(start=masking.eval_ratio), "masking.eval_ratio", 0.0)
    _check_visible(ratio, evaluation, "masking.eval_ratio")
    return Masking(
        adapter=adapter,
        masker=masker,
        evaluation=Masker(Uniform(), ratio=ratio, seed=EVAL_SEED, uniform=True),
        evaluation_adapter=evaluation,
        domain=None if parts.anchors is None else HighScores("difference", DOMAIN_SCORE),
        layer_decay=config.training.layer_decay,
    )


def build_video_masker(config: VideoMaskingConfig, adapter: VideoAdapter) -> Masker:
    """Return the masker of a run; every row has the same number of patches masked.

    Raises:
        InputError: If a setting cannot be used, or leaves nothing to see.
    """
    recipe = video_recipe(config)
    ratio = build_schedule(config.ratio, "masking.ratio", RATIO_FLOOR)
    _check_visible(ratio, adapter, "masking.ratio")
    return Masker(
        policy=recipe.make(config),
        ratio=ratio,
        strength=build_schedule(config.strength, "masking.strength", 0.0),
        guided_share=build_schedule(config.guided_share, "masking.guided_share", 0.0),
        weighting=build_weighting(config, recipe.weighting),
        seed=config.seed,
        uniform=True,
        hint_share=config.hint_share,
        hide=DIRECTIONS[config.direction],
    )


def _check_visible(ratio: Schedule, adapter: VideoAdapter, setting: str) -> None:
    """Refuse a ratio that hides all units of a clip at some time: an encoder needs something to see."""
    units = _PLURALS.get(adapter.kind, f"{adapter.kind}s")
    for point in (*(step / _POINTS for step in range(_POINTS + 1)), *ratio.breaks):
        if mask_count(adapter.num_units, ratio(point)) >= adapter.num_units:
            raise InputError(
                f"{setting}={ratio(point):g} hides all {adapter.num_units} {units} of a clip, and the model "
                "needs something to see; lower it, or choose smaller units"
            )


def _adapter(config: VideoConfig, parts: VideoParts, device: str) -> VideoAdapter:
    masking, loaded = config.masking, parts.loaded
    units = video_units(masking)
    read = video_recipe(masking).features
    features = [FEATURES.get(name) or FromRows(name) for name in read if name != "difference"]
    return VideoAdapter(
        loaded.grid,
        loaded.mean,
        loaded.std,
        loaded.targets if parts.embedder is None else FeatureTargets(),
        kind=units,
        size=masking.unit_size or UNIT_SIZES.get(units, ()),
        features=(*features, *_domain(config, parts, device)),
        decoded_share=config.target.decoded_share,
        decoder=config.target.decoder,
        seed=masking.seed,
    )


def _embedded(parts: VideoParts, *, scored: bool, device: str) -> list[PatchFeature]:
    """Return what embeds rows while training: one pass for scores and targets if both want the same embedder."""
    found: list[PatchFeature] = []
    scorer, shared = parts.anchors if scored else None, _is_shared(parts)
    if parts.embedder is not None:
        found.append(Embedded(parts.embedder, scorer if shared else None))
    if scorer is not None and not shared:
        found.append(Embedded(scorer.embedder(device), scorer, keep=False))
    return found


def _domain(config: VideoConfig, parts: VideoParts, device: str) -> tuple[PatchFeature, ...]:
    """Return what tells the domain's patches, and embeds those that are predicted."""
    live = _is_live(config, parts)
    scores: list[PatchFeature] = [FromRows("difference")] if parts.anchors is not None and not live else []
    return (*scores, *_embedded(parts, scored=live, device=device))


def map_names(config: VideoConfig, parts: VideoParts) -> Mapping[str, tuple[str, ...]]:
    """Return which scores rows bring along, of training and of evaluation; those of the domain whatever the policy."""
    read = video_recipe(config.masking).features
    domain = () if parts.anchors is None or _is_live(config, parts) else ("difference",)
    return {"training": (*(name for name in read if name in ("boxes", "attention")), *domain), "evaluation": domain}
