from itertools import permutations

import numpy as np
import pytest
import torch
from support.domain import SENTENCES, documents, domain_anchors
from support.families import FAMILIES, tokenizer_of
from support.tiny import tiny_tokenizer

from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.core.policy import linear_weights
from diffmask.core.schedule import Constant, Linear
from diffmask.core.units import Units
from diffmask.policies.difference import Difference
from diffmask.policies.uniform import Uniform
from diffmask.report.text.cut import Cut
from diffmask.report.text.look import DOMAIN, FUNCTION, TRAITS, TextLook, Traits
from diffmask.report.text.preview import NUM_DRAWS, Figures, PreviewSettings, TextPreview, read
from diffmask.text.adapter import text_adapter
from diffmask.text.annotate.salient import salient_rule
from diffmask.text.annotate.word_classes import shape_classes


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def maskers():
    anchors = domain_anchors()
    return {"uniform": Masker(Uniform()), "difference": Masker(Difference(anchors.scores, anchors.unknown_score))}


def looks(tokenizer, units="word"):
    return {name: TextLook(masker, text_adapter(tokenizer, units)) for name, masker in maskers().items()}


def look(tokenizer, units="word", texts=None, **settings):
    settings = PreviewSettings(max_length=32, **settings)
    return TextPreview.of(documents(texts), looks(tokenizer, units), domain_anchors(), tokenizer, settings)


def plain(tokenizer, units="word"):
    return looks(tokenizer, units)["uniform"]


def inclusion(masker, units, num_draws):
    class Given:
        granularity = "word"

        def units(self, batch, step, ratio=1.0):
            return units

    return TextLook(masker, Given()).draw({}, num_draws).probabilities


def units_of_one_position(num_units):
    return Units(
        torch.arange(num_units)[None], torch.ones(1, num_units, dtype=torch.bool), torch.tensor([3]),
        torch.arange(num_units)[None],
    )  # fmt: skip


def test_probabilities_against_enumeration():
    weights = [1.0, 2.0, 3.0, 6.0]
    masker = Masker(Difference(torch.tensor(weights)), ratio=Constant(0.5), weighting=linear_weights)
    exact = [0.0] * 4
    for first, second in permutations(range(4), 2):
        chance = weights[first] / 12 * weights[second] / (12 - weights[first])
        exact[first] += chance
        exact[second] += chance
    found = inclusion(masker, units_of_one_position(4), 4000)[0]
    assert found.tolist() == pytest.approx(exact, abs=4 * (0.25 / 4000) ** 0.5)
    assert sum(exact) == pytest.approx(2)


def test_the_masks_are_those_of_training():
    masker = Masker(Uniform(), ratio=Linear(0.0, 0.8), seed=5)
    units = units_of_one_position(10)
    slow = sum(masker(units, step, 50).double() for step in range(50)) / 50
    assert torch.equal(inclusion(masker, units, 50), slow)
    assert 0.3 < slow.mean() < 0.5  # the mean over the schedule


def test_words_stand_where_they_are_in_the_text(tokenizer):
    texts = ["The KINASES, of  a rat!", "phosphorylation was (found)."]
    cut = Cut.of_texts([(text, text) for text in texts], tokenizer, plain(tokenizer), domain_anchors().types)
    shown = [[text[span.start : span.stop] for span in spans] for text, spans in zip(texts, cut.spans, strict=True)]
    assert shown == [["The", "KINASES", ",", "of", "a", "rat"], ["phosphorylation", "was", "found", "."]]
    for row, spans in enumerate(cut.spans):
        surfaces = [cut.surfaces[cut.surface_rows[row, span.unit]] for span in spans]
        assert surfaces == [word.lower() for word in shown[row]]
    types = domain_anchors().types
    assert [cut.batch["types"][0, span.unit].item() for span in cut.spans[0]] == [
        types.index("the"), -1, -1, types.index("of"), types.index("a"), types.index("rat")
    ]  # fmt: skip


def test_tokens_stand_where_they_are_in_the_text(tokenizer):
    texts = ["The kinases [SEP] phosphorylation."]
    cut = Cut.of_texts([(text, text) for text in texts], tokenizer, plain(tokenizer, "token"), domain_anchors().types)
    shown = [texts[0][span.start : span.stop] for span in cut.spans[0]]
    assert shown == ["The", "kinase", "s", "phos", "pho", "ryl", "ation", "."]
    surfaces = [cut.surfaces[cut.surface_rows[0, span.unit]] for span in cut.spans[0]]
    assert surfaces == ["the", "kinases", "kinases", *["phosphorylation"] * 4, "."]


