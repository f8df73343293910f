"""The settings of an evaluation; the text under each field is its documentation."""

from dataclasses import dataclass, field

SINGLE_LABEL, MULTI_LABEL, TOKENS = "single-label", "multi-label", "tokens"
KINDS = (SINGLE_LABEL, MULTI_LABEL, TOKENS)
FINETUNE, PROBE = "finetune", "probe"
METHODS = (FINETUNE, PROBE)
METRICS = ("micro_f1", "macro_f1", "accuracy")


@dataclass(frozen=True)
class TaskSettings:
    """Where a task's texts and labels are."""

    files: tuple[str, ...]
    """A folder, or files, named train, dev (or val, valid, ...) and test: .jsonl, .csv, .tsv or .parquet."""
    name: str | None = None
    """What the task is called; by default the name of its folder."""
    kind: str | None = None
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
    """How a model is fine-tuned (defaults: Gururangan et al. 2020, "Don't Stop Pretraining", table 14)."""

    learning_rates: tuple[float, ...] = (2e-5,)
    """Peak learning rates; where several are given, each is tried and the dev split chooses."""
    epochs: int = 10
    """Passes over the training texts, at most."""
    patience: int = 3
    """Epochs without a better score on the dev split after which training stops."""
    batch_size: int = 16
    """Texts of a step."""
    warmup_ratio: float = 0.06
    """Share of the steps in which the learning rate rises; then it falls linearly."""
    weight_decay: float = 0.1
    """Of all weights but biases and norms."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this norm."""


@dataclass(frozen=True)
class ProbeSettings:
    """How frozen features are probed: a logistic regression on the mean of the last layer's states."""

    regularisations: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0, 10.0)
    """Values of C that are tried by cross-validation on the training texts."""
    folds: int = 3
    """Of the cross-validation."""
    max_iterations: int = 1000
    """Of the solver."""


@dataclass(frozen=True)
class EvaluateSettings:
    """One evaluation: a model on a task, for several seeds."""

    model: str
    """A model: a folder, a hub name or `minilm`; or the folder of a run, whose model/ is taken."""
    task: TaskSettings
    """The task."""
    method: str = FINETUNE
    """finetune or probe."""
    seeds: int = 5
    """Number of seeds: of the head, of the order of texts, of dropout and of the choice of a share."""
    first_seed: int = 0
    """The first of them."""
    shares: tuple[float, ...] = (1.0,)
    """Shares of the training texts, for a learning curve."""
    metric: str = "micro_f1"
    """What the dev split, or cross-validation for a probe, chooses by: micro_f1, macro_f1 or accuracy."""
    max_length: int = 256
    """Tokens that are read of a text."""
    eval_batch_size: int = 64
    """Texts of a step without gradients."""
    precision: str = "fp32"
    """fp32, bf16 or fp16, in which the model runs."""
    device: str = "auto"
    """auto, cpu or cuda."""
    name: str | None = None
    """What the model is called in tables; by default the name of its folder."""
    output: str | None = None
    """Folder of the results; by default inside the run, or evaluations/NAME/TASK-METHOD."""
    finetune: FinetuneSettings = field(default_factory=FinetuneSettings)
    probe: ProbeSettings = field(default_factory=ProbeSettings)
