"""Readers of frames: decord, PyAV and torchcodec behind one protocol, and the way to the one that a clip needs.

    with open_reader(clip) as reader:
        frames = reader.read([0, 8, 16, 24])

Open a reader for each sample, in the process that reads it, and close it again: memory stays flat, and no reader is
open when a process forks.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from diffmask.core.errors import InputError
from diffmask.video.clip.clip import Clip, ReadError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

__all__ = ["READERS", "ReadError", "Reader", "open_reader", "open_source"]

READERS = ("decord", "pyav", "torchcodec")
"""Known readers, in the order in which they are tried."""


class Reader(Protocol):
    """The frames of one open clip."""

    num_frames: int

    def read(self, indices: Sequence[int]) -> "Tensor":
        """Return frames, uint8 (T, H, W, 3), RGB, upright.

        Args:
            indices: Of frames in the order in which they are shown; in any order, repeats allowed.

        Raises:
            ReadError: If a frame cannot be decoded.
        """
        ...


class _FrameSource(Protocol):
    """What a library of decoders has to give: frames as they are asked for, in order and each once."""

    num_frames: int

    def frames(self, indices: Sequence[int]) -> "np.ndarray":
        """Return frames, uint8 (T, H, W, 3), RGB, upright, of rising indices without repeats."""
        ...

    def close(self) -> None:
        """Give the file back."""
        ...


@contextmanager
def open_reader(clip: Clip, name: str = "auto") -> Iterator[Reader]:
    """Open a clip for reading.

    Args:
        clip: From an index: it knows which reader gives its frames exactly.
        name: "auto" for that reader, or another one, whose frames may be wrong.

    Raises:
        ReadError: If the clip was put aside, is gone or changed since it was indexed, or cannot be opened.
    """
    _check_file(clip)
    source = open_source(clip, clip.reader if name == "auto" else name)
    try:
        if source.num_frames != clip.num_frames:
            raise ReadError(clip.path, f"it has {source.num_frames} frames, not {clip.num_frames}; index it again")
        yield _Read(clip, source)
    finally:
        source.close()


def open_source(clip: Clip, name: str) -> _FrameSource:
    """Open a clip with a reader of a name; libraries are imported when they are needed.

    Raises:
        InputError: If the name is unknown, or the reader cannot be loaded.
        ReadError: If the clip cannot be opened.
    """
    try:
        if name == "decord":
            from diffmask.video.read.read_decord import DecordSource

            return DecordSource(clip)
        if name == "pyav":
            from diffmask.video.read.read_pyav import PyAVSource

            return PyAVSource(clip)
    except ImportError as error:
        raise InputError(f"{name} cannot be loaded ({error}); install it, or index the clips again") from error
    if name == "torchcodec":
        from diffmask.video.read.read_torchcodec import TorchCodecSource

        return TorchCodecSource(clip)
    raise InputError(f"unknown reader {name!r}; choose from: auto, {', '.join(READERS)}")


class _Read:
    """A source with indices in any order, as tensors."""

    def __init__(self, clip: Clip, source: _FrameSource):
        self.num_frames = clip.num_frames
        self._clip = clip
        self._source = source

    def read(self, indices: Sequence[int]) -> "Tensor":
        import torch

        indices = [int(index) for index in indices]
        wanted = sorted(set(indices))
        if not wanted or wanted[0] < 0 or wanted[-1] >= self.num_frames:
            reason = f"frames {wanted[:1]} to {wanted[-1:]} were asked for; it has 0 to {self.num_frames - 1}"
            raise ReadError(self._clip.path, reason)
        frames = torch.from_numpy(self._source.frames(wanted))
        if frames.shape[1:3] != (self._clip.height, self._clip.width):
            found = f"{frames.shape[2]}x{frames.shape[1]}"
            raise ReadError(self._clip.path, f"its frames are {found}, not {self._clip.width}x{self._clip.height}")
        if indices == wanted:
            return frames
        place = {index: number for number, index in enumerate(wanted)}
        return frames[[place[index] for index in indices]]


def _check_file(clip: Clip) -> None:
    """Refuse a clip that cannot be read, or is another one than was indexed."""
    if not clip.is_ok:
        raise ReadError(clip.path, clip.reason or clip.status)
    try:
        status = os.stat(clip.path)
    except OSError as error:
        raise ReadError(clip.path, f"it was there when it was indexed ({error.strerror})") from error
    if status.st_size != clip.size:
        reason = f"it had {clip.size} bytes when it was indexed, now {status.st_size}; index it again"
        raise ReadError(clip.path, reason)
    if not clip.matches(status):
        raise ReadError(clip.path, "it was written again after it was indexed; index it again")
