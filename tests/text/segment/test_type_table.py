"""A token of a whole term has the type of the term, or of its most telling word, for every family of tokenizers."""

import copy
import pickle

import pytest
from support.families import FAMILIES, tokenizer_of
from tokenizers import AddedToken

from diffmask.text.segment.segmenter import segmenter_for
from diffmask.text.segment.type_table import TypeTable

TABLE = TypeTable(
    ["the", "5", "n", "and", "lung", "cancer", "generation", "egfr", "β", "catenin", "fluorouracil", "acetylcysteine"],
    telling=[0.5, 1, 2, 0.4, 9, 7, 3, 80, 90, 60, 70, 65],
)
TERMS = {
    "5-fluorouracil": "fluorouracil",
    "n-acetylcysteine": "acetylcysteine",
    "β-catenin": "catenin",
    "lung cancer": "lung",
    "generation/egfr": "egfr",
    "egfr.5": "egfr",
}


@pytest.mark.parametrize("options", [{}, {"lstrip": True, "rstrip": True}, {"normalized": False}], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_an_added_term_has_the_type_of_its_most_telling_word(family, options):
    tokenizer = copy.deepcopy(tokenizer_of(family))
    tokenizer.add_tokens([AddedToken(term, **options) for term in TERMS])
    text = " and ".join(["the", *TERMS, "the"])
    segments = segmenter_for(tokenizer)([text])
    tokens = tokenizer.convert_ids_to_tokens(segments.input_ids.tolist())
    unit_of = dict(zip(tokens, segments.units.tolist(), strict=True))
    rows = segments.types(TABLE.row_of, TABLE.says).tolist()
    assert {term: TABLE[rows[unit_of[term]]] for term in TERMS} == TERMS


def test_a_term_that_the_table_has_is_its_own_type():
    table = TypeTable(["lung", "cancer", "lung cancer", "5 fu"], telling=[9, 7, 1, 1])
    assert [table.row(term) for term in ("lung cancer", "lung-cancer", "5-FU", "cancer", "the")] == [2, 2, 3, 1, -1]


def test_without_numbers_that_tell_the_longer_word_says_more():
    table = TypeTable(["5", "type", "diabetes", "n"])
    assert [table.row(term) for term in ("type 5 diabetes", "5/n", "5", "x 5")] == [2, 0, 0, 0]


def test_a_table_of_an_earlier_rule_is_read_by_the_rule_of_today():
    table = TypeTable(["because", "cafe\u0301", "be\u00adcause", "ısparta"], "tr")
    assert table.row_of == {"because": 0, "café": 1, "ısparta": 3}
    segments = segmenter_for(tokenizer_of("RoBERTa"), language="tr")(["be\u00adCause CAFÉ Isparta"])
    assert segments.types(table.row_of).tolist() == [0, 1, 3]


def test_a_table_reaches_other_processes():
    again = pickle.loads(pickle.dumps(TABLE))
    assert (again, again.language, again.telling) == (TABLE, None, TABLE.telling)
