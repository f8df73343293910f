"""Frames of a clip by torchcodec, an extra that needs the libraries of FFmpeg on the machine."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from diffmask.core.errors import InputError, first_line
from diffmask.video.clip.clip import Clip, ReadError

if TYPE_CHECKING:
    import numpy as np


@cache
def load_decoder() -> Any:
    """Return torchcodec's class of decoders.

    Raises:
        InputError: If it, or a library that it needs, is not installed.
    """
    try:
        from torchcodec.decoders import (  # pyright: ignore[reportMissingImports]
            VideoDecoder,  # pyright: ignore[reportPrivateImportUsage]
        )

        _load_libraries(VideoDecoder)
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).strip().split("\n", 1)[0].split(". ", 1)[0].rstrip(".")
        remedy = "install torchcodec and FFmpeg 4 or later with its shared libraries, or take --reader auto"
        raise InputError(f"torchcodec cannot be loaded ({reason}); {remedy}") from error
    return VideoDecoder


def _load_libraries(decoder: Any) -> None:
    """Load FFmpeg now: failing at the first clip would look like that clip's fault."""
    try:
        decoder(b"")
    except (RuntimeError, ValueError) as error:
        if "libtorchcodec" in str(error):
            raise


class TorchCodecSource:
    """The frames of a clip by torchcodec, which needs the libraries of FFmpeg on the machine."""

    def __init__(self, clip: Clip):
        decoder = load_decoder()
        self._clip = clip
        try:
            self._decoder = decoder(clip.path, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
            self.num_frames = len(self._decoder)
        except (OSError, RuntimeError, ValueError) as error:
            raise ReadError(clip.path, first_line(error)) from error

    def frames(self, indices: Sequence[int]) -> "np.ndarray":
        """Return frames (T, H, W, 3) of rising indices without repeats."""
        try:
            return self._decoder.get_frames_at(list(indices)).data.numpy()
        except (OSError, RuntimeError, ValueError, IndexError) as error:
            raise ReadError(self._clip.path, first_line(error)) from error

    def close(self) -> None:
        """Close the file."""
        del self._decoder
