"""What comes out of every method of an evaluation."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Predicted:
    """What a trained model predicts.

    Attributes:
        dev: As `Split.labels`, for the dev split.
        test: The same for the test split.
        chosen: What the dev split, or cross-validation, has chosen.
        fresh: Parameters that the checkpoint lacked.
    """

    dev: list[Any]
    test: list[Any]
    chosen: dict[str, Any]
    fresh: tuple[str, ...] = ()
