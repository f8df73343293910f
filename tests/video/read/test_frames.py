"""Folders of images as clips: found, probed, read exactly, and refused where they are no frames of one clip."""

import os
import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from support.clip_files import draw_clip

from diffmask.core.errors import InputError
from diffmask.video.clip.clip import ReadError, content_hash
from diffmask.video.clip.find import are_clips, list_videos
from diffmask.video.index.index import index_clips, read_clips, update_index, write_index
from diffmask.video.read.dataset import ClipDataset, Sampling
from diffmask.video.read.readers import open_reader
from diffmask.video.units.grid import Grid
from diffmask.video_text.data.pairs import PairSettings, read_pairs

HEIGHT, WIDTH, COUNT = 24, 32, 6


def picture(number, height=HEIGHT, width=WIDTH):
    values = np.random.default_rng(number).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return values.repeat(8, 0).repeat(8, 1)


def draw_frames(folder, numbers=range(1, COUNT + 1), form="{:05d}.png"):
    folder.mkdir(parents=True)
    for number in numbers:
        Image.fromarray(picture(number)).save(folder / form.format(number))
    return folder


def probe(folder):
    (clip,) = index_clips([folder])
    return clip


@pytest.mark.parametrize("form", ["{:05d}.png", "{}.png", "frame_{:02d}.png", "img-{}.PNG"])
def test_a_folder_of_numbered_images_is_a_clip_of_exact_frames(tmp_path, form):
    folder = draw_frames(tmp_path / "all" / "clip", range(7, 19), form)
    clip = probe(tmp_path / "all")
    assert (clip.path, clip.status, clip.reader, clip.codec) == (str(folder), "ok", "frames", "png")
    assert (clip.num_frames, clip.width, clip.height, clip.fps, clip.duration) == (12, WIDTH, HEIGHT, 3.0, 4.0)
    assert clip.name == "clip"
    for name in ("auto", "decord"):
        with open_reader(clip, name) as reader:
            frames = reader.read([11, 0, 5, 5])
        expected = [picture(number) for number in (18, 7, 12, 12)]
        assert np.array_equal(frames.numpy(), np.stack(expected))


def test_what_is_found_in_folders(tmp_path):
    draw_frames(tmp_path / "bbt_frames" / "s01e01")
    draw_frames(tmp_path / "bbt_frames" / "s01e02", form="{:05d}.jpg")
    draw_frames(tmp_path / "with video").joinpath("x.mp4").write_bytes(b"")
    draw_frames(tmp_path / "with text").joinpath("notes.txt").write_text("x")
    draw_frames(tmp_path / "one", [1])
    draw_frames(tmp_path / "outer")
    draw_frames(tmp_path / "outer" / "inner")
    (draw_frames(tmp_path / "photos") / "00001.png").rename(tmp_path / "photos" / "holiday.png")
    left_out = Counter()
    found = [os.path.relpath(path, tmp_path) for path in list_videos(tmp_path, left_out)]
    assert found == ["bbt_frames/s01e01", "bbt_frames/s01e02", "outer/inner", "with video/x.mp4"]
    assert left_out == {".png": 4 * COUNT + 1, ".txt": 1}
    assert [os.path.basename(path) for path in list_videos(tmp_path / "bbt_frames" / "*")] == ["s01e01", "s01e02"]
    assert list_videos(tmp_path / "bbt_frames" / "s01e01") == [str(tmp_path / "bbt_frames" / "s01e01")]
    assert are_clips([tmp_path / "bbt_frames"])
    assert not are_clips([tmp_path / "photos"])
    with pytest.raises(InputError, match="photos has no video; .*, and folders of numbered images"):
        list_videos(tmp_path / "photos")


