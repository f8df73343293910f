"""The contact sheet of visual anchors: what each looks like in the clips."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from diffmask.core.similarity import anchor_similarity, contrast
from diffmask.video.anchors.anchor_set import VisualAnchors
from diffmask.video.anchors.visual_words import Patches
from diffmask.video.clip.clip import ReadError
from diffmask.video.read.readers import open_reader

if TYPE_CHECKING:
    from PIL.Image import Image

NUM_SHOWN = 10
CELL, GAP, LABEL = 96, 4, 190
"""Pixels of a picture, of the gap between pictures, and of the text beside them."""
_AROUND = 2
"""Patches that are shown on each side of the patch itself."""
_INK, _PALE, _PAPER, _FRAME = (20, 20, 20), (110, 110, 110), (255, 255, 255), (255, 200, 0)

logger = logging.getLogger(__name__)


def draw_sheet(anchors: VisualAnchors, patches: Patches) -> "Image":
    """Return a picture with a row for each anchor: its name, and the patches of the clips that are nearest to it.

    Args:
        anchors: The anchors.
        patches: Patches of the domain's clips.
    """
    from PIL import Image, ImageDraw, ImageFont

    shown = [_nearest(anchors, row, patches) for row in range(len(anchors.names))]
    pictures = _cut(patches, sorted({index for row in shown for index in row}))
    width = LABEL + NUM_SHOWN * (CELL + GAP) + GAP
    sheet = Image.new("RGB", (width, len(shown) * (CELL + GAP) + GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(16), ImageFont.load_default(12)
    for row, (name, values, indices) in enumerate(zip(anchors.names, anchors.rows, shown, strict=True)):
        top = GAP + row * (CELL + GAP)
        draw.multiline_text((10, top + 12), _wrapped(name), fill=_INK, font=large)
        draw.multiline_text((10, top + 56), _facts(values), fill=_PALE, font=small)
        for place, index in enumerate(indices):
            if index in pictures:
                sheet.paste(pictures[index], (LABEL + place * (CELL + GAP), top))
    return sheet


def _nearest(anchors: VisualAnchors, row: int, patches: Patches) -> list[int]:
    """Return the patches nearest to an anchor, no two of one frame, and of no clip more than its fair share."""
    own = anchors.embeddings[row : row + 1]
    if anchors.is_found:
        scores = anchor_similarity(patches.embeddings, own)
    else:
        scores = contrast(patches.embeddings, own, anchors.common, "max")
    # a word that occurs in a few clips is shown from these, and each of them shows more
    num_clips = anchors.rows[row][4] if anchors.is_found else len(patches.clips)
    most = max(2, -(-NUM_SHOWN // num_clips))
    taken: dict[int, set[int]] = defaultdict(set)
    chosen: list[int] = []
    for index in scores.sort(descending=True, stable=True).indices.tolist():
        clip, frame = patches.places[index, :2].tolist()
        if frame in taken[clip] or len(taken[clip]) >= most:
            continue
        taken[clip].add(frame)
        chosen.append(index)
        if len(chosen) == NUM_SHOWN:
            break
    return chosen


def _cut(patches: Patches, indices: Sequence[int]) -> dict[int, "Image"]:
    """Return pictures of patches with what is around them; each frame is read once."""
    wanted: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index in indices:
        clip, frame = patches.places[index, :2].tolist()
        wanted[clip][frame].append(index)
    made = {}
    for clip, frames in wanted.items():
        try:
            with open_reader(patches.clips[clip]) as reader:
                read = dict(zip(sorted(frames), reader.read(sorted(frames)), strict=True))
        except ReadError as error:
            logger.warning("%s is not shown: %s", patches.clips[clip].path, error)
            continue
        for frame, members in frames.items():
            for index in members:
                made[index] = _picture(read[frame], patches.places[index, 2:].tolist(), patches.grids[clip])
    return made


def _picture(frame: Tensor, place: Sequence[int], grid: tuple[int, int]) -> "Image":
    """Return a patch, framed, in the middle of its surroundings; grey where the frame ends."""
    from PIL import Image, ImageDraw

    height, width = frame.shape[0] / grid[0], frame.shape[1] / grid[1]
    pad = (round((_AROUND + 1) * height), round((_AROUND + 1) * width))
    padded = np.full((frame.shape[0] + 2 * pad[0], frame.shape[1] + 2 * pad[1], 3), 128, dtype=np.uint8)
    padded[pad[0] : pad[0] + frame.shape[0], pad[1] : pad[1] + frame.shape[1]] = frame.numpy()
    top, left = round((place[0] - _AROUND) * height) + pad[0], round((place[1] - _AROUND) * width) + pad[1]
    span = 2 * _AROUND + 1
    part = padded[top : top + max(1, round(span * height)), left : left + max(1, round(span * width))]
    picture = Image.fromarray(part).resize((CELL, CELL), Image.Resampling.BILINEAR)
    low, high = _AROUND * CELL / span, (_AROUND + 1) * CELL / span
    ImageDraw.Draw(picture).rectangle([low, low, high, high], outline=_FRAME, width=2)
    return picture


def _facts(values: Sequence) -> str:
    _, kind, tf_icf, count, num_clips, *_ = values
    if tf_icf is None:
        return kind
    return f"{tf_icf:,.1f} x the reference\n{count:,} patches of {num_clips:,} clips"


def _wrapped(name: str, length: int = 22) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(name, length, max_lines=2, placeholder=" ..."))
