import json
import math
import os
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.tiny_clip import PATCH, SIZE, STUDENT, clutter, frames_of, save_clip, tiny_clip, tiny_config
from transformers import BertConfig, VideoMAEConfig, VideoMAEForPreTraining, VideoMAEModel

from diffmask.core.errors import InputError
from diffmask.video.score import embedders as embed_pixels
from diffmask.video.score.embedders import PixelEmbedder, StudentEmbedder, _fitted_grid, build_embedder, parse_layer
from diffmask.video.score.openclip_load import OpenClip
from diffmask.video.score.openclip_tower import _resize_positions

RESNET = {"layers": [1, 1, 1, 1], "width": 8, "head_width": 16, "image_size": 64, "patch_size": None}
TIMM = {"layers": 12, "width": 64, "patch_size": None, "image_size": 160}


def pixels_of(count=2, size=SIZE):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    config = tiny_config(pool_type="avg")
    return save_clip(tiny_clip(config), config, tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("student")
    VideoMAEForPreTraining(VideoMAEConfig(**STUDENT)).save_pretrained(folder)
    return folder


def refusal(function, *args, **options):
    with pytest.raises(InputError) as caught:
        function(*args, **options)
    message = str(caught.value)
    assert "\n" not in message and not message.endswith(".")
    return message


def test_the_short_side_is_fitted_and_the_shape_kept():
    assert _fitted_grid(1080, 1920, 224, 16) == (14, 25)
    assert _fitted_grid(320, 240, 224, 16) == (19, 14)
    assert _fitted_grid(10, 4000, 224, 16) == (14, 42)
    assert _fitted_grid(1, 1, 224, 16) == (14, 14)


def test_projected_patches_of_the_last_block_average_to_the_picture(folder):
    clip = OpenClip.load(str(folder), "cpu")
    pixels = pixels_of()
    patches = clip.tower.patches(pixels, 1)
    assert patches.shape == (2, SIZE // PATCH, SIZE // PATCH, 32)
    torch.testing.assert_close(patches.mean((1, 2)), clip.model.encode_image(pixels))


def test_value_is_attention_to_oneself_only(folder):
    clip = OpenClip.load(str(folder), "cpu")
    pixels, visual = pixels_of(), OpenClip.load(str(folder), "cpu").model.visual
    tokens = visual.transformer.resblocks[0](visual._embeds(pixels))
    block = visual.transformer.resblocks[1]
    normed = block.ln_1(tokens)
    alone = torch.full((tokens.shape[1],) * 2, -torch.inf).fill_diagonal_(0)
    attended = block.attn(normed, normed, normed, attn_mask=alone, need_weights=False)[0]
    slow = (visual.ln_post(attended) @ visual.proj)[:, 1:].unflatten(1, (4, 4))
    torch.testing.assert_close(clip.tower.patches(pixels, "value"), slow)


def test_clip_embeds_frames_of_any_shape_with_its_own_colours(folder):
    embedder = build_embedder(f"clip:{folder}", device="cpu")
    frames = frames_of()
    found = embedder.embed(frames)
    assert found.shape == (3, *embedder.grid(48, 80), embedder.dim) == (3, 4, 7, 32)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(3, 4, 7))
    square = frames_of(2, SIZE, SIZE)
    pixels = (square.permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    slow = F.normalize(embedder.loaded.tower.patches(pixels, "value"), dim=-1)
    torch.testing.assert_close(embedder.embed(square), slow)
    assert not found.requires_grad and embedder.layer == "value"


def test_batches_do_not_matter(folder, monkeypatch):
    embedder = build_embedder(f"clip:{folder}", device="cpu")
    whole = embedder.embed(frames_of(5))
    monkeypatch.setattr("diffmask.video.score.embedders._BATCH_FRAMES", 2)
    torch.testing.assert_close(embedder.embed(frames_of(5)), whole)


def test_a_larger_size_has_more_patches(folder):
    embedder = build_embedder(f"clip:{folder}", size=2 * SIZE, device="cpu")
    assert embedder.embed(frames_of(1, 100, 100)).shape == (1, 8, 8, 32)


def test_positions_of_a_coarser_grid_are_means_and_of_the_same_are_the_same():
    table = torch.randn(1 + 16, 5)
    assert _resize_positions(table, (4, 4), (4, 4)) is table
    ramp = torch.cat([torch.zeros(1, 1), torch.arange(8.0).repeat_interleave(8)[:, None]])
    half = _resize_positions(ramp, (8, 8), (4, 8))[1:].view(4, 8)
    assert half.shape == (4, 8) and (half.diff(dim=0) > 1.5).all() and half.std(1).max() < 1e-4
    assert _resize_positions(ramp, (8, 8), (4, 8))[0] == 0


def test_text_and_patches_share_a_space(folder):
    embedder = build_embedder(f"clip:{folder}", device="cpu")
    found = embedder.embed_text(["a face", "hands"])
    assert found.shape == (2, embedder.dim)
    tokens = embedder.loaded.tokenizer(["a face", "hands"])
    torch.testing.assert_close(found, embedder.loaded.model.encode_text(tokens, normalize=True))


def test_the_key_tells_weights_layer_and_size(folder, tmp_path):
    config = tiny_config(pool_type="avg")
    other = save_clip(tiny_clip(config, seed=1), config, tmp_path / "other")
    same = save_clip(tiny_clip(config), config, tmp_path / "same")
    key = build_embedder(f"clip:{folder}", device="cpu").key
    assert build_embedder(f"clip:{same}", device="cpu").key == key
    keys = {
        key,
        build_embedder(f"clip:{other}", device="cpu").key,
        build_embedder(f"clip:{folder}", layer=0, device="cpu").key,
        build_embedder(f"clip:{folder}", size=32, device="cpu").key,
    }
    assert len(keys) == 4


@pytest.mark.parametrize("change", ["mean", "std", "quick_gelu"])
def test_the_key_tells_colours_and_settings(folder, tmp_path, change):
    config = tiny_config(pool_type="avg") | ({"quick_gelu": True} if change == "quick_gelu" else {})
    other = save_clip(tiny_clip(config), config, tmp_path / "other")
    if change != "quick_gelu":
        file = other / "open_clip_config.json"
        content = json.loads(file.read_text())
        content["preprocess_cfg"][change] = [0.25] * 3
        file.write_text(json.dumps(content))
    first, second = (build_embedder(f"clip:{each}", device="cpu") for each in (folder, other))
    assert first.loaded.weights_hash == second.loaded.weights_hash and first.key != second.key


@pytest.fixture
def own_code(tmp_path):
    """A folder whose config names code of its own, and what that code writes when it is run."""
    trace, code = tmp_path / "was-run", tmp_path / "code"
    code.mkdir()
    content = {"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoTokenizer": ["own.C", None]}}
    (code / "config.json").write_text(json.dumps(content))
    (code / "tokenizer_config.json").write_text(json.dumps(content))
    (code / "own.py").write_text(
        f"from transformers import PretrainedConfig\nopen({str(trace)!r}, 'w').close()\n"
        "class C(PretrainedConfig):\n    model_type = 'own'\n"
    )
    return code, trace


@pytest.fixture
def says_yes(monkeypatch):
    """Whoever asks whether code may be run is told that it may."""
    monkeypatch.setattr("builtins.input", lambda prompt="": "y")


def test_code_of_a_folder_is_not_run(own_code, says_yes):
    code, trace = own_code
    assert "contains custom code" in refusal(StudentEmbedder, str(code), device="cpu")
    assert not trace.exists()


def test_code_of_a_text_tower_is_not_run(own_code, says_yes, tmp_path):
    code, trace = own_code
    config = tiny_config() | {"text_cfg": {"hf_model_name": str(code), "hf_tokenizer_name": str(code), "width": 8}}
    made = save_clip(tiny_clip(), config, tmp_path / "clip")
    assert "contains custom code" in refusal(OpenClip.load, str(made), "cpu")
    assert not trace.exists()


def test_code_of_a_tokenizer_is_not_run(own_code, says_yes):
    code, trace = own_code
    model = tiny_clip()
    config = tiny_config()
    config["text_cfg"] |= {"hf_tokenizer_name": "x", "tokenizer_kwargs": {"trust_remote_code": True}}
    folder = save_clip(model, config, code)
    clip = OpenClip.load(str(folder), "cpu")
    assert "cannot be fetched" in refusal(getattr, clip, "tokenizer")
    assert not trace.exists()


def test_a_config_and_a_file_of_weights_are_a_model(folder, tmp_path):
    weights = tmp_path / "w.pt"
    torch.save(OpenClip.load(str(folder), "cpu").model.state_dict(), weights)
    found = build_embedder(f"clip:{folder}/open_clip_config.json:{weights}", device="cpu")
    assert found.key == build_embedder(f"clip:{folder}", device="cpu").key
    torch.testing.assert_close(
        found.embed_text(["hands"]), build_embedder(f"clip:{folder}", device="cpu").embed_text(["hands"])
    )


def test_a_resnet_yields_what_its_pooling_makes_of_one_place(tmp_path):
    config = tiny_config() | {"vision_cfg": RESNET}
    folder = save_clip(tiny_clip(config), config, tmp_path / "resnet")
    embedder = build_embedder(f"clip:{folder}", device="cpu")
    found = embedder.embed(frames_of(2, 64, 96))
    assert found.shape == (2, 2, 3, 32)
    tower, pixels = embedder.loaded.tower, pixels_of(1)
    grid = tower.visual.forward_intermediates(pixels, indices=[4])["image_intermediates"][0]
    pool = tower.visual.attnpool
    place = grid[:, :, 1, 0][None]
    slow, _ = F.multi_head_attention_forward(
        place, place, place, place.shape[-1], pool.num_heads, None,
        torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]), None, None, False, 0.0,
        pool.c_proj.weight, pool.c_proj.bias, use_separate_proj_weight=True, q_proj_weight=pool.q_proj.weight,
        k_proj_weight=pool.k_proj.weight, v_proj_weight=pool.v_proj.weight,
    )  # fmt: skip
    torch.testing.assert_close(tower.patches(pixels, "value")[:, 1, 0], slow[0])
    assert "layer 1 cannot be read" in refusal(build_embedder, f"clip:{folder}", layer=1, device="cpu")


