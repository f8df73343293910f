import contextlib
import logging

import pytest
import torch

from diffmask.video.anchors import contact_sheet as sheet_module
from diffmask.video.anchors.anchor_set import VisualAnchors
from diffmask.video.anchors.contact_sheet import CELL, GAP, LABEL, NUM_SHOWN, draw_sheet
from diffmask.video.anchors.visual_words import Patches
from diffmask.video.clip.clip import OK, Clip, ReadError

CLIPS = tuple(Clip(f"{name}.mp4", OK, num_frames=20, width=40, height=20) for name in "ab")
GRID = (2, 4)


def colour(clip, frame, row, column):
    return [40 * row + 10 * column, 200 if clip else 60, 10 * frame]


@pytest.fixture
def gone(monkeypatch):
    """Frames are blocks whose colour tells clip, frame and place; clips named in `gone` cannot be read."""
    names = set()

    @contextlib.contextmanager
    def open_reader(clip):
        if clip.name in names:
            raise ReadError(clip.path, "the file is gone")

        class Blocks:
            num_frames = 20

            def read(self, indices):
                colours = [
                    [[colour(clip.name == "b", frame, row, column) for column in range(4)] for row in range(2)]
                    for frame in indices
                ]
                frames = torch.tensor(colours, dtype=torch.uint8)
                return frames.repeat_interleave(10, dim=1).repeat_interleave(10, dim=2)

        yield Blocks()

    monkeypatch.setattr(sheet_module, "open_reader", open_reader)
    return names


@pytest.fixture
def patches():
    places = torch.cartesian_prod(torch.arange(2), torch.arange(20), torch.arange(2), torch.arange(4))
    generator = torch.Generator().manual_seed(0)
    return Patches(torch.randn(len(places), 5, generator=generator), places, CLIPS, (GRID, GRID))


def anchors_near(patches, rows, num_clips):
    values = [(f"word-{row}", "word", 3.25, 1_000, num_clips, 0.5, 0.1) for row in rows]
    names = [each[0] for each in values]
    none = torch.zeros(0)
    embeddings = patches.embeddings[rows]
    return VisualAnchors(names, values, embeddings, embeddings, embeddings, none, {}, {"found": True})


def middle(picture, place, row):
    """Return the colour in the middle of a cell."""
    return list(picture.getpixel((LABEL + place * (CELL + GAP) + CELL // 2, GAP + row * (CELL + GAP) + CELL // 2)))


def test_each_anchor_has_a_row_of_the_patches_that_are_nearest_to_it(gone, patches):
    rows = [13, 250]
    picture = draw_sheet(anchors_near(patches, rows, 2), patches)
    assert picture.size == (LABEL + NUM_SHOWN * (CELL + GAP) + GAP, 2 * (CELL + GAP) + GAP)
    for number, row in enumerate(rows):
        # the nearest patch is the one that the anchor was taken from
        assert middle(picture, 0, number) == pytest.approx(colour(*patches.places[row].tolist()), abs=2)


def test_no_clip_has_more_than_its_share_and_no_frame_comes_twice(gone, patches):
    chosen = sheet_module._nearest(anchors_near(patches, [13], 2), 0, patches)
    taken = [tuple(patches.places[index, :2].tolist()) for index in chosen]
    assert len(chosen) == NUM_SHOWN == len(set(taken))
    assert [clip for clip, _ in taken].count(0) == 5
    cosines = torch.cosine_similarity(patches.embeddings[chosen], patches.embeddings[13:14])
    assert (cosines.diff() <= 0).all()
    # of a word that one clip has, that clip may fill the row
    alone = sheet_module._nearest(anchors_near(patches, [13], 1), 0, patches)
    taken = [patches.places[index, 0].item() for index in alone]
    assert len(alone) == NUM_SHOWN and taken.count(0) != 5


def test_a_clip_that_is_gone_is_left_out(gone, patches, caplog):
    gone.add("a")
    with caplog.at_level(logging.WARNING):
        picture = draw_sheet(anchors_near(patches, [13], 2), patches)
    assert "a.mp4 is not shown" in caplog.text
    assert middle(picture, 0, 0) == [255, 255, 255]
