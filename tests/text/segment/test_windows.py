"""Windows hold every token, fit, and end between units where they can."""

import numpy as np
import pytest
from support.families import FAMILIES, tokenizer_of

from diffmask.text.segment.rows import _cut_windows
from diffmask.text.segment.segmenter import segmenter_for


def random_documents(seed, num_documents=30, longest_unit=6):
    """Return unit of each token, and tokens of each document; one token in ten is in no unit."""
    chance = np.random.default_rng(seed)
    units, num_tokens, unit = [], [], 0
    for _ in range(num_documents):
        tokens = []
        for length in chance.integers(1, longest_unit + 1, chance.integers(0, 20)):
            tokens += [-1] if chance.random() < 0.1 else [unit] * length
            unit += 1
        units += tokens
        num_tokens.append(len(tokens))
    return np.array(units), np.array(num_tokens)


def reference(units, size, overlap):
    """Cut one document, token by token."""
    cuts = {i for i in range(len(units) + 1) if i in (0, len(units)) or units[i] != units[i - 1] or units[i] < 0}
    windows, start, done, cut_units = [], 0, 0, set()
    while not windows or done < len(units):
        longest = min(start + size, len(units))
        stop = next((i for i in range(longest, done, -1) if i in cuts), None)
        if stop is None and len(units) and start < done:
            start = done
            continue
        if stop is None and len(units):
            stop = longest
            cut_units.add(units[stop])
        done = stop or 0
        windows.append((start, done))
        start = next(i for i in range(max(done - overlap, 0), done + 1) if i in cuts or i == done)
    return windows, len(cut_units)


@pytest.mark.parametrize(("size", "overlap"), [(1, 0), (4, 0), (5, 4), (8, 3), (16, 0), (16, 8), (1000, 10)])
@pytest.mark.parametrize("longest_unit", [1, 6, 30])
def test_windows_equal_the_slow_reference(size, overlap, longest_unit):
    units, num_tokens = random_documents(size, longest_unit=longest_unit)
    windows = _cut_windows(units, num_tokens, size, overlap)
    parts = (windows.documents, windows.numbers, windows.starts, windows.stops)
    found = list(zip(*(part.tolist() for part in parts), strict=True))
    expected, num_cut, first = [], 0, 0
    for document, length in enumerate(num_tokens.tolist()):
        spans, cut = reference(units[first : first + length].tolist(), size, overlap)
        expected += [(document, number, first + a, first + b) for number, (a, b) in enumerate(spans)]
        num_cut += cut
        first += length
    assert found == expected
    assert windows.num_cut_units == num_cut


@pytest.mark.parametrize("overlap", [0, 3])
def test_every_token_stands_in_a_window_that_fits(overlap):
    units, num_tokens = random_documents(1, num_documents=50)
    windows = _cut_windows(units, num_tokens, 9, overlap)
    times = np.zeros(len(units), dtype=int)
    for start, stop in zip(windows.starts, windows.stops, strict=True):
        assert stop - start <= 9
        times[start:stop] += 1
    assert times.min() == 1
    assert times.max() == (1 if overlap == 0 else 2)


def test_a_document_that_fits_is_one_window_and_an_empty_one_too():
    windows = _cut_windows(np.array([0, 0, 1]), np.array([2, 0, 1]), 2)
    assert windows.starts.tolist() == [0, 2, 2]
    assert windows.stops.tolist() == [2, 2, 3]


@pytest.mark.parametrize("family", FAMILIES)
def test_special_tokens_are_those_of_the_model_family(family):
    tokenizer = tokenizer_of(family)
    special = segmenter_for(tokenizer).special_tokens
    text = "The protein, in the cell."
    bare = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer(text)["input_ids"] == [*special.before, *bare, *special.after]
    assert special.num_tokens == tokenizer.num_special_tokens_to_add()