@pytest.mark.parametrize(
    ("trunk", "pool", "proj", "grid"),
    [
        ("test_vit", "token", "linear", 10),
        ("test_vit", "avg", "linear", 10),
        ("test_vit", "map", "none", 10),
        ("test_convnext", "avg", "linear", 5),
        ("test_resnet", "avg", "mlp", 5),
    ],
)
def test_trunks_of_timm_yield_patches(tmp_path, trunk, pool, proj, grid):
    vision = {"timm_model_name": trunk, "timm_pool": pool, "timm_proj": proj, "image_size": 160}
    config = tiny_config() | {"vision_cfg": vision, "custom_text": True, "embed_dim": 64 if proj == "none" else 32}
    folder = save_clip(tiny_clip(config), config, tmp_path / "timm")
    embedder = build_embedder(f"clip:{folder}", device="cpu")
    found = embedder.embed(frames_of(1, 90, 160))
    assert found.shape == (1, grid, grid, config["embed_dim"])
    # where all patches are the same, each is what the picture is
    visual, pixels = embedder.loaded.model.visual, pixels_of(1, 160)
    features = visual.trunk.forward_features(pixels)
    place = (slice(None), slice(3, 4)) if features.ndim == 3 else (..., slice(2, 3), slice(2, 3))
    visual.trunk.forward_features = lambda *_, **__: features[place].expand_as(features)
    same = embedder.loaded.tower.patches(pixels, "value")
    torch.testing.assert_close(same, visual(pixels)[:, None, None].expand_as(same), atol=1e-4, rtol=1e-4)


