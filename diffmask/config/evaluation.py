"""The settings of an evaluation; the text under each field is its documentation."""

from dataclasses import dataclass, field
from typing import Annotated

from diffmask.config.limits import (
    EPOCHS,
    LENGTH,
    PROCESSES,
    ROWS,
    SEED,
    STEPS,
    AtMost,
    Between,
    Name,
    NotEmpty,
    OneOf,
    above,
    at_least,
    check_limits,
    share_below_one,
)

SINGLE_LABEL, MULTI_LABEL, TOKENS = "single-label", "multi-label", "tokens"
KINDS = (SINGLE_LABEL, MULTI_LABEL, TOKENS)
FINETUNE, PROBE, ATTENTIVE, KNN = "finetune", "probe", "attentive", "knn"
RETRIEVAL, MATCHING = "retrieval", "matching"
METHODS = {
    FINETUNE: "fine-tuned",
    PROBE: "by probe",
    ATTENTIVE: "by attentive probe",
    KNN: "by nearest neighbours",
    RETRIEVAL: "by retrieval",
    MATCHING: "by matching",
}
"""The methods, and how a title says them. Retrieval is also a kind of task, in which nothing is labelled."""
REFUSE, LEAVE_OUT = "refuse", "leave-out"
METRICS = {"micro_f1": "micro-F1", "macro_f1": "macro-F1", "accuracy": "accuracy"}
"""The scores of labels that are single numbers, and how tables spell them."""
RECALLS = {1: "recall_at_1", 5: "recall_at_5", 10: "recall_at_10"}
"""The scores of retrieval: in what share of the searches something right is among the first 1, 5 or 10 found."""
RANKS = {"median_rank": "median rank", "mean_rank": "mean rank"}
"""What else is told of retrieval: the place of the first right one; it is a number, and no share."""
FULL, ANSWERS, QUESTION_ANSWERS, TEXT_ONLY, VIDEO_ONLY = INPUTS = (
    "full", "answers", "question-answers", "text", "video",
)  # fmt: skip
"""What a model is shown of a question about a clip."""


def metrics_of(kind: str) -> dict[str, str]:
    """Return the scores of a kind of task that are shares, the usual one first, and how tables spell them.

    >>> list(metrics_of("retrieval").values()), next(iter(metrics_of("tokens")))
    (['R@1', 'R@5', 'R@10'], 'micro_f1')
    """
    return {name: f"R@{most}" for most, name in RECALLS.items()} if kind == RETRIEVAL else METRICS


_Warmup = Annotated[float, share_below_one("0.06 warms up for 6 % of the steps")]
_Decay = Annotated[float, at_least(0, "0.05 or 0.1 is usual")]
_Count = Annotated[int, at_least(1)]
_Rates = Annotated[tuple[float, ...], NotEmpty("give one or more, such as 2e-5"), above(0)]


@dataclass(frozen=True)
class TaskSettings:
    """Where a task's texts and labels are."""

    files: tuple[str, ...]
    """A folder, or files, named train, dev (or val, valid, ...) and test: .jsonl, .csv, .tsv or .parquet; for video an
    index of `diffmask index` with labels and splits, a folder of SPLIT/LABEL/clips, or a table of clips."""
    name: Annotated[str | None, Name()] = None
    """What the task is called; by default the name of its folder."""
    kind: Annotated[str | None, OneOf(KINDS)] = None
    """single-label, multi-label or tokens; by default as the first row tells."""
    text: str | None = None
    """Column of the text (or of the list of its words); by default found by its name."""
    pair: str | None = None
    """Column of the second text, for pairs; by default found by its name."""
    label: str | None = None
    """Column of the label or labels; by default found by its name."""
    separator: str = "|"
    """What divides the labels of one text in a .csv or .tsv, for multi-label tasks."""
    outside: str | None = None
    """For tokens, the label of words that are part of nothing, left out of F1; by default O; none: count them all."""


@dataclass(frozen=True)
class FinetuneSettings:
    """How a model of text is fine-tuned (defaults: Gururangan et al. 2020, "Don't Stop Pretraining", table 14)."""

    learning_rates: _Rates = (2e-5,)
    """Peak learning rates; where several are given, each is tried and the dev split chooses."""
    epochs: Annotated[_Count, EPOCHS] = 10
    """Passes over the training texts, at most."""
    patience: Annotated[_Count, EPOCHS] = 3
    """Epochs without a better score on the dev split after which training stops."""
    batch_size: Annotated[_Count, ROWS] = 16
    """Examples of a step."""
    warmup_ratio: _Warmup = 0.06
    """Share of the steps in which the learning rate rises; then it falls linearly."""
    weight_decay: _Decay = 0.1
    """Weight decay of all weights but biases and norms."""
    max_grad_norm: Annotated[float, above(0, "1 is usual")] = 1.0
    """Gradients are clipped to this norm."""


