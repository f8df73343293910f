import pytest
import torch
from support.tiny_clip import SIZE, STUDENT, frames_of, save_clip, tiny_clip, tiny_config
from transformers import VideoMAEConfig, VideoMAEForPreTraining, VideoMAEModel

from diffmask.core.errors import InputError
from diffmask.video.score.attention import build_attention


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_clip(tiny_clip(), tiny_config(), tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("student")
    VideoMAEForPreTraining(VideoMAEConfig(**STUDENT, initializer_range=0.3)).save_pretrained(folder)
    return folder


def log_shares(given):
    return (given / given.mean()).log()


def test_the_class_token_of_the_last_block_is_asked(folder):
    teacher = build_attention(f"clip:{folder}", device="cpu")
    frames = frames_of(2, SIZE, SIZE)
    found = teacher.score(frames)
    assert found.shape == (2, 4, 4) and found.isfinite().all()
    visual = teacher.embedder.loaded.model.visual
    pixels = (frames.permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    tokens = visual.transformer.resblocks[0](visual._embeds(pixels))
    block = visual.transformer.resblocks[1]
    normed = block.ln_1(tokens)
    width, heads = normed.shape[-1], block.attn.num_heads
    query, keys, _ = (normed @ block.attn.in_proj_weight.T + block.attn.in_proj_bias).split(width, dim=-1)
    size = width // heads
    shares = torch.zeros(2, tokens.shape[1])
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        logits = (query[:, :1, part] @ keys[:, :, part].transpose(1, 2))[:, 0] / size**0.5
        shares += logits.softmax(1) / heads
    for row in range(2):
        torch.testing.assert_close(found[row].flatten(), log_shares(shares[row, 1:]), atol=1e-5, rtol=1e-4)
    assert teacher.score(frames_of(1, 64, 128)).shape == (1, 4, 8)


def test_what_others_pay_to_a_patch_of_a_student(student):
    teacher = build_attention(f"student:{student}", layer=0, device="cpu")
    frames = frames_of(3, 32, 32)
    found = teacher.score(frames)
    assert found.shape == (3, 4, 4) and found.std() > 0.05
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    clip = ((frames / 255 - mean) / std).permute(0, 3, 1, 2)[[0, 0, 1, 1]][None]
    model = VideoMAEModel.from_pretrained(student, attn_implementation="eager").eval()
    with torch.no_grad():
        weights = model(pixel_values=clip, output_attentions=True).attentions[0].mean(1)[0]
    received = [sum(weights[i, j] for i in range(32) if i != j) for j in range(32)]
    slow = log_shares(torch.stack(received[:16])).view(4, 4)
    torch.testing.assert_close(found[0], slow, atol=1e-5, rtol=1e-4)


def test_the_key_of_a_tower_tells_its_settings(folder, tmp_path):
    config = tiny_config() | {"quick_gelu": True}
    other = save_clip(tiny_clip(), config, tmp_path / "other")
    assert build_attention(f"clip:{folder}", device="cpu").key != build_attention(f"clip:{other}", device="cpu").key


def test_keys_differ_by_layer(student):
    keys = [build_attention(f"student:{student}", layer=layer, device="cpu").key for layer in (0, 1, None)]
    assert keys[0] != keys[1] == keys[2]


def test_teachers_that_are_refused(folder, student, tmp_path):
    vision = {"layers": [1, 1, 1, 1], "width": 8, "head_width": 16, "image_size": 64, "patch_size": None}
    config = tiny_config() | {"vision_cfg": vision}
    resnet = save_clip(tiny_clip(config), config, tmp_path / "resnet")
    cases = {
        ("pixels", None): "unknown teacher 'pixels'; choose from: clip:MODEL:WEIGHTS, student:FOLDER",
        (f"clip:{resnet}", None): "has no class token that attends to patches in the usual way",
        (f"clip:{folder}", 1): "layer=1 has no effect with clip:",
        (f"student:{student}", 7): "layer 7 is not of",
    }
    for (spec, layer), message in cases.items():
        with pytest.raises(InputError) as caught:
            build_attention(spec, layer=layer, device="cpu")
        assert message in str(caught.value)
