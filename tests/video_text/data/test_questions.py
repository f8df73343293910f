"""Files of questions: every format is read as it stands, odd rows are counted, and no answer enters a pair."""

import csv
import json
import math
import os
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import pytest
from support.clip_files import draw_clip

from diffmask.core.errors import InputError
from diffmask.video.clip.names import ClipNames
from diffmask.video.index.index import index_clips, write_index
from diffmask.video_text.data.faults import Faults
from diffmask.video_text.data.match_questions import match_questions
from diffmask.video_text.data.pairs import PairSettings, read_pairs
from diffmask.video_text.data.questions import Question, is_questions, read_questions

REPO = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("DIFFMASK_TEST_DATA", REPO.parent / "shared" / "data")) / "video" / "annotations"
FILES = {
    "tvqa/tvqa_test_public.first1000.jsonl": ("TVQA", 5),
    "tvqa_plus_val_first400.json": ("TVQA+", 5),
    "social_iq2/qa_train_first1000.jsonl": ("Social-IQ 2.0", 4),
    "social_iq2/qa_val.jsonl": ("Social-IQ 2.0", 4),
}

TVQA = {
    "a0": "Tea", "a1": "Milk", "a2": "Beer", "a3": "Wine", "a4": "Water", "answer_idx": 1, "q": "What does  she drink?",
    "qid": 7, "show_name": "Castle", "ts": "76.01-84.2", "vid_name": "castle_s01e01_seg01_clip_00",
}  # fmt: skip
TVQA_PLUS = {name: value for name, value in TVQA.items() if name != "show_name"} | {
    "answer_idx": "1", "ts": [76.01, 84.2], "bbox": {"1": []}, "vid_name": "s01e01_seg01_clip_00",
}  # fmt: skip
SOCIAL = {name: value for name, value in TVQA.items() if name not in ("a4", "show_name")} | {
    "ans_corr": "Milk", "idx_types": ["matched", "corr", "rewrite", "matched"], "ts": "0.00-60.06",
    "vid_name": "-abc_D",
}  # fmt: skip
OPEN = {"answer": "milk", "category_id": 14, "id": 3, "question": "what does she drink?", "video_id": 6513}


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_one(path):
    (question,) = read_questions(path).questions
    return question


def test_tvqa(tmp_path):
    question = read_one(lines(tmp_path / "tvqa_val.jsonl", TVQA))
    answers = ("Tea", "Milk", "Beer", "Wine", "Water")
    video, text = "castle_s01e01_seg01_clip_00", "What does she drink?"
    assert question == Question("7", video, text, answers, 1, 76.01, 84.2, "dev", "Castle")


def test_tvqa_plus_is_one_list_whose_numbers_are_texts(tmp_path):
    path = tmp_path / "tvqa_plus_train.json"
    path.write_text(json.dumps([TVQA_PLUS]))
    question = read_one(path)
    assert (question.answer, question.span, question.split, question.show) == (1, (76.01, 84.2), "train", None)
    assert read_questions(path).said[0].startswith(f"{path}: TVQA+, 1 questions about 1 videos, with 5 answers; ")


def test_social_iq_and_its_file_of_splits(tmp_path):
    path = lines(tmp_path / "qa.json", SOCIAL, SOCIAL | {"qid": 8, "vid_name": "both"})
    splits = tmp_path / "original_split.json"
    subsets = {"youtubeclips": {"train": ["both"], "val": ["-abc_D"]}, "car": {"test": ["both"]}}
    splits.write_text(json.dumps({"subsets": subsets}))
    read = read_questions([path, splits])
    assert (read.kind, read.num_answers) == ("multiple-choice", 4)
    assert [question.split for question in read.questions] == ["dev", None]
    other = "1 questions about a video that the file of splits puts elsewhere too (both: None, and test and train)"
    assert list(read.faults.lines()) == [other]


def test_msrvtt_is_open(tmp_path):
    path = tmp_path / "train_qa.json"
    path.write_text(json.dumps([OPEN, OPEN | {"id": 4, "answer": ""}]))
    read = read_questions(path)
    assert (read.kind, read.num_answers) == ("open-ended", 0)
    first, second = read.questions
    assert first == Question("3", "6513", "what does she drink?", ("milk",), 0, split="train")
    assert (second.answers, second.answer) == ((), None)


