"""The settings of a run on clips and their texts; the text under each field is its documentation."""

from dataclasses import dataclass, field, replace
from typing import Annotated, cast

from diffmask.config.limits import LENGTH, PROCESSES, ROWS, SEED, AtMost, Between, OneOf, above, at_least, share
from diffmask.config.settings import HeadConfig, ScheduleConfig, TrainingConfig
from diffmask.config.text import TextConfig, TextDataConfig, TextMaskingConfig
from diffmask.config.video import TargetConfig, VideoConfig, VideoDataConfig, VideoMaskingConfig

SIDES = ("text", "video")
TEXT_RATIOS = {"captions": 0.5, "subtitles": 0.2}
"""Share of the tokens that is masked by default: captions say what the clip shows (VindLU: 0.5), subtitles hardly."""


@dataclass(frozen=True)
class FusionConfig:
    """How words and patches meet, for a model that is put together of two; a whole one has its own."""

    kind: Annotated[str, OneOf(("cross", "bidirectional", "merged"))] = "cross"
    """cross (words look at patches), bidirectional (and patches at words) or merged (all look at all)."""
    num_layers: Annotated[int, at_least(1), AtMost(48)] = 3
    """Blocks in which they do (VindLU: 3)."""


@dataclass(frozen=True)
class VideoTextDataConfig(VideoDataConfig):
    """Which clips and texts are read, and how rows are made of them."""

    train: tuple[str, ...]
    """Tables of clips and captions, folders of clips with subtitles, files of questions, indexes with captions."""
    clips: tuple[str, ...] = ()
    """Indexes, folders or globs of the clips that `train` and `eval` name; by default beside each table."""
    column: str | None = None
    """Column of the texts in tables; by default found by its name."""
    kind: Annotated[str, OneOf(tuple(TEXT_RATIOS))] = "captions"
    """captions or subtitles, which decides how many words are masked if `masking.text.ratio` does not."""
    max_length: Annotated[int, LENGTH] = 64
    """Tokens of a text, special tokens included; what is longer is cut off."""
    segment_seconds: Annotated[float, Between(0, 3600, "8 is usual", without_low=True)] = 8.0
    """Seconds of a clip, and its subtitles, that make a row."""
    localised: bool = False
    """Questions are about the seconds that their files give (`ts`); else about whole clips."""
    num_processes: Annotated[int, PROCESSES] = 2
    """Processes that tokenise."""
    sampling: str = "uniform"
    """uniform (a frame of each of equal parts of what the text is about) or dense (every `stride`-th frame)."""
    flip: float = 0.0
    """Probability that a row is mirrored; 0 where texts say left and right."""


@dataclass(frozen=True)
class CaptionMaskingConfig(TextMaskingConfig):
    """Which words are masked."""

    ratio: ScheduleConfig | None = None
    """Share of the ordinary tokens that is masked; by default 0.5 of captions, 0.2 of subtitles."""


@dataclass(frozen=True)
class ClipMaskingConfig(VideoMaskingConfig):
    """Which patches are masked."""

    ratio: ScheduleConfig = field(default_factory=lambda: ScheduleConfig(start=0.8))
    """Share of the patches that is masked, in every row the same number (Li et al. 2023, UMT with text: 0.8)."""
    eval_ratio: Annotated[float, share("0.8 means 80 %")] = 0.8
    """Ratio of the evaluation's fixed random masks."""


@dataclass(frozen=True)
class VideoTextMaskingConfig:
    """What is masked of words and of patches, in the same step."""

    anchors: str | None = None
    """Folder made by `diffmask anchors` of clips with texts: anchors of words and of patches."""
    sides: Annotated[str, OneOf(("both", *SIDES))] = "both"
    """both, text (all patches are seen) or video (all words are seen)."""
    complement: bool = False
    """Never hide the domain on both sides of a row: its words or its patches, in turn, are spared."""
    text: CaptionMaskingConfig = field(default_factory=CaptionMaskingConfig)
    video: ClipMaskingConfig = field(default_factory=ClipMaskingConfig)
    seed: Annotated[int, SEED] = 0
    """Seed of the masks of both sides."""

    @property
    def policy(self) -> str:
        """The policies of the sides that are masked, as commands name them."""
        if self.sides in SIDES:
            return getattr(self, self.sides).policy
        return self.text.policy if self.text.policy == self.video.policy else f"{self.text.policy}+{self.video.policy}"

    def side(self, name: str) -> TextMaskingConfig | VideoMaskingConfig:
        """Return the settings of a side, with the seed and the anchors that both share."""
        own = getattr(self, name)
        shared = None if self.anchors is None else f"{self.anchors.rstrip('/')}/{name}"
        return replace(own, seed=self.seed, anchors=own.anchors or shared)