@dataclass(frozen=True)
class ProbeSettings:
    """How frozen features are probed: a logistic regression on the mean of the last layer's states."""

    regularisations: Annotated[tuple[float, ...], NotEmpty("give one or more, such as 1"), above(0)] = (
        0.001,
        0.01,
        0.1,
        1.0,
        10.0,
    )
    """Values of C that are tried by cross-validation on the training texts."""
    folds: Annotated[int, at_least(2), AtMost(1000)] = 3
    """Folds of the cross-validation."""
    max_iterations: Annotated[_Count, STEPS] = 1000
    """Iterations of the solver, at most."""


@dataclass(frozen=True)
class AttentiveSettings:
    """How frozen tokens are probed: learned queries pool them (after Bardes et al. 2024, V-JEPA), one layer reads."""

    learning_rates: _Rates = (3e-4, 1e-3, 3e-3)
    """Peak learning rates that are tried; the dev split chooses."""
    epochs: Annotated[_Count, EPOCHS] = 60
    """Passes over the training clips; the dev split chooses after which one."""
    batch_size: Annotated[_Count, ROWS] = 32
    """Clips of a step."""
    heads: Annotated[_Count, AtMost(1000)] = 4
    """Queries, each of which reads its own part of every token."""
    weight_decay: _Decay = 0.05
    """Weight decay of all weights."""


@dataclass(frozen=True)
class VideoFinetuneSettings(FinetuneSettings):
    """How a video model is fine-tuned (after Tong et al. 2022, VideoMAE, for small data sets)."""

    learning_rates: _Rates = (5e-4,)
    """Peak learning rates of the classifier; where several are given, each is tried and the dev split chooses."""
    epochs: Annotated[_Count, EPOCHS] = 30
    """Passes over the training clips, at most."""
    patience: Annotated[_Count, EPOCHS] = 5
    """Epochs without a better score on the dev split after which training stops."""
    warmup_ratio: _Warmup = 0.1
    """Share of the steps in which the learning rate rises; then it falls linearly."""
    weight_decay: _Decay = 0.05
    """Weight decay of all weights but biases and norms."""
    layer_decay: Annotated[float, Between(0, 1, "1 trains all layers at one rate", without_low=True)] = 0.75
    """Each layer's rate is this part of that of the layer above it (Tong et al. 2022: 0.75)."""
    crop_scale: tuple[float, ...] = (0.5, 1.0)
    """Smallest and largest share of the frame's area that a training clip shows."""
    flip: float = 0.5
    """Probability that a training clip is mirrored; 0 where left and right matter, as in digits."""


@dataclass(frozen=True)
class VideoSettings:
    """What only clips need."""

    num_frames: Annotated[int | None, AtMost(4096)] = None
    """Frames of a view; by default the model's. An image model reads one."""
    image_size: Annotated[int | None, AtMost(4096)] = None
    """Pixels of a view in height and width; by default the model's."""
    sampling: str = "dense"
    """dense (every `stride`-th frame) or uniform (a frame of each of equal parts)."""
    stride: Annotated[int, LENGTH] = 4
    """Frames of the clip from one to the next, for dense sampling; best the one of the pretraining."""
    num_views: Annotated[_Count, AtMost(1000)] = 3
    """Views of a clip from its start to its end, the middle of the frame in each, that are averaged."""
    reader: str = "auto"
    """auto (the reader that the index found right for each clip), decord, pyav or torchcodec."""
    num_workers: Annotated[int, at_least(0), PROCESSES] = 0
    """Processes that read clips; 0 reads them in this one."""
    unreadable: Annotated[str, OneOf((REFUSE, LEAVE_OUT))] = REFUSE
    """What to do with test clips that cannot be read: refuse, or leave-out, which shrinks the test. Others are always
    left out, and named."""
    neighbours: Annotated[tuple[int, ...], NotEmpty("give one or more, such as 5"), at_least(1)] = (1, 3, 5, 10, 20, 50)
    """For knn, how many neighbours to try; the dev split chooses."""
    attentive: AttentiveSettings = field(default_factory=AttentiveSettings)
    finetune: VideoFinetuneSettings = field(default_factory=VideoFinetuneSettings)


@dataclass(frozen=True)
class VideoTextFinetuneSettings(FinetuneSettings):
    """How a model of video and text is fine-tuned on questions (after Cheng et al. 2023, VindLU, on TVQA)."""

    learning_rates: _Rates = (1e-5,)
    """Peak learning rates of the model; where several are given, each is tried and the dev split chooses."""
    head_rate: Annotated[float, above(0)] = 10.0
    """The scorer of answers, which is new, learns this many times faster."""
    warmup_ratio: _Warmup = 0.1
    """Share of the steps in which the learning rate rises; then it falls linearly."""
    weight_decay: _Decay = 0.02
    """Weight decay of all weights but biases and norms."""
    crop_scale: tuple[float, ...] = (0.5, 1.0)
    """Smallest and largest share of the frame's area that a training clip shows."""
    flip: float = 0.0
    """Probability that a training clip is mirrored; 0 where questions say left and right."""


