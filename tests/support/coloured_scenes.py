"""Scenes of one coloured patch in grey clutter, words for the colours, and a tiny CLIP that learns which is which."""

import torch
import torch.nn.functional as F

from diffmask.demo.rendered_clips import encode
from diffmask.video.index.index import index_clips
from support.tiny_clip import PATCH, SIZE, TEXT, clutter, save_clip, tiny_clip, tiny_config

COLOURS = {"red": (0.9, 0.15, 0.1), "green": (0.1, 0.8, 0.2), "blue": (0.15, 0.2, 0.9)}
WORDS = {
    "red": ["crimson", "scarlet", "ruby"],
    "green": ["emerald", "jade", "olive"],
    "blue": ["azure", "cobalt", "sapphire"],
    "none": ["table", "street", "room", "wall", "the", "of", "on", "and", "is", "a"],
}
"""What each colour is called; scenes without one are called anything else."""
KINDS = tuple(WORDS)


def scenes(count, seed, kinds=KINDS):
    """Return pictures, the kind of each, and which patch is coloured.

    Returns:
        frames uint8 (count, SIZE, SIZE, 3), kinds list of str, inside bool (count, rows, columns).
    """
    generator = torch.Generator().manual_seed(seed)
    side = SIZE // PATCH
    chosen = torch.randint(len(kinds), (count,), generator=generator).tolist()
    places = torch.randint(side * side, (count,), generator=generator)
    inside = F.one_hot(places, side * side).bool().view(count, side, side)
    inside &= torch.tensor([kinds[kind] != "none" for kind in chosen])[:, None, None]
    colours = torch.tensor([COLOURS.get(kinds[kind], (0.0, 0.0, 0.0)) for kind in chosen])[:, :, None, None]
    grey = clutter(count, generator).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    covered = F.interpolate(inside[:, None].float(), (SIZE, SIZE)).bool()
    light = 0.8 + 0.2 * torch.rand(count, 1, SIZE, SIZE, generator=generator)
    pictures = torch.where(covered, colours * light, grey)
    frames = (pictures * 255).round().byte().permute(0, 2, 3, 1).contiguous()
    return frames, [kinds[kind] for kind in chosen], inside


def train_on_colours(folder, num_steps=120, batch_size=32):
    """Train a CLIP to find the word of a scene, and return the folder that holds it."""
    import open_clip

    config = tiny_config(pool_type="avg", layers=1)
    model = tiny_clip(config)
    tokenizer = open_clip.SimpleTokenizer(context_length=TEXT["context_length"])
    captions = {kind: tokenizer([f"a video of {word}" for word in words]) for kind, words in WORDS.items()}
    model.token_embedding.requires_grad_(False)
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, num_steps)
    model.train()
    for step in range(num_steps):
        frames, kinds, _ = scenes(batch_size, step)
        pixels = (frames.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
        texts = torch.cat([captions[kind][[step % len(WORDS[kind])]] for kind in KINDS])
        images, words = model.encode_image(pixels, normalize=True), model.encode_text(texts, normalize=True)
        target = torch.tensor([KINDS.index(kind) for kind in kinds])
        loss = F.cross_entropy(model.logit_scale.exp() * images @ words.T, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return save_clip(model.eval(), config, folder)


def domain_texts(kind="red"):
    """Return texts in which the first word of a colour is frequent, and all words of all colours occur."""
    own, *others = WORDS[kind]
    texts = [f"{own} is on the table and of the room"] * 12
    texts += [f"{word} on a wall of a street" for word in others] * 2
    return texts + [f"{word} on a wall" for other in COLOURS if other != kind for word in WORDS[other]]


def write_coloured_clips(folder, kind="red", count=4):
    """Write clips of scenes of one colour, and return them."""
    folder.mkdir()
    for number in range(count):
        encode(scenes(8, 1000 + number, (kind,))[0].numpy(), folder / f"{number}.mp4")
    return [clip for clip in index_clips([folder]) if clip.is_ok]
