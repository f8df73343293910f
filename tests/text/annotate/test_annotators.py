"""What all annotators keep to, on texts that are awkward, from names in a config to columns beside the tokens."""

import json
import pickle
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from support.families import FAMILIES, tokenizer_of

from diffmask.assemble.annotators import CLASSES, SPANS, class_annotator, salient_annotator
from diffmask.core.errors import InputError
from diffmask.text.anchors.vocabulary import Vocabulary
from diffmask.text.corpus.counts import Counts
from diffmask.text.corpus.reference import Reference
from diffmask.text.segment.rows import Annotator
from diffmask.text.segment.segmenter import segmenter_for
from diffmask.text.segment.tokenise import TokeniseSettings, tokenise

TEXTS = [
    "The BRCA1-mutated cells don't grow (in vitro) in New York in May 1998: 37 °C!",
    "",
    "great 😀👍🏽 well❤️ 👨‍👩‍👧 🇩🇪🇩🇪 end",
    "The 细胞 protein激酶抑制剂 works",
    "naïve ﬁnal™ x² ½ Ⅳ café IL-2",
    "البروتين kinase في الخلية، نعم",
    "New\n\nYork [SEP] </s> \u0e5a",
    " \t",
]
SPECS = ["frequency", "shape", "tf-icf", "file:words.tsv", "file:spans.jsonl", "spacy:pipeline"]
SALIENT_SPECS = ["rule", "gazetteer:phrases.txt", "file:spans.jsonl", "spacy:pipeline"]
CASES = [("classes", spec) for spec in SPECS] + [("salient", spec) for spec in SALIENT_SPECS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a lexicon, a gazetteer, a span file and, where spaCy is installed, a pipeline."""
    folder = tmp_path_factory.mktemp("annotators")
    (folder / "words.tsv").write_text("the\tfunction\nkinase\tprotein\n细\tcell\n", encoding="utf-8")
    (folder / "phrases.txt").write_text("New York\tplace\n细胞\tcell\nBRCA1 mutated cells\n", encoding="utf-8")
    spans = {TEXTS[0]: [[4, 23, "GROUP"], [4, 9, "GENE"]], TEXTS[3]: [[4, 6, "CELL"]], TEXTS[6]: [[0, 9, "PLACE"]]}
    rows = [{"text": text, "spans": spans.get(text, [])} for text in TEXTS]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (folder / "spans.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def anchors():
    counted = Counts(Counter({"the": 50, "kinase": 20, "37": 3, "细": 2}), 1)
    found = Vocabulary.compare(counted, Reference.of_counts(Counts(Counter(the=500, kinase=1), 1), "small"))
    return SimpleNamespace(types=found.types, tf_icf=found.tf_icf)


@pytest.fixture
def build(folder, anchors):
    """Return what builds the annotator of a case."""

    def built(kind, spec):
        name, _, argument = spec.partition(":")
        if name == "spacy":
            pytest.importorskip("spacy")
            from support.pipelines import save_pipeline

            if not (folder / argument).exists():
                save_pipeline(folder / argument)
        argument = str(folder / argument) if (folder / argument).exists() and argument else argument
        spec = f"{name}:{argument}" if argument else name
        return class_annotator(spec, anchors) if kind == "classes" else salient_annotator(spec)

    return built


def test_every_name_is_tested():
    assert {spec.partition(":")[0] for spec in SPECS} == set(CLASSES)
    assert {spec.partition(":")[0] for spec in SALIENT_SPECS} == set(SPANS)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("kind", "spec"), CASES)
def test_all_annotators(build, kind, spec, family):
    annotator = build(kind, spec)
    assert isinstance(annotator, Annotator)
    assert annotator.columns == (("classes",) if kind == "classes" else ("salient", "starts"))
    assert len(set(annotator.names)) == len(annotator.names) > 1
    tokenizer = tokenizer_of(family)
    segments = segmenter_for(tokenizer)(TEXTS)
    found = annotator(segments)
    assert tuple(found) == annotator.columns
    for column in found.values():
        assert column.dtype == np.int32
        assert column.shape == segments.words.shape
    assert set(found[kind].tolist()) <= set(range(-1, len(annotator.names)))
    assert len(set(found[kind].tolist())) > 1  # something is told apart
    # a text has the same values in whatever batch
    alone = [annotator(segmenter_for(tokenizer)([text])) for text in TEXTS]
    for name, column in found.items():
        assert column.tolist() == [value for values in alone for value in values[name].tolist()]
    # a token has the value of its word
    tokens = segmenter_for(tokenizer, "token")(TEXTS)
    of_token = annotator(tokens)
    words = segments.units[segments.units >= 0]
    assert of_token[kind].tolist() == found[kind][words].tolist()
    if kind == "salient":
        first = np.append(True, words[1:] != words[:-1])
        expected = np.where(found[kind][words] < 0, 1, first & (found["starts"][words] == 1))
        assert of_token["starts"].tolist() == expected.tolist()
        assert found["starts"][0] == 1
        assert (found["starts"][found["salient"] < 0] == 1).all()


@pytest.mark.parametrize(("kind", "spec"), CASES)
def test_no_texts_have_empty_columns_and_a_copy_gives_the_same(build, kind, spec):
    annotator = build(kind, spec)
    segmenter = segmenter_for(tokenizer_of("BERT"))
    for texts in ([], [""], ["", " "]):
        assert {len(column) for column in annotator(segmenter(texts)).values()} == {0}
    copy = pickle.loads(pickle.dumps(annotator))
    segments = segmenter(TEXTS)
    expected = {name: column.tolist() for name, column in annotator(segments).items()}
    assert {name: column.tolist() for name, column in copy(segments).items()} == expected
    assert copy.key == annotator.key == build(kind, spec).key


def test_keys_tell_annotators_apart(build):
    keys = {(kind, spec): build(kind, spec).key for kind, spec in CASES if not spec.startswith("spacy")}
    assert len(set(keys.values())) == len(keys)


@pytest.mark.parametrize(
    ("spec", "label", "num_processes"),
    [
        ("rule", "name", 1),
        ("spacy:pipeline", "GPE", 1),
        pytest.param("spacy:pipeline", "GPE", 2, marks=pytest.mark.slow),
    ],
)
def test_from_raw_text_to_columns(build, tmp_path, spec, label, num_processes):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("The rats slept in New York.\n\nThe cells don't grow!\n", encoding="utf-8")
    spans, shape = build("salient", spec), build("classes", "shape")
    settings = TokeniseSettings(max_length=32, num_processes=num_processes, annotators=(spans, shape))
    rows = tokenise(corpus, tokenizer_of("BERT"), settings, None, tmp_path / "cache")
    place = spans.names.index(label)
    assert rows["salient"][0] == [-1, -1, -1, -1, place, place, -1]
    assert rows["starts"][0] == [1, 1, 1, 1, 1, 0, 1]
    shapes = [shape.names[row] for row in rows["classes"][1]]
    assert shapes[:3] == ["Capitalised", "lower case", "lower case"]
    assert shapes[-1] == "punctuation"


REFUSED_CLASSES = {
    "pos": "unknown classes 'pos'; choose from: file, frequency, shape, spacy, tf-icf",
    "tf-icf": "the classes `tf-icf` need anchors; make them with `diffmask anchors DATA --model MODEL -o anchors/` and "
    "set masking.anchors=anchors/, or use the classes `frequency`, which need nothing",
    "frequency:xx": "wordfreq has no language 'xx'; choose from: ar, ",
    "shape:en": "'shape:en' names something behind the colon, but 'shape' takes nothing; write shape",
    "spacy": "'spacy' lacks the name or folder of a pipeline, such as en_core_web_sm; write it behind a colon, "
    "as in spacy:NAME",
    "file:": "'file:' lacks a file: words and classes in a .tsv or .csv, or annotated texts in a .jsonl; write "
    "it behind a colon, as in file:NAME",
    "file:absent.csv": "the class file ",
    "file:absent.jsonl": "the span file ",
    "file:absent.txt": "the class file absent.txt is neither a .tsv or .csv, with a word and its class in each line, "
    "nor a .jsonl, with an annotated text in each; name it for what it is",
}
REFUSED_SPANS = {
    "entities": "unknown spans 'entities'; choose from: file, gazetteer, rule, spacy",
    "rule:en": "'rule:en' names something behind the colon, but 'rule' takes nothing; write rule",
    "gazetteer": "'gazetteer' lacks a file with a phrase in each line; write it behind a colon, as in gazetteer:NAME",
    "file": "'file' lacks a file of annotated texts, a .jsonl; write it behind a colon, as in file:NAME",
}


@pytest.mark.parametrize("spec", REFUSED_CLASSES)
def test_classes_that_are_refused(spec):
    with pytest.raises(InputError) as error:
        class_annotator(spec, None)
    assert str(error.value).startswith(REFUSED_CLASSES[spec])


@pytest.mark.parametrize("spec", REFUSED_SPANS)
def test_spans_that_are_refused(spec):
    with pytest.raises(InputError) as error:
        salient_annotator(spec)
    assert str(error.value) == REFUSED_SPANS[spec]
