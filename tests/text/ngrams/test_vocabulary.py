"""PMI against every segmentation, the vocabulary and its folder, and texts cut into n-grams."""

import itertools
import math
import pickle
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from zlib import crc32

import numpy as np
import pyarrow
import pytest
from support.families import FAMILIES, tokenizer_of

from diffmask.core.errors import InputError
from diffmask.files.folders import check_folder
from diffmask.text.corpus.words import char_classes
from diffmask.text.ngrams.annotator import NGramLookup, _without_overlaps, ngram_annotator
from diffmask.text.ngrams.counts import NGramCounts, NGramSettings, count_ngrams
from diffmask.text.ngrams.ngrams import JoinedWords
from diffmask.text.ngrams.vocabulary import (
    FILES,
    SHARES,
    VocabularySettings,
    _measure,
    choose_ngrams,
    read_vocabulary,
    write_vocabulary,
)
from diffmask.text.segment.rows import Annotator
from diffmask.text.segment.segmenter import segmenter_for

REPO = Path(__file__).parents[3]


def counts_in(texts, min_count=2, max_n=5):
    """Counts of words between spaces, by a loop."""
    counts = Counter()
    for text in texts:
        words = text.split()
        counts.update(" ".join(words[i : i + n]) for n in range(1, max_n + 1) for i in range(len(words) - n + 1))
    totals = tuple(
        sum(count for ngram, count in counts.items() if len(ngram.split()) == n) for n in range(1, max_n + 1)
    )
    types = tuple(sum(len(ngram.split()) == n for ngram in counts) for n in range(1, max_n + 1))
    kept = {ngram: count for ngram, count in counts.items() if count >= min_count}
    schema = pyarrow.schema([("ngram", pyarrow.string()), ("count", pyarrow.int64())])
    table = pyarrow.table({"ngram": list(kept), "count": list(kept.values())}, schema)
    return NGramCounts(table, totals, types, len(texts), min_count, [])


def slow_pmi(ngram, counts, totals):
    """Every way to cut the n-gram into two or more pieces."""
    words = ngram.split()

    def log_p(first, stop):
        return math.log(counts[" ".join(words[first:stop])] / totals[stop - first - 1])

    values = []
    for num_cuts in range(1, len(words)):
        for cuts in itertools.combinations(range(1, len(words)), num_cuts):
            bounds = [0, *cuts, len(words)]
            values.append(log_p(0, len(words)) - sum(log_p(a, b) for a, b in itertools.pairwise(bounds)))
    return min(values)


@pytest.fixture
def corpus():
    noise = random.Random(0)
    phrases = ["in vitro", "tumor necrosis factor alpha", "the cell", "a b c d e", "b c", "of the", "x"]
    return [" ".join(noise.choices(phrases, k=12)) for _ in range(60)]


@pytest.mark.parametrize("max_n", [2, 4, 5])
def test_pmi_is_the_least_over_all_segmentations(corpus, max_n):
    counts = counts_in(corpus, max_n=max_n)
    table = _measure(counts)
    of = dict(zip(counts.table["ngram"].to_pylist(), counts.table["count"].to_pylist(), strict=True))
    assert sorted(table["ngram"].to_pylist()) == sorted(ngram for ngram in of if " " in ngram)
    for row in table.to_pylist():
        assert row["n"] == len(row["ngram"].split())
        assert row["count"] == of[row["ngram"]]
        assert row["pmi"] == pytest.approx(slow_pmi(row["ngram"], of, counts.totals), abs=1e-12)
        assert row["log_p"] == pytest.approx(math.log(row["count"] / counts.totals[row["n"] - 1]))
    assert max_n == len(set(table["n"].to_pylist())) + 1


def test_pmi_by_hand():
    counts = counts_in(["a b"] * 4 + ["c d"] * 4, max_n=2)
    # p(a b) = 1/2, p(a) = p(b) = 1/4
    assert {row["ngram"]: row["pmi"] for row in _measure(counts).to_pylist()} == pytest.approx(
        {"a b": math.log(8), "c d": math.log(8)}
    )


def test_a_strong_pair_does_not_carry_a_stranger(corpus):
    """What the minimum is for: naive PMI would rank `in vitro` with any neighbour high."""
    pmi = {row["ngram"]: row["pmi"] for row in _measure(counts_in(corpus)).to_pylist()}
    assert pmi["in vitro"] > 2
    assert max(value for ngram, value in pmi.items() if ngram.startswith("in vitro ")) < 1.5
    assert pmi["tumor necrosis factor alpha"] > 2