def test_towers_without_patches_are_refused(tmp_path):
    coca = tiny_config(attentional_pool=True, attn_pooler_heads=4, output_tokens=True)
    folder = save_clip(tiny_clip(coca), coca, tmp_path / "coca")
    assert "pools its patches by queries of its own" in refusal(build_embedder, f"clip:{folder}", device="cpu")


def test_layers_that_are_not_there_are_refused(folder, student):
    message = refusal(build_embedder, f"clip:{folder}", layer=2, device="cpu")
    assert "layer 2 is not of the tower" in message and "give value, or a number in [-2, 1]" in message
    assert "layer 'last'" in refusal(build_embedder, f"clip:{folder}", layer="last", device="cpu")
    assert "layer 'value' is not of" in refusal(build_embedder, f"student:{student}", layer="value", device="cpu")
    assert parse_layer("-2") == -2 and parse_layer("value") == "value" and parse_layer(None) is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "clip:ViT-B-32",
            "clip:ViT-B-32 names no weights, and none are downloaded without being asked for; pass a file",
        ),
        ("clip:ViT-B-32:nothing", "weights 'nothing' are neither a file nor a tag of ViT-B-32 (its tags: "),
        ("clip:ViT-B-33:x", "names no model of open_clip, no folder and no config file (did you mean ViT-B-32?)"),
        ("clip:ViT-B-32:openai", "the weights of clip:ViT-B-32:openai cannot be fetched"),
        ("clip:hf-hub:nobody/nothing", "the weights of clip:hf-hub:nobody/nothing cannot be fetched"),
        ("clip", "unknown embedder 'clip'; choose from: clip:MODEL:WEIGHTS, student:FOLDER, pixels"),
        ("pixel", "unknown embedder 'pixel'"),
        ("student:nowhere", "the VideoMAE nowhere cannot be read"),
    ],
)
def test_what_is_not_there_is_one_sentence(spec, message):
    found = refusal(build_embedder, spec, device="cpu")
    assert message in found
    assert "--embedder pixels" in found or spec in ("clip", "pixel")


