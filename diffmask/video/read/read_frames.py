"""Frames from a folder of images: each is one file, so each is exact, and none depends on another."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diffmask.core.errors import first_line
from diffmask.video.clip.clip import Clip, ReadError
from diffmask.video.clip.frames import image_files

_SIXTEEN_BITS = ("I", "F", "I;16", "I;16B", "I;16L")


def read_image(path: str) -> np.ndarray:
    """Return an image as it is shown, uint8 (H, W, 3), RGB: turned as its EXIF says, grey ones in three equal colours.

    Raises:
        ReadError: If it is damaged, or has more than 8 bits a colour.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            if image.mode in _SIXTEEN_BITS:
                raise ReadError(path, f"it has more than 8 bits a colour ({image.mode}); save it with 8")
            upright = ImageOps.exif_transpose(image)
            # a palette may hold transparency, which is left out
            plain = upright.convert("RGBA") if upright.mode == "P" else upright
            return np.asarray(plain.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ReadError(path, f"it cannot be decoded ({first_line(error)})") from error


class FrameFolderSource:
    """The frames of a folder.

    Args:
        clip: The folder, as an index knows it.

    Raises:
        ReadError: If it cannot be read.
    """

    def __init__(self, clip: Clip):
        self._clip = clip
        try:
            self._files = [path for _, path in image_files(clip.path)]
        except OSError as error:
            raise ReadError(clip.path, f"it cannot be read ({error.strerror})") from error
        self.num_frames = len(self._files)

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        """Return frames (T, H, W, 3) of rising indices without repeats.

        Raises:
            ReadError: If an image is damaged, or of another size than the first was.
        """
        return np.stack([self._frame(self._files[index]) for index in indices])

    def _frame(self, path: str) -> np.ndarray:
        try:
            frame = read_image(path)
        except ReadError as error:
            raise ReadError(self._clip.path, f"{Path(path).name}: {error.reason}") from error
        height, width = frame.shape[:2]
        if (height, width) != (self._clip.height, self._clip.width):
            sizes = f"{width}x{height}, not {self._clip.width}x{self._clip.height}"
            raise ReadError(self._clip.path, f"{Path(path).name} is {sizes}")
        return frame

    def close(self) -> None:
        """Do nothing: no file stays open."""
