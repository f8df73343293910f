"""References: frequencies that agree with where they come from, under our definition of a word."""

import json
import sys

import numpy as np
import pytest
import wordfreq

from diffmask.core.errors import InputError
from diffmask.text.corpus.counts import count_corpus
from diffmask.text.corpus.reference import Reference, language_of, read_reference
from diffmask.text.corpus.words import split_words


@pytest.fixture
def corpora(tmp_path):
    (tmp_path / "a.txt").write_text("the cat the dog\n")
    (tmp_path / "b.jsonl").write_text('{"title": "x", "abstract": "The bird, 1998"}\n')
    count_corpus(tmp_path / "a.txt").save(tmp_path / "a.parquet")
    return tmp_path


def refusal(spec, column=None):
    with pytest.raises(InputError) as caught:
        read_reference(spec, column)
    return str(caught.value)


def test_frequencies_of_a_corpus_are_shares_of_its_words(corpora):
    reference = read_reference(str(corpora / "a.txt"))
    found = reference.frequencies(["the", "dog", "kinase"])
    assert found.dtype == np.float64
    assert found.tolist() == [0.5, 0.25, 0.0]
    assert reference.frequencies([]).shape == (0,)
    assert reference.name == str(corpora / "a.txt")


def test_a_counts_file_is_the_same_reference_as_its_corpus(corpora):
    types = ["the", "cat", "bird"]
    from_counts = read_reference(corpora / "a.parquet")
    from_corpus = read_reference(corpora / "a.txt")
    assert from_counts.frequencies(types).tolist() == from_corpus.frequencies(types).tolist()
    assert {**from_counts.describe(), "name": ""} == {**from_corpus.describe(), "name": ""}


def test_corpora_and_counts_add_up(corpora):
    reference = read_reference([corpora / "a.parquet", corpora / "b.jsonl"], "abstract")
    assert reference.frequencies(["the", "bird", "1998", "x"]).tolist() == pytest.approx([3 / 7, 1 / 7, 1 / 7, 0])
    assert reference.name == f"{corpora}/a.parquet, {corpora}/b.jsonl"


def test_describe_identifies_the_reference_in_json(corpora):
    record = read_reference(corpora / "a.txt").describe()
    assert json.loads(json.dumps(record)) == record
    assert (record["num_words"], record["num_documents"]) == (4, 1)
    assert [len(source["sha256"]) for source in record["sources"]] == [64]
    record = read_reference("wordfreq:en").describe()
    assert record["name"] == "wordfreq:en"
    assert (record["package"], record["language"]) == ("wordfreq", "en")
    assert record["version"][0].isdigit()


def plain_words(language, num_words):
    """Words of wordfreq that are one word of ours, hold no digit, and are in no other entry of theirs."""
    entries = wordfreq.get_frequency_dict(language)
    parts = {part for entry in entries if not entry.isalnum() for part in split_words(entry)}
    words = wordfreq.top_n_list(language, num_words)
    plain = [word for word in words if word not in parts and split_words(word) == [word]]
    return [word for word in plain if not any(char.isdigit() for char in word)]


def test_plain_words_have_the_frequency_that_wordfreq_gives():
    words = plain_words("en", 20_000)
    assert len(words) > 10_000
    found = read_reference("wordfreq:en").frequencies(words)
    expected = np.array([wordfreq.word_frequency(word, "en") for word in words])
    # a share of our words, of which there are 1.9 % more than of theirs
    ratios = found / expected
    assert ratios.min() > 0.97
    assert ratios.max() < 0.99
    spread = np.abs(ratios - np.median(ratios)).max()
    assert spread < 0.006, "wordfreq rounds to three digits"


def test_parts_of_a_word_share_its_frequency():
    reference = read_reference("wordfreq:en")
    of_dont, of_doesnt = (wordfreq.word_frequency(word, "en") for word in ("don't", "doesn't"))
    don, doesn, t = reference.frequencies(["don", "doesn", "t"]).tolist()
    assert don > 0.97 * of_dont
    assert doesn > 0.97 * of_doesnt
    assert t > don + doesn


def test_a_number_is_never_rare():
    reference = read_reference("wordfreq:en")
    numbers = reference.frequencies(["2", "15", "000", "1998", "31415926", "٣"])
    assert (numbers > 0.01).all()
    assert (numbers == numbers[0]).all()
    mixed = reference.frequencies(["1st", "21st", "p53", "10mg"]).tolist()
    expected = [wordfreq.word_frequency(word, "en") for word in ("1st", "21st", "p53", "10mg")]
    assert mixed == pytest.approx(expected, rel=0.05)


