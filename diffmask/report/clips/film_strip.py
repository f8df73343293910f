"""Pictures of clips: scores and masks laid over frames, frames side by side, as PNG, as a looping GIF, or in a page."""

import base64
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from diffmask.files.folders import draft

if TYPE_CHECKING:
    from PIL.Image import Image

COLOURS = "viridis"
"""Colour map of matplotlib; even steps of a value look like even steps, also to the colour-blind and in grey."""
ALPHA = 0.6
"""How much of a pixel is the colour of its patch; the rest is the frame, in grey."""
HIDDEN, LINE = 128, 88
"""Grey of a hidden patch and of the lines around it: no content of a frame has such a grid."""
_LUMA = (0.299, 0.587, 0.114)
_STEPS = 256


@cache
def colour_table(name: str = COLOURS) -> Tensor:
    """Return the colours of a map from low to high, uint8 (256, 3)."""
    from matplotlib import colormaps

    rgba = colormaps[name](torch.linspace(0, 1, _STEPS).numpy(), bytes=True)
    return torch.from_numpy(rgba[:, :3].copy())


def colour(values: Tensor, low: float, high: float) -> Tensor:
    """Return the colour of each value, uint8 (..., 3); values beyond the ends have the colours of the ends."""
    share = (values.float() - low) / max(high - low, torch.finfo(torch.float32).tiny)
    return colour_table()[(share.clamp(0, 1) * (_STEPS - 1)).round().long()]


def heat(frames: Tensor, values: Tensor, low: float, high: float, alpha: float = ALPHA) -> Tensor:
    """Return frames in grey under the colours of their patches, uint8 (T, 3, H, W).

    The frame is grey so that every colour is that of a value.

    Args:
        frames: uint8 (T, 3, H, W).
        values: Of each patch, float (T', rows, columns).
        low: Value of the first colour.
        high: Value of the last colour.
        alpha: Share of the colour.
    """
    grey = to_grey(frames)
    colours = to_pixels(colour(values, low, high).float().movedim(3, 1), frames)
    return torch.lerp(grey.expand_as(colours), colours, alpha).round().to(torch.uint8)


def to_grey(frames: Tensor) -> Tensor:
    """Return how bright frames are, float (T, 1, H, W) in [0, 255]."""
    return torch.einsum("tchw,c->thw", frames.float(), torch.tensor(_LUMA))[:, None]