def test_files_that_are_no_models_are_refused(folder, tmp_path):
    config = f"{folder}/open_clip_config.json"
    (tmp_path / "empty").mkdir()
    assert "has no open_clip_config.json" in refusal(OpenClip.load, str(tmp_path / "empty"))
    (tmp_path / "empty" / "open_clip_config.json").write_text('{"model_cfg": {}}')
    assert "is not a config of open_clip" in refusal(OpenClip.load, str(tmp_path / "empty"))
    (tmp_path / "empty" / "open_clip_config.json").write_text(json.dumps({"model_cfg": tiny_config()}))
    assert "holds no weights (.safetensors" in refusal(OpenClip.load, str(tmp_path / "empty"))
    for name, content in {"a.safetensors": b"123", "a.pt": b"no weights", "b.pt": b""}.items():
        (tmp_path / name).write_bytes(content)
        assert "holds no weights that can be read" in refusal(OpenClip.load, f"{config}:{tmp_path / name}")
    other = tiny_config(width=32)
    save_clip(tiny_clip(other), other, tmp_path / "small")
    weights = tmp_path / "small" / "open_clip_model.safetensors"
    assert "do not fit the model" in refusal(OpenClip.load, f"{config}:{weights}")


def test_the_student_embeds_each_frame_as_a_tubelet_that_stands_still(student):
    embedder = build_embedder(f"student:{student}", device="cpu")
    frames = frames_of(3, 32, 32)
    found = embedder.embed(frames)
    assert found.shape == (3, 4, 4, 32) == (3, *embedder.grid(9, 9), embedder.dim)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = ((frames / 255 - mean) / std).permute(0, 3, 1, 2)
    clip = pixels[[0, 0, 1, 1]][None]
    slow = VideoMAEModel.from_pretrained(student).eval()(pixel_values=clip).last_hidden_state
    torch.testing.assert_close(found[:2], F.normalize(slow[0].detach().view(2, 4, 4, 32), dim=-1))
    first = StudentEmbedder(str(student), layer=0, device="cpu")
    assert first.key != embedder.key and not torch.allclose(first.embed(frames), found)


def test_a_student_has_the_colours_of_its_processor(student, tmp_path):
    shutil.copytree(student, tmp_path / "s")
    (tmp_path / "s" / "processor_config.json").write_text(
        json.dumps({"video_processor": {"image_mean": 0.5, "image_std": [0.5, 0.5, 0.25]}})
    )
    embedder = StudentEmbedder(str(tmp_path / "s"), device="cpu")
    assert embedder.mean == (0.5, 0.5, 0.5) and embedder.std == (0.5, 0.5, 0.25)
    assert embedder.embed(frames_of()).isfinite().all()
    (tmp_path / "s" / "processor_config.json").write_text("{")
    assert "processor_config.json is not JSON" in refusal(StudentEmbedder, str(tmp_path / "s"), device="cpu")


