"""Clips and their captions: what is read of tables and indexes, and what is left out is counted and named."""

import csv
import json
import logging
from dataclasses import replace

import pyarrow
import pytest
import torch
from pyarrow import parquet
from support.clip_files import draw_clip
from support.tiny import tiny_tokenizer
from torch.utils.data import DataLoader

from diffmask.core.errors import InputError
from diffmask.text.segment.tokenise import TokeniseSettings
from diffmask.video.index.index import index_clips, write_index
from diffmask.video.read.dataset import Sampling
from diffmask.video.units.grid import Grid
from diffmask.video_text.data.pairs import PairSettings, read_pairs
from diffmask.video_text.data.rows import PairDataset, tokenise_pairs

NAMES = ("one", "two", "three")
ROWS = [
    {"video": "clips/one.mp4", "caption": "a square moves"},
    {"video": "clips/two.mp4", "caption": "noise"},
    {"video": "clips/one.mp4", "caption": "it is  yellow"},
]
EXPECTED = [("one", "a square moves"), ("two", "noise"), ("one", "it is yellow")]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of three clips of 1.4 s, and their index."""
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "clips").mkdir()
    for number, name in enumerate(NAMES):
        draw_clip(folder / "clips" / f"{name}.mp4", number)
    write_index(folder / "clips.parquet", index_clips([folder / "clips"]))
    return folder


def write_rows(path, rows):
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def read(made, rows, *, name="captions.jsonl", **settings):
    table = write_rows(made / name, rows)
    given = {"clips": (str(made / "clips.parquet"),)} | settings
    return read_pairs([table], PairSettings(**given))


def shown(pairs):
    return [(pair.clip.name, pair.text) for pair in pairs.pairs]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
@pytest.mark.parametrize("indexed", [True, False])
def test_captions_of_a_table_are_pairs(made, suffix, indexed):
    settings = {} if indexed else {"clips": ()}
    pairs = read(made, ROWS, name=f"captions{suffix}", **settings)
    assert shown(pairs) == EXPECTED
    assert all(pair.clip.is_ok and pair.kind == "caption" and pair.span is None for pair in pairs.pairs)
    assert pairs.faults.counts == ({"clips without text": 1} if indexed else {})


@pytest.mark.parametrize("clips", [(), ("clips",), ("clips.parquet",)])
def test_a_clip_is_known_by_its_bare_name_too(made, clips):
    rows = [{"video_id": name, "sentence": f"about {name}"} for name in NAMES]
    pairs = read(made, rows, clips=tuple(str(made / each) for each in clips))
    assert shown(pairs) == [(name, f"about {name}") for name in NAMES]


def test_several_captions_stand_in_a_list(made):
    rows = [{"file": "one.mp4", "captions": ["first", " ", "second", None]}, {"file": "two.mp4", "captions": "['x']"}]
    assert shown(read(made, rows)) == [("one", "first"), ("one", "second"), ("two", "x")]


def test_an_index_has_its_captions(made, tmp_path):
    clips = [
        replace(clip, caption="a caption" if clip.name != "two" else None) for clip in index_clips([made / "clips"])
    ]
    write_index(tmp_path / "captioned.parquet", clips)
    pairs = read_pairs(tmp_path / "captioned.parquet")
    assert shown(pairs) == [("one", "a caption"), ("three", "a caption")]
    assert list(pairs.faults.lines()) == [f"1 clips without text ({made}/clips/two.mp4)"]


@pytest.mark.parametrize(
    ("row", "span"),
    [
        ({}, None),
        ({"start": 0.2, "end": 0.9}, (0.2, 0.9)),
        ({"start": "0.2", "end": ""}, (0.2, 1.4)),
        ({"end": "00:00:01.0"}, (0.0, 1.0)),
        ({"ts": "0.3-0.8"}, (0.3, 0.8)),
        ({"ts": [0.0, 0.5]}, (0.0, 0.5)),
        ({"start_time": 1, "end_time": 1.45}, (1.0, 1.4)),  # times are rounded
    ],
)
def test_a_caption_may_be_about_some_seconds(made, row, span):
    pairs = read(made, [{"video": "one.mp4", "caption": "x"} | row])
    (pair,) = pairs.pairs
    assert pairs.faults.counts == {"clips without text": 2}
    assert pair.span == (None if span is None else pytest.approx(span))


def test_the_seconds_of_a_clip_that_was_cut_there_are_not_seconds_of_it(made, tmp_path):
    (tmp_path / "ab_000010_000020.mp4").write_bytes((made / "clips" / "one.mp4").read_bytes())
    (tmp_path / "cd.mp4").write_bytes((made / "clips" / "two.mp4").read_bytes())
    rows = [
        {"youtube_id": "ab", "time_start": 10, "time_end": 20, "caption": "x"},
        {"youtube_id": "cd", "time_start": 0, "time_end": 1, "caption": "y"},
    ]
    pairs = read_pairs(write_rows(tmp_path / "a.csv", rows))
    assert [(pair.text, pair.span) for pair in pairs.pairs] == [("x", None), ("y", (0.0, 1.0))]


def test_what_is_of_no_use_is_counted_named_and_told_once(made, caplog):
    rows = [
        {"video": "one.mp4", "caption": "good"},
        {"video": "gone.mp4", "caption": "x"},
        {"video": "lost.mp4", "caption": "x"},
        {"video": "", "caption": "x"},
        {"video": "two.mp4", "caption": " "},
        {"video": "two.mp4", "caption": "good", "start": 3, "end": 4},
        {"video": "two.mp4", "caption": "good", "start": 1, "end": 4},
        {"video": "two.mp4", "caption": "good", "start": 2, "end": 1},
        {"video": "one.mp4", "caption": "good"},
        {"video": "one.mp4", "caption": "half \ud83d"},
        {"video": "one.mp4", "caption": {"en": "x"}},
        {"video": "one.mp4", "caption": [{"text": "x"}]},
    ]
    with caplog.at_level(logging.WARNING):
        pairs = read(made, rows)
    end = pairs.pairs[1].clip.duration
    assert [(pair.clip.name, pair.span) for pair in pairs.pairs] == [("one", None), ("two", (1.0, end)), ("two", None)]
    table = f"{made}/captions.jsonl"
    expected = {
        f"2 rows whose clip is not there ({table}: row 2, {table}: row 3)",
        f"1 rows that name no clip ({table}: row 4)",
        f"1 rows without text ({table}: row 5)",
        f"1 texts about seconds outside of their clip ({table}: row 6)",
        f"1 texts whose seconds end after their clip (cut off there) ({table}: row 7)",
        f"1 rows whose seconds cannot be read (they show the whole clip) ({table}: row 8)",
        f"1 texts that stand there twice ({table}: row 9)",
        f"1 texts with half a character ({table}: row 10)",
        f"2 rows whose text is an object, not a text or a list of texts ({table}: row 11, {table}: row 12)",
        f"1 clips without text ({made}/clips/three.mp4)",
    }
    assert set(pairs.faults.lines()) == expected
    assert {record.message for record in caplog.records} == expected


def test_names_of_several_clips_and_clips_that_cannot_be_read_are_left_out(made, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one.mp4").write_bytes((made / "clips" / "one.mp4").read_bytes())
    (tmp_path / "a" / "bad.mp4").write_bytes(b"nothing")
    rows = [{"id": name, "text": "x"} for name in ("one", "a/one", "bad")]
    pairs = read_pairs(write_rows(tmp_path / "c.csv", rows))
    assert [pair.clip.path for pair in pairs.pairs] == [f"{tmp_path}/a/one.mp4"]
    assert pairs.faults.counts == {
        "rows whose name is that of several clips": 1,
        "texts of clips that cannot be read": 1,
    }


def test_pairs_of_one_split(made):
    rows = [{"video": f"{name}.mp4", "caption": "x", "split": split} for name, split in zip(NAMES, "aba", strict=True)]
    assert shown(read(made, rows, split="a")) == [("one", "x"), ("three", "x")]
    with pytest.raises(InputError, match="is of the split 'c'; its splits: a, b"):
        read(made, rows, split="c")
    rows = [row | {"split": split} for row, split in zip(rows, ("val", "train", "dev"), strict=True)]
    assert shown(read(made, rows, split="validation")) == [("one", "x"), ("three", "x")]


def test_the_column_of_the_texts_can_be_named(made):
    rows = [{"video": "one.mp4", "caption": "x", "Long Text": "y"}]
    assert shown(read(made, rows, column="long text")) == [("one", "y")]
    with pytest.raises(InputError, match="has no column 'other'; its columns: video, caption, Long Text"):
        read(made, rows, column="other")


def test_what_holds_no_pair_is_refused(made, tmp_path):
    with pytest.raises(InputError, match=r"has no column of texts \(such as caption, .*\); its columns: video"):
        read(made, [{"video": "one.mp4"}])
    with pytest.raises(InputError, match=r"has no pair of a clip and a text \(1 rows whose clip is not there \("):
        read(made, [{"video": "gone.mp4", "caption": "x"}])
    with pytest.raises(InputError, match="missing.jsonl does not exist; check the path"):
        read_pairs(tmp_path / "missing.jsonl")


def test_lists_without_a_header_are_read(made):
    path = made / "list.csv"
    path.write_text("clips/one.mp4 a square that moves, and more\nclips/two.mp4 noise of all colours there are\n")
    assert shown(read_pairs(path)) == [
        ("one", "a square that moves, and more"),
        ("two", "noise of all colours there are"),
    ]
    path = made / "list.txt"
    path.write_text("clips/one.mp4\ta square that moves, and more\nclips/two.mp4\tnoise of all colours there are\n")
    assert [name for name, _ in shown(read_pairs([path]))] == ["one", "two"]


def test_rows_of_a_data_loader_in_processes_of_their_own(made, tmp_path):
    pairs = read(made, ROWS).pairs
    texts = [pair.text.replace("yellow", "found") for pair in pairs]
    rows = tokenise_pairs(texts, tiny_tokenizer(), TokeniseSettings(max_length=8), None, tmp_path)
    data = PairDataset(pairs, rows, Sampling(Grid(2, 4, 4, 2, 8), stride=1))
    alone, workers = (
        [batch[0] for batch in DataLoader(data, 1, collate_fn=list, num_workers=num, multiprocessing_context=context)]
        for num, context in ((0, None), (2, "spawn"))
    )
    for one, other in zip(alone, workers, strict=True):
        assert torch.equal(one[0].pop("frames"), other[0].pop("frames"))
        assert one == other
