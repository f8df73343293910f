"""spaCy from raw text to columns, with pipelines that the tests build."""

import functools
import importlib.util
import pickle
import subprocess
import sys

import pytest
from support.families import FAMILIES, tokenizer_of

from diffmask.core.errors import InputError
from diffmask.text.annotate import spacy_pipeline
from diffmask.text.annotate.spacy_pipeline import (
    ENTITIES,
    TAGS,
    UPOS,
    _load_pipeline,
    _needless_components,
    spacy_annotator,
)
from diffmask.text.annotate.span_file import CLASSES, SALIENT
from diffmask.text.segment.segmenter import segmenter_for

TEXTS = [
    "The rats don't sleep, Dr. Smith slept in New York well.",
    "",
    "😀 ﬁnal the-cells 细胞 and New   York1998",
    "In 1998 the naïve 👍🏽 rats and Malcolm X slept.",
]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """Return the folder of a pipeline with tags and entities."""
    pytest.importorskip("spacy")
    from support.pipelines import save_pipeline

    return save_pipeline(tmp_path_factory.mktemp("pipelines") / "both")


@functools.cache
def docs_of(folder, text):
    """Return what spaCy itself says about each text."""
    import spacy

    nlp = spacy.load(folder)
    return [nlp(line) for line in text.split("\n")]


def places(segments):
    """Return the text of each unit, and the first character of its word in it."""
    for word in segments.words.tolist():
        place = int(segments.surface_spans[word, 0])
        row = max(row for row, start in enumerate(segments.text_starts.tolist()) if start <= place)
        yield row, place - int(segments.text_starts[row])


def slow_tags(folder, segments):
    """Return the tag of each unit, by looking at every spaCy token for every unit."""
    found = []
    for row, place in places(segments):
        doc = docs_of(folder, segments.text)[row]
        token = next(token for token in doc if token.idx <= place < token.idx + len(token))
        found.append({"": None, "CONJ": "CCONJ"}.get(token.pos_, token.pos_))
    return found


def slow_entities(folder, segments):
    """Return the label of each unit's entity, and whether the unit is the first of one or in none."""
    labels, opens, before = [], [], None
    for row, place in places(segments):
        entities = docs_of(folder, segments.text)[row].ents
        found = next((span for span in entities if span.start_char <= place < span.end_char), None)
        labels.append(found.label_ if found else None)
        group = (row, found.start) if found else None
        opens.append(int(group is None or group != before))
        before = group
    return labels, opens


@pytest.mark.parametrize("units", ["word", "token"])
@pytest.mark.parametrize("family", FAMILIES)
def test_tags_and_entities_are_aligned_as_a_slow_search_does(pipeline, family, units):
    segments = segmenter_for(tokenizer_of(family), units)(TEXTS)
    tags = spacy_annotator(pipeline, CLASSES)
    assert tags.names == UPOS
    rows = tags(segments)["classes"]
    assert rows.dtype == "int32"
    assert [UPOS[row] if row >= 0 else None for row in rows.tolist()] == slow_tags(pipeline, segments)
    entities = spacy_annotator(pipeline, SALIENT)
    assert entities.names == ("DATE", "GPE", "PERSON")
    found = entities(segments)
    names = [entities.names[row] if row >= 0 else None for row in found["salient"].tolist()]
    assert (names, found["starts"].tolist()) == slow_entities(pipeline, segments)
    assert {"GPE", "PERSON", "DATE", None} == set(names)


def test_a_word_has_the_tag_of_its_first_character_and_an_entity_holds_its_punctuation(pipeline):
    segments = segmenter_for(tokenizer_of("BERT"))(TEXTS[:1])
    row_of = dict(zip(segments.surfaces, spacy_annotator(pipeline, CLASSES)(segments)["classes"].tolist(), strict=True))
    named = {word: UPOS[row] if row >= 0 else None for word, row in row_of.items()}
    # spaCy's tokens are "do" and "n't", our words "don" and "t"
    assert (named["don"], named["t"], named["smith"], named["well"]) == ("AUX", "PART", "PROPN", "ADV")
    salient = spacy_annotator(pipeline, SALIENT)(segments)
    inside = [word for word, row in zip(segments.surfaces, salient["salient"], strict=True) if row >= 0]
    assert inside == ["dr", ".", "smith", "new", "york"]


def test_long_texts_reach_the_pipeline_in_pieces(pipeline, monkeypatch):
    text = " ".join(f"The rats {number} slept in New York. " for number in range(40)) + "x" * 300
    segments = segmenter_for(tokenizer_of("ModernBERT"))([text, "the rats"])
    tags, entities = spacy_annotator(pipeline, CLASSES), spacy_annotator(pipeline, SALIENT)
    whole = tags(segments)["classes"].tolist(), entities(segments)["salient"].tolist()
    monkeypatch.setattr(spacy_pipeline, "_MAX_CHARS", 90)
    pieces = list(spacy_pipeline._pieces(text))
    assert len(pieces) > 10
    assert "".join(text[begin:end] for begin, end in pieces) == text
    assert (tags(segments)["classes"].tolist(), entities(segments)["salient"].tolist()) == whole


def test_annotators_are_small_and_their_key_follows_the_pipeline(pipeline, tmp_path):
    from support.pipelines import save_pipeline

    tags, entities = spacy_annotator(pipeline, CLASSES), spacy_annotator(pipeline, SALIENT)
    for annotator in (tags, entities):
        assert len(pickle.dumps(annotator)) < 1_000
        assert pickle.loads(pickle.dumps(annotator)) == annotator
    assert tags.key == entities.key
    same = save_pipeline(tmp_path / "same")
    assert spacy_annotator(same, CLASSES).key == tags.key
    # the same folder with other content, in the same process
    segments = segmenter_for(tokenizer_of("BERT"))(["rats"])
    assert spacy_annotator(same, CLASSES)(segments)["classes"].tolist() == [UPOS.index("NOUN")]
    other = spacy_annotator(save_pipeline(tmp_path / "same", tags={"rats": "VERB"}), CLASSES)
    assert other.key != tags.key
    assert other(segments)["classes"].tolist() == [UPOS.index("VERB")]


