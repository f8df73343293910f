"""The pictures of a preview of clips: what each policy scores, hides and leaves to be filled in."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.report.clips.film_strip import (
    Block,
    Row,
    heat,
    hide,
    pick,
    resize,
    sheet,
    spread,
    to_grey,
    write_gif,
    write_png,
)
from diffmask.report.clips.preview import ClipPreview, ClipReading, ShownClip
from diffmask.report.html import page

if TYPE_CHECKING:
    from PIL.Image import Image

NUM_SHOWN = 8
"""Frames of a clip that stand side by side."""
SIZE = 112
"""Pixels of a frame in a picture."""
_BLANK = 235
_GREY_STEP = 32
SUFFIXES = (".html", ".png", ".gif")


class Layer(NamedTuple):
    """What is shown of a clip under a policy.

    Attributes:
        name: What it is.
        frames: uint8 (T, 3, H, W).
        scale: Values of the first and the last colour, where colours are values.
    """

    name: str
    frames: Tensor
    scale: tuple[float, float] | None = None


def layers(clip: ShownClip, reading: ClipReading, num_draws: int) -> Iterator[Layer]:
    """Yield the pictures of a clip under a policy."""
    ground = _outlines(clip.frames)
    if reading.scores is not None:
        low, high = spread(reading.scores)
        yield Layer("score", heat(ground, reading.scores, low, high), (low, high))
    yield Layer(f"hidden in {num_draws} masks", heat(ground, reading.often, 0.0, 1.0), (0.0, 1.0))
    yield Layer("one mask", hide(clip.frames, reading.masked))
    if reading.reconstruction is not None:
        yield Layer("filled in", reading.reconstruction)


def _outlines(frames: Tensor) -> Tensor:
    """Return frames in few greys and large pixels: under colours that are kept exactly, more would cost megabytes."""
    grey = to_grey(frames)
    side = frames.shape[-1] // max(1, 2 * frames.shape[-1] // SIZE)
    coarse = F.interpolate(grey, (side, side), mode="area")
    steps = ((coarse / _GREY_STEP).round() * _GREY_STEP).clamp(0, 255)
    return F.interpolate(steps, grey.shape[2:], mode="nearest-exact").to(torch.uint8).expand_as(frames)


def check_pictures(path: Path, *, overwrite: bool) -> None:
    """Refuse an output that cannot be written, before the work is done.

    Raises:
        InputError: If its name has another ending, it exists and may not be replaced, or its folder is missing.
    """
    page.check_output(path, overwrite=overwrite)
    if path.suffix not in SUFFIXES:
        raise InputError(f"the output {path} is no page and no picture; give a name that ends with .html, .png or .gif")


def write_pictures(preview: ClipPreview, path: Path) -> None:
    """Write a PNG with the frames side by side, or a GIF in which the clips move."""
    if path.suffix == ".gif":
        write_gif(moving(preview), path)
    else:
        write_png(still(preview), path)


def still(preview: ClipPreview) -> "Image":
    """Return all clips, with some of their frames side by side and a row for each picture."""
    blocks = []
    for index, clip in enumerate(preview.clips):
        shown = pick(len(clip.frames), NUM_SHOWN)
        rows = [Row("frames", clip.frames[shown])]
        for name, readings in preview.readings.items():
            for layer in layers(clip, readings[index], preview.num_draws):
                label = f"{_folded(name)}\n{layer.name}\n{_said(readings[index], layer.name)}"
                rows.append(Row(label, layer.frames[shown], layer.scale))
        blocks.append(Block(_title(clip), rows))
    return sheet(blocks, SIZE)


def moving(preview: ClipPreview) -> list["Image"]:
    """Return a picture for each time, with a row for each policy and a column for each kind of picture."""
    cells = [_cells(preview, index) for index in range(len(preview.clips))]
    heads = list(dict.fromkeys(name for clip in cells for row in clip.values() for name in row))
    # random masking, which comes first, has no scores
    heads.sort(key=lambda name: ["frame", "score"].index(name) if name in ("frame", "score") else 2)
    pictures = []
    for time in range(min(len(clip.frames) for clip in preview.clips)):
        blocks = [
            Block(_title(clip), [_row_at(time, name, preview.readings[name][index], cells[index][name], heads)
                                 for name in preview.readings])
            for index, clip in enumerate(preview.clips)
        ]  # fmt: skip
        pictures.append(sheet(blocks, SIZE, heads))
    return pictures


def _cells(preview: ClipPreview, index: int) -> dict[str, dict[str, Tensor]]:
    """Return, for each policy, the pictures of a clip by what they are, in the size in which they are shown."""
    clip = preview.clips[index]
    return {
        name: {"frame": resize(clip.frames, SIZE)}
        | {each.name: resize(each.frames, SIZE) for each in layers(clip, readings[index], preview.num_draws)}
        for name, readings in preview.readings.items()
    }


def _row_at(time: int, name: str, reading: ClipReading, cells: dict[str, Tensor], heads: list[str]) -> Row:
    blank = torch.full_like(cells["frame"][time], _BLANK)
    frames = [cells[head][time] if head in cells else blank for head in heads]
    said = [_said(reading, kind) for kind in ("one mask", "score")]
    return Row("\n".join([_folded(name), *filter(None, said)]), torch.stack(frames))


def _title(clip: ShownClip) -> str:
    return clip.name + (f": {clip.caption}" if clip.caption else "")


def _folded(name: str) -> str:
    return name.replace(": ", ":\n").replace(", ", ",\n")


def _said(reading: ClipReading, layer: str) -> str:
    """Return the numbers that belong to a picture."""
    if layer == "one mask":
        return f"{100 * reading.ratio:.1f} % hidden"
    if layer == "score" and reading.best is not None:
        return f"best tenth: {100 * reading.best:.0f} % hidden"
    return ""
