"""Visual words: patches of two sets of clips, clustered, so that what is frequent in one set only can be counted.

patches = Patches.sample(clips, embedder)
words = VisualWords.find(patches, Patches.sample(others, embedder), num_words=128)
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from diffmask.core.difference import tf_icf
from diffmask.core.errors import InputError
from diffmask.core.noise import SELECT, keys, uniforms
from diffmask.core.types import TypeScores
from diffmask.video.clip.clip import Clip, ReadError
from diffmask.video.read.readers import open_reader
from diffmask.video.read.sampling import uniform
from diffmask.video.units.features import PatchEmbedder

MAX_CLIPS, MAX_PATCHES = 500, 200_000
"""Larger sets are sampled: this many clips, taken evenly, and about this many patches, taken at random."""
NUM_FRAMES = 8
_LEAST_COUNT, _LEAST_CLIPS = 5, 2
"""A word that is rarer, or occurs in one clip only, says more about the clip than about the domain."""
_SEED = 0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches of some frames of some clips.

    Attributes:
        embeddings: Embedding of each patch, float32 (N, D).
        places: Clip (index in `clips`), frame, row and column of each patch, int64 (N, 4).
        clips: The clips that could be read.
        grids: Rows and columns of patches in the frames of each clip.
    """

    embeddings: Tensor
    places: Tensor
    clips: tuple[Clip, ...]
    grids: tuple[tuple[int, int], ...]

    @classmethod
    def sample(
        cls, clips: Sequence[Clip], embedder: PatchEmbedder, *, num_frames: int = NUM_FRAMES, progress: bool = False
    ) -> Self:
        """Return patches of frames of clips; a clip that cannot be read is named in the log.

        Args:
            clips: The clips; at most `MAX_CLIPS` of them are read, taken evenly.
            embedder: Gives the embeddings.
            num_frames: Frames of each clip, one from each of this many equal parts.
            progress: Show a progress bar.

        Raises:
            InputError: If no clip can be read.
        """
        from tqdm import tqdm

        chosen = _evenly(clips, MAX_CLIPS)
        most = -(-MAX_PATCHES // len(chosen)) if chosen else 0
        embeddings, places, readable, grids = [], [], [], []
        bar = tqdm(chosen, desc="patches", unit="clip", disable=None if progress else True, leave=False)
        for clip, indices, made in _each_clip(bar, num_frames, embedder.embed):
            rows, columns = made.shape[1:3]
            coordinates = torch.cartesian_prod(torch.tensor(indices), torch.arange(rows), torch.arange(columns))
            taken = _choose_patches(clip.name, coordinates, most)
            # a copy: a view would keep the patches that are not taken in memory
            embeddings.append(made.flatten(0, 2).index_select(0, taken))
            places.append(torch.nn.functional.pad(coordinates[taken], (1, 0), value=len(readable)))
            readable.append(clip)
            grids.append((rows, columns))
        if not readable:
            raise InputError(f"none of the {len(clips)} clips can be read; look at them with: diffmask index --summary")
        return cls(torch.cat(embeddings), torch.cat(places), tuple(readable), tuple(grids))


@dataclass(frozen=True, eq=False)
class VisualWords:
    """Clusters of patches, and how often each occurs.

    Attributes:
        centroids: Centre of each cluster, float32 (V, D).
        counts: Number of patches of the domain that are nearest to each word, int64 (V,).
        reference_counts: Number of patches of the reference that are, int64 (V,).
        num_clips: Number of clips of the domain in which each word occurs, int64 (V,).
    """

    centroids: Tensor
    counts: Tensor
    reference_counts: Tensor
    num_clips: Tensor

    @classmethod
    def find(cls, domain: Patches, reference: Patches, num_words: int) -> Self:
        """Return the visual words of two sets of patches; both weigh the same, however many patches each has.

        Args:
            domain: Patches of the clips of the domain.
            reference: Patches of the other clips.
            num_words: Number of clusters.

        Raises:
            InputError: If there are fewer patches than words.
        """
        from sklearn.cluster import MiniBatchKMeans

        rows = torch.cat([domain.embeddings, reference.embeddings]).numpy()
        if len(rows) < num_words:
            raise InputError(f"num_words={num_words} is more than the {len(rows)} patches of the clips; ask for fewer")
        sizes = [len(domain.embeddings), len(reference.embeddings)]
        # each set has half of all weight, else the larger one would get most of the words
        weights = np.repeat([1 / size for size in sizes], sizes) * len(rows) / 2
        # the type stubs allow n_init="auto" only
        options: dict[str, Any] = {"random_state": _SEED, "batch_size": 4096, "n_init": 3, "max_no_improvement": 20}
        means = MiniBatchKMeans(num_words, **options)
        words = torch.from_numpy(means.fit(rows, sample_weight=weights).predict(rows)).long()
        own, other = words.split(sizes)
        # each pair of a word and a clip once, so that counting words in them counts clips
        pairs = torch.stack([own, domain.places[:, 0]]).unique(dim=1)
        return cls(
            torch.from_numpy(np.asarray(means.cluster_centers_, dtype=np.float32)),
            torch.bincount(own, minlength=num_words),
            torch.bincount(other, minlength=num_words),
            torch.bincount(pairs[0], minlength=num_words),
        )

    def tf_icf(self) -> TypeScores:
        """Return how many times its frequency in the reference each word has in the domain, float64 (V,)."""
        total = self.reference_counts.sum()
        # a word that the sample of the reference lacks may still be as frequent there as one patch of the sample
        return tf_icf(self.counts / self.counts.sum(), self.reference_counts / total, epsilon=1 / total.item())

    def eligible(self, num_clips: int) -> Tensor:
        """Return which words may be anchors of a domain of `num_clips` clips, bool (V,)."""
        return (self.counts >= _LEAST_COUNT) & (self.num_clips >= min(_LEAST_CLIPS, num_clips))


def describe_frames(
    clips: Sequence[Clip], most: int, num_frames: int, describe: Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """Return what a function makes of some frames of each of at most `most` clips, taken evenly, on the CPU."""
    return [made for _, _, made in _each_clip(_evenly(clips, most), num_frames, describe)]


def _each_clip(
    clips: Iterable[Clip], num_frames: int, describe: Callable[[Tensor], Tensor]
) -> Iterator[tuple[Clip, list[int], Tensor]]:
    """Yield the clips that can be read, with the numbers of some frames and what a function makes of these."""
    for clip in clips:
        indices = sorted(set(uniform(clip.num_frames, num_frames, 0.5)))
        try:
            with open_reader(clip) as reader:
                made = torch.cat([describe(frames).cpu() for frames in reader.read_chunks(indices)])
        except ReadError as error:
            logger.warning("%s is left out: %s", clip.path, error)
        else:
            yield clip, indices, made


def _choose_patches(name: str, coordinates: Tensor, most: int) -> Tensor:
    """Return which patches of a clip are taken, int64: at random, as a stride may take the same columns of all rows.

    Args:
        name: Name of the clip, on which the choice depends.
        coordinates: Frame, row and column of each patch, int64 (N, 3).
        most: How many are taken at most.
    """
    if len(coordinates) <= most:
        return torch.arange(len(coordinates))
    frames, rows, columns = coordinates.unbind(1)
    clip = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    # a function of clip and place alone, so the same patches are taken no matter what else is sampled
    draws = uniforms(keys(_SEED, clip, frames, stream=SELECT), rows * (columns.max() + 1) + columns)
    return draws.topk(most).indices.sort().values


def _evenly(clips: Sequence[Clip], most: int) -> list[Clip]:
    """Return at most this number of clips, taken evenly."""
    stride = max(1.0, len(clips) / most)
    return [clips[int(index * stride)] for index in range(min(most, len(clips)))]
