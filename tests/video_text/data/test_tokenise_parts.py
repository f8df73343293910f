"""What is too long loses what stands around its part first, and special tokens never."""

import pytest
from support.families import tokenizer_of
from support.tiny import tiny_tokenizer

from diffmask.video_text.data.tokenise_parts import tokenise_parts

BEFORE, PART, BEHIND = "we found", "the kinase binds", "a rat was in the blood"


def slowly(before, part, behind, most):
    """Return what is left of three lists of tokens between two special ones, leaving out one after the other."""
    before, part, behind = list(before), list(part), list(behind)
    while 2 + len(before) + len(part) + len(behind) > most:
        next(each for each in (behind, before, part) if each).pop()
    return before, part, behind


@pytest.mark.parametrize("most", [3, 4, 6, 7, 8, 12, 13, 64])
def test_the_part_is_kept_before_anything_else(most):
    tokenizer = tiny_tokenizer()
    text = f"{BEFORE} {PART} {BEHIND}"
    first = len(BEFORE) + 1
    read = tokenise_parts([text], [(first, first + len(PART))], tokenizer, most)
    words = [tokenizer(each, add_special_tokens=False)["input_ids"] for each in (BEFORE, PART, BEHIND)]
    before, part, behind = slowly(*words, most)
    whole = tokenizer(text)["input_ids"]
    assert read.ids == [[whole[0], *before, *part, *behind, whole[-1]]]
    assert read.inside == [[False] * (1 + len(before)) + [True] * len(part) + [False] * (len(behind) + 1)]
    assert read.num_cut == [len(whole) - len(read.ids[0])]


@pytest.mark.parametrize("family", ["BERT", "RoBERTa", "ModernBERT", "XLM-R", "DeBERTa-v2"])
def test_answers_stay_apart_whatever_the_tokenizer(family):
    tokenizer = tokenizer_of(family)
    question, answers = "why was the rat in the blood " * 20, ["a cell", "a rat"]
    texts = [f"{question} {answer}" for answer in answers]
    parts = [(len(question) + 1, len(text)) for text in texts]
    read = tokenise_parts(texts, parts, tokenizer, 16)
    assert [len(each) for each in read.ids] == [16, 16]
    assert read.ids[0] != read.ids[1]
    for tokens, inside, answer in zip(read.ids, read.inside, answers, strict=True):
        places = [place for place, is_part in enumerate(inside) if is_part]
        assert tokenizer.decode(tokens[places[0] : places[-1] + 1]).strip() == answer
