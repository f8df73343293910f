"""The scorer of tokens: made from a labelled task, saved, loaded, and what it is refused for."""

import json
import shutil

import datasets
import pytest
import torch
from support.labelled import TOLD_BY, labelled_rows, write_task
from support.tiny import save_encoder, tiny_model, tiny_rows, tiny_tokenizer
from transformers import AutoModelForTokenClassification

from diffmask.core.errors import InputError
from diffmask.selective.gain import Gain, encode_texts, find_needed, list_words
from diffmask.selective.make import SelectiveSettings, build_scorer
from diffmask.text.anchors.anchor_set import hash_tokenizer
from diffmask.text.score.gain_scorer import check_scorer_folder, load_gain
from diffmask.text.score.position_scores import MEAN, add_scores, unit_scores
from diffmask.text.segment.pad import Pad

QUICK = {"epochs": 9, "learning_rate": 1e-2, "batch_size": 8, "common_words": 0, "max_length": 32, "device": "cpu"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    save_encoder(folder / "model")
    task = write_task(folder / "task.jsonl")
    told = []
    settings = SelectiveSettings([task], str(folder / "model"), **QUICK)
    record = build_scorer(settings, folder / "scorer", tell=told.append)
    return folder, record, told


def test_the_words_that_tell_the_label_have_the_highest_gain(world):
    _, record, _ = world
    assert {row["word"] for row in record["words"][:2]} == set(TOLD_BY)
    assert all(row["important"] > 0.9 for row in record["words"][:2])
    assert record["classifier"]["accuracy"] > 0.9
    assert record["scorer"]["auc"] > 0.9


def test_a_folder_holds_model_tokenizer_and_record(world):
    folder, record, told = world
    assert json.loads((folder / "scorer" / "scorer.json").read_text()) == json.loads(json.dumps(record))
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= {
        path.name for path in (folder / "scorer").iterdir()
    }
    assert not list(folder.glob(".scorer*"))
    assert (record["num_texts"], record["num_held_out"]) == (54, 6)
    assert len(record["data"][0]["sha256"]) == 64
    assert record["hashes"]["scorer"] == load_gain(folder / "scorer").key
    assert record["hashes"]["tokenizer"] == hash_tokenizer(tiny_tokenizer())
    assert told[0] == "classifier: 54 texts of 2 labels, 6 held out"


def test_scores_are_the_log_odds_of_the_model(world):
    folder, _, _ = world
    scorer = load_gain(folder / "scorer", tiny_tokenizer(), device="cpu")
    model = AutoModelForTokenClassification.from_pretrained(folder / "scorer").eval()
    rows = tiny_rows(6)
    batch = Pad(0)(rows)
    scores = scorer(batch["input_ids"], batch["attention_mask"])
    for row, found in zip(rows, scores, strict=True):
        with torch.inference_mode():
            odds = model(torch.tensor([row["input_ids"]])).logits[0].softmax(1)
        expected = (odds[:, 1] / odds[:, 0]).log()
        assert torch.allclose(found[: len(expected)], expected, atol=1e-4)


def test_a_scorer_gives_rows_their_column(world, tmp_path):
    folder, _, _ = world
    scorer = load_gain(folder / "scorer", tiny_tokenizer(), device="cpu")
    assert (scorer.column, scorer.pooling) == ("gain", MEAN)
    rows = datasets.Dataset.from_list([row | {"num_units": len(row["types"])} for row in tiny_rows(6)])
    made = add_scores(rows, scorer, tmp_path)
    found = unit_scores(scorer, Pad(0)(tiny_rows(6)))
    for row, scores in zip(made, found, strict=True):
        assert scores[: row["num_units"]].tolist() == pytest.approx(row["gain"], abs=1e-4)


def test_the_same_seed_makes_the_same_scorer(world, tmp_path):
    folder, _, _ = world
    task = write_task(tmp_path / "task.jsonl", labelled_rows(30))
    settings = QUICK | {"epochs": 2}
    keys = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.rand(3)  # what was drawn before does not matter
        try:
            build_scorer(SelectiveSettings([task], str(folder / "model"), seed=seed, **settings), tmp_path / name)
            keys.append(load_gain(tmp_path / name).key)
        except InputError as error:
            keys.append(str(error))
    assert keys[0] == keys[1]
    assert keys[0] != keys[2]


def needed_of(texts, important, common=()):
    encoded = encode_texts(texts, tiny_tokenizer(), 64)
    flags = torch.tensor(important)
    gain = Gain(torch.ones(len(texts), dtype=torch.bool), flags.float(), flags)
    return find_needed(encoded, gain, common, tiny_tokenizer())


def test_common_words_are_never_needed_and_tokens_share_the_label_of_their_word():
    needed = needed_of(["the kinases bind"], [[True, True, True]], common={"the"})
    assert needed.important.tolist() == [[False, True, True]]
    assert needed.rows[0]["unit_ids"] == [-1, 0, 1, 1, -1, -1]
    # "bind" is unknown to the tokenizer
    assert needed.rows[0]["labels"] == [-100, 0, 1, 1, -100, -100]


def test_only_texts_that_are_right_are_kept():
    encoded = encode_texts(["the cell", "a rat was in blood"], tiny_tokenizer(), 64)
    gain = Gain(torch.tensor([False, True]), torch.zeros(2, 5), torch.eye(5)[:2].bool())
    needed = find_needed(encoded, gain, (), tiny_tokenizer())
    assert needed.texts.types == [["a", "rat", "was", "in", "blood"]]
    assert needed.important.tolist() == [[False, True, False, False, False]]


def test_quality_is_that_of_scikit_learn():
    needed = needed_of(["the cell", "rat"], [[True, False], [True, False]])
    assert needed.quality(torch.tensor([[2.0, 1.0], [-1.0, 9.0]])) == {"f1": 0.5, "auc": 0.5}
    assert needed.quality(torch.tensor([[2.0, -1.0], [1.0, 9.0]])) == {"f1": 1.0, "auc": 1.0}
    assert needed_of(["the cell"], [[True, True]]).quality(torch.zeros(1, 2)) == {"f1": None, "auc": None}


def test_words_are_counted():
    texts = ["the cell the", "the the rat", "the cell"]
    needed = needed_of(texts, [[True, True, False], [False, True, False], [True, False, False]])
    scores = torch.tensor([[1.0, 7.0, 2.0], [0.0, 3.0, 7.0], [-1.0, 7.0, 7.0]])
    assert list_words([needed], [scores]) == [{"word": "the", "count": 5, "important": 0.6, "gain": 1.0}]


def refusal(*args, **options):
    with pytest.raises(InputError) as caught:
        load_gain(*args, **options)
    return str(caught.value)


MAKE = "make it with: diffmask selective TASK --model MODEL -o FOLDER"


def test_what_is_no_scorer_is_refused(world, tmp_path):
    folder, _, _ = world
    assert refusal(None) == (f"the policy `selective` needs a scorer; name its folder with masking.scorer, and {MAKE}")
    assert refusal(tmp_path / "no") == f"folder {tmp_path}/no does not exist; {MAKE}"
    assert refusal(folder / "model") == (f"folder {folder}/model has no scorer.json, so it holds no scorer; {MAKE}")
    shutil.copytree(folder / "scorer", tmp_path / "s")
    tiny_model().save_pretrained(tmp_path / "s")
    assert refusal(tmp_path / "s") == f"the model in {tmp_path}/s is not a scorer of tokens; {MAKE}"
    (tmp_path / "s" / "scorer.json").write_text("{")
    assert refusal(tmp_path / "s").startswith(f"{tmp_path}/s/scorer.json is damaged (")


def test_pickled_weights_are_refused(world, tmp_path):
    folder, _, _ = world
    shutil.copytree(folder / "scorer", tmp_path / "s")
    (tmp_path / "s" / "model.safetensors").unlink()
    torch.save({}, tmp_path / "s" / "pytorch_model.bin")
    assert "safetensors" in refusal(tmp_path / "s")


def test_another_vocabulary_is_refused(world):
    folder, _, _ = world
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["enzyme"])
    assert refusal(folder / "scorer", tokenizer) == (
        f"the scorer '{folder}/scorer' has another vocabulary than the model that is trained (30 and 31 tokens; they "
        "differ at 'enzyme'), so it cannot read its token ids; make one with: diffmask selective TASK --model MODEL, "
        "of the model that is trained"
    )


