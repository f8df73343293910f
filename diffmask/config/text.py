"""The settings of a run on text; the text under each field is its documentation."""

from dataclasses import dataclass, field
from typing import Annotated

from diffmask.config.limits import (
    LENGTH,
    PROCESSES,
    ROWS,
    SEED,
    Between,
    OneOf,
    above,
    at_least,
    share,
    share_below_one,
)
from diffmask.config.settings import (
    Direction,
    HeadConfig,
    HintShare,
    ScheduleConfig,
    Temperature,
    TrainingConfig,
    Weighting,
)


@dataclass(frozen=True)
class TextDataConfig:
    """What is read, and how it is cut into rows."""

    train: tuple[str, ...]
    """Files, folders or globs of .txt, .jsonl, .csv, .parquet (.gz, .zst too), or a saved Hugging Face data set."""
    eval: tuple[str, ...] = ()
    """Held-out text for the evaluation; without it a share of the training rows is held out."""
    eval_share: Annotated[float, share_below_one("0.05 holds out 5 % of the rows")] = 0.05
    """Share of rows that is held out where `eval` is not given."""
    column: str | None = None
    """Column of the text, where a table has several."""
    max_length: Annotated[int, LENGTH] = 128
    """Tokens of a row, special tokens included; longer documents become several rows."""
    overlap: Annotated[int, LENGTH] = 0
    """Tokens that neighbouring rows of one document share."""
    streaming: bool = False
    """Tokenise while training instead of once beforehand; then `data.eval` and `training.steps` must be given."""
    num_processes: Annotated[int, PROCESSES] = 2
    """Processes that tokenise."""
    cache: str | None = None
    """Folder of the tokenised data; by default `~/.cache/diffmask`."""


@dataclass(frozen=True)
class TextMaskingConfig:
    """What is masked, and what the model sees there."""

    policy: str = "difference"
    """What is preferred; `diffmask policies` lists all: difference, whole-word, random-token, random-span, ..."""
    anchors: str | None = None
    """Folder made by `diffmask anchors`; difference and domain-frequency need it, all report domain words with it."""
    units: Annotated[str | None, OneOf(("word", "token", "span", "pmi", "salient"))] = None
    """What is masked whole: word, token, span, pmi or salient; by default what the policy's paper masks."""
    ratio: ScheduleConfig = field(default_factory=ScheduleConfig)
    """Share of the ordinary tokens that is masked (Devlin et al. 2019: 0.15)."""
    strength: ScheduleConfig = field(default_factory=lambda: ScheduleConfig(start=1.0))
    """How far to follow the policy: 0 = at random, 1 = its full distribution."""
    weighting: Weighting = None
    """How scores become weights: softmax, rank (published Difference-Masking) or linear; by default the policy's."""
    temperature: Temperature = 1.0
    """Of the softmax: higher = closer to random."""
    direction: Direction = "hide"
    """hide (mask what scores high) or show (mask what scores low)."""
    hint_share: HintShare = 0.0
    """Share of each row's units, those with the best scores, that stays visible."""
    classes: str | None = None
    """For loss-weighted: frequency (default), shape, tf-icf, spacy:PIPELINE (universal POS) or file:PATH."""
    base: str | None = None
    """For loss-weighted: the policy whose weights the classes multiply (default: whole-word)."""
    momentum: Annotated[float | None, share_below_one("0.999 is that of the paper")] = None
    """For loss-weighted: of a class's running loss (default: 0.999, the paper's; 0.99 suits a thousand steps)."""
    corrected: bool = False
    """For loss-weighted: correct the losses of classes that are rarely seen, which matters in short runs."""
    spans: str | None = None
    """For salient-span: rule (default), spacy:PIPELINE, gazetteer:PATH or file:PATH."""
    ngrams: str | None = None
    """For pmi: folder made by `diffmask pmi`."""
    teacher: str | None = None
    """For attention: folder or name of the model whose attention is followed."""
    attention: str | None = None
    """For attention: cls (that of the first token, default) or received (from all tokens)."""
    scorer: str | None = None
    """For selective: folder made by `diffmask selective`."""
    mixture: tuple[str, ...] = ()
    """For mixture: two policies."""
    mixture_share: Annotated[
        float | None, Between(0, 1, "0.5 draws half of the masks from each", without_low=True, without_high=True)
    ] = None
    """For mixture: share of the second (default: 0.5)."""
    mask_share: float = 0.8
    """Share of masked positions that becomes the mask token (Devlin et al. 2019)."""
    random_share: float = 0.1
    """Share that becomes a random ordinary token; the rest stays."""
    seed: Annotated[int, SEED] = 0
    """Seed of the masks; the order of the data has its own."""
    eval_ratio: Annotated[float, share("0.15 means 15 %")] = 0.15
    """Ratio of the evaluation's fixed random masks."""
    eval_units: Annotated[str, OneOf(("token", "word"))] = "word"
    """What the evaluation masks whole, the same for every policy that is compared: word or token."""
    domain_threshold: float = 10.0
    """A word is the domain's own if its TF-ICF is at least this, that many times its general frequency."""


@dataclass(frozen=True)
class TaskConfig:
    """The task itself, learned in the same steps (end-task-aware training, Dery et al. 2022), if `task.train` is given.

    The loss is that of the masked words plus `weight` times that of the classification.
    """

    train: tuple[str, ...]
    """Files of training texts and labels: .jsonl, .csv, .tsv or .parquet; files named dev or test are refused."""
    eval: tuple[str, ...] = ()
    """Files of texts and labels that accuracy is measured on; a file named test is refused."""
    weight: Annotated[float, above(0, "leave task out to train on masked words only")] = 1.0
    """Weight of the classification's loss (1 = both count alike, the multi-task form of Dery et al. 2022)."""
    batch_size: Annotated[int | None, at_least(1, "leave it out for training.batch_size"), ROWS] = None
    """Labelled rows that go with a micro-batch of masked rows on one device; by default `training.batch_size`."""
    dropout: Annotated[float, share_below_one("the paper's is 0.3")] = 0.3
    """Dropout before the classifier (Wilf et al. 2023)."""
    kind: Annotated[str | None, OneOf(("single-label", "multi-label"))] = None
    """single-label or multi-label; by default as the first row tells."""
    text: str | None = None
    """Column of the text; by default found by its name."""
    pair: str | None = None
    """Column of the second text, for pairs; by default found by its name."""
    label: str | None = None
    """Column of the label or labels; by default found by its name."""
    separator: str = "|"
    """What divides the labels of one text in a .csv or .tsv, for multi-label tasks."""


@dataclass(frozen=True)
class TextConfig:
    """One run of continued pretraining on text."""

    modality = "text"  # no setting: a config without it is one of text
    model: str
    """Folder or hub name of a pretrained masked language model, or `minilm` (extra `demo`)."""
    output: str
    """Folder of the run; it must not exist, or be resumed."""
    data: TextDataConfig
    masking: TextMaskingConfig = field(default_factory=TextMaskingConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    task: TaskConfig | None = None
