"""Anchors of clips with texts: one word, by its CLIP, puts the right words and the right patches on top."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from support.coloured_scenes import COLOURS, WORDS, domain_texts, scenes, train_on_colours, write_coloured_clips
from support.tiny import save_encoder
from support.tiny_clip import save_clip, tiny_clip, tiny_config
from support.tiny_video_text import save_whole, tiny_video_text

from diffmask.core.errors import InputError
from diffmask.text.anchors.anchor_set import load_anchors
from diffmask.text.model.load import load_tokenizer
from diffmask.video.anchors.anchor_set import load_visual_anchors
from diffmask.video.anchors.contact_sheet import draw_sheet
from diffmask.video_text.anchors.find import PairAnchorSettings, build_pair_anchors
from diffmask.video_text.anchors.pair_anchors import NAMES, load_pair_anchors


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return f"clip:{train_on_colours(tmp_path_factory.mktemp('clip'))}"


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    return {kind: write_coloured_clips(folder / kind, kind) for kind in COLOURS}


@pytest.fixture(scope="module")
def folder(clip, clips, tmp_path_factory):
    """Return a folder of joint anchors of red things."""
    settings = PairAnchorSettings(["pairs.jsonl"], clip, num_anchors=1, num_words=24)
    found, patches = build_pair_anchors(settings, domain_texts(), clips["red"], "diffmask anchors pairs.jsonl")
    folder = tmp_path_factory.mktemp("anchors") / "anchors"
    found.save(folder, draw_sheet(found.video, patches))
    return folder


def refusal(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    return str(caught.value)


@pytest.mark.parametrize("kind", COLOURS)
def test_the_word_of_a_domain_puts_its_words_and_its_patches_on_top(clip, clips, kind):
    settings = PairAnchorSettings(["pairs.jsonl"], clip, num_anchors=1, num_words=24)
    found, _ = build_pair_anchors(settings, domain_texts(kind), clips[kind])
    assert found.is_joint and found.text.anchors == found.video.names == WORDS[kind][:1]
    alike = [word in WORDS[kind] for word in found.text.types]
    assert sum(alike) == 3 and roc_auc_score(alike, found.text.scores) > 0.9
    frames, kinds, inside = scenes(120, 10**6)
    own = inside & torch.tensor([each == kind for each in kinds])[:, None, None]
    assert roc_auc_score(own.flatten(), found.video.scorer("cpu").score(frames).flatten()) > 0.9


def test_each_side_is_a_folder_of_its_own(folder, tmp_path):
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(NAMES)
    text, video = load_anchors(folder / "text"), load_visual_anchors(folder / "video")
    assert (text.anchors, video.names) == (["crimson"], ["crimson"])
    assert text.metadata["embedder"]["key"] == video.metadata["embedder"]["key"]
    model = save_encoder(tmp_path / "model")
    text.check_model(model, load_tokenizer(model))  # a CLIP made the scores, so they hold for any model


def test_what_is_saved_is_read_again(folder, tmp_path):
    found = load_pair_anchors(folder)
    assert found.metadata["num_clips"] == 4 and found.metadata["data"] == ["pairs.jsonl"]
    found.save(tmp_path / "again", Image.new("RGB", (4, 4)))
    again = load_pair_anchors(tmp_path / "again")
    assert again.metadata == found.metadata and again.video.key == found.video.key
    assert torch.equal(again.text.scores, found.text.scores)
    assert "exists; choose another name" in refusal(found.save, tmp_path / "again", Image.new("RGB", (4, 4)))


def test_words_that_people_give_are_the_anchors_of_both_sides(clip, clips, tmp_path):
    (tmp_path / "mine.txt").write_text("ruby\nScarlet thing\n")
    settings = PairAnchorSettings(["p"], clip, template="a {}", anchors=tmp_path / "mine.txt", num_words=24)
    found, _ = build_pair_anchors(settings, domain_texts(), clips["red"])
    assert found.text.anchors == found.video.names == ["ruby", "scarlet thing"]
    embedder = found.video.embedder("cpu")
    torch.testing.assert_close(embedder.embed_text(["a ruby", "a scarlet thing"]), found.text.embeddings)
    assert torch.equal(found.text.embeddings, found.video.embeddings)


@pytest.mark.parametrize("side", ["text", "video"])
def test_anchors_of_both_sides_are_edited_by_scoring_again(clip, clips, tmp_path, side):
    settings = PairAnchorSettings(["p"], clip, num_anchors=2, min_count=2, num_words=24)
    found, _ = build_pair_anchors(settings, domain_texts(), clips["red"])
    folder = tmp_path / "anchors"
    found.save(folder, Image.new("RGB", (4, 4)))
    table = folder / side / "anchors.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:2]))
    message = refusal(load_pair_anchors, folder)
    assert message.startswith(f"{table} was edited, but the same anchors score words and patches")
    assert message.endswith(f"--anchors {table} -o {folder} --overwrite")
    settings = PairAnchorSettings(["p"], clip, anchors=table, num_words=24)
    again, _ = build_pair_anchors(settings, domain_texts(), clips["red"])
    again.save(folder, Image.new("RGB", (4, 4)), overwrite=True)
    assert load_pair_anchors(folder).text.anchors == found.text.anchors[:1]


def test_sides_of_different_models_are_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "a")
    record = tmp_path / "a" / "text" / "anchors.json"
    record.write_text(record.read_text().replace('"key": "clip ', '"key": "other '))
    assert "its words and its patches were embedded by different models" in refusal(load_pair_anchors, tmp_path / "a")


def test_what_is_no_folder_of_pairs_is_refused(folder, tmp_path):
    assert "anchors of texts, not of clips with texts; make it with" in refusal(load_pair_anchors, folder / "text")
    assert "anchors of clips, not of clips with texts; make it with" in refusal(load_pair_anchors, folder / "video")
    assert f"folder {tmp_path}/no does not exist; make it with" in refusal(load_pair_anchors, tmp_path / "no")
    shutil.copytree(folder, tmp_path / "a")
    (tmp_path / "a" / "text" / "types.parquet").unlink()
    assert "has no text/types.parquet, so it holds no" in refusal(load_pair_anchors, tmp_path / "a")


def test_towers_that_share_no_space_are_refused(clips, tmp_path):
    text = {**tiny_config()["text_cfg"], "width": 48, "proj_type": "none"}
    config = tiny_config() | {"custom_text": True, "text_cfg": text}
    settings = PairAnchorSettings(["p"], f"clip:{save_clip(tiny_clip(config), config, tmp_path / 'clip')}")
    message = refusal(build_pair_anchors, settings, domain_texts(), clips["red"])
    assert message == (
        f"the text tower of clip:{tmp_path}/clip gives 48 numbers for a text, its image tower 32 for a patch, so texts "
        "and patches cannot be compared; give a CLIP whose towers share a space"
    )


def test_an_image_tower_without_its_text_tower_is_refused(clips, tmp_path):
    config = tiny_config()
    folder = save_clip(tiny_clip(config), config, tmp_path / "clip")
    content = {"model_cfg": {name: config[name] for name in ("embed_dim", "vision_cfg")}}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    settings = PairAnchorSettings(["p"], f"clip:{folder}")
    message = refusal(build_pair_anchors, settings, domain_texts(), clips["red"])
    assert f"{folder}/open_clip_config.json is not a config of open_clip (embed_dim, vision_cfg, text_cfg)" in message


def test_an_anchor_that_the_text_tower_cannot_read_whole_is_refused(clip, clips, tmp_path):
    (tmp_path / "mine.txt").write_text("a very long anchor " * 4)
    settings = PairAnchorSettings(["p"], clip, anchors=tmp_path / "mine.txt")
    message = refusal(build_pair_anchors, settings, domain_texts(), clips["red"])
    assert message.startswith("'a video of a very long anchor") and "has no room in the 16 tokens" in message


@pytest.mark.parametrize("how", ["reference", "exemplars"])
def test_without_a_text_tower_each_side_has_anchors_of_its_own(clips, tmp_path, how):
    model = save_encoder(tmp_path / "model")
    scenes_of_red = clips["red"][0].path
    frame = Image.new("RGB", (64, 64), (230, 40, 25))
    frame.save(tmp_path / "red.png")
    others = [str(Path(clips["blue"][0].path).parent)] if how == "reference" else []
    settings = PairAnchorSettings(
        [scenes_of_red],
        model=model,
        reference=others,
        exemplars=() if others else [str(tmp_path / "red.png")],
        num_anchors=1,
        min_count=2,
        size=64,
        num_words=12,
    )
    found, patches = build_pair_anchors(settings, domain_texts(), clips["red"])
    assert not found.is_joint and found.text.anchors == ["crimson"]
    assert found.video.rows[0][1] == ("word" if others else "exemplar")
    assert found.text.metadata["model"]["name"] == model
    found.save(tmp_path / "a", draw_sheet(found.video, patches))
    again = load_pair_anchors(tmp_path / "a")
    assert again.text.anchors == ["crimson"] and again.video.names == found.video.names


def test_the_language_model_within_a_model_of_both_embeds_the_words(clips, tmp_path):
    model = tiny_video_text()
    save_whole(model, tmp_path / "model")
    save_encoder(tmp_path / "text")
    Image.new("RGB", (64, 64), (230, 40, 25)).save(tmp_path / "red.png")
    found = []
    for name in ("model", "text"):
        settings = PairAnchorSettings(
            ["p"],
            model=str(tmp_path / name),
            exemplars=[str(tmp_path / "red.png")],
            num_anchors=1,
            min_count=2,
            size=64,
            num_words=12,
        )
        found.append(build_pair_anchors(settings, domain_texts(), clips["red"])[0].text)
    whole, part = found
    assert whole.metadata["model"]["name"] == whole.metadata["embedder"]["name"] == str(tmp_path / "model")
    assert torch.equal(whole.scores, part.scores)
    whole.check_model(str(tmp_path / "model"), load_tokenizer(str(tmp_path / "model")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--model is missing; give the model that is continued, or an embedder that reads words and patches"),
        ({"model": "m"}, "there is nothing that patches embedded by pixels could be compared with; give --reference"),
        ({"embedder": "clip:c", "template": "a video"}, "template='a video' has 0 places for a word; write {} once"),
        (
            {"model": "m", "exemplars": ["a.png"], "template": "a {}"},
            "template='a {}' has no effect where each side has anchors of its own; leave it out, or give --embedder",
        ),
        ({"embedder": "clip:c", "num_anchors": 0}, "num_anchors=0 must be at least 1; the published method takes 20"),
        ({"embedder": "clip:c", "reduce": "sum"}, "unknown reduce 'sum'; choose from: max, mean"),
    ],
)
def test_settings_that_are_refused(options, message):
    assert message in refusal(PairAnchorSettings, ["pairs.jsonl"], **options)
