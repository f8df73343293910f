"""Types of a domain beside a reference, letter parts, and which words may be anchors."""

from collections import Counter

import pytest
import torch

from diffmask.core.errors import InputError
from diffmask.text.anchors.find import least_count
from diffmask.text.anchors.vocabulary import Vocabulary, _letter_parts, common_types
from diffmask.text.corpus.counts import Counts
from diffmask.text.corpus.reference import Reference

DOMAIN = Counter({"the": 50, "kinase": 12, "cyp2b6": 4, "cyp3a4": 6, "b": 11, "12": 20, "rat": 9, "细": 10, "p53": 12})
GENERAL = Counter({"the": 500, "rat": 3, "b": 7, "12": 90, "kinase": 1, "of": 399})


@pytest.fixture
def vocabulary():
    return Vocabulary.compare(Counts(DOMAIN, 1), Reference.of_counts(Counts(GENERAL, 1), "general"))


def test_words_come_most_frequent_first_and_parts_after_them(vocabulary):
    assert vocabulary.words == ["the", "12", "kinase", "p53", "b", "细", "rat", "cyp3a4", "cyp2b6"]
    assert vocabulary.types == [*vocabulary.words, "a", "cyp", "p"]


def test_tf_icf_is_a_loop_over_types(vocabulary):
    total = DOMAIN.total()
    counts = DOMAIN | Counter({"cyp": 10, "a": 6, "p": 12})
    slow = [counts[word] / total / (GENERAL[word] / GENERAL.total() + 1e-6) for word in vocabulary.types]
    assert vocabulary.tf_icf.tolist() == pytest.approx(slow)
    assert vocabulary.counts.tolist() == [counts[word] for word in vocabulary.types]


def test_a_letter_part_has_the_mean_score_of_its_words(vocabulary):
    scores = torch.arange(len(vocabulary.words), dtype=torch.float32)
    spread = dict(zip(vocabulary.types, vocabulary.with_parts(scores).tolist(), strict=True))
    assert spread["cyp"] == pytest.approx((6 * spread["cyp3a4"] + 4 * spread["cyp2b6"]) / 10)
    assert spread["p"] == spread["p53"]
    assert spread["b"] == 4.0  # a word of its own keeps its score


def test_a_domain_without_digits_has_no_parts():
    parts = _letter_parts(["kinase", "rat"])
    assert parts.names == []
    assert parts.count(torch.tensor([3, 4])).tolist() == []
    assert parts.mean(torch.tensor([1.0, 2.0]), torch.tensor([3, 4])).tolist() == []


def test_anchors_are_frequent_words_of_letters(vocabulary):
    """No number, no single letter, no part; a Chinese character is a word."""
    assert vocabulary.choose(20, 10) == ["p53", "细", "kinase", "the"]
    assert vocabulary.choose(2, 10) == ["p53", "细"]
    assert "cyp" not in vocabulary.choose(20, 1)


def test_an_anchor_occurs_ten_times_and_once_in_five_thousand_words():
    assert [least_count(num) for num in (7, 50_000, 50_001, 1_000_000)] == [10, 10, 11, 200]


def test_too_high_a_count_is_refused(vocabulary):
    with pytest.raises(InputError) as caught:
        vocabulary.choose(20, 51)
    assert str(caught.value) == (
        "no word occurs min_count=51 times in the data (the most frequent, 'the', 50 times); "
        "lower --min-count or give more data"
    )


def test_numbers_and_rare_words_have_no_vote(vocabulary):
    votes = dict(zip(vocabulary.words, vocabulary.voters().tolist(), strict=True))
    assert [word for word, vote in votes.items() if not vote] == ["12", "cyp2b6"]


def test_in_a_small_text_all_words_vote():
    small = Vocabulary.compare(
        Counts(Counter({"a": 2, "b": 1, "7": 3}), 1), Reference.of_counts(Counts(GENERAL, 1), "general")
    )
    assert dict(zip(small.words, small.voters().tolist(), strict=True)) == {"a": True, "b": True, "7": False}


def test_common_words_are_those_of_the_reference_numbers_apart(vocabulary, monkeypatch):
    assert [vocabulary.words[row] for row in vocabulary.common().tolist()] == ["the", "b", "rat", "kinase"]
    monkeypatch.setattr("diffmask.text.anchors.vocabulary.NUM_COMMON", 2)
    assert [vocabulary.words[row] for row in vocabulary.common().tolist()] == ["the", "b"]


def test_a_reference_of_another_language_is_refused():
    with pytest.raises(InputError) as caught:
        common_types(["kinase", "12"], torch.tensor([0.0, 0.1]))
    assert str(caught.value) == (
        "the reference knows no word of the data; give a --reference of common text in the language of the data"
    )


def test_data_without_words_is_refused():
    with pytest.raises(InputError, match="^the data contains no words, only punctuation; give data with text$"):
        Vocabulary.compare(Counts(Counter(), 3), Reference.of_counts(Counts(GENERAL, 1), "general"))
