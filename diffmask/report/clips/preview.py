"""What several maskers would hide of some clips: scores, how often, one mask; as a page, a picture, in a terminal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from markupsafe import Markup
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor

from diffmask.report.clips.film_strip import (
    Block,
    Row,
    colour_table,
    data_uri,
    heat,
    hide,
    pick,
    resize,
    sheet,
    side_by_side,
    to_grey,
    write_gif,
    write_png,
)
from diffmask.report.clips.look import ClipLook, ClipReading, ShownClip
from diffmask.report.html.page import macros, page, write_page
from diffmask.report.preview import TITLE, printable

if TYPE_CHECKING:
    from PIL.Image import Image

NUM_DRAWS = 64
"""Masks that are counted: the standard error of how often a patch is hidden is at most 0.0625."""
_NUM_SHOWN = 8
"""Frames of a clip that stand side by side."""
SIZE = 112
"""Pixels of a frame in a picture."""
_BLANK = 235
_GREY_STEP = 32
_NUM_STOPS = 8
"""Colours of a scale on a page, between which a browser fades."""

Reconstruct = Callable[[Mapping[str, Tensor], Tensor], Tensor]
"""Pictures uint8 (B, T, 3, H, W) of a batch, from what is hidden in it, bool (B, L)."""


@dataclass(frozen=True)
class ClipPreview:
    """Everything that a preview of clips shows.

    Attributes:
        clips: The clips.
        readings: For each policy, by name, and each clip what is hidden.
        num_draws: Masks that were drawn of each.
        failed: Clips that could not be read, each with the reason.
    """

    clips: list[ShownClip]
    readings: dict[str, list[ClipReading]]
    num_draws: int
    failed: Mapping[str, str] = field(default_factory=dict)
    domain_share: None = None

    @classmethod
    def of(
        cls,
        clips: Sequence[ShownClip],
        batch: Mapping[str, Any],
        looks: Mapping[str, ClipLook],
        reconstruct: Reconstruct | None = None,
        *,
        num_draws: int | None = None,
    ) -> Self:
        """Look at what policies do to clips.

        Args:
            clips: What is shown, in the order of the batch.
            batch: The clips with all values that the policies read.
            looks: What is compared, by name.
            reconstruct: Makes pictures of what is hidden; None shows none.
            num_draws: Masks of each clip.
        """
        num_draws = NUM_DRAWS if num_draws is None else num_draws
        readings = {name: look.read(batch, num_draws) for name, look in looks.items()}
        if reconstruct is not None:
            for name, each in readings.items():
                pictures = reconstruct(batch, torch.stack([one.masked.flatten() for one in each]))
                readings[name] = [replace(one, reconstruction=own) for one, own in zip(each, pictures, strict=True)]
        return cls(list(clips), readings, num_draws)

    def mean(self, name: str, what: str) -> float | None:
        """Return the mean over the clips of `ratio` or `best` of a policy."""
        values = [value for each in self.readings[name] if (value := getattr(each, what)) is not None]
        return sum(values) / len(values) if values else None

    @property
    def is_filled_in(self) -> bool:
        """Whether a model filled in what is hidden."""
        return any(each.reconstruction is not None for readings in self.readings.values() for each in readings)

    def layers(self, name: str, index: int) -> Iterator[Row]:
        """Yield the pictures of a clip under a policy."""
        clip, reading = self.clips[index], self.readings[name][index]
        ground = _outlines(clip.frames)
        if reading.scores is not None:
            low, high = float(reading.scores.min()), float(reading.scores.max())
            yield Row("score", heat(ground, reading.scores, low, high), (low, high))
        yield Row(f"hidden in {self.num_draws} masks", heat(ground, reading.often, 0.0, 1.0), (0.0, 1.0))
        yield Row("one mask", hide(clip.frames, reading.masked))
        if reading.reconstruction is not None:
            yield Row("filled in", reading.reconstruction)

    def number_rows(self) -> Iterator[list[str]]:
        """Yield clip, policy and shares: first those of all clips together."""
        if len(self.clips) > 1:
            for name in self.readings:
                yield ["all of these", name, *(_percent(self.mean(name, what)) for what in ("ratio", "best"))]
        for index, clip in enumerate(self.clips):
            for name, readings in self.readings.items():
                yield [clip.name, name, _percent(readings[index].ratio), _percent(readings[index].best)]

    def sections(self, title: str = "Clips", notes: Sequence[str] = ()) -> Markup:
        """Return the preview as sections of a page; that of the pictures has the title, and the notes."""
        return macros("clips.html").sections(self, title, pictures_of(self), notes)

    def run_part(self, note: str) -> Markup:
        """Return what the page of a run says of its masks; the note says which clips are shown."""
        return macros("clips.html").run_part(self, pictures_of(self), note)

    def page(self, made_from: Sequence[tuple[str, str]], notes: Sequence[str] = ()) -> str:
        """Return a page of its own, as `write` writes it."""
        lead = "Masks of several policies on the same clips, at the same ratio."
        return page(TITLE, [self.sections(notes=notes)], lead, made_from)

    def write(self, path: Path, made_from: Sequence[tuple[str, str]], notes: Sequence[str] = ()) -> None:
        """Write a page, a PNG with the frames side by side, or a GIF in which the clips move."""
        if path.suffix == ".html":
            write_page(self.page(made_from, notes), path)
        elif path.suffix == ".gif":
            write_gif(self.moving(), path)
        else:
            write_png(self.still(), path)

    def still(self) -> "Image":
        """Return all clips, with some of their frames side by side and a row for each picture."""
        blocks = []
        for index, clip in enumerate(self.clips):
            shown = pick(len(clip.frames), _NUM_SHOWN)
            rows = [Row("frames", clip.frames[shown])]
            for name, readings in self.readings.items():
                for layer in self.layers(name, index):
                    label = f"{_folded(name)}\n{layer.label}\n{_said(readings[index], layer.label)}"
                    rows.append(Row(label, layer.frames[shown], layer.scale))
            blocks.append(Block(_title(clip), rows))
        return sheet(blocks, SIZE)

    def moving(self) -> list["Image"]:
        """Return a picture for each time, with a row for each policy and a column for each kind of picture."""
        cells = [_cells(self, index) for index in range(len(self.clips))]
        heads = list(dict.fromkeys(name for clip in cells for row in clip.values() for name in row))
        # random masking, which comes first, has no scores
        heads.sort(key=lambda name: ["frame", "score"].index(name) if name in ("frame", "score") else 2)
        pictures = []
        for time in range(min(len(clip.frames) for clip in self.clips)):
            blocks = [
                Block(_title(clip), [_row_at(time, name, self.readings[name][index], cells[index][name], heads)
                                     for name in self.readings])
                for index, clip in enumerate(self.clips)
            ]  # fmt: skip
            pictures.append(sheet(blocks, SIZE, heads))
        return pictures

    def print(self, console: Console, num_samples: int | None = None) -> None:
        """Print what each policy hides of each clip, or of the first few."""
        left_out = {clip.name for clip in self.clips[num_samples:]} if num_samples is not None else set()
        made = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        made.add_column("clip", overflow="fold")
        made.add_column("policy", overflow="fold")
        made.add_column("hidden", justify="right", no_wrap=True)
        made.add_column("of the best tenth", justify="right", no_wrap=True)
        last = ""
        for clip, name, *cells in self.number_rows():
            if clip in left_out:
                continue
            made.add_row(Text(printable(clip) if clip != last else ""), Text(printable(name)), *cells)
            last = clip
        console.print(made)
        console.print(
            Text(
                f"hidden: share of the patches over {self.num_draws} masks; of the best tenth: of those with the "
                "policy's best scores"
            )
        )
        for path, reason in self.failed.items():
            console.print(Text(printable(f"not shown: {path} ({reason})")), soft_wrap=True)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _outlines(frames: Tensor) -> Tensor:
    """Return frames in few greys and large pixels: under colours that are kept exactly, more would cost megabytes."""
    grey = to_grey(frames)
    side = frames.shape[-1] // max(1, 2 * frames.shape[-1] // SIZE)
    coarse = F.interpolate(grey, (side, side), mode="area")
    steps = ((coarse / _GREY_STEP).round() * _GREY_STEP).clamp(0, 255)
    return F.interpolate(steps, grey.shape[2:], mode="nearest-exact").to(torch.uint8).expand_as(frames)


class Picture(NamedTuple):
    """A picture of a page.

    Attributes:
        name: What it shows.
        told: The same for those who do not see it.
        image: The picture.
        source: The picture as an address that holds it.
        ends: Numbers of the first and the last colour; none where colours are no values, one where all are the same.
        stops: Colours between the ends.
    """

    name: str
    told: str
    image: "Image"
    source: str
    ends: list[str]
    stops: list[str]


def pictures_of(preview: ClipPreview) -> Iterator[tuple[ShownClip, Picture, list[tuple[str, str, list[Picture]]]]]:
    """Yield each clip, its frames, and of each policy its name, what it hides in words, and its pictures."""
    for index, clip in enumerate(preview.clips):
        shown = pick(len(clip.frames), _NUM_SHOWN)
        yield (
            clip,
            _picture(clip, Row("frames", clip.frames), shown, ""),
            [
                (
                    name,
                    _hides(readings[index]),
                    [_picture(clip, each, shown, name) for each in preview.layers(name, index)],
                )
                for name, readings in preview.readings.items()
            ],
        )


def _picture(clip: ShownClip, layer: Row, shown: Sequence[int], policy: str) -> Picture:
    image = side_by_side(layer.frames[shown], SIZE)
    told = ", ".join(filter(None, [clip.name, policy, layer.label]))
    table = colour_table()
    rows = [round(place * (len(table) - 1) / (_NUM_STOPS - 1)) for place in range(_NUM_STOPS)]
    stops = ["#" + bytes(table[row].tolist()).hex() for row in rows]
    return Picture(layer.label, told, image, data_uri(image, exact=layer.scale is not None), layer.ends, stops)


def _hides(reading: ClipReading) -> str:
    best = "" if reading.best is None else f", {100 * reading.best:.1f}\u00a0% of the best-scored tenth"
    return f"hides {100 * reading.ratio:.1f}\u00a0% of the patches{best}"


def _cells(preview: ClipPreview, index: int) -> dict[str, dict[str, Tensor]]:
    """Return, for each policy, the pictures of a clip by what they are, in the size in which they are shown."""
    clip = preview.clips[index]
    return {
        name: {"frame": resize(clip.frames, SIZE)}
        | {each.label: resize(each.frames, SIZE) for each in preview.layers(name, index)}
        for name in preview.readings
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
