"""What comparing results needs to know, and what it comes to."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from diffmask.config.evaluation import METRICS
from diffmask.core.errors import InputError

TEXTS = ("all", "unseen")
HIGHER, LOWER, NOT_SHOWN = "higher", "lower", "no difference shown"


@dataclass(frozen=True)
class CompareSettings:
    """What is compared, and how."""

    metric: str = "micro_f1"
    """micro_f1, macro_f1 or accuracy."""
    texts: str = "all"
    """all test texts, or those `unseen` in the other splits."""
    share: float | None = None
    """Share of the training texts; None takes the largest that all results have."""
    baseline: str | None = None
    """Name of the result that the others are held against; None takes the first."""
    all_pairs: bool = False
    """Whether each is compared with each."""
    num_draws: int = 10_000
    """How often texts are resampled, and how often predictions are exchanged."""
    seed: int = 0
    """Of these draws."""

    def __post_init__(self):
        """Check what needs no results to be checked."""
        if self.metric not in METRICS:
            raise InputError(f"the metric {self.metric!r} is unknown; choose from: {', '.join(METRICS)}")
        if self.texts not in TEXTS:
            raise InputError(f"the texts {self.texts!r} are unknown; choose from: {', '.join(TEXTS)}")
        if self.num_draws < 1000:
            raise InputError(f"{self.num_draws} draws are too few for an interval; give at least 1000")
        if self.seed < 0:
            raise InputError(f"the seed {self.seed} is negative; give 0 or more")


@dataclass(frozen=True)
class Score:
    """A result's score: of each seed, over seeds, and where the mean over all seeds and texts is with 95 % confidence.

    Attributes:
        deviation: Standard deviation over the seeds; None where there is one.
    """

    name: str
    scores: Mapping[int, float]
    mean: float
    deviation: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """How a result differs from another, over the same seeds and texts.

    Attributes:
        p_value: Of a permutation test.
        corrected: The p-value, corrected for the number of comparisons (Holm).
        verdict: higher, lower or no difference shown.
    """

    name: str
    other: str
    mean: float
    deviation: float | None
    low: float
    high: float
    p_value: float
    corrected: float
    verdict: str


@dataclass(frozen=True)
class Point:
    """A result's score with a share of the training texts."""

    name: str
    share: float
    num_train: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """What comparing results has come to.

    Attributes:
        task: Name, kind and hash of the task.
        method: finetune or probe.
        settings: How it was compared; share and baseline as they were chosen.
        num_texts: Test texts that were compared on.
        num_seen: Test texts that stand in another split too, exactly or nearly.
        seeds: That all results have.
        left_out: Seeds of each result that others lack.
        scores: One for each result, in their order.
        differences: To the baseline, or of each pair.
        curve: Scores by share, where there are several.
        one_model: Names of results whose seeds start from one model.
    """

    task: dict[str, str]
    method: str
    settings: CompareSettings
    num_texts: int
    num_seen: int
    seeds: tuple[int, ...]
    left_out: dict[str, list[int]]
    scores: tuple[Score, ...]
    differences: tuple[Difference, ...]
    curve: tuple[Point, ...]
    one_model: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return asdict(self)
