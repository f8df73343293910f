"""Readers of frames: decord, PyAV, torchcodec and images behind one protocol, and which of them a clip needs.

    with open_reader(clip) as reader:
        frames = reader.read([0, 8, 16, 24])

Open a reader for each sample, in the process that reads it, and close it again: memory stays flat, and none is open
when a process forks, after which decord hangs.
"""

import importlib
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from diffmask.core.errors import InputError
from diffmask.video.clip.clip import Clip, ReadError
from diffmask.video.clip.frames import FRAMES, state_of
from diffmask.video.read.read_frames import FrameFolderSource

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

READERS = ("decord", "pyav", "torchcodec")
"""Known readers, in the order in which they are tried."""
_CHUNK_FRAMES = 8


class _FrameSource(Protocol):
    """What is needed of each decoding library: frames in rising order, each once."""

    num_frames: int

    def frames(self, indices: Sequence[int]) -> "np.ndarray":
        """Return frames, uint8 (T, H, W, 3), RGB, upright, of rising indices without repeats."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class _Reader:
    """The frames of one open clip."""

    def __init__(self, clip: Clip, source: _FrameSource):
        self.num_frames = clip.num_frames
        self._clip = clip
        self._source = source

    def read(self, indices: Sequence[int]) -> "Tensor":
        """Return frames, uint8 (T, H, W, 3), RGB, upright.

        Args:
            indices: Numbers of frames, counted as they are shown; in any order, repeats allowed.

        Raises:
            ReadError: If a frame cannot be decoded.
        """
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

    def read_chunks(self, indices: Sequence[int]) -> "Iterator[Tensor]":
        """Yield the frames a few at a time, because 64 frames of a large clip would not fit in memory."""
        for start in range(0, len(indices), _CHUNK_FRAMES):
            yield self.read(indices[start : start + _CHUNK_FRAMES])


@contextmanager
def open_reader(clip: Clip, name: str = "auto") -> Iterator[_Reader]:
    """Open a clip for reading.

    Args:
        clip: From an index: it knows which reader gives its frames exactly.
        name: "auto" for that reader; or the name of another, whose frames may be wrong. Images have one reader only.

    Raises:
        ReadError: If the clip was put aside, is gone or changed since it was indexed, or cannot be opened.
    """
    _check_file(clip)
    if clip.reader == FRAMES:
        source: _FrameSource = FrameFolderSource(clip)
    else:
        source = open_source(clip, _reader_for(clip) if name == "auto" else name)
    try:
        if source.num_frames != clip.num_frames:
            raise ReadError(clip.path, f"it has {source.num_frames} frames, not {clip.num_frames}; index it again")
        yield _Reader(clip, source)
    finally:
        source.close()


def _reader_for(clip: Clip) -> str:
    """Return the reader that the index chose, or PyAV where that one is not installed or no longer trusted.

    PyAV gives the same frames, so an index serves machines with other libraries too.
    """
    is_trusted = clip.seeking != "count" or clip.reader == "pyav"
    return clip.reader if is_trusted and _is_installed(clip.reader) else "pyav"


@cache
def _is_installed(reader: str) -> bool:
    try:
        load_library(reader)
    except InputError:
        return False
    return True


def load_library(reader: str) -> None:
    """Load the library of a reader.

    Raises:
        InputError: If the reader is unknown, or its library cannot be loaded.
    """
    if reader not in READERS:
        raise InputError(f"unknown reader {reader!r}; choose from: auto, {', '.join(READERS)}")
    if reader == "torchcodec":
        from diffmask.video.read.read_torchcodec import load_decoder

        load_decoder()
        return
    library = "decord" if reader == "decord" else "av"
    try:
        importlib.import_module(library)
    except (ImportError, OSError) as error:
        name = "decord" if library == "decord" else "'diffmask[video]'"
        raise InputError(f"{library} cannot be loaded ({error}); install it: pip install {name}") from error


def open_source(clip: Clip, name: str) -> _FrameSource:
    """Open a clip with the reader of this name; its library is imported only now.

    Raises:
        InputError: If the name is unknown, or the reader cannot be loaded.
        ReadError: If the clip cannot be opened.
    """
    load_library(name)
    if name == "decord":
        return _DecordSource(clip)
    if name == "pyav":
        from diffmask.video.read.read_pyav import PyAVSource

        return PyAVSource(clip)
    from diffmask.video.read.read_torchcodec import TorchCodecSource

    return TorchCodecSource(clip)


def _check_file(clip: Clip) -> None:
    """Refuse a clip that was put aside, or whose file changed since it was indexed."""
    if not clip.is_ok:
        raise ReadError(clip.path, clip.reason or clip.status)
    try:
        state = state_of(clip.path)
    except OSError as error:
        raise ReadError(clip.path, f"it is no longer there ({error.strerror})") from error
    if state[0] != clip.size:
        reason = f"it had {clip.size} bytes when it was indexed, now {state[0]}; index it again"
        raise ReadError(clip.path, reason)
    if not clip.matches(state):
        raise ReadError(clip.path, "it was written again after it was indexed; index it again")


@cache
def _decord() -> Any:
    import decord

    # what FFmpeg inside it would print becomes an error here
    decord.logging.set_level(decord.logging.QUIET)
    return decord


class _Silence:
    """While any thread is inside, nothing reaches the error output: decord prints there what it also raises."""

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


class _DecordSource:
    """The frames of a clip by decord: the fastest on ordinary clips, wrong on some, which is why clips are probed."""

    def __init__(self, clip: Clip):
        decord = _decord()
        self._clip = clip
        try:
            with _silent:
                self._reader = decord.VideoReader(clip.path, ctx=decord.cpu(0), num_threads=1)
            self.num_frames = len(self._reader)
        except (OSError, RuntimeError, decord.DECORDError) as error:
            raise ReadError(clip.path, _first_sentence(error)) from error

    def frames(self, indices: Sequence[int]) -> "np.ndarray":
        """Return frames (T, H, W, 3) of rising indices without repeats."""
        try:
            return self._reader.get_batch(list(indices)).asnumpy()
        except (OSError, RuntimeError, _decord().DECORDError) as error:
            raise ReadError(self._clip.path, _first_sentence(error)) from error

    def close(self) -> None:
        """Close the file."""
        del self._reader


def _first_sentence(error: Exception) -> str:
    """Return what an error of decord says, without the source line before it and the stack after it."""
    line = str(error).strip().split("\n", 1)[0]
    # [10:50:38] /a/b.cc:270: [FILE] What it says
    return re.sub(r"^\[[\d:]+\] \S+?:\d+: (\[.*\] )?", "", line).rstrip(". ")
