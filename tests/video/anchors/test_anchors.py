import json
import logging
import shutil

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.metrics import roc_auc_score
from support.tiny_clip import (
    STUDENT,
    save_clip,
    stripes,
    tiny_clip,
    tiny_config,
    write_groups,
)
from transformers import VideoMAEConfig, VideoMAEForPreTraining

from diffmask.core.errors import InputError
from diffmask.core.similarity import contrast
from diffmask.demo.rendered_clips import encode
from diffmask.text.anchors.anchor_set import load_anchors
from diffmask.video.anchors import visual_words as words_module
from diffmask.video.anchors.anchor_set import ALIKE, load_visual_anchors
from diffmask.video.anchors.contact_sheet import CELL, draw_sheet
from diffmask.video.anchors.find import VisualAnchorSettings, build_visual_anchors
from diffmask.video.clip.clip import ReadError
from diffmask.video.index.index import read_clips
from diffmask.video.read.readers import open_reader
from diffmask.video.score.score_maps import _read_map, make_maps


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    return write_groups(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def settings(groups):
    return {
        "clips": [str(groups / "domain.parquet")],
        "reference": [str(groups / "general.parquet")],
        "num_words": 16,
        "size": 128,
    }


@pytest.fixture(scope="module")
def found(settings):
    return build_visual_anchors(VisualAnchorSettings(**settings, num_anchors=4), "the command")


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    config = tiny_config(pool_type="avg")
    return save_clip(tiny_clip(config), config, tmp_path_factory.mktemp("clip"))


def refusal(function, *args, **options):
    with pytest.raises(InputError) as caught:
        function(*args, **options)
    message = str(caught.value)
    assert "\n" not in message and not message.endswith(".")
    return message


def test_anchors_are_what_the_clips_have_and_the_others_lack(found):
    anchors, _ = found
    assert anchors.rows[0][2] > 2 and anchors.rows[0][4] == 3
    scorer = anchors.scorer("cpu")
    frames = stripes(30)[0]
    scores = scorer.score(frames)
    assert scores.shape == (8, 8, 8) and scores.isfinite().all()
    inside = torch.zeros(8, 8, 8, dtype=torch.bool)
    for frame in range(8):
        top = 8 + 2 * frame
        inside[frame, -(-top // 8) : (top + 24) // 8, 2:5] = True
    assert roc_auc_score(inside.flatten(), scores.flatten()) > 0.95


def test_maps_of_clips_are_made_by_the_scorer(found, groups, tmp_path):
    scorer = found[0].scorer("cpu")
    clips = read_clips(groups / "domain.parquet")
    paths = make_maps(clips, scorer, tmp_path)
    scores = _read_map(paths[0])
    assert scores.values.shape == (8, 8, 8) and scores.times[[0, -1]].tolist() == [0, 1]
    with open_reader(clips[0]) as reader:
        slow = scorer.score(reader.read(range(8)))
    torch.testing.assert_close(scores.values, slow.half())


def test_the_score_is_that_of_words(found):
    anchors, patches = found
    rows = patches.embeddings[:20]
    centred = F.normalize(anchors.words - anchors.words.mean(0), dim=1)
    votes = anchors.log_tf_icf - anchors.log_tf_icf.mean()
    direction = torch.stack([vote * word for vote, word in zip(votes, centred, strict=True)]).sum(0)
    likely, near = anchors.parts(rows)
    for row, value in zip(rows, likely.tolist(), strict=True):
        assert F.cosine_similarity(row - anchors.words.mean(0), direction, dim=0).item() == pytest.approx(
            value, abs=1e-5
        )
    torch.testing.assert_close(near, contrast(rows, anchors.embeddings, anchors.common, "mean"))
    whole = [each for each in anchors.parts(patches.embeddings)]
    standard = [(each - each.mean()) / each.std(correction=0) for each in whole]
    torch.testing.assert_close(anchors.score(patches.embeddings), 0.8 * standard[0] + 0.2 * standard[1])


def test_a_folder_is_written_and_read_again(found, tmp_path):
    anchors, patches = found
    anchors.save(tmp_path / "out", draw_sheet(anchors, patches))
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["anchors.csv", "anchors.json", "anchors.safetensors", "sheet.png"]
    again = load_visual_anchors(tmp_path / "out")
    assert again.key == anchors.key and again.names == anchors.names and again.rows == anchors.rows
    frames = stripes(40)[0]
    torch.testing.assert_close(again.scorer("cpu").score(frames), anchors.scorer("cpu").score(frames))
    record = json.loads((tmp_path / "out" / "anchors.json").read_text())
    assert record["modality"] == "video" and record["command"] == "the command"
    assert record["embedder"]["key"] == anchors.embedder("cpu").key and record["packages"]["torch"]


def test_the_same_work_gives_the_same_anchors(found, settings):
    again, _ = build_visual_anchors(VisualAnchorSettings(**settings, num_anchors=4), "the command")
    assert again.key == found[0].key and again.metadata == found[0].metadata


def test_rows_that_people_drop_no_longer_count(found, tmp_path):
    anchors, patches = found
    assert len(anchors.names) >= 2
    anchors.save(tmp_path / "out", draw_sheet(anchors, patches))
    table = tmp_path / "out" / "anchors.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], *lines[2:]]))
    edited = load_visual_anchors(tmp_path / "out")
    assert edited.names == anchors.names[1:] and edited.key != anchors.key
    torch.testing.assert_close(edited.embeddings, anchors.embeddings[1:])
    cosines = F.cosine_similarity(edited.words, anchors.embeddings[:1])
    assert cosines.max() < 0.999 and len(edited.words) < len(anchors.words)
    # nor do they after they are saved without the row
    edited = edited.fitted_to(patches.embeddings)
    edited.save(tmp_path / "again", draw_sheet(edited, patches))
    assert load_visual_anchors(tmp_path / "again").key == edited.key


def test_anchors_do_not_look_alike(found):
    cosines = F.normalize(found[0].embeddings, dim=1) @ F.normalize(found[0].embeddings, dim=1).T
    assert (cosines - 2 * torch.eye(len(cosines))).max() < ALIKE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("anchor\n", "there is no anchor"),
        ("word\nx\n", "has no column `anchor` in its first line"),
        ("anchor\ncat\n", "row 1 has the anchor 'cat', which the folder does not hold; drop rows, or make anchors"),
    ],
)
def test_tables_that_are_refused(found, tmp_path, text, message):
    found[0].save(tmp_path / "out", draw_sheet(*found))
    (tmp_path / "out" / "anchors.csv").write_text(text)
    assert message in refusal(load_visual_anchors, tmp_path / "out")


def test_a_row_that_comes_twice_is_refused(found, tmp_path):
    found[0].save(tmp_path / "out", draw_sheet(*found))
    table = tmp_path / "out" / "anchors.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, lines[1]]))
    assert "occurs twice; remove one" in refusal(load_visual_anchors, tmp_path / "out")


def test_folders_that_are_refused(found, tmp_path):
    assert "does not exist; make it with: diffmask anchors CLIPS" in refusal(load_visual_anchors, tmp_path / "none")
    folder = tmp_path / "out"
    found[0].save(folder, draw_sheet(*found))
    assert "exists; choose another name" in refusal(found[0].save, folder, draw_sheet(*found))
    assert "has no types.parquet" in refusal(load_anchors, folder)
    record = (folder / "anchors.json").read_text()
    (folder / "anchors.json").write_text("{}")
    assert "holds the anchors of texts, not of clips" in refusal(load_visual_anchors, folder)
    (folder / "anchors.json").write_text("{")
    assert "anchors.json is damaged" in refusal(load_visual_anchors, folder)
    (folder / "anchors.json").write_text(record)
    (folder / "anchors.safetensors").write_bytes(b"123")
    assert "anchors.safetensors is damaged (" in refusal(load_visual_anchors, folder)
    (folder / "anchors.safetensors").unlink()
    assert "has no anchors.safetensors, so it holds no anchors" in refusal(load_visual_anchors, folder)


def test_another_model_than_the_one_they_were_made_with_is_refused(groups, clip_folder, tmp_path):
    folder = tmp_path / "clip"
    shutil.copytree(clip_folder, folder)
    options = {"clips": [str(groups / "domain.parquet")], "texts": ["a square"], "embedder": f"clip:{folder}"}
    anchors, _ = build_visual_anchors(VisualAnchorSettings(**options))
    config = tiny_config(pool_type="avg")
    save_clip(tiny_clip(config, seed=5), config, folder)
    assert "has other weights than when the anchors were made" in refusal(anchors.scorer, "cpu")


def test_texts_are_held_against_what_is_least_like_them(groups, clip_folder):
    options = {"clips": [str(groups / "domain.parquet")], "embedder": f"clip:{clip_folder}", "num_words": 12}
    anchors, patches = build_visual_anchors(VisualAnchorSettings(texts=["a square", "stripes"], **options))
    assert anchors.names == ["a square", "stripes"] and not anchors.is_found
    assert anchors.rows[0] == ("a square", "text", None, None, None, None, None) and len(anchors.common) == 9
    torch.testing.assert_close(anchors.embeddings, anchors.embedder("cpu").embed_text(["a square", "stripes"]))
    rows = patches.embeddings[:9]
    slow = [
        max(F.cosine_similarity(row, anchors.embeddings)) - max(F.cosine_similarity(row, anchors.common))
        for row in rows
    ]
    torch.testing.assert_close(anchors.parts(rows)[1], torch.stack(slow))
    # as for anchors that are found, a patch's weight follows its place among those of the domain
    scores, near = anchors.score(patches.embeddings), anchors.parts(patches.embeddings)[1]
    torch.testing.assert_close(scores, (near - near.mean()) / near.std(correction=0))
    assert draw_sheet(anchors, patches).height > 2 * CELL


def test_the_student_finds_anchors_too(groups, settings, tmp_path):
    torch.manual_seed(0)
    VideoMAEForPreTraining(VideoMAEConfig(**STUDENT)).save_pretrained(tmp_path)
    options = {name: value for name, value in settings.items() if name != "size"}
    anchors, _ = build_visual_anchors(VisualAnchorSettings(**options, embedder=f"student:{tmp_path}", num_anchors=2))
    assert anchors.scorer("cpu").score(stripes(50)[0]).shape == (8, 4, 4)


def test_anchors_of_an_exemplar_find_what_it_shows(groups, tmp_path):
    Image.fromarray(stripes(70)[0][0].numpy()).save(tmp_path / "image.png")
    name = f"{tmp_path}/image.png:16,8,40,32"
    options = {"clips": [str(groups / "domain.parquet")], "size": 128, "num_words": 16}
    anchors, _ = build_visual_anchors(VisualAnchorSettings(exemplars=[name], **options))
    assert anchors.names == [name] and anchors.rows[0][1] == "exemplar"
    scores = anchors.scorer("cpu").score(stripes(80)[0][:1])[0]
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[1:4, 2:5] = True
    assert roc_auc_score(inside.flatten(), scores.flatten()) > 0.95


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": ()}, "no anchors are given; give --text, --exemplar, or --reference OTHER_CLIPS to find some"),
        ({"texts": ["a face"]}, "--reference has no effect on anchors that are given with --text or --exemplar"),
        ({"num_anchors": 17}, "num_anchors=17 is more than the 16 visual words; ask for fewer anchors, or for more"),
        ({"num_anchors": 0}, "num_anchors=0 must be at least 1"),
        (
            {"num_words": 1, "num_anchors": 1},
            "num_words=1 must be at least 2; one word leaves nothing to compare; ask for",
        ),
        ({"size": 8}, "size=8 must be at least 16; a patch has 16 pixels; give the short side of a frame in pixels"),
        ({"reference": (), "texts": ["a face", "a face"]}, "'a face' occurs twice"),
    ],
)
def test_settings_that_are_refused(settings, change, message):
    assert message in refusal(VisualAnchorSettings, **settings | {"num_anchors": 4} | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": (), "texts": ["a face"]}, "--text needs an embedder that reads text, and pixels does not; use"),
        ({"num_words": 100_000}, "num_words=100000 is more than the"),
    ],
)
def test_work_that_is_refused(settings, change, message):
    assert message in refusal(build_visual_anchors, VisualAnchorSettings(**settings | {"num_anchors": 4} | change))


