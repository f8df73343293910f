"""Tiny models of clips and texts, and batches for them, built in code."""

import torch
from torch.nn.functional import cross_entropy

from diffmask.video_text.model.config import VideoTextModelConfig
from diffmask.video_text.model.fusion import FromZero
from diffmask.video_text.model.load import LoadedVideoText
from diffmask.video_text.model.objectives import PairIds
from diffmask.video_text.model.video_text import VideoTextModel
from support.tiny import tiny_model, tiny_tokenizer
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


def save_whole(model, folder):
    """Save a model with its tokenizer and its processor, for `load_video_text`."""
    half = (0.5, 0.5, 0.5)
    LoadedVideoText("", model, tiny_tokenizer(), half, half, ()).save(folder)


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


def labels_of(batch):
    """Return the tokens that a batch hides, int64 (N,)."""
    return batch["clean_ids"][batch["places"]]


def summed_losses(model, batch, targets, objectives, **options):
    """Return the sum of the losses of each objective asked for, over tokens, patches or rows.

    Args:
        model: A VideoTextModel, wrapped or not.
        batch: What `tiny_batch` returns.
        targets: Targets of the predicted patches, (B, P, C).
        objectives: Which are asked for.
        options: For the model's forward: step and seed.
    """
    output = model(**batch, objectives=objectives, **options)
    losses = {}
    if output.token_logits is not None:
        losses["text"] = cross_entropy(output.token_logits, labels_of(batch), reduction="sum")
    if output.patches is not None:
        losses["video"] = (output.patches - targets).square().mean(2).sum()
    rows = {"contrastive": output.contrastive, "matching": output.matching}
    return losses | {name: each.sum() for name, each in rows.items() if each is not None}


def take_rows(batch, rows):
    """Return some rows of a batch, with no more padding than they need."""
    length = int(batch["attention_mask"][rows].sum(1).max())
    texts = {"input_ids", "attention_mask", "clean_ids"}
    taken = {key: value[rows] for key, value in batch.items() if isinstance(value, torch.Tensor)}
    taken = {key: value[:, :length] if key in texts else value for key, value in taken.items()}
    places = torch.zeros_like(batch["input_ids"], dtype=torch.bool).index_put(batch["places"], torch.tensor(True))
    return taken | {
        "places": places[rows].nonzero(as_tuple=True),
        "pairs": PairIds(*(each[rows] for each in batch["pairs"])),
    }


def shared_batch(model):
    """Return eight rows: rows 0 and 5 are of one clip, rows 2 and 7 have one text."""
    batch = tiny_batch(model, 8, seed=3)
    video_ids, text_ids, sample_ids = (each.clone() for each in batch["pairs"])
    video_ids[5], text_ids[7] = video_ids[0], text_ids[2]
    return batch | {"pairs": PairIds(video_ids, text_ids, sample_ids)}


def gradients_of_a_step(model, rows, objectives, ranks=1):
    """Return the gradient of the mean losses of eight rows, of which this rank has some."""
    inner = getattr(model, "module", model)
    batch, targets = shared_batch(inner), torch.zeros(8, 24, 384)
    sums = summed_losses(model, take_rows(batch, rows), targets[rows], objectives, step=5, seed=2)
    counts = {"text": len(labels_of(batch)), "video": targets.shape[0] * targets.shape[1]}
    loss = sum(value / counts.get(name, 8) for name, value in sums.items())
    (ranks * loss).backward()  # DistributedDataParallel divides by the number of ranks
    return {name: each.grad for name, each in inner.named_parameters() if each.grad is not None}


def leave_gradients(folder, objectives, shares):
    """Compute the gradient of a step together with ranks that have other numbers of rows, and leave it in a file."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    model = tiny_video_text(fresh=False)
    model.train_for(objectives)
    rows = torch.arange(8).split(shares)[rank]
    wrapped = torch.nn.parallel.DistributedDataParallel(model)
    gradients = gradients_of_a_step(wrapped, rows, objectives, ranks)
    torch.save(gradients, folder / f"rank{rank}.pt")
    torch.distributed.destroy_process_group()
