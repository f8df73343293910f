"""Tokens fall into the same words for every family of tokenizers."""

import random

import numpy as np
import pytest
from support.families import FAMILIES, SAMPLES, broken_tokenizer, tokenizer_of, units_of
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from diffmask.core.errors import InputError
from diffmask.text.corpus.words import split_words
from diffmask.text.segment import segmenter as segment
from diffmask.text.segment.segmenter import segmenter_for


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("text", SAMPLES)
def test_units_are_the_expected_words(family, text):
    units, outside = units_of(family, text)
    words = [surface for _, surface in units if any(char.isalnum() for char in surface)]
    assert words == SAMPLES[text].split() == split_words(text)
    assert all(tokens for tokens, _ in units)
    if family in ("GPT-NeoX", "ModernBERT") or "RoBERTa" in family:
        assert not outside  # bytes know everything


@pytest.mark.parametrize("family", FAMILIES)
def test_a_symbol_is_one_unit_however_many_code_points_and_tokens_it_has(family):
    text = next(text for text in SAMPLES if "😀" in text)
    heart = "❤" if family in ("BERT", "ALBERT") else "❤️"  # these drop marks
    surfaces = [surface for _, surface in units_of(family, text)[0]]
    assert surfaces == ["great", "😀", "👍🏽", "well", heart, "👨‍👩‍👧", "🇩🇪", "🇩🇪", "end"]


@pytest.mark.parametrize("family", FAMILIES)
def test_token_units_are_the_tokens_of_words_with_their_types(family):
    texts = [*SAMPLES, "two [SEP] </s> \u0e5a"]
    words = segmenter_for(tokenizer_of(family))(texts)
    tokens = segmenter_for(tokenizer_of(family), "token")(texts)
    inside = words.units >= 0
    assert (tokens.units[inside] == np.arange(inside.sum())).all()
    assert (tokens.units[~inside] == -1).all()
    surfaces = words.surfaces
    assert tokens.surfaces == [surfaces[unit] for unit in words.units[inside].tolist()]


def test_special_tokens_in_the_text_are_in_no_unit():
    units, outside = units_of("BERT", "cells [SEP] grow [MASK]")
    assert [surface for _, surface in units] == ["cells", "grow"]
    assert outside == ["[SEP]", "[MASK]"]


def test_unknown_tokens_are_in_no_unit_but_their_word_keeps_its_type():
    units, outside = units_of("XLM-R", "cell\u0e5as grow \u0e5a")
    assert outside.count("<unk>") == 2
    assert [surface for _, surface in units] == ["cell", "s", "grow"]


def test_bytes_that_reach_into_two_characters_bind_them():
    """A byte-level token may end in the middle of a character; the unit is then both characters."""
    backend = Tokenizer(models.BPE(vocab={}, merges=[]))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    first, second = (pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(char)[0][0] for char in "细胞")
    merged = first[-1] + second[0]
    vocab = {token: index for index, token in enumerate([*alphabet, merged])}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=[(first[-1], second[0])]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    segments = segmenter_for(PreTrainedTokenizerFast(tokenizer_object=backend))(["抑细胞 x"])
    assert segments.surfaces == ["抑", "细胞", "x"]
    assert segments.types({"胞": 4, "x": 2}).tolist() == [-1, 4, 2]


def test_types_are_rows_of_the_table():
    segments = segmenter_for(tokenizer_of("BERT"))(["Kinase, KINASE unheard", "cells"])
    assert segments.types({"cells": 0, "kinase": 1}).tolist() == [1, -1, 1, -1, 0]
    assert segments.types({}).tolist() == [-1] * 5


def test_lower_case_is_taken_word_by_word():
    """Lower case of one text may be longer than the text, and a sigma is final in its word."""
    segments = segmenter_for(tokenizer_of("ModernBERT"))(["İstanbul ΟΔΟΣ'x ok"])
    assert segments.surfaces == [*split_words("İstanbul ΟΔΟΣ"), "'", "x", "ok"]


@pytest.mark.parametrize("family", FAMILIES)
def test_long_texts_are_the_same_in_pieces(family, monkeypatch):
    text = " ".join(f"{word} kinase,  BRCA1-mutated \n(细胞)." for word in SAMPLES[next(iter(SAMPLES))].split() * 9)
    whole = segmenter_for(tokenizer_of(family))([text, "x", text])
    monkeypatch.setattr(segment, "_PIECE_CHARS", 100)
    pieces = segmenter_for(tokenizer_of(family))([text, "x", text])
    assert pieces.input_ids.tolist() == whole.input_ids.tolist()
    assert pieces.units.tolist() == whole.units.tolist()
    assert pieces.surfaces == whole.surfaces
    shown = [[found.text[a:b].strip() for a, b in found.token_spans.tolist()] for found in (pieces, whole)]
    assert shown[0] == shown[1]


def test_a_text_without_spaces_is_one_unit_over_its_pieces(monkeypatch):
    monkeypatch.setattr(segment, "_PIECE_CHARS", 64)
    monkeypatch.setattr(segment, "_UNBROKEN_CHARS", 90)
    segments = segmenter_for(tokenizer_of("RoBERTa"))(["ACGT" * 100])
    assert segments.surfaces == ["acgt" * 100]
    assert (segments.units == 0).all()


def test_no_text_and_blank_texts_have_no_units():
    segmenter = segmenter_for(tokenizer_of("ModernBERT"))
    assert len(segmenter([]).units) == 0
    segments = segmenter(["", "  \n ", "x", " "])
    assert segments.surfaces == ["x"]
    assert segments.num_tokens.tolist() == [0, len(segments.units) - 2, 1, 1]
    assert not segments.collapsed().any()


def test_collapsed_texts_are_told():
    segmenter = segmenter_for(tokenizer_of("BERT"))
    dna = "".join(random.Random(0).choices("ACGT", k=90))
    assert segmenter(["The cells grow.", dna, f"{dna} in the cells"]).collapsed().tolist() == [False, True, True]
    broken = segmenter_for(broken_tokenizer())
    assert broken(["the cells of the protein grow and grow", "cells"]).collapsed().tolist() == [True, False]


def test_the_tokenizer_is_left_as_it_was():
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer_of("RoBERTa").backend_tokenizer, pad_token="<pad>")
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding()
    assert len(segmenter_for(tokenizer)(["the cells of the kinase", "x"]).units) > 5
    assert tokenizer.backend_tokenizer.truncation["max_length"] == 4
    assert tokenizer.backend_tokenizer.padding is not None


def test_a_slow_tokenizer_is_refused():
    with pytest.raises(InputError) as error:
        segmenter_for(ByT5Tokenizer())
    assert str(error.value) == (
        "the tokenizer 'ByT5Tokenizer' is a slow one, which does not say where its tokens are in the text; "
        "use a model that has a tokenizer.json"
    )


def test_unknown_units_are_refused():
    with pytest.raises(InputError, match=r"unknown units 'span'; choose from: word, token"):
        segmenter_for(tokenizer_of("BERT"), "span")