@pytest.mark.parametrize(
    ("row", "answers", "answer"),
    [
        ({"a0": "x", "a1": "y", "answer": 1}, ("x", "y"), 1),
        ({"a0": "x", "a1": "y", "answer": "x"}, ("x", "y"), 0),
        ({"a0": "x", "a1": "y", "a2": "", "answer": ""}, ("x", "y"), None),
        ({"answers": "['x', 'y', 'z']", "answer": "2"}, ("x", "y", "z"), 2),
        ({"options": '["3", "1"]', "answer": "1"}, ("3", "1"), 1),
        ({"answer": "red"}, ("red",), 0),
    ],
)
def test_a_table_of_ones_own(tmp_path, row, answers, answer):
    path = tmp_path / "own.csv"
    row = {"clip": "one.mp4", "question": "which?", "split": "val", "start": 1, "end": 2} | row
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    question = read_one(path)
    assert (question.video, question.answers, question.answer) == ("one.mp4", answers, answer)
    assert (question.split, question.span) == ("dev", (1.0, 2.0))


def test_what_is_odd_is_counted_and_named(tmp_path):
    odd = [
        {},
        {"qid": 8, "answer_idx": 5},
        {"qid": 9, "answer_idx": "Milk"},
        {"qid": 10, "ts": "NaN-NaN"},
        {"qid": 11, "q": " "},
        {"qid": 12, "vid_name": None},
        {"qid": 13, "a2": ""},
        {"qid": 14, "a1": "Tea"},
        {"qid": 10},
    ]
    four = {name: value for name, value in TVQA.items() if name != "a4"} | {"qid": 15}
    path = lines(tmp_path / "q.jsonl", *(TVQA | each for each in odd), four)
    read = read_questions(path)
    assert [(question.qid, question.answer) for question in read.questions] == [
        ("7", 1), ("8", None), ("9", None), ("10", 1), ("14", 1), ("10", 1),
    ]  # fmt: skip
    assert read.questions[3].span is None
    assert set(read.faults.lines()) == {
        f"2 questions whose right answer is none of theirs (it counts as unknown) ({path}: row 2, {path}: row 3)",
        f"1 questions whose seconds cannot be read (they are about the whole clip) ({path}: row 4)",
        f"2 questions without a question or a video are left out ({path}: row 5, {path}: row 6)",
        f"1 questions with an answer that is empty are left out ({path}: row 7)",
        f"1 questions with the same answer twice ({path}: row 8)",
        "1 questions with another number of answers are left out (15: 4, not 5)",
        "1 questions whose id stands there twice (10)",
    }
    assert read.said == (
        f"{path}: TVQA, 7 questions about 1 videos, with 4, 5 answers; the right one of 5 is known; 6 say at which "
        "seconds (localised), 6 of them after the clip's start; splits: none 7",
    )


def test_other_files_are_refused(tmp_path):
    captions = lines(tmp_path / "captions.jsonl", {"video": "a.mp4", "caption": "x"})
    assert not is_questions(captions)
    assert not is_questions(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="captions.jsonl is no file of questions .its columns: video, caption.;"):
        read_questions(captions)
    with pytest.raises(InputError, match="none.jsonl does not exist; check the path"):
        read_questions(tmp_path / "none.jsonl")
    both = [lines(tmp_path / "a.jsonl", TVQA), lines(tmp_path / "b.jsonl", OPEN)]
    with pytest.raises(InputError, match="hold questions of both kinds, multiple-choice and open-ended; read them one"):
        read_questions(both)
    with pytest.raises(InputError, match="no question can be used .1 questions without a question or a video"):
        read_questions(lines(tmp_path / "c.jsonl", TVQA | {"q": ""}))


@pytest.mark.parametrize(
    ("video", "show", "clips", "expected"),
    [
        ("s01e01_seg01_clip_00", "The Big Bang Theory", ["bbt_frames/s01e01_seg01_clip_00"], 0),
        ("s01e01_seg01_clip_00", "The Big Bang Theory", ["bbt_s01e01_seg01_clip_00.mp4"], 0),
        ("bbt_s01e01_seg01_clip_00", None, ["s01e01_seg01_clip_00.mp4"], 0),
        ("s01e01_seg01_clip_00", None, ["castle_frames/s01e01_seg01_clip_00", "bbt_frames/s01e01_seg01_clip_00"], 1),
        ("s01e01_seg01_clip_00", None, ["castle_frames/s01e01_seg01_clip_00"], None),
        ("s01e01_seg01_clip_00", None, ["castle_s01e01_seg01_clip_00.mp4"], None),
        ("castle_s01e01_seg01_clip_00", "Castle", ["castle_frames/castle_s01e01_seg01_clip_00"], 0),
        ("castle_s01e01_seg01_clip_00", "Castle", ["castle_frames/s01e01_seg01_clip_00"], 0),
        ("castle_s01e01_seg01_clip_00", "Castle", ["castle/s01e01_seg01_clip_00.mp4", "s01e01_seg01_clip_00.mp4"], 0),
        ("castle_s01e01_seg01_clip_00", "Castle", ["s01e01_seg01_clip_00.mp4"], None),
        ("met_s01e01_seg01_clip_00", None, ["house/x.mp4", "a/house/met_s01e01_seg01_clip_00.mp4"], None),
        ("-abc_D", None, ["videos/-abc_D.mp4"], 0),
        ("6513", None, ["video6513.mp4", "video651.mp4"], 0),
        ("12", None, ["vid12.avi"], 0),
        ("x", None, ["a/x.mp4", "b/x.mp4"], None),
        ("b/x.mp4", None, ["a/x.mp4", "b/x.mp4"], 1),
    ],
)
def test_the_clip_of_a_question_is_found(video, show, clips, expected):
    faults = Faults()
    paths = [f"/data/{clip}" for clip in clips]
    questions = [Question("1", video, "?", show=show), Question("2", video, "?", show=show)]
    found = match_questions(questions, ClipNames(paths), faults)
    assert found == [None if expected is None else paths[expected]] * 2
    assert faults.counts.total() == (expected is None)