def test_the_same_clips_on_both_sides_are_refused(settings, groups, tmp_path):
    (tmp_path / "link.mp4").symlink_to(groups / "domain" / "0.mp4")
    changed = settings | {"reference": [str(tmp_path / "link.mp4")], "num_anchors": 4}
    message = refusal(build_visual_anchors, VisualAnchorSettings(**changed))
    assert message.endswith("0.mp4 is among the clips and in the reference too; give other clips as the reference")


def test_an_empty_reference_is_refused(settings, tmp_path):
    message = refusal(build_visual_anchors, VisualAnchorSettings(**settings | {"reference": [str(tmp_path)]}))
    assert "has no video" in message


def test_clips_that_differ_in_nothing_are_refused(settings, groups, tmp_path):
    for number in range(3):
        shutil.copy(groups / "domain" / f"{number}.mp4", tmp_path)
    message = refusal(build_visual_anchors, VisualAnchorSettings(**settings | {"reference": [str(tmp_path)]}))
    assert "no visual word is 2 times as frequent in the clips as in the reference" in message


def test_clips_of_one_colour_have_scores_of_a_usual_size(tmp_path):
    for name, value in (("dark", 30), ("light", 200)):
        (tmp_path / name).mkdir()
        for number in range(2):
            encode(torch.full((4, 64, 64, 3), value).byte().numpy(), tmp_path / name / f"{number}.mp4")
    sources = {"clips": [str(tmp_path / "dark")], "reference": [str(tmp_path / "light")]}
    anchors, _ = build_visual_anchors(VisualAnchorSettings(**sources, num_words=4))
    scorer = anchors.scorer("cpu")
    dark, light = (scorer.score(torch.full((1, 64, 64, 3), value).byte()) for value in (30, 200))
    assert dark.min() > light.max() and light.abs().max() < 100


def test_clips_that_cannot_be_read_are_named_and_left_out(settings, groups, monkeypatch, caplog):
    real = words_module.open_reader

    def broken(clip):
        if clip.path == str(groups / "domain" / "1.mp4"):
            raise ReadError(clip.path, "the file is gone")
        return real(clip)

    monkeypatch.setattr(words_module, "open_reader", broken)
    with caplog.at_level(logging.WARNING):
        anchors, patches = build_visual_anchors(VisualAnchorSettings(**settings, num_anchors=4))
    assert [clip.name for clip in patches.clips] == ["0", "2"] and anchors.metadata["num_clips"] == 2
    assert "1.mp4 is left out" in caplog.text and "the file is gone" in caplog.text
