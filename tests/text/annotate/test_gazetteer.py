"""Gazetteers: phrases found by their words."""

import pickle

import pytest
from support.families import FAMILIES, tokenizer_of

from diffmask.core.errors import InputError
from diffmask.text.annotate.salient import read_gazetteer
from diffmask.text.segment.segmenter import segmenter_for

PHRASES = (
    "acetyl CoA\tchemical\nCoA\nNew York\tplace\nNew York Times\tpaper\nU.S.\tplace\n细胞\tcell\nYork Times Square\n"
)


def written(path, content):
    path.write_text(content, encoding="utf-8")
    return path


def found(annotator, *texts, family="BERT", units="word"):
    """Return the phrases that are marked, as their units."""
    segments = segmenter_for(tokenizer_of(family), units)(texts)
    columns = annotator(segments)
    marked = []
    for surface, row, opens in zip(segments.surfaces, columns["salient"], columns["starts"], strict=True):
        if row >= 0 and opens:
            marked.append(([], annotator.names[row]))
        if row >= 0:
            marked[-1][0].append(surface)
        else:
            assert opens
    return [(" ".join(surfaces), label) for surfaces, label in marked]


@pytest.mark.parametrize("family", FAMILIES)
def test_phrases_are_found_by_their_words(tmp_path, family):
    annotator = read_gazetteer(written(tmp_path / "phrases.txt", PHRASES))
    assert annotator.names == ("cell", "chemical", "paper", "phrase", "place")
    assert found(annotator, "ACETYL-CoA, acetyl  coa, acetyl, CoA.", family=family) == [
        ("acetyl - coa", "chemical"),
        ("acetyl coa", "chemical"),
        ("coa", "phrase"),
    ]
    assert found(annotator, "the new\nYork in the u.s. and us", family=family) == [
        ("new york", "place"),
        ("u . s", "place"),
    ]


def test_the_longest_phrase_wins_and_none_crosses_texts(tmp_path):
    annotator = read_gazetteer(written(tmp_path / "phrases.txt", PHRASES))
    assert found(annotator, "New York Times", "Times", "New", "York") == [("new york times", "paper")]
    assert found(annotator, "New York Times Square") == [("york times square", "phrase")]
    assert found(annotator, "", "细胞 细 胞", "抑细胞") == [("细 胞", "cell"), ("细 胞", "cell")]
    assert found(annotator, "newyork new. york") == []


def test_tokens_of_a_phrase_are_one_group(tmp_path):
    annotator = read_gazetteer(written(tmp_path / "phrases.txt", "BRCA1 cells\tx\n"))
    segments = segmenter_for(tokenizer_of("BERT"), "token")(["the BRCA1 cells grow"])
    columns = annotator(segments)
    salient = columns["salient"] == 0
    assert salient.sum() > 3
    assert columns["starts"][salient].tolist() == [1] + [0] * (salient.sum() - 1)
    assert (columns["starts"][~salient] == 1).all()


def slow_matches(phrases, words):
    """Return the phrases in words, the longest first; only spaces are between words."""
    matches = [
        (start, start + len(phrase))
        for start in range(len(words))
        for phrase in phrases
        if words[start : start + len(phrase)] == phrase
    ]
    kept = []
    for start, stop in sorted(matches, key=lambda span: (span[0] - span[1], span[0])):
        if all(stop <= first or last <= start for first, last in kept):
            kept.append((start, stop))
    return [" ".join(words[start:stop]) for start, stop in sorted(kept)]


def test_a_slow_search_finds_the_same(tmp_path):
    import random

    generator = random.Random(3)
    for _ in range(30):
        phrases = [generator.choices("abc", k=generator.randint(1, 4)) for _ in range(6)]
        words = generator.choices("abcd", k=40)
        path = written(tmp_path / "phrases.txt", "\n".join(" ".join(phrase) for phrase in phrases))
        expected = slow_matches(phrases, words)
        assert [phrase for phrase, _ in found(read_gazetteer(path), " ".join(words))] == expected


def test_it_is_small_and_its_key_follows_the_file(tmp_path):
    path = written(tmp_path / "phrases.txt", "".join(f"word{number} x\n" for number in range(2_000)))
    annotator = read_gazetteer(path)
    assert len(pickle.dumps(annotator)) < 1_000
    assert found(pickle.loads(pickle.dumps(annotator)), "word7 x") == [("word7 x", "phrase")]
    written(path, "other\n")
    assert read_gazetteer(path).key != annotator.key
    assert found(read_gazetteer(path), "word7 x other") == [("other", "phrase")]


REFUSED = {
    "---": "line 2 has no word; write a phrase, or a phrase, a tab and its label",
    "a\tb\tc": "line 2 has more than one tab; write a phrase, or a phrase, a tab and its label",
    "CELL LINE\ty": "lines 1 and 2 give 'CELL LINE' two labels, 'x' and 'y'; keep one",
}


@pytest.mark.parametrize("line", REFUSED)
def test_lines_that_are_refused(tmp_path, line):
    path = written(tmp_path / "phrases.txt", f"cell line\tx\n{line}\n")
    with pytest.raises(InputError) as error:
        read_gazetteer(path)
    assert str(error.value) == f"{path}: {REFUSED[line]}"


def test_files_that_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"the gazetteer .*absent.txt does not exist; check the path"):
        read_gazetteer(tmp_path / "absent.txt")
    with pytest.raises(InputError, match=r"contains no phrases; write one in each line"):
        read_gazetteer(written(tmp_path / "blank.txt", "\n \n"))
