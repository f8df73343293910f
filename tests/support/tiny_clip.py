"""Tiny models of open_clip, built in code and saved to disk; and clips and pictures with something to find in clutter.

open_clip takes more than a second to import, so only what builds a model does.
"""

import json

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from diffmask.demo.rendered_clips import encode
from diffmask.video.index.index import read_clips, write_index

NAMES = "zero one two three four five six seven eight nine".split()
SIZE, PATCH = 64, 16
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
VISION = {"image_size": SIZE, "layers": 2, "width": 64, "head_width": 16, "patch_size": PATCH}

STUDENT = {
    "image_size": 32,
    "patch_size": 8,
    "num_frames": 4,
    "tubelet_size": 2,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "decoder_hidden_size": 16,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 24,
}
"""Settings of a VideoMAE that reads 4 frames."""


def frames_of(count=3, height=48, width=80, seed=0):
    """Return frames of noise, uint8 (count, height, width, 3)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=generator)


def tiny_config(**vision):
    """Return the settings of a model of open_clip with a transformer of 2 layers."""
    return {"embed_dim": 32, "vision_cfg": VISION | vision, "text_cfg": dict(TEXT)}


def tiny_clip(config=None, seed=0):
    """Return a model whose weights are random."""
    import open_clip

    torch.manual_seed(seed)
    config = json.loads(json.dumps(config or tiny_config()))
    custom = config.pop("custom_text", False)
    return (open_clip.model.CustomTextCLIP if custom else open_clip.model.CLIP)(**config).eval()


def save_clip(model, config, folder, *, name="open_clip_model.safetensors"):
    """Write a folder that open_clip reads, with colours that are not those of its default."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"model_cfg": config, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    save_file({key: value.clone().contiguous() for key, value in model.state_dict().items()}, folder / name)
    return folder


def clutter(count, generator):
    """Return pictures of coloured blots, float (count, 3, SIZE, SIZE) in [0, 1]."""
    coarse = torch.rand(count, 3, 16, 16, generator=generator)
    return F.interpolate(coarse, (SIZE, SIZE), mode="bilinear", align_corners=False)


def digit_scenes(count, seed, *, train=True, num_digits=10):
    """Return pictures of one digit each in clutter, their digits, and which patch holds it.

    Returns:
        frames uint8 (count, SIZE, SIZE, 3), digits int64 (count,), inside bool (count, rows, columns).
    """
    from sklearn.datasets import load_digits

    generator = torch.Generator().manual_seed(seed)
    found = load_digits()
    half = slice(0, None, 2) if train else slice(1, None, 2)
    known = found.target[half] < num_digits
    images = torch.tensor(found.images[half][known], dtype=torch.float32) / 16
    labels = torch.tensor(found.target[half][known])
    rows = torch.randint(len(images), (count,), generator=generator)
    glyphs = F.interpolate(images[rows][:, None], (PATCH, PATCH), mode="bilinear", align_corners=False)
    side = SIZE // PATCH
    places = torch.randint(side * side, (count,), generator=generator)
    inside = F.one_hot(places, side * side).bool().view(count, side, side)
    # a digit is bright, and what is behind it stays
    light = F.interpolate(inside[:, None].float(), (SIZE, SIZE)) * glyphs.repeat(1, 1, side, side)
    pictures = torch.maximum(0.7 * clutter(count, generator), light)
    frames = (pictures * 255).round().byte().permute(0, 2, 3, 1).contiguous()
    return frames, labels[rows], inside


def caption(digit):
    """Return what the picture of a digit is called."""
    return f"the digit {NAMES[digit]}"


def train_on_digits(model, num_steps, *, batch_size=64, seed=0, num_digits=10):
    """Train on pairs of pictures and captions: a picture is to be nearest to its own caption."""
    import open_clip

    tokenizer = open_clip.SimpleTokenizer(context_length=TEXT["context_length"])
    captions = tokenizer([caption(digit) for digit in range(num_digits)])
    # most tokens are of no caption
    model.token_embedding.requires_grad_(False)
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, num_steps)
    model.train()
    for step in range(num_steps):
        frames, digits, _ = digit_scenes(batch_size, seed * 10_000 + step, num_digits=num_digits)
        pixels = (frames.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
        images, texts = model.encode_image(pixels, normalize=True), model.encode_text(captions, normalize=True)
        loss = F.cross_entropy(model.logit_scale.exp() * images @ texts.T, digits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def stripes(seed):
    """Return a clip of smooth blots with a striped square that moves, uint8 (T, SIZE, SIZE, 3), and without it."""
    generator = torch.Generator().manual_seed(seed)
    ground = (clutter(1, generator)[0] * 180).byte().permute(1, 2, 0)
    frames = ground.repeat(8, 1, 1, 1)
    square = ((torch.arange(24) // 3) % 2 * 200 + 40).byte()[None, :, None].expand(24, 24, 3)
    with_square = frames.clone()
    for frame in range(8):
        with_square[frame, 8 + 2 * frame : 32 + 2 * frame, 16:40] = square
    return with_square, frames


def write_groups(folder):
    """Write the clips with the square to `domain` and others without it to `general`, three each, and their indexes."""
    for name, first in (("domain", 0), ("general", 10)):
        (folder / name).mkdir()
        for number in range(3):
            frames = stripes(first + number)[name == "general"]
            encode(frames.numpy(), folder / name / f"{number}.mp4")
        write_index(folder / f"{name}.parquet", read_clips(folder / name))
    return folder
