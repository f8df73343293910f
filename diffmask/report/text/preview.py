"""What several maskers would mask in a corpus: probabilities, one drawn mask, and figures; on a page, in a terminal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import torch
from markupsafe import Markup
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diffmask.assemble.modality import Words, modality_named
from diffmask.core.errors import InputError
from diffmask.report.figures.figures import DARK, DARK_INK, NUM_LEVELS, level
from diffmask.report.html.page import macros, page, write_page
from diffmask.report.preview import TITLE, printable
from diffmask.report.text.cut import Cut, Excerpt, Span, choose_excerpts, sample_documents
from diffmask.report.text.look import (
    BANDS,
    DOMAIN,
    FUNCTION,
    NUM_FUNCTION_WORDS,
    TRAITS,
    TextLook,
    Traits,
)
from diffmask.text.anchors.anchor_set import AnchorSet
from diffmask.text.corpus.documents import Document

NUM_DRAWS = 1000
"""Masks that a probability is the mean of: its standard error is at most 0.016."""
_NUM_DRAWS_FIGURES = 40
"""Masks of each row of the sample: with tens of thousands of positions, figures are exact to a tenth of a percent."""
_MIN_SEEN = 15
"""A word is listed as masked most or least if it occurs this often in the sample (so in 600 masks) ..."""
_FAR_FROM_RATIO = 2.0
"""... and its probability is this many times the ratio, or the ratio this many times its probability."""
_NUM_LISTED = 12
_NUM_NAMED = 4
"""Without colour the most probable words of an excerpt are named with their probabilities ..."""
_STANDS_OUT = 1.5
"""... if they are this many times the mean."""
_GAP, _LEAST_WIDTH = 2, 7
"""Between the columns of the table of numbers, and of a column."""

_Listing = list[tuple[str, float]]


@dataclass(frozen=True)
class PreviewSettings:
    """What a preview looks at.

    Attributes:
        num_sentences: How many excerpts are shown.
        num_documents: Documents of the sample that figures are taken from.
        max_length: Most tokens of a row in training.
        domain_threshold: A word is the domain's own if its TF-ICF is at least this.
    """

    num_sentences: int = 8
    num_documents: int = 1000
    max_length: int = 128
    domain_threshold: float = 10.0


class _Reading(NamedTuple):
    """An excerpt as a masker sees it: the probability to be masked, and one drawn mask, of each of its spans."""

    probabilities: list[float]
    masked: list[bool]


class Figures(NamedTuple):
    """What a masker does to the sample.

    ratio: share of the eligible positions that are masked. shares: of the masked positions, by trait. most, least: the
    words (not numbers, not punctuation) masked with the highest and with the lowest probability.
    """

    ratio: float
    shares: dict[str, float]
    most: _Listing
    least: _Listing

    @classmethod
    def measure(cls, look: TextLook, rows: Cut, traits: Tensor) -> tuple[Self, Tensor]:
        """Return what a policy does to the rows of a sample, and the positions of each of their smallest units."""
        drawn = look.draw(rows.batch, _NUM_DRAWS_FIGURES)
        masked = drawn.probabilities * drawn.lengths
        ratio = float(masked.sum() / drawn.lengths.sum())
        most, least = _extremes(drawn.probabilities, rows, ratio)
        return cls(ratio, Traits.shares(masked, rows.surface_rows, traits), most, least), drawn.lengths


@dataclass(frozen=True)
class TextPreview:
    """Everything that a preview of text shows.

    Attributes:
        excerpts: Texts, with where they come from.
        spans: For each policy and excerpt the words, or tokens, that are shown.
        readings: For each policy and excerpt, what is masked.
        figures: For each policy, what it does to the sample.
        text_shares: Share of all positions of the sample, by trait: what random masking gives.
        num_positions: Eligible positions of the sample.
        num_documents: Documents of the sample.
        anchors: The domain's words with their TF-ICF; None where they are not known.
        threshold: Least TF-ICF of the domain's own words.
    """

    excerpts: list[Excerpt]
    spans: dict[str, list[list[Span]]]
    readings: dict[str, list[_Reading]]
    figures: dict[str, Figures]
    text_shares: dict[str, float]
    num_positions: int
    num_documents: int
    anchors: Sequence[tuple[str, float]] | None
    threshold: float
    num_function_words: ClassVar[int] = NUM_FUNCTION_WORDS
    first_band: ClassVar[str] = next(iter(BANDS))

    @classmethod
    def of(
        cls,
        documents: Iterable[Document],
        looks: Mapping[str, TextLook],
        anchors: AnchorSet | None,
        tokenizer: PreTrainedTokenizerBase,
        settings: PreviewSettings,
        *,
        excerpts: list[Excerpt] | None = None,
    ) -> Self:
        """Look at what policies do to a corpus.

        Args:
            documents: The corpus; a sample of it is used.
            looks: What is compared, by name.
            anchors: The domain's types, if they are known.
            tokenizer: Tokenizer of the model.
            settings: How much to look at.
            excerpts: What is shown; None chooses some of the sample.

        Raises:
            InputError: If the corpus holds nothing that can be masked.
        """
        sample = sample_documents(documents, settings.num_documents)
        traits = Traits(anchors, settings.domain_threshold)
        excerpts = choose_excerpts(sample, traits, settings.num_sentences) if excerpts is None else excerpts
        texts, types = [document.text for document in sample], [] if anchors is None else anchors.types
        spans, readings, figures, shares_of_text, num_positions = {}, {}, {}, {}, 0
        for name, look in looks.items():
            shown = Cut.of_texts([(each.text, each.document) for each in excerpts], tokenizer, look, types)
            rows = Cut.of_documents(texts, tokenizer, look, types, settings.max_length)
            if not (rows.surface_rows >= 0).any():
                raise InputError(
                    "the corpus holds no token that can be masked; give other text or a tokenizer of its language"
                )
            table = traits.of(rows.surfaces)
            spans[name], readings[name] = shown.spans, read(look, shown)
            figures[name], lengths = Figures.measure(look, rows, table)
            shares_of_text, num_positions = Traits.shares(lengths, rows.surface_rows, table), int(lengths.sum())
        return cls(
            excerpts,
            spans,
            readings,
            figures,
            shares_of_text,
            num_positions,
            len(sample),
            None if anchors is None else [(name, times) for name, times, *_ in anchors.rows()],
            settings.domain_threshold,
        )

    @property
    def words(self) -> Words:
        """What the page calls things."""
        return modality_named("text").words

    @property
    def traits(self) -> list[str]:
        """The traits that the text can show: without anchors no word is of the domain."""
        return [trait for trait in TRAITS if trait != DOMAIN or self.text_shares[DOMAIN]]

    @property
    def highest(self) -> float:
        """The highest probability shown, the end of the colour scale."""
        shown = [p for readings in self.readings.values() for reading in readings for p in reading.probabilities]
        return max(shown, default=1.0)

    @property
    def domain_share(self) -> float:
        """Share of the text that is of the domain."""
        return self.text_shares[DOMAIN]

    @property
    def most_telling(self) -> tuple[str, Figures]:
        """The policy under which most words stand out."""
        return max(self.figures.items(), key=lambda each: len(each[1].most) + len(each[1].least))

    def pieces(self, name: str, index: int) -> Iterator[tuple[str, float | None, bool]]:
        """Yield an excerpt in pieces: text, the probability that a policy hides it (None: never), whether it is."""
        text, done, reading = self.excerpts[index].text, 0, self.readings[name][index]
        for span, probability, masked in zip(
            self.spans[name][index], reading.probabilities, reading.masked, strict=True
        ):
            yield text[done : span.start], None, False
            yield text[span.start : span.stop], probability, masked
            done = span.stop
        yield text[done:], None, False

    def sections(self, title: str = "Heat maps", notes: Sequence[str] = ()) -> Markup:
        """Return sections of a page; the title and the notes go to the heat maps."""
        return macros("text.html").sections(self, title, notes)

    def run_part(self, note: str) -> Markup:
        """Return what the page of a run says of its masks; the note says which text is shown."""
        return macros("text.html").run_part(self, note)

    def page(self, made_from: Sequence[tuple[str, str]], notes: Sequence[str] = ()) -> str:
        """Return the page that `write` writes."""
        lead = "Masks of several policies on the same text, before a single step of training."
        return page(TITLE, [self.sections(notes=notes)], lead, made_from)

    def write(self, path: Path, made_from: Sequence[tuple[str, str]], notes: Sequence[str] = ()) -> None:
        """Write a page; see `report.preview.Preview`."""
        write_page(self.page(made_from, notes), path)

    def print(self, console: Console, num_samples: int | None = None) -> None:
        """Print heat maps, in colour where the console has colours, and the numbers.

        Args:
            console: Where to.
            num_samples: How many excerpts; None prints all.
        """
        coloured = is_coloured(console)
        console.print(self.legend(coloured))
        for index in range(len(self.excerpts[:num_samples])):
            console.print()
            console.print(_excerpt(self, index, coloured))
        self.print_numbers(console)

    def legend(self, coloured: bool) -> Text:
        """Return what the marks of words in a terminal mean."""
        return _legend(self.highest) if coloured else Text("[word] is hidden in one drawn mask")

    def marked(self, name: str, index: int, coloured: bool) -> Text:
        """Return an excerpt for a terminal: in colours, or else with its most probable words named below it."""
        text = _text(self, name, index, coloured)
        return text if coloured else text.append(f"\n({_most_probable(self, name, index)})")

    def print_numbers(self, console: Console) -> None:
        """Print what each policy hides of the sample."""
        for table in _number_tables(self, console.width):
            console.print()
            console.print(table)


def is_coloured(console: Console) -> bool:
    """Tell whether a console shows colours."""
    return console.color_system is not None and not console.no_color


def read(look: TextLook, cut: Cut) -> list[_Reading]:
    """Return the probabilities and the first mask of each text."""
    drawn = look.draw(cut.batch, NUM_DRAWS)
    return [
        _Reading([row[span.unit] for span in spans], [hidden[span.unit] for span in spans])
        for row, hidden, spans in zip(drawn.probabilities.tolist(), drawn.first.tolist(), cut.spans, strict=True)
    ]


def _extremes(probabilities: Tensor, rows: Cut, ratio: float) -> tuple[_Listing, _Listing]:
    """Return the words with the highest and the lowest mean probability, if they stand out."""
    held = rows.surface_rows >= 0
    index = rows.surface_rows[held]
    counts = torch.zeros(len(rows.surfaces), dtype=torch.float64).index_add_(0, index, torch.ones_like(index).double())
    means = torch.zeros_like(counts).index_add_(0, index, probabilities[held]) / counts.clamp_min(1)
    often = [row for row, count in enumerate(counts.tolist()) if count >= _MIN_SEEN and _is_word(rows.surfaces[row])]
    # the alphabet decides between equals, so that the same corpus gives the same page
    ranked = sorted((-float(means[row]), rows.surfaces[row]) for row in often)
    most = [(word, -negative) for negative, word in ranked if -negative >= _FAR_FROM_RATIO * ratio]
    least = [(word, -negative) for negative, word in reversed(ranked) if -negative <= ratio / _FAR_FROM_RATIO]
    return most[:_NUM_LISTED], least[:_NUM_LISTED]


def _is_word(surface: str) -> bool:
    return any(char.isalpha() for char in surface)


def _legend(highest: float) -> Text:
    legend = Text("never ")
    for step in range(1, NUM_LEVELS):
        legend.append("  ", _style(step))
    legend.append(f" hidden with probability {highest:.2f};  ")
    legend.append("word", "bold underline")
    legend.append(" hidden in one drawn mask")
    return legend


def _excerpt(preview: TextPreview, index: int, coloured: bool) -> Table:
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(ratio=1)
    for name in preview.readings:
        grid.add_row(Text(name), preview.marked(name, index, coloured))
    return grid


def _text(preview: TextPreview, name: str, index: int, coloured: bool) -> Text:
    shown = Text()
    for text, probability, masked in preview.pieces(name, index):
        word = printable(text)
        if probability is None:
            shown.append(word)
        elif coloured:
            style = _style(level(probability, preview.highest))
            shown.append(word, f"{style} bold underline" if masked else style)
        else:
            shown.append(f"[{word}]" if masked else word)
    return shown


def _most_probable(preview: TextPreview, name: str, index: int) -> str:
    """Return the words that stand out; without a preference, none does."""
    words: dict[str, float] = {}
    for text, probability, _ in preview.pieces(name, index):
        if probability is not None:
            words.setdefault(printable(text), probability)
    probabilities = preview.readings[name][index].probabilities
    least = _STANDS_OUT * sum(probabilities) / max(len(probabilities), 1)
    ranked = sorted(((p, word) for word, p in words.items() if p >= least), key=lambda entry: -entry[0])
    named = ", ".join(f"{word} {p:.2f}" for p, word in ranked[:_NUM_NAMED])
    return f"most likely hidden: {named}" if named else "no word stands out"


def _number_tables(preview: TextPreview, width: int) -> Iterator[Table]:
    """Yield the table of what each policy hides, cut into parts that fit the terminal."""
    rows = list(_number_rows(preview))
    lead = max(len(row[0]) for row in rows) + len("in the text") + 2 * _GAP
    parts: list[list[int]] = [[]]
    room = width - lead
    for place, name in enumerate(preview.figures):
        needed = max(len(name), _LEAST_WIDTH) + _GAP
        if parts[-1] and needed > room:
            parts.append([])
            room = width - lead
        parts[-1].append(place)
        room -= needed
    names = list(preview.figures)
    for part in parts:
        table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="bold")
        table.add_column("share of the hidden tokens", no_wrap=True)
        for name in ("in the text", *(names[place] for place in part)):
            table.add_column(Text(name), justify="right", no_wrap=True)
        for label, of_text, *cells in rows:
            table.add_row(label, of_text, *(cells[place] for place in part))
        yield table


def _number_rows(preview: TextPreview) -> Iterator[list[str]]:
    yield ["mask ratio reached", "", *(f"{100 * figures.ratio:.2f} %" for figures in preview.figures.values())]
    columns = [preview.text_shares, *(figures.shares for figures in preview.figures.values())]
    for trait in preview.traits:
        indent = "" if trait in (DOMAIN, FUNCTION) else "  "
        yield [indent + trait, *(f"{100 * column[trait]:.1f} %" for column in columns)]


def _style(step: int) -> str:
    return f"{DARK_INK} on {DARK[step]}" if step else ""