@dataclass(frozen=True)
class VideoTextSettings:
    """What only clips with texts need: questions about clips, and retrieval."""

    clips: tuple[str, ...] = ()
    """Indexes, folders or globs of the clips that a task names; by default in the folder of its files."""
    inputs: Annotated[str, OneOf(INPUTS)] = FULL
    """What is shown of a question: full, answers (these alone), question-answers, text (no clip), or video (clip and
    answers, no question). What the last four reach can be said without looking, or without being asked."""
    subtitles: tuple[str, ...] = ()
    """Files or folders of subtitles (.srt, .vtt, TVQA's .jsonl) by the names of clips: what is said in what is shown of
    a clip stands behind the question and the answer."""
    num_answers: Annotated[int, at_least(2), AtMost(10**6)] = 1000
    """Of open questions, how many answers can be given: the most frequent ones of training. Others count as wrong."""
    localised: bool = False
    """Show the seconds of a clip that a question is about, which who answers does not know in the task as such."""
    rerank: Annotated[int, at_least(0), AtMost(10**6)] = 0
    """For retrieval, how many of the most similar are put in order again by whether they match, which takes a pass
    through the fusion for each; 0 leaves them."""
    num_frames: Annotated[int | None, AtMost(4096)] = None
    """Frames of a view; by default the model's."""
    image_size: Annotated[int | None, AtMost(4096)] = None
    """Pixels of a view in height and width; by default the model's."""
    sampling: str = "uniform"
    """uniform (a frame of each of equal parts) or dense (every `stride`-th frame)."""
    stride: Annotated[int, LENGTH] = 4
    """Frames of the clip from one to the next, for dense sampling."""
    reader: str = "auto"
    """auto (the reader that the index found right for each clip), decord, pyav or torchcodec."""
    num_workers: Annotated[int, at_least(0), PROCESSES] = 0
    """Processes that read clips; 0 reads them in this one."""
    unreadable: Annotated[str, OneOf((REFUSE, LEAVE_OUT))] = REFUSE
    """What to do with what is tested on clips that are missing or cannot be read: refuse, or leave-out, which shrinks
    the test. In other splits it is always left out, and named."""
    finetune: VideoTextFinetuneSettings = field(default_factory=VideoTextFinetuneSettings)


@dataclass(frozen=True)
class EvaluateSettings:
    """One evaluation: a model on a task, for several seeds."""

    model: str
    """A model of text, video or both: a folder, a hub name or `minilm`; or a run's folder, whose model/ is taken."""
    task: TaskSettings
    """The task."""
    method: Annotated[str, OneOf(tuple(METHODS))] = FINETUNE
    """finetune or probe; for video also attentive or knn; for video and text also retrieval or matching."""
    seeds: Annotated[_Count, AtMost(1000)] = 5
    """Number of seeds: of the head, of the order of texts, of dropout and of the choice of a share."""
    first_seed: Annotated[int, at_least(0), SEED] = 0
    """The first of them."""
    shares: Annotated[
        tuple[float, ...],
        NotEmpty("give one or more, such as 0.1, 0.3 and 1"),
        Between(0, 1, "give for example 0.1, 0.3 and 1", without_low=True),
    ] = (1.0,)
    """Shares of the training texts, for a learning curve."""
    metric: Annotated[str, OneOf(tuple(METRICS))] = "micro_f1"
    """What the dev split, or cross-validation for a probe, chooses by: micro_f1, macro_f1 or accuracy."""
    max_length: Annotated[int, at_least(8), LENGTH] = 256
    """Tokens that are read of a text; not for video."""
    eval_batch_size: Annotated[_Count, ROWS] = 64
    """Examples of a step without gradients."""
    precision: Annotated[str, OneOf(("fp32", "bf16", "fp16"))] = "fp32"
    """fp32, bf16 or fp16, in which the model runs."""
    device: Annotated[str, OneOf(("auto", "cpu", "cuda"))] = "auto"
    """auto, cpu or cuda."""
    name: Annotated[str | None, Name()] = None
    """What the model is called in tables; by default the name of its folder."""
    output: str | None = None
    """Folder of the results; by default inside the run, or evaluations/NAME/TASK-METHOD."""
    finetune: FinetuneSettings = field(default_factory=FinetuneSettings)
    probe: ProbeSettings = field(default_factory=ProbeSettings)
    video: VideoSettings = field(default_factory=VideoSettings)
    video_text: VideoTextSettings = field(default_factory=VideoTextSettings)

    def __post_init__(self):
        """Refuse a value that its field does not allow."""
        check_limits(self)