def test_frequencies_sum_to_a_share_of_all_words():
    reference = read_reference("wordfreq:tr")
    words = set(split_words("\n".join(wordfreq.get_frequency_dict("tr"))))
    words = [word for word in words if not any(char.isdigit() for char in word)]
    assert 0.8 < reference.frequencies(words).sum() < 1


@pytest.mark.parametrize(
    ("language", "word", "listed"),
    [
        ("el", "λόγος", "λόγοσ"),
        ("tr", "i\u0307stanbul", "istanbul"),
        ("hu", "e\u0301s", "és"),
        ("zh", "細", "细"),
        ("fa", "سَلام", "سلام"),
    ],
)
def test_spellings_are_looked_up_as_wordfreq_lists_them(language, word, listed):
    found, expected = read_reference(f"wordfreq:{language}").frequencies([word, listed]).tolist()
    assert found == expected > 1e-6


def test_a_character_of_chinese_has_the_words_it_is_in():
    entries = wordfreq.get_frequency_dict("zh").items()
    slow = [sum(frequency * entry.count(char) for entry, frequency in entries) for char in "胞的细"]
    found = read_reference("wordfreq:zh").frequencies(["胞", "的", "细"]).tolist()
    assert [value / found[0] for value in found] == pytest.approx([value / slow[0] for value in slow])


def test_an_unknown_language_is_refused_with_the_known_ones():
    message = refusal("wordfreq:xx")
    assert message.startswith("wordfreq has no language 'xx'; choose from: ar, bg, bn, ca, cs, da, de, el, en, es, fa")
    assert message.endswith(", ur, vi, zh")
    assert refusal("wordfreq:").startswith("wordfreq has no language ''; choose from: ar")


def test_a_missing_wordfreq_is_named_with_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "wordfreq", None)
    expected = "the reference wordfreq:en needs the package wordfreq; install it: pip install wordfreq"
    assert refusal("wordfreq:en") == expected


@pytest.mark.parametrize("spec", ["wordfrq:en", "wordfreq"])
def test_an_unknown_reference_is_refused(spec):
    allowed = "wordfreq:LANGUAGE (such as wordfreq:en), a corpus or a counts file"
    assert refusal(spec) == f"unknown reference {spec!r}; give {allowed}"


def test_references_that_do_not_go_together_are_refused(corpora):
    path = corpora / "a.txt"
    expected = f"wordfreq:en, {path} cannot be added up; give wordfreq:LANGUAGE alone, or only files"
    assert refusal(["wordfreq:en", path]) == expected
    assert refusal([path, corpora / "a.parquet"]).startswith("the counts to add up overlap: ")
    assert refusal([]) == "no corpus was given; name at least one file, folder or glob"
    assert refusal(corpora / "no.txt") == f"{corpora}/no.txt does not exist; check the path"
    expected = f"column 'text' was given, but {corpora}/a.parquet holds counts already; leave it out"
    assert refusal(corpora / "a.parquet", "text") == expected


def test_a_column_without_a_corpus_to_read_is_refused():
    expected = "column 'text' was given, but wordfreq:en has no columns; leave it out"
    assert refusal("wordfreq:en", "text") == expected


def test_a_reference_without_words_is_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("... !!!\n")
    assert refusal(path) == f"the reference {path} contains no words; give one with text"


def test_counts_become_a_reference_without_a_file(corpora):
    reference = Reference.of_counts(count_corpus(corpora / "a.txt"), "mine")
    assert reference.frequencies(["cat"]).tolist() == [0.25]
    assert reference.name == "mine"


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("tr", "HAKKINDA Hakkında"),
        ("tr", "İSTANBUL istanbul i\u0307stanbul"),
        ("de", "STRASSE Straße STRAẞE"),
        ("el", "ΛΟΓΟΣ λογος λογοσ"),
        ("ro", "\u015fi \u0219i"),
        ("he", "שָׁלוֹם שלום"),
        ("ar", "كِتَاب كتــاب كتاب"),
        ("ko", "\u1112\u1161\u11ab\u1100\u116e\u11a8 한국"),
        ("vi", "Vie\u0323\u0302t việt"),
        ("hi", "\u092b\u093c\u093f\u0932\u094d\u092e \u095e\u093f\u0932\u094d\u092e"),
        ("en", "be\u00adcause BECAUSE ｂｅｃａｕｓｅ"),
    ],
)
def test_what_is_one_word_to_a_reader_has_the_frequency_of_the_word_list(language, text):
    types = set(split_words(text, language))
    assert len(types) == 1
    assert read_reference(f"wordfreq:{language}").frequencies([*types])[0] > 1e-7


def test_the_language_of_a_reference_is_in_its_name():
    assert [language_of(spec) for spec in ("wordfreq:tr", ["wordfreq:en"], ["a.txt"], ())] == ["tr", "en", None, None]
