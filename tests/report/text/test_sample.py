import pytest
from support.domain import documents, domain_anchors

from diffmask.report.text.cut import LEAST_WORDS, MOST_WORDS, choose_excerpts, sample_documents
from diffmask.report.text.look import Traits
from diffmask.text.corpus.words import split_words

PLAIN = "This sentence has nothing of the domain in it but is long enough to be shown to a reader here."
TELLING = "The kinase of the cell inhibits a protein in the blood of the rat, and so it was found to do."


@pytest.fixture(scope="module")
def traits():
    return Traits(domain_anchors(), threshold=10.0)


def texts(number):
    return [
        f"{PLAIN} It is number {index}, and it is not like the others that are in the list." for index in range(number)
    ]


def test_a_sample_is_the_same_each_time_and_in_the_order_of_the_corpus():
    corpus = documents(texts(200))
    sample = sample_documents(corpus, 20)
    assert sample == sample_documents(iter(corpus), 20)
    assert len(sample) == 20
    numbers = [document.number for document in sample]
    assert numbers == sorted(numbers)
    assert numbers[0] < 60 and numbers[-1] > 140  # from everywhere


def test_a_sample_depends_on_texts_and_not_on_where_they_stand():
    corpus = texts(200)
    one = {document.text for document in sample_documents(documents(corpus), 20)}
    assert one == {document.text for document in sample_documents(documents(corpus[::-1]), 20)}


def test_equal_texts_count_once_and_a_small_corpus_is_taken_whole():
    assert [document.number for document in sample_documents(documents(["a", "b", "a", "c"]), 10)] == [1, 2, 4]


def test_a_document_that_left_the_sample_may_not_come_back_as_new():
    corpus = documents(texts(50) * 3)
    sample = sample_documents(corpus, 5)
    assert len({document.text for document in sample}) == 5


def test_excerpts_are_readable_and_from_different_parts_of_the_corpus(traits):
    corpus = documents([f"Short one. {PLAIN} {TELLING} Document {index} ends here." for index in range(40)])
    excerpts = choose_excerpts(corpus, traits, 4)
    assert [excerpt.text for excerpt in excerpts] == [TELLING] * 4  # what tells most, not what comes first
    assert [(excerpt.number - 1) // 10 for excerpt in excerpts] == [0, 1, 2, 3]
    for excerpt in excerpts:
        assert LEAST_WORDS <= len(split_words(excerpt.text)) <= MOST_WORDS


def test_short_sentences_are_joined(traits):
    corpus = documents(["The kinase binds. The protein was in the cell. We found a dose in the blood of the rat."])
    assert choose_excerpts(corpus, traits, 1)[0].text == corpus[0].text


def test_a_text_without_sentences_is_shown_from_its_start(traits):
    corpus = documents([" ".join(["kinase"] * 300), "protein"])
    excerpts = choose_excerpts(corpus, traits, 5)
    assert [excerpt.text for excerpt in excerpts] == [" ".join(["kinase"] * MOST_WORDS), "protein"]


def test_no_more_excerpts_than_documents(traits):
    assert len(choose_excerpts(documents([TELLING]), traits, 8)) == 1
