from itertools import permutations

import pytest
import torch
from domain import SENTENCES, documents, domain_anchors
from tiny import tiny_tokenizer

from diffmask.core.errors import InputError
from diffmask.core.masker import Masker
from diffmask.core.policy import linear_weights
from diffmask.core.schedule import Constant, Linear
from diffmask.core.units import Units
from diffmask.policies.difference import Difference
from diffmask.policies.uniform import Uniform
from diffmask.report.cut import cut_documents, cut_texts
from diffmask.report.preview import NUM_DRAWS, PreviewSettings, inclusion, make_preview, measure, read
from diffmask.report.traits import DOMAIN, FUNCTION, TRAITS, Traits
from diffmask.text.adapter import text_adapter


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def maskers():
    anchors = domain_anchors()
    return {"uniform": Masker(Uniform()), "difference": Masker(Difference(anchors.scores, anchors.unknown_score))}


def look(tokenizer, units="word", texts=None, **settings):
    settings = PreviewSettings(max_length=32, **settings)
    return make_preview(
        documents(texts), maskers(), domain_anchors(), tokenizer, text_adapter(tokenizer, units), settings
    )


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
    cut = cut_texts(texts, tokenizer, text_adapter(tokenizer), domain_anchors().types)
    shown = [[text[span.start : span.stop] for span in spans] for text, spans in zip(texts, cut.spans, strict=True)]
    assert shown == [["The", "KINASES", ",", "of", "a", "rat"], ["phosphorylation", "was", "found", "."]]
    for row, spans in enumerate(cut.spans):
        surfaces = [cut.surfaces[cut.surface_rows[row, span.unit]] for span in spans]
        assert surfaces == [word.lower() for word in shown[row]]
    types = domain_anchors().types
    assert [cut.units.types[0, span.unit].item() for span in cut.spans[0]] == [
        types.index("the"), -1, -1, types.index("of"), types.index("a"), types.index("rat")
    ]  # fmt: skip


def test_tokens_stand_where_they_are_in_the_text(tokenizer):
    texts = ["The kinases [SEP] phosphorylation."]
    cut = cut_texts(texts, tokenizer, text_adapter(tokenizer, "token"), domain_anchors().types)
    shown = [texts[0][span.start : span.stop] for span in cut.spans[0]]
    assert shown == ["The", "kinase", "s", "phos", "pho", "ryl", "ation", "."]
    surfaces = [cut.surfaces[cut.surface_rows[0, span.unit]] for span in cut.spans[0]]
    assert surfaces == ["the", "kinases", "kinases", *["phosphorylation"] * 4, "."]


@pytest.mark.parametrize("units", ["word", "token"])
def test_documents_are_cut_into_the_rows_of_training(tokenizer, units):
    adapter = text_adapter(tokenizer, units)
    text = "the kinase was found in the phosphorylation of kinases , we found ." * 4
    cut = cut_documents([text, "a rat"], tokenizer, adapter, domain_anchors().types, max_length=16)
    assert len(cut.units.eligible) > 3 and cut.units.to_positions(cut.units.eligible).shape[1] == 16
    assert cut.units.lengths.sum() == len(tokenizer(text, add_special_tokens=False)["input_ids"]) + 2
    held = cut.surface_rows >= 0
    assert torch.equal(held, cut.units.eligible)
    named = [cut.surfaces[row] for row in cut.surface_rows[held].tolist()]
    rows = {word: row for row, word in enumerate(domain_anchors().types)}
    assert cut.units.types[held].tolist() == [rows.get(name, -1) for name in named]


def test_figures_against_a_slow_loop(tokenizer):
    adapter, types = text_adapter(tokenizer), domain_anchors().types
    rows = cut_documents(SENTENCES * 3, tokenizer, adapter, types, max_length=16)
    traits = Traits(domain_anchors(), 10.0)
    masker = maskers()["difference"]
    figures = measure(masker, rows, traits.of(rows.surfaces))
    masked_positions, positions, domain, function = 0, 0, 0, 0
    for step in range(40):
        masked = masker(rows.units, step, 40)
        for row in range(len(masked)):
            for unit in rows.units.unit_ids[row].tolist():
                if unit < 0 or not rows.units.eligible[row, unit]:
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
    cut = cut_texts(SENTENCES, tokenizer, text_adapter(tokenizer), domain_anchors().types)
    readings = read(maskers()["difference"], cut)
    masked = maskers()["difference"](cut.units, 0, NUM_DRAWS)
    for row, (reading, spans) in enumerate(zip(readings, cut.spans, strict=True)):
        assert len(reading.probabilities) == len(spans) == len(reading.masked)
        assert reading.masked == [bool(masked[row, span.unit]) for span in spans]
        words = [SENTENCES[row][span.start : span.stop].lower() for span in spans]
        by_word = dict(zip(words, reading.probabilities, strict=True))
        assert by_word["kinase"] > by_word["the"]


def test_the_same_corpus_gives_the_same_preview(tokenizer, monkeypatch):
    monkeypatch.setattr("diffmask.report.preview.NUM_DRAWS", 20)
    assert look(tokenizer) == look(tokenizer)


def test_a_corpus_that_the_tokenizer_does_not_know_is_refused(tokenizer):
    with pytest.raises(InputError, match=r"the corpus holds no token that can be masked; give other text or a tokeniz"):
        look(tokenizer, texts=["\u6f22\u5b57 \u6f22"])
