"""Classes of words by frequency, TF-ICF and shape."""

from collections import Counter
from types import SimpleNamespace

import pytest
import torch
import wordfreq
from support.families import FAMILIES, tokenizer_of

from diffmask.text.anchors.vocabulary import Vocabulary
from diffmask.text.annotate.word_classes import SHAPES, _shape_of, frequency_classes, shape_classes, tf_icf_classes
from diffmask.text.corpus.counts import Counts
from diffmask.text.corpus.reference import Reference
from diffmask.text.segment.segmenter import segmenter_for

TEXT = "The kinase, 3.5 inhibits gefitinib Xqzvkj 😀 细胞"


def named(annotator, text, family="ModernBERT", units="word"):
    segments = segmenter_for(tokenizer_of(family), units)([text])
    classes = annotator(segments)["classes"]
    assert classes.dtype == "int32"
    names = [annotator.names[row] if row >= 0 else None for row in classes.tolist()]
    return list(zip(segments.surfaces, names, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_frequency_bands_are_those_of_wordfreq(family):
    found = dict(named(frequency_classes(), "the cell kinase phosphorylation gefitinib, 37", family))
    for word in ("the", "cell", "kinase", "phosphorylation"):
        zipf = wordfreq.zipf_frequency(word, "en")
        low, high = ("-inf", "2") if zipf < 2 else ("7", "inf") if zipf >= 7 else (int(zipf), int(zipf) + 1)
        expected = {("-inf", "2"): "zipf < 2", ("7", "inf"): "zipf >= 7"}.get((low, high), f"zipf {low}-{high}")
        assert found[word] == expected, (word, zipf)
    assert found[","] == "punctuation"
    assert found["37"] == "number"


def test_what_is_no_known_word_has_a_class_of_its_own():
    found = named(frequency_classes(), TEXT)
    assert dict(found)["xqzvkj"] == "unknown"
    assert [word for word, name in found if name == "number"] == ["3", "5"]
    assert [word for word, name in found if name == "punctuation"] == [",", ".", "😀"]


def test_frequency_knows_other_languages_and_its_key_tells_them_apart():
    assert dict(named(frequency_classes("is"), "og"))["og"] == "zipf >= 7"
    assert dict(named(frequency_classes("en"), "og"))["og"] != "zipf >= 7"
    assert dict(named(frequency_classes("zh"), "的"))["的"].startswith("zipf")
    assert frequency_classes("is").key != frequency_classes("en").key


def test_a_token_of_several_chinese_words_has_the_class_of_the_first():
    from diffmask.text.annotate.word_classes import _frequency_class

    assert _frequency_class("zh", "的细") == _frequency_class("zh", "的") != _frequency_class("zh", "细")


def vocabulary(counts):
    counted = Counts(Counter(counts), 1)
    return Vocabulary.compare(counted, Reference.of_counts(Counts(Counter(the=500, cell=10, dog=490), 1), "small"))


def test_tf_icf_bands_are_those_of_the_anchors():
    found = vocabulary({"the": 50, "cell": 20, "kinase": 25, "37": 5})
    anchors = SimpleNamespace(types=found.types, tf_icf=found.tf_icf)
    assert found.tf_icf[found.types.index("cell")].item() == pytest.approx(20.0, rel=1e-3)
    classes = tf_icf_classes(anchors)
    got = dict(named(classes, "The cell kinase 37 42, dog 😀"))
    assert got["the"] == "tf-icf < 1"
    assert got["cell"] == "tf-icf 10-30"
    assert got["kinase"] == "tf-icf >= 100"
    assert got["dog"] == "unknown"
    assert got["37"] == got["42"] == "number"
    assert got[","] == got["😀"] == "punctuation"


def test_a_bound_belongs_to_the_band_above_it():
    classes = tf_icf_classes(SimpleNamespace(types=["cell", "dog"], tf_icf=torch.tensor([10.0, 9.999])))
    assert dict(named(classes, "cell dog")) == {"cell": "tf-icf 10-30", "dog": "tf-icf 3-10"}


def test_the_key_of_tf_icf_follows_the_table():
    found = vocabulary({"the": 50, "cell": 20})
    one = tf_icf_classes(SimpleNamespace(types=found.types, tf_icf=found.tf_icf))
    same = tf_icf_classes(SimpleNamespace(types=found.types, tf_icf=found.tf_icf + 1e-9))
    other = tf_icf_classes(SimpleNamespace(types=found.types, tf_icf=found.tf_icf * 100))
    assert one.key == same.key != other.key


WORDS = {
    "lower case": "kinase naïve ﬁnal α ß ñ",
    "Capitalised": "Smith A Élan Москва ǅ",
    "UPPER CASE": "DNA ΔΨ",
    "mIxed case": "mRNA McDonald IgG",
    "with digits": "p53 BRCA1 x²",
    "number": "37 ½ Ⅳ ٣",
    "punctuation": ". ( % — ،",
    "symbol": "+ 😀 € °",
    "without spaces": "胞 ภ ひ 〇",
    "other script": "في हिन्दी 한국어 שלום",
}


@pytest.mark.parametrize(("name", "word"), [(name, word) for name, words in WORDS.items() for word in words.split()])
def test_shapes(name, word):
    assert _shape_of(word) == name


def test_shapes_are_all_tested():
    assert tuple(WORDS) == SHAPES


@pytest.mark.parametrize("family", FAMILIES)
def test_shape_is_read_from_the_text_even_where_the_tokenizer_lowers_it(family):
    found = dict(named(shape_classes(), "The mRNA of DNA, kinase 37", family))
    expected = {"the": "Capitalised", "mrna": "mIxed case", "dna": "UPPER CASE", "kinase": "lower case", "37": "number"}
    assert expected.items() <= found.items()
    assert found[","] == "punctuation"