def test_each_length_has_its_share_of_the_best(corpus):
    measured = _measure(counts_in(corpus)).to_pylist()
    table = choose_ngrams(counts_in(corpus), VocabularySettings(size=16, min_pmi=0.0)).to_pylist()
    assert list(Counter(row["n"] for row in table).items()) == [(2, 8), (3, 4), (4, 2), (5, 2)]
    for n in range(2, 6):
        ranked = sorted(
            (row for row in measured if row["n"] == n), key=lambda row: (-row["pmi"], -row["count"], row["ngram"])
        )
        kept = [row["ngram"] for row in table if row["n"] == n]
        assert kept == [row["ngram"] for row in ranked[: len(kept)]]
    pairs = choose_ngrams(counts_in(corpus, max_n=3), VocabularySettings(size=12, min_pmi=0.0)).to_pylist()
    assert Counter(row["n"] for row in pairs) == {2: 8, 3: 4}, "shares of what is left: 0.5 and 0.25"
    assert sum(SHARES) == 1
    assert len(choose_ngrams(counts_in(corpus), VocabularySettings(size=1))) == 4, "never none at all"


def test_the_least_pmi_holds_and_the_weighted_ranking_favours_frequent_ngrams(corpus):
    counts = counts_in(corpus)
    measured = _measure(counts).to_pylist()
    kept = choose_ngrams(counts, VocabularySettings(min_pmi=1.5)).to_pylist()
    assert {row["ngram"] for row in kept} == {row["ngram"] for row in measured if row["pmi"] >= 1.5}
    kept = choose_ngrams(counts, VocabularySettings(min_pmi=0.0, rank_by="weighted")).to_pylist()
    pairs = [row for row in measured if row["n"] == 2 and row["pmi"] >= 0]
    best = max(pairs, key=lambda row: row["pmi"] + math.log(row["count"] / counts.totals[1]))
    assert kept[0]["ngram"] == best["ngram"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 0}, "size=0 must be at least 1; the paper keeps 800,000 n-grams"),
        ({"min_pmi": -1.0}, "min_pmi=-1 must be at least 0; above 0 an n-gram is more frequent than chance"),
        ({"min_pmi": float("nan")}, "min_pmi=nan must be at least 0; above 0 an n-gram is more frequent than chance"),
        ({"rank_by": "count"}, "unknown rank_by 'count'; choose from: pmi, weighted"),
    ],
)
def test_settings_out_of_range_are_refused(values, message):
    with pytest.raises(InputError) as caught:
        VocabularySettings(**values)
    assert str(caught.value) == message


def test_a_corpus_without_ngrams_is_refused():
    for texts in (["a", "a b"], []):
        with pytest.raises(InputError) as caught:
            choose_ngrams(counts_in(texts, min_count=2))
        few = f"no n-gram of two words or more occurs 2 times in {len(' '.join(texts).split())} words"
        assert str(caught.value) == f"{few}; give more text or a lower --min-count"
    with pytest.raises(InputError) as caught:
        choose_ngrams(counts_in(["a b"] * 3), VocabularySettings(min_pmi=9.0))
    few = "none of the 1 n-grams that occur 2 times has a PMI of 9.0"
    assert str(caught.value) == f"{few}; give more text or a lower --min-pmi"


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "pmi", ["by the way", "the way out", "in vitro", "beta catenin", "细 胞", "don t"])


def make_folder(path, ngrams):
    lengths = [len(ngram.split()) for ngram in ngrams]
    count = range(len(ngrams))
    table = pyarrow.table({"ngram": ngrams, "n": lengths, "count": list(count), "pmi": [1 / 3 for _ in count]})
    write_vocabulary(path, table, {"version": "test"})
    return path


def test_a_folder_is_written_whole_and_read_again(tmp_path, folder, corpus):
    assert (folder / "ngrams.csv").read_text().splitlines()[:2] == ["ngram,n,count,pmi", "by the way,3,0,0.3333"]
    assert read_vocabulary(folder)[:2] == ["by the way", "the way out"]
    counts = counts_in(corpus)
    write_vocabulary(folder, choose_ngrams(counts), VocabularySettings().describe(counts))
    assert read_vocabulary(folder) == choose_ngrams(counts)["ngram"].to_pylist()
    assert [path.name for path in tmp_path.iterdir()] == ["pmi"]
    assert VocabularySettings().describe(counts)["num_types"] == list(counts.num_types)


def test_the_table_may_be_edited(folder):
    (folder / "ngrams.csv").write_text("\ufeffngram\nIn-Vitro\n\n细胞\nnecrosis   factor\n", encoding="utf-8")
    assert read_vocabulary(folder) == ["in vitro", "细 胞", "necrosis factor"]
    key = ngram_annotator(folder).key
    (folder / "ngrams.csv").write_text("ngram\nin vitro\n")
    assert ngram_annotator(folder).key != key


