import base64
import io
import re

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from PIL import Image

from diffmask.report.clips import film_strip as overlay
from diffmask.report.clips.film_strip import (
    ALPHA,
    GAP,
    HIDDEN,
    LINE,
    Block,
    Row,
    colour,
    colour_table,
    data_uri,
    heat,
    hide,
    pick,
    resize,
    sheet,
    side_by_side,
    to_image,
    to_pixels,
    write_gif,
    write_png,
)


def clip(frames=4, side=12, seed=0):
    return torch.randint(
        0, 256, (frames, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


def patch_of(frame, y, x, frames, patches):
    """The patch that a pixel lies in, the slow way."""
    return (
        frame * patches.shape[0] // frames.shape[0],
        y * patches.shape[1] // frames.shape[2],
        x * patches.shape[2] // frames.shape[3],
    )


def test_a_heat_map_is_that_of_a_slow_loop():
    frames, values = clip(), torch.linspace(-1, 2, 2 * 3 * 2).view(2, 3, 2)
    found = heat(frames, values, -1.0, 2.0)
    table = colormaps[overlay.COLOURS]
    for frame in range(4):
        for y in range(12):
            for x in range(12):
                share = (float(values[patch_of(frame, y, x, frames, values)]) + 1) / 3
                red, green, blue = table(round(share * 255), bytes=True)[:3]
                seen = frames[frame, :, y, x].double()
                grey = 0.299 * seen[0] + 0.587 * seen[1] + 0.114 * seen[2]
                for channel, ink in enumerate((red, green, blue)):
                    expected = float(grey) * (1 - ALPHA) + int(ink) * ALPHA
                    # one may be rounded up where the other is rounded down
                    assert abs(int(found[frame, channel, y, x]) - expected) <= 0.5 + 1e-3
    assert found.dtype == torch.uint8 and found.shape == frames.shape


def test_a_mask_is_that_of_a_slow_loop():
    frames = clip()
    masked = torch.rand(2, 3, 2, generator=torch.Generator().manual_seed(1)) < 0.5
    found = hide(frames, masked)
    for frame in range(4):
        for y in range(12):
            for x in range(12):
                expected = frames[frame, :, y, x].tolist()
                if masked[patch_of(frame, y, x, frames, masked)]:
                    expected = [LINE if y % 4 == 0 or x % 6 == 0 else HIDDEN] * 3
                assert found[frame, :, y, x].tolist() == expected


def test_what_is_hidden_is_told_from_what_is_dark_or_grey():
    masked = torch.tensor([[[True, False]]])
    for level in (0, HIDDEN, 255):
        found = hide(torch.full((1, 3, 8, 16), level, dtype=torch.uint8), masked)
        assert len(found[..., :8].unique()) == 2 and len(found[..., 8:].unique()) == 1


def test_frames_that_are_no_multiple_of_the_patches_are_refused():
    with pytest.raises(AssertionError, match="no multiple"):
        to_pixels(torch.zeros(1, 1, 5, 5), clip())


def test_colours_are_even_and_end_where_the_scale_ends():
    linear = colour_table().double() / 255
    linear = torch.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    light = linear @ torch.tensor([0.2126, 0.7152, 0.0722], dtype=torch.float64)
    lightness = 116 * light.clamp_min(0.008856).pow(1 / 3) - 16
    steps = lightness[::16].diff()
    assert (steps > 0).all() and steps.max() < 2 * steps.min()
    ends = colour(torch.tensor([-9.0, 0.0, 1.0, 9.0]), 0.0, 1.0)
    assert torch.equal(ends[0], ends[1]) and torch.equal(ends[2], ends[3])
    assert torch.equal(ends[1], colour_table()[0]) and torch.equal(ends[2], colour_table()[-1])


def test_scores_that_are_all_the_same_have_one_colour():
    assert torch.equal(colour(torch.full((3,), 2.0), 2.0, 2.0), colour_table()[:1].expand(3, 3))


def test_frames_stand_side_by_side_exactly():
    frames = clip()
    row = np.asarray(side_by_side(frames))
    assert row.shape == (12, 4 * 12 + 3 * GAP, 3)
    for place, frame in enumerate(frames):
        found = row[:, place * (12 + GAP) :][:, :12]
        assert np.array_equal(found, frame.permute(1, 2, 0).numpy())


def test_frames_are_enlarged_by_whole_pixels_and_made_smaller_by_means():
    frames = clip(side=4)
    assert torch.equal(resize(frames, 8), frames.repeat_interleave(2, 2).repeat_interleave(2, 3))
    halves = frames.float().view(4, 3, 2, 2, 2, 2).mean((3, 5)).round()
    assert torch.equal(resize(frames, 2).float(), halves)


def test_a_png_is_read_back_exactly(tmp_path):
    picture = to_image(clip()[0])
    write_png(picture, tmp_path / "a.png")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO((tmp_path / "a.png").read_bytes()))), np.asarray(picture))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_gif_has_every_frame_loops_and_does_not_flicker(tmp_path):
    still, moving = clip(1, 16, seed=3)[0], clip(6, 16)
    # two frames are the same, and half of each never changes
    moving[3] = moving[2]
    moving[:, :, :, :8] = still[:, :, :8]
    write_gif([to_image(resize(frame[None], 32)[0]) for frame in moving], tmp_path / "a.gif", per_second=10)
    found = Image.open(io.BytesIO((tmp_path / "a.gif").read_bytes()))
    assert found.n_frames == 6 and found.info["loop"] == 0 and found.info["duration"] == 100
    frames = []
    for place in range(6):
        found.seek(place)
        frames.append(np.asarray(found.convert("RGB"))[:32, :16])
    assert all(np.array_equal(frames[0], frame) for frame in frames)
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_colours_of_a_gif_are_near_those_of_the_frames(tmp_path):
    # a ramp of many colours, as a heat map is
    ramp = colour(torch.linspace(0, 1, 64).expand(64, 64), 0.0, 1.0).movedim(2, 0)
    write_gif([to_image(ramp)] * 3, tmp_path / "a.gif")
    found = Image.open(io.BytesIO((tmp_path / "a.gif").read_bytes())).convert("RGB")
    assert np.abs(np.asarray(found)[:64].astype(int) - ramp.permute(1, 2, 0).numpy()).max() <= 8


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_an_address_holds_the_picture_in_the_smaller_of_two_formats(kind):
    frame = clip(1, 64)[0] if kind == "jpeg" else torch.full((3, 64, 64), 128, dtype=torch.uint8)
    uri = data_uri(to_image(frame))
    assert re.fullmatch(rf"data:image/{kind};base64,[A-Za-z0-9+/=]+", uri)
    held = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert held.size == (64, 64) and held.format.lower() == kind


def test_a_sheet_has_a_row_for_each_and_takes_any_name():
    frames = clip(3, 16)
    rows = [Row("frames", frames), Row("score\n\x1b[31m\U0001f438", frames, (0.0, 1.5))]
    picture = sheet([Block("蛙.mp4 " + "x" * 400, rows)], 16, ["a", "b", "c"])
    found = np.asarray(picture)
    at = found.shape[1] - 3 * (16 + GAP) - GAP
    assert np.array_equal(found[24:40, at : at + 16], frames[0].permute(1, 2, 0).numpy())


def test_frames_that_are_shown_are_spread_over_the_clip():
    for length in (1, 2, 7, 16, 33):
        shown = pick(length, 8)
        assert shown == sorted(set(shown)) and len(shown) == min(8, length) and shown[0] >= 0 and shown[-1] < length
