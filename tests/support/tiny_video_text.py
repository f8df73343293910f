"""Tiny models of clips and texts, and batches for them, built in code."""

import torch

from diffmask.video_text.model.config import VideoTextModelConfig
from diffmask.video_text.model.fusion import FromZero
from diffmask.video_text.model.objectives import PairIds
from diffmask.video_text.model.video_text import VideoTextModel
from support.tiny import tiny_model
from support.tiny_video import tiny_frames, tiny_videomae


def tiny_video_text(family="bert", fusion="cross", *, num_fusion_layers=2, fresh=True, seed=0, **video):
    """Return a VideoTextModel of tiny parts; one that is not fresh has left zero where it begins."""
    seen, read = tiny_videomae(seed, **video), tiny_model(family, seed)
    config = VideoTextModelConfig(
        video_config=seen.config.to_dict(),
        text_config=read.config.to_dict(),
        fusion=fusion,
        num_fusion_layers=num_fusion_layers,
        projection_dim=16,
    )
    model = VideoTextModel(config, seen, read).eval()
    if not fresh:
        leave_zero(model, seed)
    return model


def leave_zero(model, seed=0):
    """Give the layers that begin at zero other weights, as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, FromZero):
                module.weight.normal_(std=0.15, generator=generator)


def tiny_batch(model, batch=4, *, length=12, num_visible=16, num_predicted=24, seed=0):
    """Return a batch for all objectives: texts of several lengths, three masked tokens in each, and masked patches."""
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randint(5, 30, (batch, length), generator=generator)
    lengths = torch.randint(6, length + 1, (batch,), generator=generator)
    lengths[0] = length
    attention_mask = (torch.arange(length) < lengths[:, None]).long()
    clean = clean.where(attention_mask.bool(), model.text.config.pad_token_id or 0)
    rows, columns = torch.arange(batch).repeat_interleave(3), torch.arange(1, 4).repeat(batch)
    masked = clean.index_put((rows, columns), torch.tensor(4))
    order = torch.rand(batch, 64, generator=generator).argsort(1)
    return {
        "input_ids": masked,
        "attention_mask": attention_mask,
        "frames": tiny_frames(model.video, batch, seed),
        "visible": order[:, :num_visible].sort(1).values,
        "predicted": order[:, num_visible : num_visible + num_predicted].sort(1).values,
        "places": (rows, columns),
        "clean_ids": clean,
        "pairs": PairIds(torch.arange(batch), torch.arange(batch) + 50, torch.arange(batch) + 7),
    }