WRITE = "write two to 5 words there or drop the line"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ngram,n\nin vitro,2\nvitro,1\n", f"line 3 has 'vitro' in the column `ngram`; {WRITE}"),
        ("ngram\na b c d e f\n", f"line 2 has 'a b c d e f' in the column `ngram`; {WRITE}"),
        ("n,ngram\n2,in vitro\n3\n", f"line 3 has '' in the column `ngram`; {WRITE}"),
        ("ngram\n?!\n", f"line 2 has '?!' in the column `ngram`; {WRITE}"),
        ("ngram,n\nin vitro,3\n", "line 2 says n = 3, but 'in vitro' has 2 words; correct or drop the line"),
    ],
)
def test_a_broken_line_is_named(folder, content, message):
    (folder / "ngrams.csv").write_text(content)
    assert refusal(ngram_annotator, folder) == f"{folder}/ngrams.csv: {message}"


def refusal(function, *args, **options):
    with pytest.raises(InputError) as caught:
        function(*args, **options)
    return str(caught.value)


def test_what_is_no_vocabulary_is_refused(tmp_path, folder):
    make = "make one with: diffmask pmi DATA -o FOLDER"
    assert refusal(ngram_annotator, tmp_path / "no") == f"folder {tmp_path}/no does not exist; {make}"
    expected = f"folder {tmp_path} has no ngrams.csv, so it is not a vocabulary of n-grams; {make}"
    assert refusal(ngram_annotator, tmp_path) == expected
    table = folder / "ngrams.csv"
    for content, message in (
        (b"in vitro\n", "has no column `ngram` in its first line; give the column of the n-grams that name"),
        (b"", "has no column `ngram` in its first line; give the column of the n-grams that name"),
        (b"ngram\n", f"contains no n-grams; {make}"),
    ):
        table.write_bytes(content)
        assert refusal(ngram_annotator, folder) == f"{table} {message}"
    table.write_text("ngram\nin vitro\nIn-vitro\n")
    assert refusal(ngram_annotator, folder) == f"{table}: lines 2 and 3 both hold 'in vitro'; drop one"
    table.write_text('ngram\n"in vitro\nex vivo\n')
    assert refusal(ngram_annotator, folder).startswith(f"{table}: line 2 is not a row of values (")
    table.write_bytes(b"ngram\n\xff\xfe\n")
    assert refusal(ngram_annotator, folder).startswith(f"{table}: line 2 is not UTF-8 (byte 6 is 0xff); convert")


def test_a_folder_of_something_else_is_never_replaced(tmp_path, folder):
    def check(path, overwrite=False):
        return check_folder(path, "n-grams", FILES, overwrite=overwrite)

    assert check(folder, overwrite=True) == folder
    exists = f"folder {folder} exists; choose another name or allow to overwrite it (--overwrite)"
    assert refusal(check, folder) == exists
    (folder / "thesis.txt").write_text("precious")
    expected = f"folder {folder} holds other files (thesis.txt); choose another name for the n-grams"
    assert refusal(check, folder, overwrite=True) == expected
    expected = f"{folder}/thesis.txt is a file; choose another name for the folder of the n-grams"
    assert refusal(check, folder / "thesis.txt") == expected
    expected = f"folder {tmp_path}/no does not exist; create it first"
    assert refusal(check, tmp_path / "no" / "pmi") == expected


def slow_noise(text, place):
    mask = (1 << 64) - 1
    mixed = (crc32(text.encode()) * 0x9E3779B97F4A7C15 + place) & mask
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
    return mixed ^ (mixed >> 31)


def slow_groups(text, ngrams):
    """Return (first, last) word of each n-gram of a text of words between spaces; `|` separates."""
    words = [word for word in text.split() if word != "|"]
    places = np.cumsum([word == "|" for word in text.split()])[[word != "|" for word in text.split()]]
    found = [
        (first, first + n - 1)
        for first in range(len(words))
        for n in range(2, 6)
        if first + n <= len(words)
        if " ".join(words[first : first + n]) in ngrams and places[first] == places[first + n - 1]
    ]
    found = [
        (a, b) for a, b in found if not any(x <= a and b <= y and (x, y) != (a, b) for x, y in found)
    ]  # the larger one is the unit
    taken = []
    for a, b in sorted(found, key=lambda ngram: slow_noise(text, ngram[0])):
        if all(b < x or y < a for x, y in taken):
            taken.append((a, b))
    return sorted(taken)