@dataclass(frozen=True)
class ObjectivesConfig:
    """What is learned, each with its weight in the sum; 0 leaves one out (VindLU has 1 for all of its three)."""

    text: Annotated[float, at_least(0)] = 1.0
    """Masked words, given the visible patches."""
    video: Annotated[float, at_least(0)] = 1.0
    """Masked patches, given the words."""
    contrastive: Annotated[float, at_least(0)] = 1.0
    """Which text of the batch belongs to which clip, by one vector of each (all ranks are one batch)."""
    matching: Annotated[float, at_least(0)] = 1.0
    """Whether a text and a clip belong together, told apart from the most similar others of the batch."""
    whole_texts: bool = True
    """contrastive and matching read texts without masks, which takes a second pass of the text's encoder."""

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each objective that counts."""
        named = {name: getattr(self, name) for name in ("text", "video", "contrastive", "matching")}
        return {name: weight for name, weight in named.items() if weight > 0}


@dataclass(frozen=True)
class AnswerTaskConfig:
    """Questions about clips, learned in the same steps (end-task-aware training), if `task.train` is given.

    The loss is that of the objectives plus `weight` times that of the choice among the answers.
    """

    train: tuple[str, ...]
    """Files of questions with answers to choose from; of their splits only train is read, or files without any."""
    eval: tuple[str, ...] = ()
    """Files of questions that accuracy is measured on; of their splits only dev is read, or files without any."""
    weight: Annotated[float, above(0, "leave task out to train on masks only")] = 1.0
    """Weight of the choice's loss."""
    batch_size: Annotated[int, at_least(1), ROWS] = 4
    """Questions that go with a micro-batch of pairs on one device; each is read with every answer."""


@dataclass(frozen=True)
class VideoTextConfig:
    """One run of continued pretraining on clips and their texts."""

    model: str
    """Folder or hub name of a model of video and text; or of a VideoMAE, and `text_model` names the other part."""
    output: str
    """Folder of the run; it must not exist, or be resumed."""
    data: VideoTextDataConfig
    modality: str = "video-text"
    """video-text; without it a config is one of text."""
    text_model: str | None = None
    """Folder or hub name of a masked language model, if `model` is a VideoMAE."""
    fusion: FusionConfig = field(default_factory=FusionConfig)
    masking: VideoTextMaskingConfig = field(default_factory=VideoTextMaskingConfig)
    target: TargetConfig = field(default_factory=TargetConfig)
    objectives: ObjectivesConfig = field(default_factory=ObjectivesConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    task: AnswerTaskConfig | None = None

    @property
    def text_side(self) -> TextConfig:
        """The settings of a run on the texts alone."""
        data = self.data
        texts = TextDataConfig(
            train=data.train,
            column=data.column,
            max_length=data.max_length,
            num_processes=data.num_processes,
            cache=data.cache,
        )
        masking = cast(TextMaskingConfig, self.masking.side("text"))
        return TextConfig(self.text_model or self.model, self.output, texts, masking, self.head, self.training)

    @property
    def video_side(self) -> VideoConfig:
        """The settings of a run on the clips alone."""
        masking = cast(VideoMaskingConfig, self.masking.side("video"))
        return VideoConfig(self.model, self.output, self.data, "video", masking, self.target, self.head, self.training)

    def __post_init__(self):
        """Give the ratio of masked words the default of its kind of text."""
        text = self.masking.text
        if text.ratio is None and self.data.kind in TEXT_RATIOS:
            own = replace(text, ratio=ScheduleConfig(start=TEXT_RATIOS[self.data.kind]))
            object.__setattr__(self, "masking", replace(self.masking, text=own))
