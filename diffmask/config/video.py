"""The settings of a run on video; the text under each field is its documentation."""

from dataclasses import dataclass, field
from typing import Annotated

from diffmask.config.limits import LENGTH, ROWS, SEED, AtMost, OneOf, above, share, share_below_one
from diffmask.config.settings import (
    Direction,
    HeadConfig,
    HintShare,
    ScheduleConfig,
    Temperature,
    TrainingConfig,
    Weighting,
)

UNITS = ("patch", "tube", "frame", "block", "cell")


@dataclass(frozen=True)
class VideoDataConfig:
    """Which clips are read, and how rows are made of them."""

    train: tuple[str, ...]
    """Indexes made by `diffmask index`; or clips, folders and globs of clips, which are probed first."""
    split: str | None = None
    """Only clips of this split of the index, such as train; by default all."""
    eval: tuple[str, ...] = ()
    """Held-out clips for the evaluation; without them a share of the training clips is held out."""
    eval_split: str | None = None
    """Only clips of this split of the indexes of `eval`, such as dev."""
    eval_share: Annotated[float, share_below_one("0.05 holds out 5 % of the clips")] = 0.05
    """Share of clips that is held out where `eval` is not given."""
    num_frames: Annotated[int | None, AtMost(4096)] = None
    """Frames of a row; by default the model's."""
    image_size: Annotated[int | None, AtMost(4096)] = None
    """Pixels of a row in height and width; by default the model's."""
    sampling: str = "dense"
    """dense (every `stride`-th frame from a random place on) or uniform (a frame of each of equal parts)."""
    stride: Annotated[int, LENGTH] = 4
    """Frames of the clip from one to the next, for dense sampling (Tong et al. 2022 on Kinetics: 4)."""
    clips_per_video: Annotated[int, ROWS] = 1
    """Rows that each clip gives in a pass over the data, from different parts of it."""
    repeats: Annotated[int, ROWS] = 1
    """Crops of what is decoded once, each a row of the batch (repeated augmentation; Feichtenhofer et al. 2022: 4)."""
    crop_scale: tuple[float, ...] = (0.5, 1.0)
    """Smallest and largest share of the frame's area that is seen (Feichtenhofer et al. 2022)."""
    crop_ratio: tuple[float, ...] = (0.75, 4 / 3)
    """Smallest and largest width over height of what is seen."""
    flip: float = 0.5
    """Probability that a row is mirrored; 0 where left and right matter."""
    retries: Annotated[int, AtMost(1000)] = 2
    """How often a clip that fails is read again, before another takes its place."""
    reader: str = "auto"
    """auto (the reader that the index found right for each clip), decord, pyav or torchcodec."""
    cache: str | None = None
    """Folder of the score maps; by default `~/.cache/diffmask`."""


@dataclass(frozen=True)
class VideoMaskingConfig:
    """What is hidden."""

    policy: str = "difference"
    """What is preferred; `diffmask policies` lists all: difference, random-tube, motion, boxes, attention, ..."""
    anchors: str | None = None
    """Folder made by `diffmask anchors` of clips; difference needs it."""
    live: bool | None = None
    """Score rows while training, in place of maps made once; by default where the anchors' embedder runs anyway."""
    units: Annotated[str | None, OneOf(UNITS)] = None
    """What is masked whole: patch, tube, frame, block or cell; by default that of the policy's paper."""
    unit_size: tuple[int, ...] = ()
    """Patches of a block (time, height, width; default 2, 2, 2) or of a running cell (height, width; default 2, 2)."""
    ratio: ScheduleConfig = field(default_factory=lambda: ScheduleConfig(start=0.9))
    """Share of the patches that is masked, in every row the same number (Tong et al. 2022: 0.9)."""
    strength: ScheduleConfig = field(default_factory=lambda: ScheduleConfig(start=1.0))
    """How far the weights follow the policy: 0 = at random, 1 = its full distribution."""
    guided_share: ScheduleConfig = field(default_factory=lambda: ScheduleConfig(start=1.0))
    """Share of what is masked that the policy chooses; the rest is random (Wang et al. 2023: from 0 to 0.5)."""
    weighting: Weighting = None
    """How scores become weights: softmax, rank or linear; by default the policy's."""
    temperature: Temperature = 1.0
    """Of the softmax: higher = closer to random."""
    direction: Direction = "hide"
    """hide (mask what scores high) or show (mask what scores low)."""
    hint_share: HintShare = 0.0
    """Share of each row's units, those with the best scores, that stays visible."""
    boxes: str | None = None
    """For boxes: a table of boxes (clip, frame or time, x1, y1, x2, y2, label), such as faces that a detector found."""
    box_label: str | None = None
    """For boxes: only those with this label."""
    teacher: str | None = None
    """For attention: clip:MODEL:WEIGHTS or student:FOLDER, whose attention is followed."""
    predictor_rate: Annotated[float | None, above(0, "0.01 is usual")] = None
    """For hard-patch: learning rate of what predicts the losses (default: 0.01)."""
    seed: Annotated[int, SEED] = 0
    """Seed of the masks; the order of the data and the crops have that of the training."""
    eval_ratio: Annotated[float, share("0.9 means 90 %")] = 0.9
    """Ratio of the evaluation's fixed random masks."""
    eval_units: Annotated[str, OneOf(UNITS)] = "tube"
    """What the evaluation masks whole, the same for every policy that is compared."""


@dataclass(frozen=True)
class TargetConfig:
    """What is predicted of the patches that are masked."""

    kind: Annotated[str, OneOf(("pixels", "features"))] = "pixels"
    """pixels, or features (of an embedder)."""
    normalised: bool = True
    """Pixels of each patch with mean 0 and deviation 1 (He et al. 2022)."""
    embedder: str | None = None
    """For features: clip:MODEL:WEIGHTS or student:FOLDER."""
    layer: str | None = None
    """For features: which layer of the embedder; by default its own choice."""
    decoded_share: float = 1.0
    """Share of the masked patches that the decoder predicts; half of them cost a third less (Wang et al. 2023)."""
    decoder: str = "random"
    """Which those are: random, or cell (on running cells; VideoMAE V2)."""


@dataclass(frozen=True)
class VideoConfig:
    """One run of continued pretraining on video."""

    model: str
    """Folder or hub name of a pretrained masked video model (VideoMAE), or of a masked image model (ViT-MAE)."""
    output: str
    """Folder of the run; it must not exist, or be resumed."""
    data: VideoDataConfig
    modality: str = "video"
    """video; without it a config is one of text."""
    masking: VideoMaskingConfig = field(default_factory=VideoMaskingConfig)
    target: TargetConfig = field(default_factory=TargetConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
