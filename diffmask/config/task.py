"""The settings of the task that a run learns beside what is masked."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskConfig:
    """The task itself, learned in the same steps (end-task-aware training, Dery et al. 2022), if `task.train` is given.

    The loss is that of the masked words plus `weight` times that of the classification.
    """

    train: tuple[str, ...]
    """Files of training texts and labels: .jsonl, .csv, .tsv or .parquet; files named dev or test are refused."""
    eval: tuple[str, ...] = ()
    """Files of texts and labels that accuracy is measured on; a file named test is refused."""
    weight: float = 1.0
    """Weight of the classification's loss (1 = both count alike, the multi-task form of Dery et al. 2022)."""
    batch_size: int | None = None
    """Labelled rows that go with a micro-batch of masked rows on one device; by default `training.batch_size`."""
    dropout: float = 0.3
    """Dropout before the classifier (Wilf et al. 2023)."""
    kind: str | None = None
    """single-label or multi-label; by default as the first row tells."""
    text: str | None = None
    """Column of the text; by default found by its name."""
    pair: str | None = None
    """Column of the second text, for pairs; by default found by its name."""
    label: str | None = None
    """Column of the label or labels; by default found by its name."""
    separator: str = "|"
    """What divides the labels of one text in a .csv or .tsv, for multi-label tasks."""
