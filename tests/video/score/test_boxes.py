import json
from dataclasses import replace

import pytest
import torch

from diffmask.core.errors import InputError
from diffmask.video.clip.clip import OK, Clip
from diffmask.video.read.sampling import Crop
from diffmask.video.score.boxes import Boxes, match_boxes, read_boxes

CLIP = Clip("videos/a.mp4", OK, num_frames=101, fps=10.0, duration=10.0, width=200, height=100)
HEADER = "clip,frame,x1,y1,x2,y2,label\n"


def write(tmp_path, text, name="boxes.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def slow_map(boxes, times, crop, rows, columns, samples=64):
    """Look at many points of each patch, and ask whether each lies in a box."""
    seen = sorted(set(boxes.times.tolist()))
    gaps = sorted(after - before for before, after in zip(seen, seen[1:], strict=False))
    reach = gaps[(len(gaps) - 1) // 2] if gaps else 1.0
    found = torch.zeros(len(times), rows, columns)
    for number, time in enumerate(times.tolist()):
        nearest = min(seen, key=lambda each: abs(each - time))
        if abs(nearest - time) > reach + 1e-9:
            continue
        for row in range(rows):
            for column in range(columns):
                hits = 0
                for i in range(samples):
                    for j in range(samples):
                        across = (column + (j + 0.5) / samples) / columns
                        x = crop.left + (1 - across if crop.flip else across) * crop.width
                        y = crop.top + (row + (i + 0.5) / samples) / rows * crop.height
                        hits += any(
                            x1 <= x < x2 and y1 <= y < y2
                            for when, (x1, y1, x2, y2) in zip(boxes.times.tolist(), boxes.corners.tolist(), strict=True)
                            if when == nearest
                        )
                found[number, row, column] = hits / samples**2
    return found


@pytest.mark.parametrize("crop", [Crop(), Crop(0.1, 0.25, 0.5, 0.6), Crop(0.0, 0.3, 0.7, 0.7, flip=True)])
def test_a_map_is_the_share_of_each_patch_in_any_box(crop):
    corners = [[0.1, 0.2, 0.55, 0.7], [0.5, 0.4, 0.9, 1.0], [0.3, 0.1, 0.6, 0.4], [torch.nan] * 4]
    times = torch.tensor([0.0, 0.0, 0.2, 0.4], dtype=torch.float64)
    boxes = Boxes(times, torch.tensor(corners, dtype=torch.float64), ("",) * 4, "share")
    wanted = torch.tensor([0.0, 0.16, 0.38, 0.5, 0.95])
    expected = slow_map(boxes, wanted, crop, 3, 4)
    assert expected[:2].amax((1, 2)).min() > 0.3 and not expected[2:].any()
    torch.testing.assert_close(boxes.cover(wanted, crop, 3, 4), expected, atol=0.03, rtol=0)


def test_a_box_is_covered_to_the_last_bit():
    boxes = Boxes(torch.zeros(1).double(), torch.tensor([[0.125, 0.0, 0.5, 0.8]]).double(), ("",), "share")
    found = boxes.cover(torch.tensor([0.0, 1.0]), Crop(), 2, 4)
    expected = torch.tensor([[0.5, 1.0, 0.0, 0.0], [0.3, 0.6, 0.0, 0.0]])
    torch.testing.assert_close(found, expected.expand(2, 2, 4))


def placed(path, label=None):
    """Boxes of the one clip."""
    return match_boxes(read_boxes(path), [CLIP], label)[CLIP.path]


def at(*paths):
    return [replace(CLIP, path=path) for path in paths]


def named(tmp_path, *names):
    """A file with a box as wide as its row's number for each name."""
    rows = (f"{name},0,0,0,{number + 1},5,\n" for number, name in enumerate(names))
    return read_boxes(write(tmp_path, HEADER + "".join(rows)))


def widths(boxes):
    return {path: [round(200 * corner) for corner in each.corners[:, 2].tolist()] for path, each in boxes.items()}


def test_frames_seconds_and_pixels_become_shares(tmp_path):
    boxes = placed(write(tmp_path, HEADER + "a.mp4,50,20,10,100,60,face\na.mp4,100,,,,,\nb,0,0,0,5,5,\n"))
    assert boxes.times.tolist() == [0.5, 1.0]
    assert boxes.corners[0].tolist() == [0.1, 0.1, 0.5, 0.6]
    assert boxes.corners[1].isnan().all() and boxes.labels == ("face", "")
    line = {"clip": "a", "time": 2.5, "x1": 20, "y1": 10, "x2": 400, "y2": 60}
    seconds = placed(write(tmp_path, json.dumps(line), "b.jsonl"))
    assert seconds.times.tolist() == [0.25] and seconds.corners[0].tolist() == [0.1, 0.1, 1.0, 0.6]


@pytest.mark.parametrize("name", ["videos/a.mp4", "./videos/a.mp4", "videos/a", "a.mp4", "a"])
def test_boxes_are_found_by_the_end_of_the_path(tmp_path, name):
    assert widths(match_boxes(named(tmp_path, name), at("videos/a.mp4", "videos/aa.mp4"))) == {"videos/a.mp4": [1]}
    absolute = str(tmp_path / "videos/a.mp4")
    assert widths(match_boxes(named(tmp_path, name), at(absolute))) == {absolute: [1]}


@pytest.mark.parametrize("name", ["other", "deos/a.mp4", "/elsewhere/videos/a.mp4", "more/videos/a.mp4", "videos"])
def test_boxes_of_other_clips_are_left_out(tmp_path, name):
    assert match_boxes(named(tmp_path, name), at("videos/a.mp4")) == {}


def test_clips_of_one_name_have_their_own_boxes(tmp_path):
    clips = at("videos/run/0001.mp4", "videos/walk/0001.mp4", "videos/walk/0001.webm", "videos/walk/0002.mp4")
    names = ("walk/0001.mp4", "run/0001", "0001.webm", "0002")
    expected = {"videos/walk/0001.mp4": [1], "videos/run/0001.mp4": [2], "videos/walk/0001.webm": [3]}
    assert widths(match_boxes(named(tmp_path, *names), clips)) == expected | {"videos/walk/0002.mp4": [4]}


def test_a_whole_path_is_no_end_of_another(tmp_path):
    clips = at("0001.mp4", "more/0001.mp4")
    assert widths(match_boxes(named(tmp_path, "0001.mp4"), clips)) == {"0001.mp4": [1]}


def test_rows_under_several_names_of_a_clip_are_all_taken(tmp_path):
    boxes = match_boxes(named(tmp_path, "a.mp4", "a", "videos/a.mp4"), at("videos/a.mp4"))
    assert sorted(widths(boxes)["videos/a.mp4"]) == [1, 2, 3]


@pytest.mark.parametrize(("name", "number"), [("0001.mp4", 2), ("0001", 3), ("walk/0001", 2)])
def test_a_name_that_several_clips_share_is_refused(tmp_path, name, number):
    with pytest.raises(InputError) as caught:
        match_boxes(named(tmp_path, name), at("v/walk/0001.mp4", "v/run/0001.mp4", "v/walk/0001.avi"))
    first, other = ("run/0001.mp4", "walk/0001.avi")
    assert f"the boxes of {name!r} could be those of {number} clips, such as v/walk/0001.mp4 and v/" in str(
        caught.value
    )
    assert (first if number == 3 or name.endswith("mp4") else other) in str(caught.value)


def test_boxes_of_a_label_leave_times_without_a_box(tmp_path):
    path = write(tmp_path, HEADER + "a,0,0,0,100,100,face\na,100,0,0,100,100,hand\n")
    faces = placed(path, "face").cover(torch.tensor([0.0, 1.0]), Crop(), 1, 2)
    assert faces.flatten().tolist() == [1, 0, 0, 0]


def test_only_clips_with_a_box_of_the_label_are_returned(tmp_path):
    rows = "a,0,0,0,9,9,face\nb,0,0,0,9,9,hand\nc,0,,,,,face\n"
    boxes, clips = read_boxes(write(tmp_path, HEADER + rows)), at("v/a.mp4", "v/b.mp4", "v/c.mp4", "v/d.mp4")
    assert set(match_boxes(boxes, clips, "face")) == {"v/a.mp4"}
    assert set(match_boxes(boxes, clips)) == {"v/a.mp4", "v/b.mp4"}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("face", "hand", ""), "no box has the label 'faces'; choose from: face, hand"),
        (("", "", ""), "no box has the label 'faces'; no row has one; leave it out"),
    ],
)
def test_a_label_that_no_row_has_is_refused(tmp_path, labels, message):
    path = write(tmp_path, HEADER + "".join(f"a,{row},0,0,9,9,{label}\n" for row, label in enumerate(labels)))
    with pytest.raises(InputError) as caught:
        placed(path, "faces")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,frame,x1,y1,x2\na,0,1,2,3\n", "has no column 'y2'"),
        ("clip,x1,y1,x2,y2\na,1,2,3,4\n", "must have the column frame (from 0) or time (in seconds)"),
        (HEADER, "has no boxes"),
        (HEADER + "a,one,1,2,3,4,\n", "row 1: frame is 'one'; give a number"),
        (HEADER + "a,inf,1,2,3,4,\n", "frame is 'inf'"),
        (HEADER + "a,,1,2,3,4,\n", "row 1 has no frame"),
        (HEADER + ",0,1,2,3,4,\n", "row 1 names no clip"),
        (HEADER + "a,0,1,2,,4,\n", "row 1 has only some of the corners"),
        (HEADER + "a,0,9,2,3,4,\n", "row 1 is not a box: x1, y1, x2, y2 = 9, 2, 3, 4; x2 must be above x1"),
    ],
)
def test_files_that_are_refused(tmp_path, text, message):
    with pytest.raises(InputError) as caught:
        read_boxes(write(tmp_path, text))
    assert message in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist; give a table with the columns clip, frame, x1"):
        read_boxes(tmp_path / "none.csv")


@pytest.mark.parametrize("label", [None, "hand"])
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,101,1,2,3,4,", "has a box at frame 101, but only 101 frames"),
        ("a,0,200,2,300,4,", "has a box (200, 2, 300, 4) outside of its frame of 200x100 pixels"),
    ],
)
def test_boxes_outside_of_a_clip_are_refused(tmp_path, row, message, label):
    row += "face\na,0,1,1,5,5,hand"
    with pytest.raises(InputError) as caught:
        placed(write(tmp_path, HEADER + row + "\n"), label)
    assert message in str(caught.value)