@pytest.mark.parametrize("localised", [False, True])
def test_pairs_have_questions_and_nothing_else_of_their_files(tmp_path, localised):
    draw_clip(tmp_path / "-abc_D.mp4", 0)
    rows = [SOCIAL | {"ts": "0.2-0.9"}, SOCIAL | {"qid": 8, "q": "Why?", "vid_name": "gone"}]
    pairs = read_pairs(lines(tmp_path / "qa_train.jsonl", *rows), PairSettings(localised=localised))
    (pair,) = pairs.pairs
    assert (pair.text, pair.kind, pair.split) == ("What does she drink?", "question", "train")
    assert pair.span == ((0.2, 0.9) if localised else None)
    assert pairs.faults.counts == {"videos of questions without a clip": 1}


needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real annotations are not here")


def raw_rows(name):
    text = (DATA / name).read_text()
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]


@needs_data
@pytest.mark.parametrize("name", FILES)
def test_real_files_are_read_in_full(name):
    rows, (form, num_answers) = raw_rows(name), FILES[name]
    read = read_questions(DATA / name)
    assert len(read.questions) == len(rows)
    assert read.num_answers == num_answers
    assert f": {form}, {len(rows):,} questions about {len({row['vid_name'] for row in rows}):,} videos" in read.said[0]
    for question, row in zip(read.questions, rows, strict=True):
        assert question.qid == str(row["qid"])
        assert question.question == " ".join(row["q"].split())
        assert question.answers == tuple(" ".join(row[f"a{number}"].split()) for number in range(num_answers))
        assert question.answer == (int(row["answer_idx"]) if "answer_idx" in row else None)
        ts = row["ts"] if isinstance(row["ts"], list) else [float(part) for part in row["ts"].split("-")]
        assert question.span == (None if any(map(math.isnan, ts)) else tuple(ts))
    assert Counter(question.split for question in read.questions).keys() == {
        "train" if "train" in name else "test" if "test" in name else "dev"
    }


@needs_data
def test_no_answer_of_the_real_files_enters_a_pair(tmp_path):
    """Every text is a question of the file, and what a pair holds beside it does not say which answer is right."""
    (clip,) = index_clips([draw_clip(tmp_path / "clip.mp4", 0)])
    for name in FILES:
        rows = raw_rows(name)
        videos = sorted({row["vid_name"] for row in rows})[:100]
        index = tmp_path / f"{name.replace('/', '-')}.parquet"
        write_index(index, [replace(clip, path=f"/data/{video}.mp4") for video in videos])
        settings = PairSettings(clips=(str(index),))
        pairs = read_pairs([DATA / name], settings)
        own = [row for row in rows if row["vid_name"] in videos]
        assert pairs.pairs
        asked = {" ".join(row["q"].split()) for row in own}
        assert {pair.text for pair in pairs.pairs} == asked
        # one of the answers repeats its question, word for word
        secrets = {row[key] for row in own for key in ("ans_corr", "a0", "a1", "a2", "a3", "a4") if key in row} - asked
        for pair in pairs.pairs:
            held = {str(getattr(pair, each.name)) for each in fields(pair)} | set(map(str, pair.clip.to_row().values()))
            assert not held & secrets
        # other answers and labels give the same pairs
        last = f"a{FILES[name][1] - 1}"
        changed = [row | {"answer_idx": 0, "ans_corr": "?", "idx_types": [], "a0": "!", last: "?"} for row in rows]
        other = lines(tmp_path / Path(name).with_suffix(".jsonl").name, *changed)
        assert read_pairs([other], settings).pairs == pairs.pairs
