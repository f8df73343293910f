import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny import save_encoder, tiny_tokenizer
from support.tiny_video import stock_of, tiny_frames, tiny_videomae, tiny_vit_mae
from support.tiny_video_text import tiny_batch, tiny_video_text
from transformers import AutoModelForMaskedLM, AutoModelForPreTraining, BartConfig, BartForConditionalGeneration

from diffmask.core.errors import InputError
from diffmask.video_text.model.config import FUSIONS
from diffmask.video_text.model.load import load_video_text
from diffmask.video_text.model.objectives import OBJECTIVES
from diffmask.video_text.model.video_text import VideoTextModel, VideoTextOutput

PARTS, SIZES = ("encoder", "decoder"), ("layers", "attention_heads", "ffn_dim")
FAMILIES = ("bert", "roberta", "modernbert")
pytestmark = pytest.mark.filterwarnings("ignore:.*_token_id must be")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of a tiny VideoMAE and of a tiny BERT."""
    folder = tmp_path_factory.mktemp("parts")
    tiny_videomae().save_pretrained(folder / "video")
    return str(folder / "video"), save_encoder(folder / "text")


def outputs(model, batch, objectives=OBJECTIVES):
    with torch.no_grad():
        return model(**batch, objectives=objectives)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_fresh_fusion_predicts_what_the_parts_predict_alone(family, fusion):
    model = tiny_video_text(family, fusion)
    batch = tiny_batch(model)
    got = outputs(model, batch)
    logits = model.text(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    patches = model.video(batch["frames"], visible=batch["visible"], predicted=batch["predicted"]).logits
    assert torch.allclose(got.token_logits, logits[batch["places"]], atol=1e-5)
    assert torch.allclose(got.patches, patches, atol=1e-5)
    assert got.contrastive.shape == got.matching.shape == (4,)
    states = model.encode_text(batch["input_ids"], batch["attention_mask"])
    fused = model.fuse(states, batch["attention_mask"], model.encode_video(batch["frames"], batch["visible"]))
    assert torch.equal(fused.text, states) and fused.video.shape == (4, 16, 32)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_saved_and_loaded_bit_for_bit(family, fusion, tmp_path):
    model = tiny_video_text(family, fusion, fresh=False)
    model.save_pretrained(tmp_path / "whole")
    loaded = VideoTextModel.from_pretrained(tmp_path / "whole")
    before, after = model.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    batch = tiny_batch(model)
    expected, got = outputs(model, batch), outputs(loaded, batch)
    assert all(torch.equal(expected[key], got[key]) for key in expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_parts_load_with_the_stock_classes(family, tmp_path):
    model = tiny_video_text(family, fresh=False)
    batch = tiny_batch(model)
    model.save_parts(tmp_path)
    text = AutoModelForMaskedLM.from_pretrained(tmp_path / "text")
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    assert torch.equal(text(**inputs).logits, model.text(**inputs).logits)
    assert torch.equal(text.base_model(**inputs)[0], model.encode_text(**inputs))
    video = AutoModelForPreTraining.from_pretrained(tmp_path / "video")
    frames = batch["frames"]
    assert torch.equal(video.videomae(frames).last_hidden_state, stock_of(model.video).videomae(frames)[0])
    assert torch.allclose(video.videomae(frames).last_hidden_state, model.encode_video(frames), atol=1e-5)


def test_a_model_is_made_of_two_folders_and_loaded_again(folders, tmp_path):
    video, text = folders
    made = load_video_text(video, text, fusion="merged", num_fusion_layers=1)
    assert made.model.config.num_fusion_layers == len(made.model.fusion.fusion_blocks) == 1
    assert made.grid.shape == (4, 4, 4) and made.missing == () and made.targets.tubelet == 2
    assert not made.model.training
    made.save(tmp_path / "whole")
    again = load_video_text(str(tmp_path / "whole"))
    assert again.tokenizer.get_vocab() == made.tokenizer.get_vocab()
    assert (again.mean, again.std) == (made.mean, made.std)
    batch = tiny_batch(made.model)
    expected, got = outputs(made.model, batch), outputs(again.model, batch)
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    made.save_parts(tmp_path / "parts")
    parts = load_video_text(str(tmp_path / "parts" / "video"), str(tmp_path / "parts" / "text"))
    assert parts.tokenizer.get_vocab() == made.tokenizer.get_vocab()


@pytest.mark.parametrize("whole", [False, True])
def test_clips_of_another_size_and_features(folders, whole, tmp_path):
    names = folders
    if whole:
        load_video_text(*folders).save(tmp_path)
        names = (str(tmp_path),)
    loaded = load_video_text(*names, num_frames=4, image_size=48, feature_dim=12, attention="eager")
    assert loaded.grid.shape == (2, 6, 6)
    assert loaded.missing == ("video.feature_head.bias", "video.feature_head.weight")
    assert {part.config._attn_implementation for part in (loaded.model.video, loaded.model.text)} == {"eager"}
    patches = torch.arange(72).expand(2, -1)
    batch = tiny_batch(loaded.model, 2) | {"frames": tiny_frames(loaded.model.video, 2)}
    got = outputs(loaded.model, batch | {"visible": patches[:, :20], "predicted": patches[:, 30:40]}, ("video",))
    assert got.patches.shape == (2, 10, 12)
    assert (
        not loaded.model.video.pixel_head.weight.requires_grad and loaded.model.video.feature_head.weight.requires_grad
    )


def test_weights_that_are_not_the_config_s(folders, tmp_path):
    load_video_text(*folders).save(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    for change, message in [
        ({key: value for key, value in weights.items() if key != "log_temperature"}, "lack log_temperature and 0 more"),
        (
            weights | {"matching_head.2.weight": torch.zeros(1, 5)},
            "lack matching_head.2.weight and 0 more, or have them",
        ),
    ]:
        save_file(change, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(InputError, match=message):
            load_video_text(str(tmp_path))


def test_what_cannot_be_loaded_is_one_sentence(folders, tmp_path):
    video, text = folders
    load_video_text(video, text).save(tmp_path)
    whole = str(tmp_path)
    tiny_vit_mae().save_pretrained(tmp_path / "image")
    torch.manual_seed(0)
    bart = BartConfig(vocab_size=30, d_model=16, **{f"{part}_{what}": 2 for part in PARTS for what in SIZES})
    BartForConditionalGeneration(bart).save_pretrained(tmp_path / "bart")
    tiny_tokenizer().save_pretrained(tmp_path / "bart")
    for arguments, settings, message in [
        ((str(tmp_path / "image"), text), {}, "is an image model, which does not see clips; give a VideoMAE"),
        ((video, str(tmp_path / "bart")), {}, "has an encoder and a decoder, between which nothing can be fused; use"),
        ((video,), {}, "is no VideoTextModel; name the masked language model"),
        ((whole, text), {}, "is a VideoTextModel, which has its own text model; leave"),
        ((video, text), {"fusion": "late"}, "unknown fusion 'late'; choose from: cross, bidirectional, merged"),
        ((video, text), {"num_fusion_layers": 0}, "num_fusion_layers=0 is below 1; give at least one block"),
        (
            (whole,),
            {"fusion": "merged"},
            "has fusion='cross', not 'merged'; leave it out, or make one of its parts",
        ),
        ((whole,), {"num_frames": 3}, "3 frames cannot be cut into patches of 2 frames"),
        ((text, text), {}, "is a bert model, not a masked autoencoder"),
    ]:
        with pytest.raises(InputError, match=message):
            load_video_text(*arguments, **settings)


def test_the_page_about_it_runs(folders, tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "video-text-model.md").read_text(encoding="utf-8")
    for name, folder in zip(("videomae", "bert"), folders, strict=True):
        (tmp_path / name).symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE):
        exec(block, names)
    assert names["output"].token_logits.shape == (2, 30) and names["output"].matching.shape == (2,)
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {"video", "text"}


def test_what_is_learned_beside_goes_through_parallel_training():
    # DistributedDataParallel takes outputs apart and makes them again of what they hold
    output = VideoTextOutput(contrastive=torch.zeros(2))
    output["loss"] = torch.ones(())
    leaves, form = torch.utils._pytree.tree_flatten(output)
    again = torch.utils._pytree.tree_unflatten(leaves, form)
    assert isinstance(again, VideoTextOutput)
    assert again.loss == 1
    assert torch.equal(again.contrastive, output.contrastive)