def test_a_model_of_another_kind_is_no_student(tmp_path):
    BertConfig().save_pretrained(tmp_path)
    assert "is a bert model, not a VideoMAE" in refusal(build_embedder, f"student:{tmp_path}")


def test_settings_without_effect_are_refused(student):
    assert "size=64 has no effect" in refusal(build_embedder, f"student:{student}", size=64)
    assert "layer=1 has no effect" in refusal(build_embedder, "pixels", layer=1)


def fitted(frames):
    embedder = PixelEmbedder()
    embedder.fit([embedder.describe(frames)])
    return embedder


def test_pixels_are_embedded_alike_whatever_their_brightness_and_shift():
    scene = (clutter(4, torch.Generator().manual_seed(0)) * 200).byte().permute(0, 2, 3, 1).contiguous()
    scene[:, :, 32:] = torch.randint(0, 120, (4, 64, 32, 1), generator=torch.Generator().manual_seed(1)).byte()
    embedder = fitted(scene)
    found = F.normalize(embedder.embed(scene), dim=-1)
    dark = F.normalize(embedder.embed((scene.float() * 0.75).byte()), dim=-1)
    shifted = F.normalize(embedder.embed(scene.roll(1, dims=1)), dim=-1)
    for other in (dark, shifted):
        same = (found * other).sum(-1)
        assert same.median() > 0.85
    # texture and smooth blots are far apart
    left, right = found[:, 3:-3, 2:5].flatten(0, 2), found[:, 3:-3, -5:-2].flatten(0, 2)
    assert (left @ right.T).mean() < 0.2 < (right @ right.T).mean()


def test_directions_are_shares_of_edges():
    """Each pixel adds its strength to the two directions that it lies between."""
    grey = torch.rand(2, 1, 8, 12, generator=torch.Generator().manual_seed(0))
    found = embed_pixels._directions(grey, 4)
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")[:, 0]
    for frame, row, column in [(0, 0, 0), (1, 1, 2), (1, 0, 1)]:
        sums, total = torch.zeros(8), 0.0
        for y in range(4 * row, 4 * row + 4):
            for x in range(4 * column, 4 * column + 4):
                across = (padded[frame, y + 1, x + 2] - padded[frame, y + 1, x]).item() / 2
                down = (padded[frame, y + 2, x + 1] - padded[frame, y, x + 1]).item() / 2
                strength = math.hypot(across, down)
                place = math.atan2(down, across) % math.pi / math.pi * 8
                sums[int(place) % 8] += strength * (1 - place % 1)
                sums[(int(place) + 1) % 8] += strength * (place % 1)
                total += strength
        mean = total / 16
        expected = torch.cat([sums / 16 / (mean + 0.01), torch.tensor([math.log(mean + 0.01)])])
        torch.testing.assert_close(found[frame, :, row, column], expected, atol=1e-4, rtol=1e-3)


def test_the_basis_is_all_that_a_pixel_embedder_needs():
    embedder = fitted(frames_of())
    again = build_embedder("pixels", basis=embedder.basis, device="cpu")
    assert again.key == embedder.key and again.dim == embedder.dim <= 24
    torch.testing.assert_close(again.embed(frames_of(seed=3)), embedder.embed(frames_of(seed=3)))
    assert fitted(frames_of(seed=1)).key != embedder.key
    assert "has no 'scale'" in refusal(PixelEmbedder, basis={"mean": torch.zeros(2)})


def test_frames_of_one_colour_are_finite():
    embedder = fitted(torch.zeros(2, 40, 40, 3, dtype=torch.uint8))
    assert embedder.embed(frames_of(1, 1, 1)).isfinite().all()


def test_nothing_of_numpy_or_torch_was_seeded():
    state, numbers = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    fitted(frames_of())
    assert torch.equal(torch.random.get_rng_state(), state) and (np.random.get_state()[1] == numbers).all()
    assert os.environ["HF_HUB_OFFLINE"] == "1"
