"""Exemplars: pictures of what belongs to a domain, or boxes in them, as anchors."""

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.video.read.crop import Crop
from diffmask.video.score.boxes import SHARE, Boxes, box_map
from diffmask.video.score.embedders import PatchEmbedder

_BOX = re.compile(r"(.+):(-?[\d.]+),(-?[\d.]+),(-?[\d.]+),(-?[\d.]+)")


def embed_exemplar(spec: str, embedder: PatchEmbedder) -> Tensor:
    """Return the mean embedding of the patches of a picture, float32 (D,).

    Args:
        spec: `image.png`, or `image.png:x1,y1,x2,y2` for a box in pixels; patches count by their share in the box.
        embedder: Gives the embeddings.

    Raises:
        InputError: If there is no such picture, or the box is not in it.
    """
    path, box = parse_exemplar(spec)
    frame = _read_picture(path)
    height, width = frame.shape[:2]
    embeddings = embedder.embed(frame[None])[0].cpu()
    if box is None:
        return embeddings.flatten(0, 1).mean(0)
    if box[0] < 0 or box[1] < 0 or box[2] > width or box[3] > height or box[0] >= box[2] or box[1] >= box[3]:
        raise InputError(f"{spec}: the box is not in the picture of {width}x{height} pixels; give x1,y1,x2,y2 in it")
    corners = torch.tensor([box], dtype=torch.float64) / torch.tensor([width, height] * 2)
    boxes = Boxes(torch.zeros(1, dtype=torch.float64), corners, ("",), SHARE)
    shares = box_map(boxes, torch.zeros(1), Crop(), *embeddings.shape[:2])[0]
    return (embeddings * shares[:, :, None]).sum((0, 1)) / shares.sum()


def parse_exemplar(spec: str) -> tuple[Path, tuple[float, ...] | None]:
    """Return the file of a picture, and the box in it.

    >>> parse_exemplar("face.png:10,20,60,80")
    (PosixPath('face.png'), (10.0, 20.0, 60.0, 80.0))
    """
    found = _BOX.fullmatch(spec)
    if found is None or Path(spec).exists():
        return Path(spec), None
    try:
        return Path(found[1]), tuple(float(found[index]) for index in range(2, 6))
    except ValueError as error:
        raise InputError(f"{spec}: the box is not x1,y1,x2,y2 in pixels") from error


def _read_picture(path: Path) -> Tensor:
    from PIL import Image, ImageOps

    if not path.is_file():
        raise InputError(f"{path} does not exist; give a picture, or image.png:x1,y1,x2,y2")
    try:
        with Image.open(path) as picture:
            # cameras note the rotation instead of turning the picture
            upright = ImageOps.exif_transpose(picture).convert("RGB")
            return torch.from_numpy(np.array(upright))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # syntax: a damaged PNG
        raise InputError(f"{path} is no picture that can be read ({error}); give .png or .jpg") from error
