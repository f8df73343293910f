"""Lexicons: words and their classes."""

import pickle

import pytest
from support.families import FAMILIES, tokenizer_of

from diffmask.core.errors import InputError
from diffmask.text.annotate.word_classes import read_lexicon
from diffmask.text.segment.segmenter import segmenter_for

TSV = 'word\tclass\nThe\tfunction\nkinase\tprotein\n\n细\tother words\n"\tquote\r\n,\tcomma\n'


def written(path, content):
    path.write_text(content, encoding="utf-8")
    return path


def named(annotator, text, family="BERT"):
    segments = segmenter_for(tokenizer_of(family))([text])
    rows = annotator(segments)["classes"].tolist()
    return [annotator.names[row] if row >= 0 else None for row in rows]


@pytest.mark.parametrize("family", FAMILIES)
def test_words_have_the_classes_of_the_file(tmp_path, family):
    annotator = read_lexicon(written(tmp_path / "classes.tsv", TSV))
    assert annotator.names == ("comma", "function", "other words", "protein", "quote")
    found = named(annotator, 'the KINASE, "cells" 细', family)
    assert found == ["function", "protein", "comma", "quote", None, "quote", "other words"]


def test_comma_separated_values_may_be_quoted(tmp_path):
    annotator = read_lexicon(written(tmp_path / "classes.csv", 'the,"a, b"\n",",comma\n'))
    assert named(annotator, "the, x") == ["a, b", "comma", None]


def test_it_is_small_and_its_key_follows_the_file(tmp_path):
    path = written(tmp_path / "classes.tsv", "".join(f"w{number}\tc{number % 3}\n" for number in range(2_000)))
    annotator = read_lexicon(path)
    assert len(pickle.dumps(annotator)) < 1_000
    assert named(pickle.loads(pickle.dumps(annotator)), "w7 w8") == ["c1", "c2"]
    written(path, "w7\tother\n")
    again = read_lexicon(path)
    assert again.key != annotator.key
    assert named(again, "w7") == ["other"]


REFUSED = {
    "one column": ("the", "line 2 is not a word and its class: the"),
    "three columns": ("the\ta\tb", "line 2 is not a word and its class: the a b"),
    "two words": (
        "don't\tverb",
        'line 2: "don\'t" does not align with the words of a text, it is the words don t; give each word (or '
        "punctuation character) a line of its own, or annotate texts in a .jsonl with spans",
    ),
    "no word": ("...\tx", "line 2: '...' does not align with the words of a text, it is no word"),
    "twice": (
        "CELL\tother",
        "lines 1 and 2 give 'cell' two classes, 'noun' and 'other'; keep one, since a lexicon does not know the "
        "context",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_lines_that_are_refused(tmp_path, name):
    line, message = REFUSED[name]
    path = written(tmp_path / "classes.tsv", f"cell\tnoun\n{line}\n")
    with pytest.raises(InputError) as error:
        read_lexicon(path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_files_that_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"the class file .*absent.tsv does not exist; check the path"):
        read_lexicon(tmp_path / "absent.tsv")
    with pytest.raises(InputError, match=r"contains no words; write a word and its class in each line"):
        read_lexicon(written(tmp_path / "head.tsv", "word\tclass\n\n"))
    latin = tmp_path / "latin.tsv"
    latin.write_bytes("the\tx\né\ty\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin.tsv: line 2 is not UTF-8"):
        read_lexicon(latin)


def test_an_entry_is_the_type_of_every_spelling(tmp_path):
    annotator = read_lexicon(
        written(tmp_path / "classes.tsv", "caf\u00e9\tplace\nbe\u00adcause\tfunction\n\ufb01nal\tend\n")
    )
    text = "CAFE\u0301 because be\u200bcause ｆｉｎａｌ"
    assert named(annotator, text, "RoBERTa") == ["place", "function", "function", "end"]
    turkish = segmenter_for(tokenizer_of("RoBERTa"), language="tr")(["ISPARTA ısparta"])
    annotator = read_lexicon(written(tmp_path / "turkish.tsv", "Isparta\tplace\n"))
    assert annotator(turkish)["classes"].tolist() == [0, 0]