@pytest.mark.parametrize("units", ["word", "token"])
def test_documents_are_cut_into_the_rows_of_training(tokenizer, units):
    given = plain(tokenizer, units)
    text = "the kinase was found in the phosphorylation of kinases , we found ." * 4
    cut = Cut.of_documents([text, "a rat"], tokenizer, given, domain_anchors().types, max_length=16)
    cut_units = given.adapter.units(cut.batch, 0)
    assert len(cut_units.eligible) > 3 and cut_units.to_positions(cut_units.eligible).shape[1] == 16
    assert cut_units.lengths.sum() == len(tokenizer(text, add_special_tokens=False)["input_ids"]) + 2
    held = cut.surface_rows >= 0
    assert torch.equal(held, cut_units.eligible)
    named = [cut.surfaces[row] for row in cut.surface_rows[held].tolist()]
    rows = {word: row for row, word in enumerate(domain_anchors().types)}
    assert cut_units.types[held].tolist() == [rows.get(name, -1) for name in named]


def test_figures_against_a_slow_loop(tokenizer):
    given, types = looks(tokenizer)["difference"], domain_anchors().types
    rows = Cut.of_documents(SENTENCES * 3, tokenizer, given, types, max_length=16)
    traits = Traits(domain_anchors(), 10.0)
    figures, lengths = Figures.measure(given, rows, traits.of(rows.surfaces))
    units = given.adapter.units(rows.batch, 0)
    assert torch.equal(lengths, units.lengths)
    masked_positions, positions, domain, function = 0, 0, 0, 0
    for step in range(40):
        masked = given.masker(units, step, 40)
        for row in range(len(masked)):
            for unit in units.unit_ids[row].tolist():
                if unit < 0 or not units.eligible[row, unit]:
                    continue
                positions += 1
                if masked[row, unit]:
                    word = rows.surfaces[rows.surface_rows[row, unit]]
                    masked_positions += 1
                    domain += traits.is_domain(word)
                    function += traits.is_function(word)
    assert figures.ratio == pytest.approx(masked_positions / positions)
    assert figures.shares[DOMAIN] == pytest.approx(domain / masked_positions)
    assert figures.shares[FUNCTION] == pytest.approx(function / masked_positions)


@pytest.mark.parametrize("units", ["word", "token"])
def test_difference_masking_hides_the_domain_and_random_masking_hides_the_text(tokenizer, units):
    turned = [" ".join([*SENTENCES[turn:], *SENTENCES[:turn]] * times) for turn in range(3) for times in (1, 2)]
    preview = look(tokenizer, units, texts=turned)
    uniform, difference = preview.figures["uniform"], preview.figures["difference"]
    assert uniform.ratio == pytest.approx(0.15, abs=0.02) and difference.ratio == pytest.approx(0.15, abs=0.02)
    for trait in TRAITS:
        assert uniform.shares[trait] == pytest.approx(preview.text_shares[trait], abs=0.06)
    assert difference.shares[DOMAIN] > preview.text_shares[DOMAIN] + 0.2
    assert difference.shares[FUNCTION] < preview.text_shares[FUNCTION] - 0.2
    assert not uniform.most and not uniform.least
    assert difference.most[0][0] == "kinase" and "the" in dict(difference.least)
    assert difference.most[0][1] >= difference.most[-1][1] > difference.least[-1][1] >= difference.least[0][1]


def test_a_reading_belongs_to_its_spans(tokenizer):
    given = looks(tokenizer)["difference"]
    cut = Cut.of_texts([(text, text) for text in SENTENCES], tokenizer, given, domain_anchors().types)
    readings = read(given, cut)
    masked = given.masker(given.adapter.units(cut.batch, 0), 0, NUM_DRAWS)
    for row, (reading, spans) in enumerate(zip(readings, cut.spans, strict=True)):
        assert len(reading.probabilities) == len(spans) == len(reading.masked)
        assert reading.masked == [bool(masked[row, span.unit]) for span in spans]
        words = [SENTENCES[row][span.start : span.stop].lower() for span in spans]
        by_word = dict(zip(words, reading.probabilities, strict=True))
        assert by_word["kinase"] > by_word["the"]


