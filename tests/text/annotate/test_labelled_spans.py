"""Spans of characters become values of units, held to a slow loop."""

import random

import pytest
from support.families import FAMILIES, tokenizer_of

from diffmask.text.annotate.span_file import LabelledSpans
from diffmask.text.segment.segmenter import segmenter_for

TEXTS = [
    "The BRCA1-mutated cells don't grow (in vitro): 细胞 👍🏽",
    "",
    "naïve ﬁnal  New York, 细胞激酶",
    "  x ",
]


def slow_longest_first(spans):
    kept = []
    for start, stop, label in sorted(set(spans), key=lambda span: (span[0] - span[1], *span)):
        if all(stop <= first or last <= start for first, last, _ in kept):
            kept.append((start, stop, label))
    return sorted(kept)


def rows(spans):
    return list(zip(*(column.tolist() for column in spans), strict=True))


def random_spans(generator, num_chars, count):
    spans = []
    for _ in range(count):
        start = generator.randrange(num_chars)
        spans.append((start, min(start + generator.randint(1, 12), num_chars), generator.randrange(3)))
    return spans


@pytest.mark.parametrize("seed", range(60))
def test_the_longest_of_overlapping_spans_is_kept(seed):
    generator = random.Random(seed)
    spans = random_spans(generator, 60, generator.randrange(25))
    assert rows(LabelledSpans.longest(spans)) == slow_longest_first(spans)


def slow_values(segments, spans):
    """Return class, label of the span and whether a unit opens a group, unit by unit."""
    classes, opens = [], []
    before = None
    for word in segments.words.tolist():
        place = int(segments.surface_spans[word, 0])
        covering = [number for number, (start, stop, _) in enumerate(spans) if start <= place < stop]
        assert len(covering) <= 1
        row = max(row for row, start in enumerate(segments.text_starts.tolist()) if start <= place)
        group = (covering[0], row) if covering else None
        classes.append(spans[covering[0]][2] if covering else -1)
        opens.append(int(group is None or group != before))
        before = group
    return classes, opens


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("units", ["word", "token"])
def test_units_have_the_span_of_the_first_character_of_their_word(family, units):
    segments = segmenter_for(tokenizer_of(family), units)(TEXTS)
    generator = random.Random(0)
    for _ in range(8):
        spans = LabelledSpans.longest(random_spans(generator, len(segments.text), 12))
        classes, opens = slow_values(segments, rows(spans))
        found = spans.salient_units(segments)
        assert found["salient"].tolist() == spans.classes(segments)["classes"].tolist() == classes
        assert found["starts"].tolist() == opens
        assert {column.dtype.name for column in found.values()} == {"int32"}


def test_punctuation_belongs_to_a_span_and_a_span_never_crosses_texts():
    segments = segmenter_for(tokenizer_of("BERT"))(["a beta-cell dies", "cell"])
    assert segments.surfaces == ["a", "beta", "-", "cell", "dies", "cell"]
    found = LabelledSpans.longest([(2, 11, 7), (12, 21, 8)]).salient_units(segments)
    assert found["salient"].tolist() == [-1, 7, 7, 7, 8, 8]
    assert found["starts"].tolist() == [1, 1, 0, 0, 1, 1]


def test_no_spans_and_no_texts():
    segmenter = segmenter_for(tokenizer_of("BERT"))
    nothing = LabelledSpans.longest([])
    assert isinstance(nothing, LabelledSpans)
    found = nothing.salient_units(segmenter(["cells grow"]))
    assert found["salient"].tolist() == [-1, -1]
    assert found["starts"].tolist() == [1, 1]
    empty = nothing.salient_units(segmenter([]))
    assert {name: len(column) for name, column in empty.items()} == {"salient": 0, "starts": 0}


def test_texts_are_given_back():
    segmenter = segmenter_for(tokenizer_of("BERT"))
    for texts in (TEXTS, [], ["a\nb", "", ""], [""]):
        assert segmenter(texts).texts == texts
