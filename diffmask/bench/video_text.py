"""The step of a model of video and text (forward and backward) against the sum of what it is made of.

diffmask bench video-text
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor
from torch.nn.functional import cross_entropy

from diffmask.bench import fastest
from diffmask.bench.video import finished, step_of
from diffmask.core.machine import resolve_device
from diffmask.core.masker import Masker
from diffmask.core.schedule import Constant
from diffmask.core.types import IGNORE_INDEX
from diffmask.core.units import Units
from diffmask.policies.feature import Feature
from diffmask.text.model.masked_lm import masked_losses as token_losses
from diffmask.video.model.autoencoders import VideoMAEForPreTraining
from diffmask.video.model.forward import masked_losses as patch_losses
from diffmask.video.model.targets import PixelTargets
from diffmask.video.units.grid import Grid, find_places
from diffmask.video_text.model.config import VideoTextModelConfig
from diffmask.video_text.model.fusion import keys_of
from diffmask.video_text.model.objectives import PairIds
from diffmask.video_text.model.video_text import VideoTextModel

LENGTH, TEXT_RATIO, VIDEO_RATIO = 32, 0.5, 0.8
PARTS = ("VideoMAE alone", "masked language model alone", "fusion alone")
BOTH = "words and patches, one step"
ALL = "words, patches, contrastive and matching"
MASKING = "masking of both sides with scores given, of the step"


class _Batch(NamedTuple):
    """Clips and texts that have been masked."""

    frames: Tensor
    masked: Tensor
    targets: Tensor
    words: dict[str, Tensor]
    labels: Tensor
    whole: Tensor


def run(
    config: transformers.VideoMAEConfig, device: str = "cpu", batch_size: int = 4, *, rounds: int = 6
) -> list[dict[str, Any]]:
    """Return one row per contender: milliseconds of a step, clips a second, and the share of the sum of the parts.

    The parts are a step of the VideoMAE, one of the masked language model, and one of the fusion between them, each on
    the same masks and alone. The last row is the masking call with scores given; its ratio is its share of the step of
    words and patches. On a GPU all steps run in bfloat16.

    Args:
        config: Config of the VideoMAE; the language model is as wide and as deep. Both start with random weights.
        device: Device on which everything runs.
        batch_size: Number of pairs in a step.
        rounds: Number of turns of each contender; the fastest run counts.
    """
    where = resolve_device(device)
    model = _model(config).to(where).train()  # pyright: ignore[reportArgumentType]
    units = _units(model, batch_size, where)
    maskers = {
        "text": Masker(Feature("scores"), Constant(TEXT_RATIO)),
        "video": Masker(Feature("scores"), Constant(VIDEO_RATIO), uniform=True),
    }
    masks = {side: masker(units[side], 0, 1) for side, masker in maskers.items()}
    batch = _batch(model, masks, where)
    losses = {
        PARTS[0]: lambda: patch_losses(model.video, batch.frames, batch.masked, batch.masked, batch.targets).mean(),
        PARTS[1]: lambda: token_losses(model.text, batch.words, batch.labels).mean(),
        PARTS[2]: _fusion(model, batch),
        BOTH: lambda: _loss(model, batch, ("text", "video")),
        ALL: lambda: _loss(model, batch, ("text", "video", "contrastive", "matching")),
    }
    times = fastest({name: step_of(model, loss, where) for name, loss in losses.items()}, rounds)

    def mask() -> None:
        for side, masker in maskers.items():
            masker(units[side], 0, 1)

    masking = fastest({"": finished(mask, where)}, 4 * rounds)[""]
    return _rows(times, masking, batch_size)


def _rows(times: dict[str, float], masking: float, batch_size: int) -> list[dict[str, Any]]:
    parts = sum(times[name] for name in PARTS)
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "milliseconds": 1000 * seconds,
            "clips_per_second": batch_size / seconds,
            "of_the_sum_of_parts": seconds / parts,
        }
        for name, seconds in times.items()
    ]
    share = {"clips_per_second": None, "of_the_sum_of_parts": masking / times[BOTH]}
    return [*rows, {"name": MASKING, "milliseconds": 1000 * masking, **share}]


def _model(seen: transformers.VideoMAEConfig) -> VideoTextModel:
    """Return a model with random weights, whose language model is as wide and as deep as its VideoMAE."""
    torch.manual_seed(0)
    read = transformers.BertConfig(
        hidden_size=seen.hidden_size,
        num_hidden_layers=seen.num_hidden_layers,
        num_attention_heads=seen.num_attention_heads,
        intermediate_size=seen.intermediate_size,
    )
    config = VideoTextModelConfig(video_config=seen.to_dict(), text_config=read.to_dict())
    return VideoTextModel(config, VideoMAEForPreTraining(seen), transformers.BertForMaskedLM(read))


def _units(model: VideoTextModel, batch_size: int, device: torch.device) -> dict[str, Units]:
    """Return tokens and patches as units with random scores; the first and the last token are special."""
    config: Any = model.video.config
    grid = Grid.of(config, config.num_frames, config.image_size)
    found = {}
    for side, number in {"text": LENGTH, "video": grid.num_positions}.items():
        eligible = torch.ones(batch_size, number, dtype=torch.bool, device=device)
        if side == "text":
            eligible[:, [0, -1]] = False
        scores = torch.randn(eligible.shape, generator=torch.Generator().manual_seed(1)).to(device)
        found[side] = Units(None, eligible, torch.arange(batch_size, device=device), features={"scores": scores})
    return found


def _batch(model: VideoTextModel, masks: dict[str, Tensor], device: torch.device) -> _Batch:
    config: Any = model.video.config
    generator = torch.Generator().manual_seed(2)
    rows = len(masks["text"])
    frames = torch.randn(rows, config.num_frames, 3, config.image_size, config.image_size, generator=generator)
    whole = torch.randint(1000, model.text.config.vocab_size, (rows, LENGTH), generator=generator)
    frames, whole = frames.to(device), whole.to(device)
    ids = whole.masked_fill(masks["text"], 103)
    labels = whole.masked_fill(~masks["text"], IGNORE_INDEX)
    targets = PixelTargets(config.tubelet_size, config.patch_size)
    places = find_places(masks["video"], masks["video"])
    words = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return _Batch(frames, masks["video"], targets(frames, positions=places.predicted), words, labels, whole)


def _loss(model: VideoTextModel, batch: _Batch, objectives: tuple[str, ...]) -> Tensor:
    """Return the sum of the losses of some objectives."""
    visible, predicted = find_places(batch.masked, batch.masked)
    places = (batch.labels != IGNORE_INDEX).nonzero(as_tuple=True)
    numbers = torch.arange(len(batch.frames), device=batch.frames.device)
    output = model(
        **batch.words,
        frames=batch.frames,
        visible=visible,
        predicted=predicted,
        places=places,
        clean_ids=batch.whole,
        pairs=PairIds(numbers, numbers, numbers),
        objectives=objectives,
    )
    words = cross_entropy(output.token_logits.float(), batch.labels[places])
    total = words + (output.patches.float() - batch.targets).square().mean()
    return total + sum(output[name].mean() for name in objectives[2:])


def _fusion(model: VideoTextModel, batch: _Batch) -> Callable[[], Tensor]:
    """Return what fuses given states, and lets the states of the decoder attend to the fused text."""
    visible, _ = find_places(batch.masked, batch.masked)
    with torch.no_grad():
        texts = model.encode_text(**batch.words)
        clips = model.encode_video(batch.frames, visible)
    decoder: Any = model.video.config
    tokens = torch.randn(len(clips), batch.masked.shape[1], decoder.decoder_hidden_size, device=clips.device)

    def run() -> Tensor:
        leaves = [each.detach().requires_grad_() for each in (texts, clips, tokens)]
        fused = model.fuse(leaves[0], batch.words["attention_mask"], leaves[1])
        attended = model.patches_to_text(leaves[2], fused.text, keys_of(batch.words["attention_mask"]))
        return fused.text.float().mean() + attended.float().mean()

    return run