def test_the_same_corpus_gives_the_same_preview(tokenizer, monkeypatch):
    monkeypatch.setattr("diffmask.report.text.preview.NUM_DRAWS", 20)
    assert look(tokenizer) == look(tokenizer)


def test_a_corpus_that_the_tokenizer_does_not_know_is_refused(tokenizer):
    with pytest.raises(InputError, match=r"the corpus holds no token that can be masked; give other text or a tokeniz"):
        look(tokenizer, texts=["\u6f22\u5b57 \u6f22"])


def test_spans_are_shown_by_the_words_that_they_are_made_of(tokenizer):
    given = {name: TextLook(masker, text_adapter(tokenizer, "span")) for name, masker in maskers().items()}
    preview = TextPreview.of(documents(), given, domain_anchors(), tokenizer, PreviewSettings(max_length=32))
    plain_preview = look(tokenizer)
    assert preview.spans == plain_preview.spans
    assert preview.figures["uniform"].ratio == pytest.approx(0.15, abs=0.02)
    assert preview.figures["difference"].shares[DOMAIN] > preview.text_shares[DOMAIN]


def test_without_anchors_no_word_is_of_the_domain_and_bands_are_those_of_english(tokenizer):
    given = {"uniform": plain(tokenizer)}
    preview = TextPreview.of(documents(), given, None, tokenizer, PreviewSettings(max_length=32))
    assert preview.text_shares[DOMAIN] == 0
    assert preview.text_shares[FUNCTION] > 0.3
    bands = preview.text_shares.keys() - {DOMAIN, FUNCTION}
    assert sum(preview.text_shares[band] for band in bands) == pytest.approx(1)


def test_annotators_read_the_document_that_an_excerpt_stands_in(tokenizer):
    class Numbered:
        columns, key = ("classes",), "numbered"

        def __call__(self, segments):
            assert segments.text == document
            return {"classes": np.arange(len(segments.words), dtype=np.int32)}

    document = "We  found a rat.\tThe rat was found in , the blood , of a cell.\nThe kinase binds."
    excerpt = "The rat was found in , the blood , of a ce"
    given = TextLook(Masker(Uniform()), text_adapter(tokenizer, features=("classes",)), (Numbered(),))
    cut = Cut.of_texts([(excerpt, document)], tokenizer, given, [])
    shown = [excerpt[span.start : span.stop] for span in cut.spans[0]]
    words = [*"We found a rat . The rat was found in , the blood , of a cell . The kinase binds .".split()]
    numbers = cut.batch["classes"][0].tolist()
    assert [words[number] for number in numbers[: len(shown)]][:-1] == shown[:-1]


@pytest.mark.parametrize(
    ("excerpt", "document"),
    [
        ("", "the kinase"),
        ("\U0001f600", "\U0001f600"),
        ("the kinase", "of the \x1c kinase was"),
        ("the kin", "the kinase inhibits"),
        ("a " + "x" * 90, "a " + "x" * 150 + " of the rat"),
        ("", ""),
    ],
)
def test_an_excerpt_need_not_have_the_words_of_its_document(tokenizer, excerpt, document):
    given = TextLook(Masker(Uniform()), text_adapter(tokenizer, "group", features=("salient",)), (salient_rule(),))
    cut = Cut.of_texts([(excerpt, document), ("the rat", "we found the rat")], tokenizer, given, [])
    units = given.adapter.units(cut.batch, 0)
    assert units.eligible[1].sum() == 2


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {"T5", "GPT-NeoX"}))
def test_excerpts_of_every_kind_of_text_are_found_in_their_documents(family):
    texts = [
        "激酶在细胞中。我们发现了大鼠。 The kinase\u00a0inhibits\x1ethe protein。",
        "a\u200bb \ufeff end\x1c of qStra\u00dfe. x",
    ]
    tokenizer = tokenizer_of(family)
    given = TextLook(Masker(Uniform()), text_adapter(tokenizer, features=("classes",)), (shape_classes(),))
    for text in texts:
        packed = " ".join(text.split())
        pieces = [packed[start:stop] for start in range(0, len(packed), 3) for stop in (start + 5, start + 12)]
        cut = Cut.of_texts([(piece, text) for piece in pieces], tokenizer, given, [])
        assert cut.batch["classes"].shape == cut.batch["types"].shape
