"""What several maskers hide of clips and their texts: words and patches side by side; on a page, in a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor

from diffmask.assemble.modality import Words, modality_named
from diffmask.report.clips.look import ClipReading
from diffmask.report.clips.preview import ClipPreview, Picture, pictures_of
from diffmask.report.figures.figures import DARK, DARK_INK, level
from diffmask.report.html.page import macros, page, write_page
from diffmask.report.preview import TITLE, printable
from diffmask.report.text.preview import TextPreview, is_coloured

Pieces = list[tuple[str, float | None, bool]]
"""A text in pieces: characters, the probability that they are hidden (None: never), whether one mask hides them."""
_ROW_WIDTH = 2
"""Characters of a patch in a terminal, where they are twice as high as wide."""


@dataclass(frozen=True)
class ShownPair:
    """A clip and its text.

    Attributes:
        name: Of the clip's file.
        text: The text.
        seconds: The part of the clip that the text is about; "" for all of it.
    """

    name: str
    text: str
    seconds: str = ""

    @property
    def title(self) -> str:
        """The clip, and which part of it."""
        return f"{self.name}, {self.seconds}" if self.seconds else self.name


@dataclass(frozen=True)
class PairPreview:
    """Everything that a preview of clips and their texts shows.

    Attributes:
        pairs: What is shown.
        names: Names of the policies.
        text: What is hidden of the words, with an excerpt for each pair; None if they are not masked.
        video: What is hidden of the patches, with a clip for each pair; without policies if they are not masked.
        failed: Clips that could not be read, each with the reason.
    """

    pairs: list[ShownPair]
    names: list[str]
    text: TextPreview | None
    video: ClipPreview
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def words(self) -> Words:
        """What the page calls things."""
        return modality_named("video-text").words

    @property
    def domain_share(self) -> float | None:
        """Share of the texts that is of the domain."""
        return None if self.text is None else self.text.domain_share

    def pieces(self, name: str, index: int) -> Pieces:
        """Return the text of a pair as a policy looks at it."""
        if self.text is None:
            return [(self.pairs[index].text, None, False)]
        return list(self.text.pieces(name, index))

    def cards(self) -> Iterator[tuple[ShownPair, Picture, list[tuple[str, str, Pieces, list[Picture]]]]]:
        """Yield each pair, frames of its clip, and of each policy its name, what it hides, the text, and pictures."""
        for index, (_, frames, policies) in enumerate(pictures_of(self.video)):
            of_patches = {name: (hides, pictures) for name, hides, pictures in policies}
            rows = [(name, *of_patches.get(name, ("", []))) for name in self.names]
            shown = [(name, hides, self.pieces(name, index), pictures) for name, hides, pictures in rows]
            yield self.pairs[index], frames, shown

    def sections(self, title: str = "Clips and texts", notes: Sequence[str] = ()) -> Markup:
        """Return sections of a page; the title and the notes go to the one that shows the pairs."""
        return macros("pairs.html").sections(self, title, notes)

    def run_part(self, note: str) -> Markup:
        """Return what the page of a run says of its masks; the note says which pairs are shown."""
        return macros("pairs.html").run_part(self, note)

    def page(self, made_from: Sequence[tuple[str, str]], notes: Sequence[str] = ()) -> str:
        """Return the page that `write` writes."""
        lead = "Masks of several policies on the same clips and their texts."
        return page(TITLE, [self.sections(notes=notes)], lead, made_from)

    def write(self, path: Path, made_from: Sequence[tuple[str, str]], notes: Sequence[str] = ()) -> None:
        """Write a page; see `report.preview.Preview`."""
        write_page(self.page(made_from, notes), path)

    def print(self, console: Console, num_samples: int | None = None) -> None:
        """Print the pairs, words beside the patches of one moment, and the numbers of both sides.

        Args:
            console: Where to.
            num_samples: How many pairs; None prints all.
        """
        coloured = is_coloured(console)
        if self.text is not None:
            console.print(self.text.legend(coloured))
        if self.video.readings:
            console.print(Text(_legend(self.video.num_draws, coloured)))
        for index, pair in enumerate(self.pairs[:num_samples]):
            console.print()
            console.print(Text(printable(pair.title), "bold"))
            console.print(self._grid(index, coloured))
        if self.text is not None:
            self.text.print_numbers(console)
        if self.video.readings:
            console.print()
            self.video.print(console, num_samples)

    def _grid(self, index: int, coloured: bool) -> Table:
        """Return a pair: for each policy its words, and beside them its patches."""
        grid = Table.grid(padding=(0, 2, 1, 0), expand=True)
        grid.add_column(overflow="fold", max_width=24)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True)
        for name in self.names:
            words = Text(printable(self.pairs[index].text))
            if self.text is not None:
                words = self.text.marked(name, index, coloured)
            readings: Any = self.video.readings.get(name)
            patches = Text() if readings is None else _patches(readings[index], coloured)
            grid.add_row(Text(printable(name)), words, patches)
        return grid


def _legend(num_draws: int, coloured: bool) -> str:
    """Return what the marks of patches in a terminal mean."""
    if coloured:
        return f"patches of the middle of the clip: the colour is how often {num_draws} masks hide them, ## one of them"
    return "patches of the middle of the clip: ## is hidden in one drawn mask, .. is not"


def _patches(reading: ClipReading, coloured: bool) -> Text:
    """Return the patches of the middle of a clip, a line for each row of them."""
    middle = len(reading.masked) // 2
    often, masked = reading.often[middle], reading.masked[middle]
    shown = Text()
    for row in range(len(masked)):
        if row:
            shown.append("\n")
        for share, hidden in _cells(often[row], masked[row]):
            mark = ("#" if hidden else " " if coloured else ".") * _ROW_WIDTH
            step = level(share, 1.0) if coloured else 0
            shown.append(mark, f"{DARK_INK} on {DARK[step]}" if step else "")
    return shown


def _cells(often: Tensor, masked: Tensor) -> list[tuple[float, bool]]:
    return list(zip(often.tolist(), masked.tolist(), strict=True))
