"""Masking of clips: the policies by name, and what the settings of a run on video come to."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from diffmask.assemble.masking import ResolvedMasking
from diffmask.assemble.recipe import Ingredients, Recipe, uniform
from diffmask.assemble.schedules import RATIO_FLOOR
from diffmask.config import TargetConfig, VideoConfig, VideoDataConfig, VideoMaskingConfig
from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.core.policy import Policy
from diffmask.core.schedule import Schedule
from diffmask.core.select import mask_count
from diffmask.policies.feature import Feature
from diffmask.policies.predicted_loss import LEARNING_RATE, PredictedLoss
from diffmask.train.masking import Masking
from diffmask.train.meter import HighScores
from diffmask.video.adapter import VideoAdapter
from diffmask.video.index.index import check_reader
from diffmask.video.model.load import LoadedVideo
from diffmask.video.model.targets import FeatureTargets
from diffmask.video.read.dataset import Sampling
from diffmask.video.score.embedders import build_embedder, parse_layer
from diffmask.video.units.features import (
    APPEARANCE_DIM,
    Appearance,
    Embedded,
    FromRows,
    Motion,
    PatchEmbedder,
    PatchFeature,
)
from diffmask.video.units.grid import Grid

if TYPE_CHECKING:
    from diffmask.video.anchors.anchor_set import VisualAnchors


def _predicted_loss(given: Ingredients) -> Policy:
    config: VideoMaskingConfig = given.config
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
        lambda given: Feature("difference"),
        "patches near the anchors of the domain",
        "Wilf et al. 2023 (Difference-Masking)",
        cost="a score map a clip, made once; or the embedder in each step (live)",
        needs="`diffmask anchors` of clips",
        units="patch",
        settings=("anchors", "live"),
        features=("difference",),
    ),
    "boxes": Recipe(
        lambda given: Feature("boxes"),
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
        lambda given: Feature("motion", standardised=True),
        "patches that change from frame to frame",
        "frame differences; Huang et al. 2023 (MGMAE) take optical flow",
        cost="differences of the frames in each step",
        units="patch",
        features=("motion",),
    ),
    "attention": Recipe(
        lambda given: Feature("attention", standardised=True),
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

DOMAIN_SCORE = 1.0
"""Patches that score at least this - one standard deviation above the mean - count as the domain's own."""
_UNIT_SIZES = {"block": (2, 2, 2), "cell": (2, 2)}
"""Patches of units whose size the config does not say."""
_POINTS = 1000
_FOUND_IN_FRAMES: dict[str, PatchFeature] = {"motion": Motion(), "appearance": Appearance()}
"""Features that are found in the frames themselves; rows bring the rest along."""


class VideoMasking(ResolvedMasking):
    """The masking of clips; as `ResolvedMasking`, whose settings are a `VideoMaskingConfig`."""

    policies = VIDEO_POLICIES
    read_by_all = ("anchors", "live")
    schedules = {"ratio": RATIO_FLOOR, "strength": 0.0, "guided_share": 0.0}
    uniform = True

    def adapter(
        self,
        grid: Grid,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        targets: Any,
        further: tuple[PatchFeature, ...] = (),
        target: TargetConfig | None = None,
    ) -> VideoAdapter:
        """Return how clips are cut, and what is predicted of them.

        Args:
            grid: How clips are cut into patches.
            mean: Of red, green and blue, by which the model's pixels are normalised.
            std: Their standard deviations.
            targets: What is predicted.
            further: Features of patches that rows bring along or that are embedded, beside those of the policy.
            target: Which masked patches are decoded; all where None.
        """
        target = target or TargetConfig()
        # `further` has the scores of the anchors if the run has anchors, under every policy
        names = [name for name in self.features if not (further and name == "difference")]
        return VideoAdapter(
            grid,
            mean,
            std,
            targets,
            kind=self.units,
            size=self.config.unit_size or _UNIT_SIZES.get(self.units, ()),
            features=(*(_FOUND_IN_FRAMES.get(name) or FromRows(name) for name in names), *further),
            decoded_share=target.decoded_share,
            decoder=target.decoder,
            seed=self.config.seed,
        )

    def masker_for(self, adapter: VideoAdapter) -> Masker:
        """Return the masker of a run.

        Raises:
            InputError: If a schedule cannot be followed, or leaves nothing to see.
        """
        masker = self.masker(Ingredients(self.config))
        _check_visible(masker.ratio, adapter, "masking.ratio")
        return masker

    def _readers(self) -> dict[str, str]:
        return super()._readers() | {"unit_size": "masking.units=block"}


