"""Annotate: values of the units of a text that its tokens do not show, made while a corpus is tokenised."""

from typing import Protocol, runtime_checkable

import numpy as np

from diffmask.text.segment import Segments

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
        """Return one int32 or float32 array (U,) for each column.

        -1 stands for none among the integers. In the column `starts`, 1 opens a group of units that are masked
        together and 0 continues it; a group never crosses a text.
        """
        ...
