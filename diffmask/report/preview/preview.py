"""What several maskers would mask in a corpus: probabilities, one drawn mask, and figures; rendering is elsewhere."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diffmask.core.errors import InputError
from diffmask.report.preview.cut import Cut, Excerpt, Span, choose_excerpts, cut_documents, cut_texts, sample_documents
from diffmask.report.preview.look import DOMAIN, TRAITS, Look, Traits, draw, shares
from diffmask.text.anchors.anchor_set import AnchorSet
from diffmask.text.corpus.documents import Document

NUM_DRAWS = 1000
"""Masks that a probability is the mean of: its standard error is at most 0.016."""
NUM_DRAWS_FIGURES = 40
"""Masks of each row of the sample: with tens of thousands of positions, figures are exact to a tenth of a percent."""
MIN_SEEN = 15
"""A word is listed among those masked most or least if the sample holds it so often (600 masks of it then) ..."""
FAR_FROM_RATIO = 2.0
"""... and its probability is so many times the ratio, or the ratio so many times its probability."""
NUM_LISTED = 12


Listing = list[tuple[str, float]]


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
    most: Listing
    least: Listing


@dataclass(frozen=True)
class Preview:
    """Everything that a preview shows.

    Attributes:
        excerpts: Texts, with where they come from.
        spans: For each policy and excerpt the words, or tokens, that are shown.
        readings: For each policy and excerpt, what is masked.
        figures: For each policy, what it does to the sample.
        text_shares: Share of all positions of the sample, by trait: what random masking gives.
        num_positions: Eligible positions of the sample.
        num_documents: Documents of the sample.
    """

    excerpts: list[Excerpt]
    spans: dict[str, list[list[Span]]]
    readings: dict[str, list[_Reading]]
    figures: dict[str, Figures]
    text_shares: dict[str, float]
    num_positions: int
    num_documents: int

    @property
    def traits(self) -> list[str]:
        """The traits that the text can show: without anchors no word is of the domain."""
        return [trait for trait in TRAITS if trait != DOMAIN or self.text_shares[DOMAIN]]

    @property
    def highest(self) -> float:
        """The highest probability shown, the end of the colour scale."""
        shown = [p for readings in self.readings.values() for reading in readings for p in reading.probabilities]
        return max(shown, default=1.0)


def make_preview(
    documents: Iterable[Document],
    looks: Mapping[str, Look],
    anchors: AnchorSet | None,
    tokenizer: PreTrainedTokenizerBase,
    settings: PreviewSettings,
) -> Preview:
    """Look at what policies do to a corpus.

    Args:
        documents: The corpus; a sample of it is used.
        looks: What is compared, by name.
        anchors: The domain's types, if they are known.
        tokenizer: Tokenizer of the model.
        settings: How much to look at.

    Raises:
        InputError: If the corpus holds nothing that can be masked.
    """
    sample = sample_documents(documents, settings.num_documents)
    traits = Traits(anchors, settings.domain_threshold)
    excerpts = choose_excerpts(sample, traits, settings.num_sentences)
    texts, types = [document.text for document in sample], [] if anchors is None else anchors.types
    spans, readings, figures, shares_of_text, num_positions = {}, {}, {}, {}, 0
    for name, look in looks.items():
        shown = cut_texts([(each.text, each.document) for each in excerpts], tokenizer, look, types)
        rows = cut_documents(texts, tokenizer, look, types, settings.max_length)
        if not (rows.surface_rows >= 0).any():
            raise InputError(
                "the corpus holds no token that can be masked; give other text or a tokenizer of its language"
            )
        table = traits.of(rows.surfaces)
        spans[name], readings[name] = shown.spans, read(look, shown)
        figures[name], lengths = measure(look, rows, table)
        shares_of_text, num_positions = shares(lengths, rows.surface_rows, table), int(lengths.sum())
    return Preview(excerpts, spans, readings, figures, shares_of_text, num_positions, len(sample))


def read(look: Look, cut: Cut) -> list[_Reading]:
    """Return the probabilities and the first mask of each text."""
    drawn = draw(look, cut.batch, NUM_DRAWS)
    return [
        _Reading([row[span.unit] for span in spans], [hidden[span.unit] for span in spans])
        for row, hidden, spans in zip(drawn.probabilities.tolist(), drawn.first.tolist(), cut.spans, strict=True)
    ]


def measure(look: Look, rows: Cut, traits: Tensor) -> tuple[Figures, Tensor]:
    """Return what a policy does to the rows of a sample, and the positions of each of their smallest units."""
    drawn = draw(look, rows.batch, NUM_DRAWS_FIGURES)
    masked = drawn.probabilities * drawn.lengths
    ratio = float(masked.sum() / drawn.lengths.sum())
    most, least = _extremes(drawn.probabilities, rows, ratio)
    return Figures(ratio, shares(masked, rows.surface_rows, traits), most, least), drawn.lengths


def _extremes(probabilities: Tensor, rows: Cut, ratio: float) -> tuple[Listing, Listing]:
    """Return the words with the highest and the lowest mean probability, as far as they stand out."""
    held = rows.surface_rows >= 0
    index = rows.surface_rows[held]
    counts = torch.zeros(len(rows.surfaces), dtype=torch.float64).index_add_(0, index, torch.ones_like(index).double())
    means = torch.zeros_like(counts).index_add_(0, index, probabilities[held]) / counts.clamp_min(1)
    often = [row for row, count in enumerate(counts.tolist()) if count >= MIN_SEEN and _is_word(rows.surfaces[row])]
    # the alphabet decides between equals, so that the same corpus gives the same page
    ranked = sorted((-float(means[row]), rows.surfaces[row]) for row in often)
    most = [(word, -negative) for negative, word in ranked if -negative >= FAR_FROM_RATIO * ratio]
    least = [(word, -negative) for negative, word in reversed(ranked) if -negative <= ratio / FAR_FROM_RATIO]
    return most[:NUM_LISTED], least[:NUM_LISTED]


def _is_word(surface: str) -> bool:
    return any(char.isalpha() for char in surface)
