"""Extending a tokenizer: which words, how they are cut, and what their rows start as."""

from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerFast

from diffmask.cli import main
from diffmask.core.errors import InputError
from diffmask.text.anchors.anchor_set import AnchorSet
from diffmask.text.anchors.extend import choose_words, extend
from diffmask.text.model.load import LoadedModel, load_masked_lm
from diffmask.train.record import Lineage, identify_model
from tests.support.tiny import tiny_model, tiny_tokenizer

TYPES = ["phosphorylation", "kinases", "kinase", "kinas", "the", "xylophone"]
COUNTS = [3, 10, 20, 1, 100, 50]
SCORES = [0.9, 0.5, 0.8, -0.2, 0.1, 0.9]


def anchors():
    return AnchorSet(
        anchors=["kinase"],
        types=TYPES,
        counts=torch.tensor(COUNTS),
        tf_icf=torch.ones(6, dtype=torch.float64),
        scores=torch.tensor(SCORES),
        embeddings=torch.ones(1, 32),
        metadata={"num_words": sum(COUNTS), "reference": {"name": "none", "language": None}},
    )


def loaded(**changes):
    return LoadedModel("tiny", tiny_model(**changes), tiny_tokenizer(), ())


def test_words_are_ranked_by_the_tokens_they_save_times_their_score():
    tokenizer = tiny_tokenizer()
    words = choose_words(anchors(), tokenizer, 2)
    assert [(new.word, new.count) for new in words] == [("phosphorylation", 3), ("kinases", 10)]
    assert [tokenizer.convert_ids_to_tokens(list(new.pieces)) for new in words] == [
        ["phos", "##pho", "##ryl", "##ation"],
        ["kinase", "##s"],
    ]
    assert [new.gain for new in words] == pytest.approx([3 * 3 * 0.9, 1 * 10 * 0.5])


def test_a_new_word_is_a_token_only_as_a_whole_word_and_others_are_cut_as_before():
    model = loaded()
    old = tiny_tokenizer()
    extend(model, anchors(), 1)
    new = model.tokenizer
    assert new.tokenize("Phosphorylation, phosphorylations") == [
        "phosphorylation",
        ",",
        *old.tokenize("phosphorylations"),
    ]
    text = "the kinase was found in a cell, kinases"
    assert new.tokenize(text) == old.tokenize(text)
    assert new.decode(new("the phosphorylation of a rat", add_special_tokens=False)["input_ids"]) == (
        "the phosphorylation of a rat"
    )


@pytest.mark.parametrize("tied", [True, False])
def test_new_rows_are_the_mean_of_the_pieces_and_old_rows_stay(tied):
    model = loaded(tie_word_embeddings=tied)
    head = model.model.get_output_embeddings()
    with torch.no_grad():
        head.bias.copy_(torch.arange(30.0))
    tables = (model.model.get_input_embeddings().weight, head.weight, head.bias)
    before = [table.detach().clone() for table in tables]
    done = extend(model, anchors(), 2)
    head = model.model.get_output_embeddings()
    after = (model.model.get_input_embeddings().weight, head.weight, head.bias)
    for old, new in zip(before, after, strict=True):
        assert torch.equal(new[:30], old)
        for row, word in enumerate(done.words, start=30):
            mean = sum(old[piece] for piece in word.pieces) / len(word.pieces)
            torch.testing.assert_close(new[row], mean)
    assert (after[0] is after[1]) == tied


def test_the_tokens_of_a_word_of_the_domain_are_counted_before_and_after():
    done = extend(loaded(), anchors(), 2)
    lengths = [len(tiny_tokenizer().tokenize(word)) for word in TYPES]
    saved = sum((len(word.pieces) - 1) * word.count for word in done.words)
    total = sum(length * count for length, count in zip(lengths, COUNTS, strict=True))
    assert done.pieces_before == pytest.approx(total / sum(COUNTS))
    assert done.pieces_after == pytest.approx((total - saved) / sum(COUNTS))


def test_more_words_than_there_are_are_refused():
    with pytest.raises(InputError, match="3 words are asked for.*give -n from 1 to 2"):
        choose_words(anchors(), tiny_tokenizer(), 3)


def test_a_tokenizer_that_tells_capitals_is_refused():
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.normalizer = None
    with pytest.raises(InputError, match="tells capitals"):
        choose_words(anchors(), tokenizer, 1)


def test_a_tokenizer_of_another_kind_is_refused():
    backend = Tokenizer(models.BPE({"a": 0, "[UNK]": 1}, []))
    with pytest.raises(InputError, match="of the kind BPE, to which whole words cannot be added exactly"):
        choose_words(anchors(), PreTrainedTokenizerFast(tokenizer_object=backend), 1)


def test_where_no_word_is_cut_there_is_nothing_to_extend():
    none = replace(anchors(), scores=torch.zeros(6))
    with pytest.raises(InputError, match="cuts no different word"):
        choose_words(none, tiny_tokenizer(), 1)


def test_the_command_writes_a_model_that_stock_classes_and_anchors_read(tmp_path, capsys):
    model, corpus = tmp_path / "model", tmp_path / "corpus.txt"
    tiny_model().save_pretrained(model)
    tiny_tokenizer().save_pretrained(model)
    corpus.write_text("Phosphorylation of the kinases was found in a cell.\n" * 12)
    make = ["anchors", str(corpus), "--model"]
    assert main([*make, str(model), "-o", str(tmp_path / "anchors")]) == 0
    out = tmp_path / "extended"
    assert main(["extend", str(model), "--anchors", str(tmp_path / "anchors"), "-n", "1", "-o", str(out)]) == 0
    assert "tokens per word of the domain" in capsys.readouterr().out
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert len(tokenizer) == AutoModelForMaskedLM.from_pretrained(out).config.vocab_size == 31
    assert Lineage.read(out) == Lineage((identify_model(model),), 0)
    assert main([*make, str(out), "-o", str(tmp_path / "again")]) == 0
    # anchors of the old tokenizer are refused for the new one
    again = ["extend", str(out), "--anchors", str(tmp_path / "anchors"), "-n", "1", "-o", str(tmp_path / "no")]
    assert main(again) == 2
    assert "another tokenizer" in capsys.readouterr().err


def test_a_head_that_started_at_random_stays_fresh(tmp_path, capfd):
    model, corpus, out = tmp_path / "model", tmp_path / "corpus.txt", tmp_path / "extended"
    tiny_model().bert.save_pretrained(model)
    tiny_tokenizer().save_pretrained(model)
    corpus.write_text("Phosphorylation of the kinases was found in a cell.\n" * 12)
    assert main(["anchors", str(corpus), "--model", str(model), "-o", str(tmp_path / "anchors")]) == 0
    capfd.readouterr()
    assert main(["extend", str(model), "--anchors", str(tmp_path / "anchors"), "-n", "1", "-o", str(out)]) == 0
    assert capfd.readouterr().err == ""
    assert load_masked_lm(str(out)).fresh == load_masked_lm(str(model)).fresh != ()
