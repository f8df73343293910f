"""Frames of a clip by decord: the fastest on ordinary clips, wrong on some, which is why clips are probed.

A reader must never be open when a process forks: open one for each sample, in the process that reads it.
"""

import os
import re
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from diffmask.video.clip.clip import Clip, ReadError


@cache
def _decord() -> Any:
    import decord

    # FFmpeg inside of it would write to the terminal what becomes an error here
    decord.logging.set_level(decord.logging.QUIET)
    return decord


class _Silence:
    """While it is entered nothing is written to the error output: decord writes there what it raises as well."""

    def __init__(self):
        self._lock = threading.Lock()
        self._num_inside = 0
        self._kept = -1

    def __enter__(self) -> None:
        with self._lock:
            if self._num_inside == 0:
                self._kept = os.dup(2)
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, 2)
                os.close(nowhere)
            self._num_inside += 1

    def __exit__(self, *_) -> None:
        with self._lock:
            self._num_inside -= 1
            if self._num_inside == 0:
                os.dup2(self._kept, 2)
                os.close(self._kept)


_silent = _Silence()


class DecordSource:
    """The frames of one clip, opened until `close`."""

    def __init__(self, clip: Clip):
        decord = _decord()
        self._clip = clip
        try:
            with _silent:
                self._reader = decord.VideoReader(clip.path, ctx=decord.cpu(0), num_threads=1)
            self.num_frames = len(self._reader)
        except (OSError, RuntimeError, decord.DECORDError) as error:
            raise ReadError(clip.path, _first_sentence(error)) from error

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        """Return frames (T, H, W, 3) of rising indices without repeats."""
        try:
            return self._reader.get_batch(list(indices)).asnumpy()
        except (OSError, RuntimeError, _decord().DECORDError) as error:
            raise ReadError(self._clip.path, _first_sentence(error)) from error

    def close(self) -> None:
        """Give the file back."""
        del self._reader


def _first_sentence(error: Exception) -> str:
    """Return what an error says, without the place in the source, the file and the calls that stand around it."""
    line = str(error).strip().split("\n", 1)[0]
    # [10:50:38] /a/b.cc:270: [FILE] What it says
    return re.sub(r"^\[[\d:]+\] \S+?:\d+: (\[.*\] )?", "", line).rstrip(". ")