def test_groups_equal_a_slow_loop():
    noise = random.Random(1)
    ngrams = {" ".join(noise.choices("abcde", k=noise.randint(2, 5))) for _ in range(60)}
    texts = [" ".join(noise.choices("abcdef|", k=25)) for _ in range(300)]
    text = "\n".join(texts)
    text_starts = np.cumsum([0, *(len(text) + 1 for text in texts)])
    words = JoinedWords.find(text, char_classes(text), text_starts)
    firsts, lasts = _without_overlaps(words, *NGramLookup.of(sorted(ngrams)).find(words), text, text_starts)
    expected, before = [], 0
    for one in texts:
        expected += [(before + first, before + last) for first, last in slow_groups(one, ngrams)]
        before += sum(word != "|" for word in one.split())
    assert list(zip(firsts.tolist(), lasts.tolist(), strict=True)) == expected
    assert len(expected) > 1000
    assert NGramLookup.of(sorted(ngrams)).share_in(texts) == sum(b - a + 1 for a, b in expected) / before


def groups(segments, starts):
    """Return the surfaces of each group."""
    found = []
    for surface, start in zip(segments.surfaces, starts.tolist(), strict=True):
        if start:
            found.append([])
        found[-1].append(surface)
    return [" ".join(group) for group in found]


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_of_every_tokenizer_are_cut_into_ngrams(family, folder):
    annotate = ngram_annotator(folder)
    segments = segmenter_for(tokenizer_of(family))(
        ["In vitro the Beta-catenin, in", "vitro 细胞 cells don't; in, vitro"]
    )
    starts = annotate(segments)["starts"]
    assert starts.dtype == np.int32
    expected = [
        "in vitro",
        "the",
        "beta - catenin",
        ",",
        "in",
        "vitro",
        "细 胞",
        "cells",
        "don ' t",
        ";",
        "in",
        ",",
        "vitro",
    ]
    assert groups(segments, starts) == expected
    tokens = segmenter_for(tokenizer_of(family), "token")(["the In vitro Beta-catenin cells"])
    token_starts = annotate(tokens)["starts"]
    word_of = tokens.words
    for unit, surface in enumerate(tokens.surfaces):
        if surface in ("the", "cells"):
            assert token_starts[unit] == 1, "tokens outside an n-gram are units of their own"
        elif unit and tokens.surfaces[unit - 1] != "the":
            new = surface == "beta" and word_of[unit - 1] != word_of[unit]
            assert token_starts[unit] == new, "all tokens of an n-gram are one group"


def test_of_overlapping_ngrams_either_is_taken_and_the_rest_is_words(folder):
    annotate, segmenter = ngram_annotator(folder), segmenter_for(tokenizer_of("BERT"))
    texts = [f"{number} by the way out" for number in range(400)]
    segments = segmenter(texts)
    found = groups(segments, annotate(segments)["starts"])
    either = Counter(group for group in found if not group.isdigit())
    assert set(either) == {"by the way", "out", "by", "the way out"}
    assert 160 < either["by the way"] < 240
    alone = [groups(segments, annotate(segments)["starts"]) for segments in (segmenter([text]) for text in texts)]
    assert found == list(itertools.chain.from_iterable(alone)), "a text is cut the same in any batch"


def test_a_larger_ngram_is_the_unit_wherever_a_smaller_one_is(tmp_path):
    folder = make_folder(tmp_path / "pmi", ["the united states", "air force", "the united states air force"])
    segments = segmenter_for(tokenizer_of("BERT"))(["of the united states air force of the united states of air force"])
    expected = ["of", "the united states air force", "of", "the united states", "of", "air force"]
    assert groups(segments, ngram_annotator(folder)(segments)["starts"]) == expected


def test_the_annotator_keeps_the_contract(folder):
    annotate = ngram_annotator(folder)
    assert isinstance(annotate, Annotator)
    assert annotate.columns == ("starts",)
    assert len(pickle.dumps(annotate)) < 1000
    assert pickle.loads(pickle.dumps(annotate)) == annotate
    for texts in ([], ["..."], ["zebra"]):
        segments = segmenter_for(tokenizer_of("BERT"))(texts)
        assert annotate(segments)["starts"].tolist() == [1] * len(segments.words)


def test_a_vocabulary_of_a_real_corpus(tmp_path):
    """From a file to units: counted, measured, written, read, found again."""
    (tmp_path / "a.txt").write_text("cells in-vitro and x\ny cells, in vitro or z\n" * 20)
    counts = count_ngrams(tmp_path / "a.txt", settings=NGramSettings(max_n=2))
    write_vocabulary(tmp_path / "pmi", choose_ngrams(counts, VocabularySettings(min_pmi=1.5)), {})
    assert "in vitro" in read_vocabulary(tmp_path / "pmi")
    assert "cells in" not in read_vocabulary(tmp_path / "pmi")


def test_finding_ngrams_needs_no_torch():
    """A worker that tokenises starts quickly and stays small."""
    script = "import sys, diffmask.text.ngrams.annotator, diffmask.text.ngrams.counts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=REPO).returncode == 0
