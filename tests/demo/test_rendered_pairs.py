"""Clips with captions and questions: true of what is drawn, the same for a seed, and nothing but the clip answers."""

import csv
import json
from collections import Counter, defaultdict

import av
import numpy as np
import pytest

from diffmask.core.errors import InputError
from diffmask.demo.draw_clips import FPS, NUM_FRAMES, SIZE
from diffmask.demo.rendered_pairs import (
    BOXES,
    DIGITS,
    DIRECTIONS,
    GENERAL,
    NUM_ANSWERS,
    QUESTIONS,
    SHAPES,
    TEST,
    TRAIN,
    _domain,
    _draw,
    _general,
    _overlap,
    _questions,
    render_pairs,
)

NUMBERS = {"num_general": 4, "num_train": 6, "num_test": 5}
NUM_EVENTS = len(DIGITS) * (len(DIGITS) - 1) // 2 * 12


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return render_pairs(tmp_path_factory.mktemp("made") / "clips", **NUMBERS)


def test_what_is_written(clips):
    made = {"general", "domain", GENERAL, TRAIN, TEST, QUESTIONS, BOXES}
    assert {path.name for path in clips.folder.iterdir()} == made
    tables = [table(path) for path in (clips.general, clips.train, clips.test)]
    assert [len(rows) for rows in tables] == [3 * 4, 3 * 6, 5]
    named = list(dict.fromkeys(row["clip"] for rows in tables for row in rows))
    assert sorted(named) == sorted(str(path.relative_to(clips.folder)) for path in clips.folder.rglob("*.mp4"))
    for number, name in enumerate(named):
        with av.open(str(clips.folder / name)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264" and stream.average_rate == FPS
            assert number or [frame.width for frame in container.decode(stream)] == [SIZE] * NUM_FRAMES
    assert Counter(row["split"] for row in records(clips.questions)) == {"train": 24, "test": 20}


def test_a_seed_gives_the_same_bytes_and_another_seed_others(clips, tmp_path):
    same, other = (render_pairs(tmp_path / str(seed), **NUMBERS, seed=seed) for seed in (0, 1))
    names = [path.relative_to(clips.folder) for path in sorted(clips.folder.rglob("*.*"))]
    assert len(names) == 20
    assert all((clips.folder / name).read_bytes() == (same.folder / name).read_bytes() for name in names)
    videos = [name for name in names if name.suffix == ".mp4"]
    assert not any((clips.folder / name).read_bytes() == (other.folder / name).read_bytes() for name in videos)


def test_captions_are_of_one_grammar_and_name_digits_only_in_the_domain(clips):
    for path, names in ((clips.general, SHAPES), (clips.train, DIGITS), (clips.test, DIGITS)):
        for row in table(path):
            parts = [part.split() for part in row["caption"].split(", ")]
            assert [(part[0], part[2]) for part in parts] == [("a", "moves")] * len(parts)
            assert {part[1] for part in parts} <= set(names)
            assert {part[3] for part in parts} <= set(DIRECTIONS)
    said = defaultdict(list)
    for row in table(clips.train):
        said[row["clip"]].append(row["caption"])
    assert len(said) == 6 and all(", ".join(parts) == whole for whole, *parts in said.values())
    assert all("," in row["caption"] for row in table(clips.test))  # what is true of fewer clips is searched for


def test_each_object_moves_as_its_caption_says_inside_the_frame():
    for scene in [*_domain("train", 60, 0), *_general(20, 0)]:
        for mover, box in zip(scene.movers, _draw(scene)[1], strict=True):
            assert box.min() >= 0 and box.max() <= SIZE
            way = (box[-1] - box[0]).reshape(2, 2)
            assert (way[0] == way[1]).all()  # its size stays
            assert tuple(np.sign(way[0])) == DIRECTIONS[mover.direction] and np.abs(way[0]).sum() > 16
            steps = np.diff(box[:, :2], axis=0) @ np.array(DIRECTIONS[mover.direction])
            assert set(steps.tolist()) == {0, 8}
            assert (box % 8 == 0).all()  # the same patches show the same parts of it


def test_boxes_hold_the_digits(clips):
    rows = table(clips.boxes)
    assert Counter(row["clip"] for row in rows) == {
        f"domain/{split}-{place:04}.mp4": 2 * NUM_FRAMES for split, number in (("train", 6), ("test", 5))
        for place in range(number)
    }  # fmt: skip
    scene = next(iter(_domain("train", 6, 0)))
    blank = type(scene)(**{**vars(scene), "movers": tuple(m._replace(image=0 * m.image) for m in scene.movers)})
    differs = (_draw(scene)[0] != _draw(blank)[0]).any(-1)
    own = [row for row in rows if row["clip"] == scene.name]
    assert [row["label"] for row in own[::NUM_FRAMES]] == [mover.name for mover in scene.movers]
    for row in own:
        frame, x1, y1, x2, y2 = (int(row[name]) for name in ("frame", "x1", "y1", "x2", "y2"))
        assert differs[frame, y1:y2, x1:x2].mean() > 0.2
    for row in own:
        frame, x1, y1, x2, y2 = (int(row[name]) for name in ("frame", "x1", "y1", "x2", "y2"))
        differs[frame, y1:y2, x1:x2] = False
    assert not differs.any()


def test_digits_are_seldom_covered():
    covered = [_overlap(*_draw(scene)[1]) / (24 * 24 * 24) for scene in _domain("test", 60, 0)]
    assert np.mean(covered) < 0.2 and max(covered) < 0.5


def test_all_events_come_equally_often_and_the_splits_share_no_handwriting():
    scenes = {split: [*_domain(split, 2 * NUM_EVENTS, 0)] for split in ("train", "test")}
    for each in scenes.values():
        events = Counter(tuple((mover.name, mover.direction) for mover in scene.movers) for scene in each)
        assert set(events.values()) == {2} and len(events) == NUM_EVENTS
        assert all(
            DIGITS.index(first[0]) < DIGITS.index(second[0]) and first[1] != second[1] for first, second in events
        )
    images = {
        split: {mover.image.tobytes() for scene in each for mover in scene.movers} for split, each in scenes.items()
    }
    assert not images["train"] & images["test"]


def test_questions_are_answered_by_the_clip():
    scenes = [*_domain("test", 40, 0)]
    asked = defaultdict(list)
    for row in _questions(scenes, 0):
        asked[row["clip"]].append(row)
    for scene in scenes:
        truth = {}
        for mover in scene.movers:
            truth[f"which digit moves {mover.direction}?"] = mover.name
            truth[f"where does the {mover.name} move?"] = mover.direction
        own = asked[scene.name]
        assert {row["question"]: row["answers"][row["answer"]] for row in own} == truth and len(own) == 4
        for row in own:
            assert len(set(row["answers"])) == len(row["answers"]) == NUM_ANSWERS
            if row["question"].startswith("which"):  # what is shown does not answer it
                assert {mover.name for mover in scene.movers} <= set(row["answers"])


def test_neither_answers_nor_questions_give_the_right_one_away():
    rows = [*_questions([*_domain("test", 4 * NUM_EVENTS, 0)], 0)]
    chance = 1 / NUM_ANSWERS
    assert set(Counter(row["answer"] for row in rows).values()) == {len(rows) // NUM_ANSWERS}
    given = {
        "the answer": lambda row, answer: answer,
        "question and answer": lambda row, answer: (row["question"], answer),
        "answers and answer": lambda row, answer: (*sorted(row["answers"]), answer),
        "answer and its place": lambda row, answer: (answer, row["answers"].index(answer)),
    }
    for key in given.values():
        offered, right = Counter(), Counter()
        for row in rows:
            for place, answer in enumerate(row["answers"]):
                offered[key(row, answer)] += 1
                right[key(row, answer)] += place == row["answer"]
        for what, number in offered.items():  # within 4 standard deviations
            assert abs(right[what] - chance * number) < 4 * (chance * (1 - chance) * number) ** 0.5, what


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_train": -1}, "num_train=-1 is not a number of clips; give 0 or more"),
        ({"folder": "full"}, r"full holds other files \(mine\); choose another name for the clips"),
    ],
)
def test_what_is_refused(tmp_path, changes, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    given = {**NUMBERS, "folder": "new", **changes}
    with pytest.raises(InputError, match=message):
        render_pairs(tmp_path / given.pop("folder"), **given)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_a_part_may_have_no_clips(tmp_path):
    made = render_pairs(tmp_path / "clips", num_general=0, num_train=1, num_test=0)
    assert [len(table(path)) for path in (made.general, made.train, made.test)] == [0, 3, 0]