def hide(frames: Tensor, masked: Tensor) -> Tensor:
    """Return frames whose hidden patches are plain grey, each with a thin line above and left of it.

    Args:
        frames: uint8 (T, 3, H, W).
        masked: Which patches are hidden, bool (T', rows, columns).
    """
    height, width = frames.shape[2:]
    down, across = torch.arange(height) % (height // masked.shape[1]), torch.arange(width) % (width // masked.shape[2])
    on_line = (down == 0)[:, None] | (across == 0)
    grey = torch.where(on_line, LINE, HIDDEN).to(torch.uint8)
    return torch.where(to_pixels(masked[:, None], frames), grey, frames)


def to_pixels(patches: Tensor, frames: Tensor) -> Tensor:
    """Return values of patches (T', C, rows, columns) for every pixel of frames, (T, C, H, W)."""
    sizes = [frames.shape[0], frames.shape[2], frames.shape[3]]
    counts = [patches.shape[0], patches.shape[2], patches.shape[3]]
    for pixels, count in zip(sizes, counts, strict=True):
        assert pixels % count == 0, f"frames {tuple(frames.shape)} are no multiple of patches {tuple(patches.shape)}"
    times, down, across = (pixels // count for pixels, count in zip(sizes, counts, strict=True))
    return patches.repeat_interleave(times, 0).repeat_interleave(down, 2).repeat_interleave(across, 3)


GAP = 2
"""Pixels between frames."""
_QUALITY = 82
"""Of JPEG."""
_INK, _SOFT, _PAPER, _BACK = (31, 27, 23), (107, 98, 90), (255, 255, 255), (184, 179, 174)
_LABEL_WIDTH, _TITLE_HEIGHT, _BAR = 176, 24, 3
_COLOURS_SAMPLED = 8
"""Frames that the palette of a GIF is made from."""


class Row(NamedTuple):
    """A row of a picture.

    Attributes:
        label: What it shows, in one or more lines.
        frames: uint8 (T, 3, H, W).
        scale: Values of the first and the last colour, where colours are values.
    """

    label: str
    frames: Tensor
    scale: tuple[float, float] | None = None

    @property
    def ends(self) -> list[str]:
        """Numbers of the first and the last colour: one if they are the same, none where colours are no values."""
        return [] if self.scale is None else [_number(value) for value in sorted(set(self.scale))]


class Block(NamedTuple):
    """Rows with a title above them."""

    title: str
    rows: list[Row]


def pick(num_frames: int, count: int) -> list[int]:
    """Return the frames of a clip that are shown: evenly spread, each in the middle of its part.

    >>> pick(16, 4), pick(2, 4)
    ([2, 6, 10, 14], [0, 1])
    """
    count = min(num_frames, count)
    return [(2 * place + 1) * num_frames // (2 * count) for place in range(count)]


def side_by_side(frames: Tensor, size: int | None = None) -> "Image":
    """Return frames in a row.

    Args:
        frames: uint8 (T, 3, H, W).
        size: Pixels of each in height and width; None leaves them as they are.
    """
    frames = frames if size is None else resize(frames, size)
    num_frames, _, height, width = frames.shape
    row = torch.tensor(_BACK, dtype=torch.uint8)[:, None, None].repeat(1, height, num_frames * (width + GAP) - GAP)
    for place, frame in enumerate(frames):
        row[:, :, place * (width + GAP) :][:, :, :width] = frame
    return to_image(row)


def resize(frames: Tensor, size: int) -> Tensor:
    """Return square frames of another size; enlarged ones keep the edges of patches sharp."""
    if frames.shape[-1] == size:
        return frames
    if size > frames.shape[-1]:
        return F.interpolate(frames, (size, size), mode="nearest-exact")
    return F.interpolate(frames.float(), (size, size), mode="area").round().to(torch.uint8)


def to_image(frame: Tensor) -> "Image":
    """Return a picture of a frame, uint8 (3, H, W)."""
    from PIL import Image

    return Image.fromarray(frame.permute(1, 2, 0).contiguous().numpy())


def sheet(blocks: Sequence[Block], size: int, heads: Sequence[str] = ()) -> "Image":
    """Return blocks below each other, each row with its label and its frames side by side.

    Args:
        blocks: What is shown.
        size: Pixels of a frame.
        heads: Titles of the columns, if they differ.
    """
    from PIL import Image, ImageDraw

    heights = [_TITLE_HEIGHT + len(block.rows) * (size + GAP) + GAP for block in blocks]
    most = max((len(row.frames) for block in blocks for row in block.rows), default=0)
    page = Image.new("RGB", (_LABEL_WIDTH + most * (size + GAP) + GAP, sum(heights) + GAP), _PAPER)
    draw, top = ImageDraw.Draw(page), 0
    for block, height in zip(blocks, heights, strict=True):
        _write(draw, (8, top + 4), _cut(block.title, _LABEL_WIDTH - 12 if heads else page.width, 14), 14, _INK)
        for column, head in enumerate(heads):
            _write(draw, (_LABEL_WIDTH + column * (size + GAP), top + 6), head, 12, _SOFT)
        for place, row in enumerate(block.rows):
            at = top + _TITLE_HEIGHT + place * (size + GAP)
            page.paste(side_by_side(row.frames, size), (_LABEL_WIDTH, at))
            _write(draw, (8, at + 4), row.label, 12, _SOFT)
            if row.ends:
                _draw_scale(page, (8, at + size - 28), row.ends)
        top += height
    return page


def _write(draw, at: tuple[int, int], text: str, size: int, ink: tuple[int, int, int]) -> None:
    from PIL import ImageFont

    # the built-in font knows Latin letters; others would be boxes, or an error
    plain = text.encode("latin-1", errors="replace").decode("latin-1")
    draw.multiline_text(at, "".join(c if c.isprintable() or c == "\n" else "?" for c in plain), fill=ink, spacing=2,
                        font=ImageFont.load_default(size))  # fmt: skip


def _cut(text: str, width: int, size: int) -> str:
    """Return as much of a text as there is room for."""
    from PIL import ImageFont

    font, plain = ImageFont.load_default(size), text.encode("latin-1", errors="replace").decode("latin-1")
    while plain and font.getlength(plain) > width:
        plain = plain[:-1] if not plain.endswith("..") else plain[:-3] + ".."
        plain = plain if plain.endswith("..") else plain + ".."
    return plain


def _draw_scale(page: "Image", at: tuple[int, int], ends: Sequence[str]) -> None:
    """Draw the colours from low to high, with the numbers of the ends."""
    from PIL import ImageDraw

    if len(ends) == 1:
        _write(ImageDraw.Draw(page), at, f"{ends[0]} throughout", 11, _SOFT)
        return
    width = _LABEL_WIDTH - 32
    page.paste(to_image(colour_table().T[:, None]).resize((width, 8)), at)
    draw = ImageDraw.Draw(page)
    low, high = ends
    _write(draw, (at[0], at[1] + 10), low, 11, _SOFT)
    length = int(draw.textlength(high, font_size=11))
    _write(draw, (at[0] + width - length, at[1] + 10), high, 11, _SOFT)


def _number(value: float) -> str:
    """Return the number at the end of a scale.

    >>> _number(0.0), _number(-1.234), _number(12.5)
    ('0', '-1.23', '12.5')
    """
    return f"{value:.3g}" if abs(value) >= 0.005 else "0"


def write_png(picture: "Image", path: Path) -> None:
    """Write a picture exactly, under its name only once it is whole."""
    with draft(path) as new:
        new.write_bytes(_bytes(picture, "PNG", optimize=True))


def write_gif(pictures: Sequence["Image"], path: Path, *, per_second: float = 5.0) -> None:
    """Write pictures as a GIF that begins again at its end.

    All pictures share one palette, and each pixel gets its nearest colour: with a palette each, or with dithering, what
    does not move would flicker. A line at the bottom shows how far the clip is.

    Args:
        pictures: All of one size.
        path: File to write.
        per_second: How many are shown in a second.
    """
    from PIL import Image

    marked = [_marked(picture, (place + 1) / len(pictures)) for place, picture in enumerate(pictures)]
    palette = _palette(marked)
    frames = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in marked]
    held = round(1000 / per_second)
    options = {"save_all": True, "append_images": frames[1:], "duration": held, "loop": 0, "disposal": 1}
    with draft(path) as new:
        new.write_bytes(_bytes(frames[0], "GIF", optimize=False, **options))


def _palette(pictures: Sequence["Image"]) -> "Image":
    from PIL import Image

    some = [pictures[place] for place in pick(len(pictures), _COLOURS_SAMPLED)]
    together = Image.new("RGB", (some[0].width, sum(each.height for each in some)))
    for place, each in enumerate(some):
        together.paste(each, (0, place * each.height))
    return together.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def _marked(picture: "Image", share: float) -> "Image":
    """Return a picture above a line that is as long as the part of the clip shown so far, so that no two are equal."""
    from PIL import Image

    marked = Image.new("RGB", (picture.width, picture.height + _BAR), _BACK)
    marked.paste(picture)
    marked.paste(_INK, (0, picture.height, max(1, round(share * picture.width)), picture.height + _BAR))
    return marked


def data_uri(picture: "Image", *, exact: bool = False) -> str:
    """Return a picture as an address that holds it, as JPEG or PNG, the smaller of the two.

    Args:
        picture: What is shown.
        exact: Always use PNG, because the colours are values, which JPEG would blur.
    """
    made = {"png": _bytes(picture, "PNG", optimize=True)}
    if not exact:
        made["jpeg"] = _bytes(picture, "JPEG", quality=_QUALITY, optimize=True, subsampling=0)
    kind = min(made, key=lambda each: len(made[each]))
    return f"data:image/{kind};base64,{base64.b64encode(made[kind]).decode()}"


def _bytes(picture: "Image", kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()
