"""A frozen model of video and text, and how clips and texts are put before it, each clip read once."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from diffmask.config.evaluation import EvaluateSettings, VideoTextSettings
from diffmask.core.errors import worker_errors
from diffmask.core.machine import fast_attention, resolve_device
from diffmask.evaluate.methods.tuner import PRECISIONS
from diffmask.evaluate.methods.video import read_batches
from diffmask.text.segment.pad import pad_rows
from diffmask.text.segment.segmenter import pad_id
from diffmask.video.clip.clip import Clip
from diffmask.video.model.targets import normalised
from diffmask.video.read.dataset import ClipDataset, Sampling, Span
from diffmask.video.units.grid import Grid
from diffmask.video_text.data.tokenise_parts import tokenise_parts
from diffmask.video_text.model.load import LoadedVideoText, load_video_text

_WORKERS = "video_text.num_workers"


class Texts(NamedTuple):
    """Texts as tokens, with the part of each that is of interest.

    Attributes:
        rows: Token ids of each text.
        parts: For each token, whether it is of the part.
        num_cut: Texts that are longer than what is read, and are cut off.
    """

    rows: list[list[int]]
    parts: list[list[bool]]
    num_cut: int

    def batch(self, places: Sequence[int], fill: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return token ids, attention mask and parts of some texts, int64 (B, L), int64 (B, L) and bool (B, L)."""
        rows = [self.rows[place] for place in places]
        ids = pad_rows(rows, fill)
        lengths = torch.tensor([len(row) for row in rows])
        parts = pad_rows([self.parts[place] for place in places], 0).bool()
        return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long(), parts


@dataclass(frozen=True)
class PairEncoder:
    """A frozen model that reads clips and texts.

    Attributes:
        loaded: The model.
        settings: How.
        device: Where it computes.
    """

    loaded: LoadedVideoText
    settings: EvaluateSettings
    device: torch.device

    @classmethod
    def load(cls, folder: str, settings: EvaluateSettings) -> "PairEncoder":
        """Load a model for views of the settings' size.

        Raises:
            InputError: If there is no such model, or it does not take such views.
        """
        device, given = resolve_device(settings.device), settings.video_text
        attention = fast_attention(device, settings.precision).get("attn_implementation")
        loaded = load_video_text(folder, num_frames=given.num_frames, image_size=given.image_size, attention=attention)
        loaded.model.to(device)  # pyright: ignore[reportArgumentType]
        return cls(loaded, settings, device)

    def autocast(self) -> AbstractContextManager:
        """Return the context in which the model computes."""
        kind = PRECISIONS[self.settings.precision]
        return torch.autocast(self.device.type, kind, enabled=kind != torch.float32)

    def tokenise(self, texts: Sequence[str], parts: Sequence[tuple[int, int]] | None = None) -> Texts:
        """Return texts as tokens.

        Args:
            texts: The texts.
            parts: First character of the part of each that is of interest, and the one behind it; by default all. It is
                kept where a text is too long.
        """
        spans = [(0, len(text)) for text in texts] if parts is None else parts
        read = tokenise_parts(texts, spans, self.loaded.tokenizer, self.settings.max_length)
        return Texts(read.ids, read.inside, sum(map(bool, read.num_cut)))

    def text_batch(self, texts: Texts, places: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Return what `Texts.batch` returns, on the device."""
        ids, mask, parts = (each.to(self.device) for each in texts.batch(places, pad_id(self.loaded.tokenizer)))
        return ids, mask, parts

    def encode_clips(self, shown: Sequence[tuple[Clip, Span | None]], *, progress: bool) -> Iterator[Tensor]:
        """Yield the states of clips, (B, V, D) each, in order; each is read once.

        Args:
            shown: The clips, and the seconds of each that are shown.
            progress: Show a progress bar.

        Raises:
            InputError: If a clip cannot be read any more.
        """
        batches = _clip_batches(shown, self.loaded.grid, self.settings)
        with tqdm(total=len(shown), desc="clips", unit="clip", disable=not progress) as bar, worker_errors():
            for frames in batches:
                with torch.inference_mode(), self.autocast():
                    seen = normalised(frames.to(self.device), self.loaded.mean, self.loaded.std)
                    states = self.loaded.model.encode_video(seen)
                yield states
                bar.update(len(frames))


def sampling_for(grid: Grid, settings: VideoTextSettings, **changes: Any) -> Sampling:
    """Return how views are made of clips."""
    return Sampling(grid, kind=settings.sampling, stride=settings.stride, reader=settings.reader, **changes)


def _clip_batches(shown: Sequence[tuple[Clip, Span | None]], grid: Grid, settings: EvaluateSettings) -> DataLoader:
    """Return batches of the middle of clips, uint8 (B, T, 3, S, S)."""
    given = settings.video_text
    views = ClipDataset(
        [clip for clip, _ in shown],
        sampling_for(grid, given),
        spans=[span for _, span in shown],
        augment=False,
    )
    return read_batches(views, _stack_frames, settings.eval_batch_size, given.num_workers, _WORKERS)


def _stack_frames(rows: Sequence[Sequence[dict[str, Any]]]) -> Tensor:
    """Return the frames of rows of one crop each, uint8 (B, T, 3, S, S)."""
    return torch.stack([row["frames"] for (row,) in rows])
