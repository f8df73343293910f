"""Annotate: values of the units of a text that its tokens do not show, made while a corpus is tokenised."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from diffmask.text.segment.segmenter import Segments

STARTS = "starts"
"""Column that cuts words into larger units: 1 opens a unit, 0 continues the one before."""


@runtime_checkable
class Annotator(Protocol):
    """What gives each unit of segmented texts its values; it runs in worker processes, so it pickles.

    Attributes:
        columns: Names of the values, which become columns beside the tokens.
        key: What the values depend on (names, versions, hashes of files): part of the cache's key.
    """

    @property
    def columns(self) -> tuple[str, ...]: ...  # noqa: D102 (said above)

    @property
    def key(self) -> str: ...  # noqa: D102

    def __call__(self, segments: Segments) -> dict[str, np.ndarray]:
        """Return one int32 array (U,) for each column.

        -1 stands for none. In the column `starts`, 1 opens a group of units that are masked
        together and 0 continues it; a group never crosses a text.
        """
        ...


@dataclass(frozen=True)
class Selected:
    """Some columns of an annotator.

    Attributes:
        annotator: Makes them.
        columns: Names of those that are kept.
    """

    annotator: Annotator
    columns: tuple[str, ...]

    @property
    def key(self) -> str:
        """That of the annotator; the columns are part of the schema."""
        return f"{self.annotator.key} {','.join(self.columns)}"

    def __call__(self, segments: Segments) -> dict[str, np.ndarray]:
        """Return the columns that are kept."""
        values = self.annotator(segments)
        return {name: values[name] for name in self.columns}