def test_images_are_shown_upright_and_in_colour(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    upright = Image.fromarray(picture(1))
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned a quarter clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(folder / "1.png", exif=turned)
    upright.convert("L").save(folder / "2.png")
    upright.convert("RGBA").save(folder / "3.png")
    upright.quantize(200).save(folder / "4.png", transparency=0)
    clip = probe(folder)
    assert (clip.status, clip.width, clip.height) == ("ok", WIDTH, HEIGHT)
    with open_reader(clip) as reader:
        frames = reader.read(range(4)).numpy()
    grey = np.asarray(upright.convert("L"))
    assert np.array_equal(frames[0], picture(1))
    assert np.array_equal(frames[1], np.stack([grey] * 3, 2))
    assert np.array_equal(frames[2], picture(1))
    assert np.array_equal(frames[3], picture(1))


def test_what_is_no_clip_is_put_aside_with_its_reason(tmp_path):
    folders = {name: draw_frames(tmp_path / name) for name in ("mixed", "damaged", "gap", "small", "deep")}
    Image.fromarray(picture(9, 32, 32)).save(folders["mixed"] / "00004.png")
    image = folders["damaged"] / "00003.png"
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    (folders["gap"] / "00004.png").unlink()
    for number in range(1, COUNT + 1):
        Image.fromarray(picture(number, 8, 32)).save(folders["small"] / f"{number:05d}.png")
        Image.new("I;16", (WIDTH, HEIGHT)).save(folders["deep"] / f"{number:05d}.png")
    clips = {clip.name: clip for clip in index_clips([tmp_path])}
    assert {name: clip.status for name, clip in clips.items()} == {
        "mixed": "mixed-sizes", "damaged": "corrupt", "gap": "corrupt", "small": "too-small", "deep": "corrupt",
    }  # fmt: skip
    assert clips["mixed"].reason == "its images are of several sizes: 32x24, and 32x32 (00004.png)"
    assert clips["damaged"].reason.startswith("00003.png: it cannot be decoded (")
    assert clips["gap"].reason == "images are missing: 3 is followed by 5"
    assert clips["small"].reason == "its frames are 32x8; the smaller side must have at least 16 pixels"
    assert clips["deep"].reason == "00001.png: it has more than 8 bits a colour (I;16); save it with 8"


def test_every_second_image_is_no_gap(tmp_path):
    clip = probe(draw_frames(tmp_path / "clip", range(0, 12, 2)))
    assert (clip.status, clip.num_frames) == ("ok", 6)


def test_a_folder_that_changed_is_not_read_and_probed_again(tmp_path):
    folder = draw_frames(tmp_path / "all" / "clip")
    index = tmp_path / "clips.parquet"
    (clip,) = update_index(index, [tmp_path / "all"])
    assert update_index(index, [tmp_path / "all"]) == [clip]
    Image.fromarray(picture(99)).save(folder / "00003.png", compress_level=0)
    with pytest.raises(ReadError, match="bytes when it was indexed, now .*; index it again"), open_reader(clip):
        pass
    (again,) = update_index(index, [tmp_path / "all"])
    assert again.size != clip.size
    with open_reader(again) as reader:
        assert np.array_equal(reader.read([2])[0].numpy(), picture(99))
    shutil.rmtree(folder)
    with pytest.raises(ReadError, match="it is no longer there"), open_reader(again):
        pass


def test_an_image_that_breaks_later_fails_alone(tmp_path):
    folder = draw_frames(tmp_path / "clip")
    clip = probe(folder)
    image = folder / "00003.png"
    content, status = image.read_bytes(), image.stat()
    image.write_bytes(content[:100] + bytes(len(content) - 100))
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    with open_reader(clip) as reader:
        assert np.array_equal(reader.read([1])[0].numpy(), picture(2))
        with pytest.raises(ReadError, match=f"{folder}: 00003.png: it cannot be decoded"):
            reader.read([2])


def test_a_table_says_how_many_frames_a_second_there_are(tmp_path):
    draw_frames(tmp_path / "all" / "one")
    draw_frames(tmp_path / "all" / "two")
    draw_clip(tmp_path / "all" / "three.mp4", 0)
    table = tmp_path / "rates.csv"
    table.write_text("clip,fps,label\none,6,a\ntwo,,b\nthree,6,c\n")
    index = tmp_path / "clips.parquet"
    rates = {clip.name: (clip.fps, clip.duration) for clip in update_index(index, [tmp_path / "all"], joins=[table])}
    assert rates["one"] == (6.0, 1.0)
    assert rates["two"] == (3.0, 2.0)
    assert rates["three"] == pytest.approx((10.0, 1.4))  # a file of video knows better
    again = {clip.name: clip.fps for clip in update_index(index, [tmp_path / "all"])}
    assert again["one"] == 6.0


def test_frames_go_through_the_whole_of_reading(tmp_path):
    folder = draw_frames(tmp_path / "frames" / "s01e01_seg01_clip_00", range(1, 13))
    (tmp_path / "captions.csv").write_text("clip,caption,start,end\nframes/s01e01_seg01_clip_00,a show,1,2\n")
    (pair,) = read_pairs(tmp_path / "captions.csv").pairs
    (other,) = read_pairs(tmp_path / "captions.csv", PairSettings(clips=(str(tmp_path / "frames"),))).pairs
    assert pair.clip == other.clip
    assert (pair.clip.path, pair.span) == (str(folder), (1.0, 2.0))
    data = ClipDataset([pair.clip], Sampling(Grid(1, 2, 2, 2, 8)), spans=[pair.span], augment=False)
    assert data[0][0]["frames"].shape == (2, 3, 16, 16)
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert content_hash(probe(copy)) == content_hash(pair.clip)
    write_index(tmp_path / "clips.parquet", [pair.clip])
    assert read_clips(tmp_path / "clips.parquet") == [pair.clip]