def _check_visible(ratio: Schedule, adapter: VideoAdapter, setting: str) -> None:
    """Refuse a ratio that hides all units of a clip at some time: an encoder needs something to see."""
    units = "patches" if adapter.kind == "patch" else f"{adapter.kind}s"
    for point in (*(step / _POINTS for step in range(_POINTS + 1)), *ratio.breaks):
        greatest = ratio.range(point)[1]
        if mask_count(adapter.num_units, greatest) >= adapter.num_units:
            raise InputError(
                f"{setting}={greatest:g} hides all {adapter.num_units} {units} of a clip, and the model "
                "needs something to see; lower it, or choose smaller units"
            )


@dataclass(frozen=True)
class VideoParts:
    """What a run on video is made of, looked up and loaded once.

    Attributes:
        masking: What the settings of its masking come to.
        loaded: The model.
        anchors: The domain's anchors, where the config names them.
        embedder: What gives the features that are predicted, where they are.
    """

    masking: VideoMasking
    loaded: LoadedVideo
    anchors: "VisualAnchors | None" = None
    embedder: PatchEmbedder | None = None

    @property
    def is_shared(self) -> bool:
        """Whether the features that are predicted are those that the anchors are held against."""
        if self.embedder is None or self.anchors is None:
            return False
        return self.embedder.key == self.anchors.metadata["embedder"]["key"]

    @property
    def is_live(self) -> bool:
        """Whether rows are scored while training, instead of by maps made once; the same for every policy."""
        if self.anchors is None:
            return False
        live = self.masking.config.live
        return self.is_shared if live is None else live

    @property
    def map_names(self) -> Mapping[str, tuple[str, ...]]:
        """Which scores rows bring along, in training and evaluation; those of the domain under every policy."""
        domain = () if self.anchors is None or self.is_live else ("difference",)
        own = tuple(name for name in self.masking.features if name in ("boxes", "attention"))
        return {"training": (*own, *domain), "evaluation": domain}

    def domain_features(self, device: str) -> tuple[PatchFeature, ...]:
        """Return what tells the domain's patches, and embeds those that are predicted.

        One pass of an embedder serves scores and targets if both want the same one.
        """
        found: list[PatchFeature] = [FromRows("difference")] if self.anchors is not None and not self.is_live else []
        scorer = self.anchors if self.is_live else None
        if self.embedder is not None:
            found.append(Embedded(self.embedder, scorer if self.is_shared else None))
        if scorer is not None and not self.is_shared:
            found.append(Embedded(scorer.embedder(device), scorer, keep=False))
        return tuple(found)


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
    for name in ("embedder", "layer"):
        if getattr(config, name) is not None:
            raise InputError(
                f"target.{name} is given, and pixels are predicted; leave it out, or use target.kind=features"
            )
    return None


def build_video_masking(config: VideoConfig, parts: VideoParts) -> Masking:
    """Return how a run masks: in training, and in evaluation, where the masks are the same for every run.

    Raises:
        InputError: If a setting cannot be used.
    """
    masking, loaded, device = parts.masking, parts.loaded, config.training.device or "auto"
    targets = loaded.targets if parts.embedder is None else FeatureTargets()
    domain = parts.domain_features(device)
    adapter = masking.adapter(loaded.grid, loaded.mean, loaded.std, targets, domain, config.target)
    # what is evaluated is predicted whole, and its domain patches are told by the same scores
    units = config.masking.eval_units
    evaluation = replace(
        adapter,
        kind=units,
        size=_UNIT_SIZES.get(units, ()),
        decoded_share=1.0,
        features=domain,
    )
    masker, evaluated = masking.masker_for(adapter), masking.evaluation_masker()
    _check_visible(evaluated.ratio, evaluation, "masking.eval_ratio")
    return Masking(
        adapter=adapter,
        masker=masker,
        evaluation=evaluated,
        evaluation_adapter=evaluation,
        domain=None if parts.anchors is None else HighScores("difference", DOMAIN_SCORE),
        layer_decay=config.training.layer_decay,
    )