def test_rows_longer_than_the_scorer_reads_are_refused(world):
    folder, _, _ = world
    scorer = load_gain(folder / "scorer", device="cpu")
    with pytest.raises(InputError) as caught:
        scorer(torch.full((1, 80), 7), torch.ones(1, 80))
    remedy = "set data.max_length to what it reads, or use another scorer"
    assert str(caught.value) == f"the scorer reads 64 tokens, but a row has 80; {remedy}"


def test_a_folder_is_not_overwritten_unasked(world, tmp_path):
    folder, _, _ = world

    def said(*args, **options):
        with pytest.raises(InputError) as caught:
            check_scorer_folder(*args, **options)
        return str(caught.value)

    assert said(folder / "scorer") == (
        f"folder {folder}/scorer exists; choose another name or allow to overwrite it (--overwrite)"
    )
    assert check_scorer_folder(folder / "scorer", overwrite=True) == folder / "scorer"
    assert said(folder / "model", overwrite=True) == (
        f"folder {folder}/model holds other files (config.json); choose another name for the scorer"
    )
    assert said(folder / "task.jsonl") == (
        f"{folder}/task.jsonl is a file; choose another name for the folder of the scorer"
    )
    assert said(tmp_path / "a" / "b") == f"folder {tmp_path}/a does not exist; create it first"
    assert check_scorer_folder(tmp_path) == tmp_path


def test_scores_of_units_do_not_depend_on_batches(world):
    folder, _, _ = world
    scorer = load_gain(folder / "scorer", device="cpu")
    texts = ["the cell", "the kinases of a rat", "blood was in the dose"] * 12
    needed = needed_of(texts, [[True] * 5] * len(texts))
    scores = needed.score_units(scorer)
    alone = needed_of(texts[1:2], [[True] * 5]).score_units(scorer)
    assert torch.allclose(scores[1], alone[0], atol=1e-4)
    assert torch.allclose(scores[34], alone[0], atol=1e-4)
    assert not scores[0, 2:].any()