def test_only_components_that_are_needed_are_run(tmp_path):
    pytest.importorskip("spacy")
    from support.pipelines import save_pipeline

    folder = save_pipeline(tmp_path / "both", sents="sentencizer")
    assert _load_pipeline(folder, TAGS, "").pipe_names == ["attribute_ruler"]
    # rules for entities may read tags
    assert _load_pipeline(folder, ENTITIES, "").pipe_names == ["sents", "attribute_ruler", "entity_ruler"]


def test_a_shared_embedding_is_run_for_those_that_read_it():
    pytest.importorskip("spacy")
    import spacy

    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96}
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    nlp.add_pipe("tagger", config={"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": listener}})
    for name in ("parser", "attribute_ruler", "lemmatizer", "ner"):
        nlp.add_pipe(name)
    nlp = spacy.util.load_model_from_config(nlp.config)
    assert _needless_components(nlp, TAGS) == ["parser", "lemmatizer", "ner"]
    assert _needless_components(nlp, ENTITIES) == ["tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer"]


def test_all_is_run_where_a_component_is_the_users_own(tmp_path):
    pytest.importorskip("spacy")
    import spacy
    from spacy.language import Language

    @Language.component("finds_rats", assigns=["doc.ents"])
    def finds_rats(doc):
        doc.ents = [spacy.tokens.Span(doc, token.i, token.i + 1, "RAT") for token in doc if token.text == "rats"]
        return doc

    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("finds_rats")
    nlp.to_disk(tmp_path / "own")
    assert _needless_components(nlp, ENTITIES) == []
    annotator = spacy_annotator(str(tmp_path / "own"), SALIENT)
    assert annotator.names == ("other",)
    segments = segmenter_for(tokenizer_of("BERT"))(["the rats slept"])
    assert annotator(segments)["salient"].tolist() == [-1, 0, -1]


def test_without_spacy(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "spacy" else find_spec(name))
    message = (
        "spacy:en_core_web_sm needs spaCy, which is not installed; install it: pip install 'diffmask[spacy]', or use "
        "classes=frequency, shape, tf-icf or file:PATH, which need no pipeline"
    )
    with pytest.raises(InputError) as error:
        spacy_annotator("en_core_web_sm", CLASSES)
    assert str(error.value) == message
    with pytest.raises(InputError, match=r"or use spans=rule, gazetteer:PATH or file:PATH, which need no pipeline$"):
        spacy_annotator("en_core_web_sm", SALIENT)


def test_pipelines_that_are_not_there(tmp_path):
    pytest.importorskip("spacy")
    with pytest.raises(InputError) as error:
        spacy_annotator("xx_absent_sm", CLASSES)
    assert str(error.value) == (
        "the spaCy pipeline 'xx_absent_sm' is not installed; install it: python -m spacy download xx_absent_sm, or use "
        "classes=frequency, shape, tf-icf or file:PATH, which need no pipeline"
    )
    with pytest.raises(InputError, match=r"pipelines/absent' is not installed; check the path, or use spans=rule"):
        spacy_annotator("pipelines/absent", SALIENT)
    with pytest.raises(InputError, match=r"is not a spaCy pipeline, it has no config.cfg; give the folder"):
        spacy_annotator(str(tmp_path), CLASSES)


def test_pipelines_that_do_not_find_what_is_wanted(tmp_path):
    pytest.importorskip("spacy")
    from support.pipelines import save_pipeline

    without_tags = save_pipeline(tmp_path / "entities", tags=None)
    with pytest.raises(InputError) as error:
        spacy_annotator(without_tags, CLASSES)
    assert str(error.value) == (
        f"the spaCy pipeline {without_tags!r} finds no parts of speech (its components: entity_ruler); use one with a "
        "morphologizer or an attribute_ruler, such as en_core_web_sm, or use classes=frequency, shape, tf-icf or "
        "file:PATH, which need no pipeline"
    )
    without_entities = save_pipeline(tmp_path / "tags", entities=None)
    with pytest.raises(InputError) as error:
        spacy_annotator(without_entities, SALIENT)
    assert str(error.value) == (
        f"the spaCy pipeline {without_entities!r} finds no entities (its components: attribute_ruler); use one with "
        "ner or an entity_ruler, such as en_core_web_sm, or use spans=rule, gazetteer:PATH or file:PATH, which need no "
        "pipeline"
    )
    assert spacy_annotator(without_entities, CLASSES).key


def test_a_pipeline_that_cannot_be_loaded(tmp_path):
    pytest.importorskip("spacy")
    from support.pipelines import save_pipeline

    folder = save_pipeline(tmp_path / "broken")
    config = tmp_path / "broken" / "config.cfg"
    config.write_text(config.read_text().replace('factory = "entity_ruler"', 'factory = "no_such_factory"'))
    with pytest.raises(
        InputError, match=r"cannot be loaded \(\[E002\] Can't find factory for 'no_such_factory'"
    ) as error:
        spacy_annotator(folder, CLASSES)
    assert str(error.value).endswith("install it again, or " + spacy_pipeline._INSTEAD[TAGS])


def test_spacy_is_imported_only_when_asked_for():
    code = "import sys, diffmask.text.annotate.spacy_pipeline; sys.exit('spacy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
