import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from support.html_checks import check

from diffmask.core.errors import InputError
from diffmask.report.clips.film_strip import side_by_side
from diffmask.report.clips.look import ClipReading, ShownClip
from diffmask.report.clips.preview import SIZE, ClipPreview
from diffmask.report.clips.source import ClipSource
from diffmask.report.html.page import page

EVIL = "<script>alert('clip')</script>\x1b[31m\"&"


def reading(shape, seed, *, scores=True, filled=None):
    generator = torch.Generator().manual_seed(seed)
    often = torch.rand(shape, generator=generator)
    return ClipReading(
        scores=torch.randn(shape, generator=generator) if scores else None,
        often=often,
        masked=often > 0.3,
        ratio=float(often.mean()),
        best=0.875 if scores else None,
        reconstruction=filled,
    )


def preview(num_clips=2, policies=("random-tube", EVIL), *, filled=False, side=32, frames=4):
    """A preview of clips that look like clips: smooth, with some noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(num_clips * frames, 3, side // 8, side // 8, generator=generator)
    made = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1) * 235
    made += 20 * torch.rand(made.shape, generator=generator)
    pixels = made.to(torch.uint8).view(num_clips, frames, 3, side, side)
    clips = [ShownClip(f"{EVIL}-{number}.mp4", EVIL, each) for number, each in enumerate(pixels)]
    shape = (frames // 2, side // 16, side // 16)
    readings = {
        name: [
            reading(shape, seed, scores=place > 0, filled=clip.frames if filled else None)
            for seed, clip in enumerate(clips)
        ]
        for place, name in enumerate(policies)
    }
    return ClipPreview(clips, readings, 64)


def pictures(text):
    return [base64.b64decode(found) for found in re.findall(r'src="data:image/(?:png|jpeg);base64,([^"]+)"', text)]


def test_the_page_is_whole_and_shows_only_pictures_of_its_own():
    text = replace(preview(filled=True), failed={EVIL: EVIL}).page([("clips", EVIL)], [EVIL])
    check(text, pictures=True)
    assert 'img-src data:"' in text
    # of each clip: frames; random: often, mask, filled in; the other has a score too
    held = pictures(text)
    assert len(held) == 2 * (1 + 3 + 4) == text.count("<img ")
    assert {Image.open(io.BytesIO(each)).height for each in held} == {SIZE}
    assert "never from the truth" in text


def test_scores_that_are_all_the_same_have_one_number():
    shown = preview(1, ("random-tube", "boxes"))
    same = replace(shown.readings["boxes"][0], scores=torch.zeros(2, 2, 2))
    shown = replace(shown, readings=shown.readings | {"boxes": [same]})
    assert "score0 throughout" in check(shown.page([]), pictures=True).text
    assert shown.still().height > 0


def test_a_page_without_pictures_allows_none():
    assert "img-src" not in page("none", ["<p>src</p>"])


def test_what_comes_from_data_is_text():
    text = replace(preview(), failed={EVIL: EVIL}).page([(EVIL, EVIL)], [EVIL])
    assert "<script" not in text and "alert('" not in text
    assert check(text, pictures=True).text.count("</script>") >= 10


def test_the_numbers_are_on_the_page_and_in_the_terminal():
    shown = preview(policies=("random-tube", "motion"))
    words = check(shown.page([]), pictures=True).text
    console = Console(file=io.StringIO(), width=200, highlight=False)
    shown.print(console)
    out = console.file.getvalue()
    for name, readings in shown.readings.items():
        assert name in words and name in out
        for each in readings:
            assert f"{100 * each.ratio:.1f} %" in words.replace("\u00a0", " ") and f"{100 * each.ratio:.1f} %" in out
    assert "87.5 %" in words and "87.5 %" in out and "\x1b" not in out
    assert "filled in" not in words


def test_colours_that_stand_for_values_are_kept_exactly():
    shown = preview(1, ("random-tube", "motion"), side=128)
    held = [Image.open(io.BytesIO(each)) for each in pictures(shown.page([]))]
    made = [layer for name in shown.readings for layer in shown.layers(name, 0)]
    assert len(held) == 1 + len(made)
    valued = [(image, layer) for image, layer in zip(held[1:], made, strict=True) if layer.scale is not None]
    assert len(valued) == 3
    for image, layer in valued:
        assert image.format == "PNG"
        assert np.array_equal(np.array(image), np.array(side_by_side(layer.frames, SIZE)))
    assert held[0].format == "JPEG"


def test_a_frame_is_seen_under_the_colours_of_its_patches():
    frames = torch.zeros(2, 3, 224, 224, dtype=torch.uint8)
    frames[:, :, :, 112:] = 240
    same = replace(reading((1, 14, 14), 0, scores=False), often=torch.full((1, 14, 14), 0.5))
    shown = next(ClipPreview([ShownClip("a", "", frames)], {"same": [same]}, 64).layers("same", 0)).frames.float()
    # the frame is two fifths of what is seen
    assert (shown[:, :, :, 112:] - shown[:, :, :, :112]).mean() == pytest.approx(0.4 * 256, abs=2)
    assert shown[:, :, :, :112].std((2, 3)).max() == 0 == shown[:, :, :, 112:].std((2, 3)).max()


@pytest.mark.slow
def test_eight_clips_and_four_policies_stay_below_five_megabytes():
    shown = preview(8, ("random-tube", "difference", "motion", "boxes"), side=224, frames=16)
    assert len(shown.page([]).encode()) < 5e6


def test_a_still_picture_has_a_row_for_each_kind_of_each_policy():
    shown = preview(filled=True)
    rows = 2 * (1 + 3 + 4)
    assert shown.still().height == pytest.approx(rows * SIZE, rel=0.1)


def test_a_moving_picture_has_each_frame_of_the_clips(tmp_path):
    shown = preview(filled=True, frames=6)
    assert len(shown.moving()) == 6
    shown.write(tmp_path / "a.gif", [])
    found = Image.open(io.BytesIO((tmp_path / "a.gif").read_bytes()))
    assert found.n_frames == 6 and found.format == "GIF"
    shown.write(tmp_path / "a.png", [])
    assert Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())).format == "PNG"


def test_an_output_of_another_kind_is_refused(tmp_path):
    with pytest.raises(InputError, match="is no page or picture; give a name that ends with .html, .png or .gif"):
        ClipSource.check_output(tmp_path / "a.mp4", overwrite=False)
    (tmp_path / "a.gif").write_bytes(b"mine")
    with pytest.raises(InputError, match="exists; use --overwrite"):
        ClipSource.check_output(tmp_path / "a.gif", overwrite=False)
    ClipSource.check_output(tmp_path / "a.gif", overwrite=True)
