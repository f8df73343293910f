"""Grouping by arrays equals grouping one token after the other."""

import random
import unicodedata

import numpy as np
import pytest
from support.families import FAMILIES, SAMPLES, tokenizer_of

from diffmask.text.corpus.words import PUNCT, SPACE, char_classes, unit_starts
from diffmask.text.segment.segmenter import segmenter_for


def reference(tokenizer, text):
    """Group tokens one by one, in sets of characters: slow, and nothing to get wrong."""
    encoding = segmenter_for(tokenizer).backend.encode(text, add_special_tokens=False)
    classes = char_classes(text)
    owner, word = [], -1
    for place, opens in enumerate(unit_starts(classes).tolist()):
        if opens and not continues(text, classes, place):
            word += 1
        owner.append(-1 if classes[place] == SPACE else word)
    touched = [{owner[place] for place in range(*offsets)} - {-1} for offsets in encoding.offsets]
    first = [min(words, default=None) for words in touched]
    groups, seen, group, pending = [], set(), -1, []
    for index, words in enumerate(touched):
        if not words or set(encoding.tokens[index]) == {"▁"}:
            pending.append(index)  # white space waits for what follows
            continue
        if first[index] not in seen:
            group += 1
        seen |= words
        groups += [group] * (len(pending) + 1)
        pending = []
    groups += [group] * len(pending)
    special = {*tokenizer.all_special_ids} | {i for i, t in tokenizer.added_tokens_decoder.items() if t.special}
    ordinary = [token not in special for token in encoding.ids]
    holds = [bool(words) and set(token) != {"▁"} for words, token in zip(touched, encoding.tokens, strict=True)]
    kept = sorted({g for g, o, h in zip(groups, ordinary, holds, strict=True) if o and h})
    return [kept.index(g) if o and g in kept else -1 for g, o in zip(groups, ordinary, strict=True)]


def continues(text, classes, place):
    if place == 0 or classes[place] != PUNCT or classes[place - 1] == SPACE:
        return False
    char, before = text[place], text[place - 1]
    if is_flag_letter(char):
        run = len(text[: place + 1]) - len(text[: place + 1].rstrip("".join(map(chr, range(0x1F1E6, 0x1F200)))))
        return run % 2 == 0 or before == "\u200d"
    skin = 0x1F3FB <= ord(char) <= 0x1F3FF
    return (
        unicodedata.category(char)[0] == "M" or char == "\u200d" or skin or (before == "\u200d" and ord(char) > 0x2FF)
    )


def is_flag_letter(char):
    return 0x1F1E6 <= ord(char) <= 0x1F1FF


LETTERS = [
    "kinase",
    "BRCA1",
    "p53",
    "é",
    "e\u0301",
    "İ",
    "Σ",
    "细",
    "胞",
    "抑",
    "ภา",
    "ひ",
    "한국",
    "हिन्दी",
    "نعم",
    "ﬁ",
    "½",
]
OTHERS = [
    "-",
    "...",
    "n't",
    "'s",
    "``",
    "''",
    "،",
    "™",
    "\u0301",
    "\u200d",
    "\ufeff",
    "\x07",
    "\u00ad",
    "[SEP]",
    "</s>",
]
EMOJI = ["👍🏽", "😀", "👨‍👩‍👧", "🇩🇪", "🇩", "❤️", "[MASK]", "<mask>"]
SPACES = [" "] * 5 + ["  ", "\n", "\t", "\u200b"]


def random_texts(num_texts, seed):
    chance = random.Random(seed)
    parts = LETTERS + OTHERS + EMOJI + SPACES
    return ["".join(chance.choices(parts, k=chance.randint(0, 25))) for _ in range(num_texts)]


@pytest.mark.parametrize("family", FAMILIES)
def test_grouping_equals_the_slow_reference(family):
    tokenizer = tokenizer_of(family)
    texts = [*SAMPLES, *random_texts(150, seed=len(family))]
    segments = segmenter_for(tokenizer)(texts)
    num_before = 0
    for row, text in enumerate(texts):
        units = segments.units[segments.token_rows == row]
        expected = reference(tokenizer, text)
        local = np.where(units < 0, -1, units - num_before)
        assert local.tolist() == expected, text
        num_before += max(expected, default=-1) + 1
    assert num_before == len(segments.words) == len(segments.surfaces)
