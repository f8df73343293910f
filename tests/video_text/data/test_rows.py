"""Pairs as rows: the text of the pair that is shown, cut to one row, with numbers that know videos and texts again."""

import logging
import shutil

import numpy as np
import pytest
import torch
from support.clip_files import clips_on_disk
from support.tiny import tiny_model, tiny_tokenizer

from diffmask.text.score.position_scores import MEAN, PositionScorer, add_scores
from diffmask.text.segment.rows import Annotator
from diffmask.text.segment.tokenise import TokeniseSettings
from diffmask.video.index.index import index_clips, read_clips
from diffmask.video.read.dataset import FailureLog, Sampling
from diffmask.video.units.grid import Grid
from diffmask.video_text.data.pairs import Pair
from diffmask.video_text.data.rows import PairDataset, text_id, tokenise_pairs

GRID = Grid(2, 4, 4, 2, 8)
TEXTS = ["the kinase binds", "a rat", "??", "the kinase inhibits the protein in a cell of a rat", "The Rat was found"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    index, _ = clips_on_disk(tmp_path_factory.mktemp("data") / "clips", 3)
    return read_clips([index])


def rows_of(texts, cache, annotators=(), **settings):
    given = TokeniseSettings(**{"max_length": 8, "annotators": annotators} | settings)
    return tokenise_pairs(texts, tiny_tokenizer(), given, ["rat", "kinase"], cache)


def test_each_text_has_one_row_and_what_does_not_fit_is_told(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        rows = rows_of(TEXTS, tmp_path)
    tokenizer = tiny_tokenizer()
    assert rows["sample_id"] == [0, 1, 3, 4]
    for row in rows:
        tokens = tokenizer(TEXTS[row["sample_id"]])["input_ids"]
        assert row["input_ids"] == (tokens if len(tokens) <= 8 else [*tokens[:7], tokenizer.sep_token_id])
        assert row["num_units"] == len(row["types"])
    assert rows[1]["types"] == [-1, 0]
    assert [record.message for record in caplog.records] == [
        "1 of 5 texts are longer than 8 tokens, and are cut off there; set a larger max_length to read them all",
        "1 of 5 texts hold no word that the tokenizer knows, and are left out",
    ]


def test_rows_are_the_same_in_any_number_of_processes_and_found_again(tmp_path, caplog):
    alone = rows_of(TEXTS, tmp_path / "a")
    other = rows_of(TEXTS, tmp_path / "b", num_processes=2)
    assert alone.to_list() == other.to_list()
    with caplog.at_level(logging.INFO):
        again = rows_of(TEXTS, tmp_path / "a")
    assert again.to_list() == alone.to_list()
    assert any(record.message.startswith("found ") for record in caplog.records)
    assert rows_of([*TEXTS[1:], TEXTS[0]], tmp_path / "a").to_list() != alone.to_list()


def places_of(segments):
    return {"place": np.arange(len(segments.words), dtype=np.int32)}


def test_annotators_give_each_unit_of_the_row_a_value(tmp_path):
    rows = rows_of(TEXTS, tmp_path, (Annotator(("place",), (), "places", places_of),))
    assert rows["place"][0] == [0, 1, 2]
    assert all(len(row["place"]) == row["num_units"] for row in rows)


def test_a_model_scores_the_rows(tmp_path):
    model = tiny_model().eval()

    def score(input_ids, attention_mask):
        return model(input_ids, attention_mask=attention_mask).logits.logsumexp(-1).float()

    rows = rows_of(TEXTS, tmp_path)
    scored = add_scores(rows, PositionScorer("gain", MEAN, "key", model, 64, "model", score), tmp_path)
    assert [len(row["gain"]) for row in scored] == rows["num_units"][:]
    with torch.inference_mode():
        logits = score(torch.tensor([rows[1]["input_ids"]]), torch.ones(1, 4))
    assert scored[1]["gain"] == pytest.approx(logits[0, 1:3].tolist(), rel=1e-5)


def pairs_of(clips, texts=("the kinase", "a rat", "the cell")):
    return [Pair(clip, text, 0.4, 0.9) for clip, text in zip(clips, texts, strict=False)]


def data_of(pairs, cache, sampling=None, rows=None, **settings):
    rows = rows_of([pair.text for pair in pairs], cache) if rows is None else rows
    return PairDataset(pairs, rows, sampling or Sampling(GRID, stride=1), **settings)


def test_a_row_joins_frames_and_tokens(clips, tmp_path):
    pairs = pairs_of(clips)
    data = data_of(pairs, tmp_path, Sampling(GRID, stride=1, repeats=2), maps={"when": lambda clip, times, *_: times})
    assert len(data) == 3
    first, second = data[1]
    assert first.keys() == {"frames", "when", "sample_id", "text", "video_id", "text_id"}
    assert first["frames"].shape == (4, 3, 32, 32)
    assert (first["when"] * 13 >= 4).all()
    assert (first["when"] * 13 <= 8).all()
    assert first["text"]["input_ids"] == tiny_tokenizer()("a rat")["input_ids"]
    assert (
        [row["sample_id"] for row in (first, second)] == [row["text"]["sample_id"] for row in (first, second)] == [2, 3]
    )
    assert first["text_id"] == second["text_id"] == text_id("A  Rat")
    assert torch.equal(data[4][0]["frames"], data_of(pairs, tmp_path, data.clips.sampling)[4][0]["frames"])


def test_the_text_is_that_of_the_clip_that_is_really_shown(clips, tmp_path):
    copy = shutil.copy(clips[0].path, tmp_path / "copy.mp4")
    (gone,) = index_clips([copy])
    pairs = [Pair(gone, "the kinase"), *pairs_of(clips)[1:]]
    log = FailureLog(tmp_path / "failures.jsonl")
    data = data_of(pairs, tmp_path, failures=log)
    (tmp_path / "copy.mp4").unlink()
    for visit in (0, 3, 6):
        (row,) = data[visit]
        shown = data.video_ids.index(row["video_id"])
        assert shown in (1, 2)
        assert row["text"]["input_ids"] == tiny_tokenizer()(pairs[shown].text)["input_ids"]
        assert row["text_id"] == text_id(pairs[shown].text)
        assert row["sample_id"] == row["text"]["sample_id"] == 0
    assert list(log.read()) == [str(tmp_path / "copy.mp4")]


def test_copies_are_one_video_and_spellings_one_text(clips, tmp_path):
    shutil.copy(clips[0].path, tmp_path / "copy.mp4")
    (copy,) = index_clips([tmp_path / "copy.mp4"])
    pairs = [Pair(clips[0], "The rat"), Pair(copy, "the  rat"), Pair(clips[1], "a rat"), Pair(clips[0], "a cell")]
    data = data_of(pairs, tmp_path)
    videos, texts = data.video_ids, data.text_ids
    assert videos[0] == videos[1] == videos[3] != videos[2]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3
    assert all(0 <= each < 2**63 for each in (*videos, *texts))


def test_some_of_the_rows_are_some_of_the_pairs(clips, tmp_path):
    pairs = pairs_of(clips, ("the kinase", "??", "a rat"))
    rows = rows_of([pair.text for pair in pairs], tmp_path)
    assert data_of(pairs, tmp_path, rows=rows).pairs == [pairs[0], pairs[2]]
    assert data_of(pairs, tmp_path, rows=rows.select([1])).pairs == [pairs[2]]
