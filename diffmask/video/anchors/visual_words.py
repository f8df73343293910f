"""Visual words: patches of two groups of clips, clustered, so that what is frequent in one only can be counted.

patches = sample_patches(clips, embedder)
words = find_words(patches, sample_patches(others, embedder), num_words=128)
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
from diffmask.video.score.embedders import PatchEmbedder, PixelEmbedder

MAX_CLIPS, MAX_PATCHES, MAX_FITTED_CLIPS = 500, 200_000, 64
"""Of more clips, so many are taken that are spread evenly; of more patches, about so many, at random."""
NUM_FRAMES = 8
LEAST_COUNT, LEAST_CLIPS = 5, 2
"""A word that is rarer, or that one clip only has, says more about the clip than about the domain."""
SEED = 0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches of some frames of some clips.

    Attributes:
        embeddings: float32 (N, D).
        places: Clip (row of `clips`), frame, row and column of each patch, int64 (N, 4).
        clips: The clips that could be read.
        grids: Rows and columns of patches in the frames of each clip.
    """

    embeddings: Tensor
    places: Tensor
    clips: tuple[Clip, ...]
    grids: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class VisualWords:
    """Clusters of patches, and how often each occurs.

    Attributes:
        centroids: float32 (V, D).
        counts: Patches of the domain that are nearest to each word, int64 (V,).
        reference_counts: Patches of the reference.
        num_clips: In how many clips of the domain each word occurs.
    """

    centroids: Tensor
    counts: Tensor
    reference_counts: Tensor
    num_clips: Tensor

    def tf_icf(self) -> TypeScores:
        """Return how many times its frequency in the reference each word has in the domain, float64 (V,)."""
        total = self.reference_counts.sum()
        # what a sample has not seen may be as frequent as one patch of it
        return tf_icf(self.counts / self.counts.sum(), self.reference_counts / total, epsilon=1 / total.item())

    def eligible(self, num_clips: int) -> Tensor:
        """Return which words may be anchors of a domain of so many clips, bool (V,)."""
        return (self.counts >= LEAST_COUNT) & (self.num_clips >= min(LEAST_CLIPS, num_clips))


def sample_patches(
    clips: Sequence[Clip], embedder: PatchEmbedder, *, num_frames: int = NUM_FRAMES, progress: bool = False
) -> Patches:
    """Return patches of frames of clips; a clip that cannot be read is named in the log.

    Args:
        clips: The clips; of more than `MAX_CLIPS`, some that are spread evenly.
        embedder: Gives the embeddings.
        num_frames: Of each clip, one of each of so many equal parts.
        progress: Show a progress bar.

    Raises:
        InputError: If no clip can be read.
    """
    from tqdm import tqdm

    chosen = spread(clips, MAX_CLIPS)
    most = -(-MAX_PATCHES // len(chosen)) if chosen else 0
    embeddings, places, found, grids = [], [], [], []
    for clip in tqdm(chosen, desc="patches", unit="clip", disable=None if progress else True, leave=False):
        indices = sorted(set(uniform(clip.num_frames, num_frames, 0.5)))
        try:
            with open_reader(clip) as reader:
                made = torch.cat([embedder.embed(frames).cpu() for frames in reader.read_chunks(indices)])
        except ReadError as error:
            logger.warning("%s is left out: %s", clip.path, error)
            continue
        rows, columns = made.shape[1:3]
        coordinates = torch.cartesian_prod(torch.tensor(indices), torch.arange(rows), torch.arange(columns))
        taken = choose_patches(clip.name, coordinates, most)
        # a view would keep the patches that are not taken in memory
        embeddings.append(made.flatten(0, 2).index_select(0, taken))
        places.append(torch.nn.functional.pad(coordinates[taken], (1, 0), value=len(found)))
        found.append(clip)
        grids.append((rows, columns))
    if not found:
        raise InputError(f"none of the {len(clips)} clips can be read; look at them with: diffmask index --summary")
    return Patches(torch.cat(embeddings), torch.cat(places), tuple(found), tuple(grids))


def fit_pixels(embedder: PixelEmbedder, groups: Sequence[Sequence[Clip]]) -> None:
    """Fit the basis of a pixel embedder to a few frames of each group of clips.

    Raises:
        InputError: If no clip can be read.
    """
    made = []
    for clips in groups:
        for clip in spread(clips, MAX_FITTED_CLIPS):
            try:
                with open_reader(clip) as reader:
                    indices = sorted(set(uniform(clip.num_frames, 4, 0.5)))
                    made.append(torch.cat([embedder.describe(each).cpu() for each in reader.read_chunks(indices)]))
            except ReadError as error:
                logger.warning("%s is left out: %s", clip.path, error)
    if not made:
        raise InputError("none of the clips can be read; look at them with: diffmask index --summary")
    embedder.fit(made)


def find_words(domain: Patches, reference: Patches, num_words: int) -> VisualWords:
    """Return the visual words of two groups of patches, which count alike whatever their number.

    Args:
        domain: Patches of the clips whose difference is looked for.
        reference: Patches of the others.
        num_words: How many clusters.

    Raises:
        InputError: If there are fewer patches than words.
    """
    from sklearn.cluster import MiniBatchKMeans

    rows = torch.cat([domain.embeddings, reference.embeddings]).numpy()
    if len(rows) < num_words:
        raise InputError(f"num_words={num_words} is more than the {len(rows)} patches of the clips; ask for fewer")
    sizes = [len(domain.embeddings), len(reference.embeddings)]
    weights = np.repeat([1 / size for size in sizes], sizes) * len(rows) / 2
    # the stubs know n_init as "auto" only
    options: dict[str, Any] = {"random_state": SEED, "batch_size": 4096, "n_init": 3, "max_no_improvement": 20}
    means = MiniBatchKMeans(num_words, **options)
    words = torch.from_numpy(means.fit(rows, sample_weight=weights).predict(rows)).long()
    own, other = words.split(sizes)
    pairs = torch.stack([own, domain.places[:, 0]]).unique(dim=1)
    return VisualWords(
        torch.from_numpy(np.asarray(means.cluster_centers_, dtype=np.float32)),
        torch.bincount(own, minlength=num_words),
        torch.bincount(other, minlength=num_words),
        torch.bincount(pairs[0], minlength=num_words),
    )


def choose_patches(name: str, coordinates: Tensor, most: int) -> Tensor:
    """Return which patches of a clip are taken, int64: at random, as a stride would take the same columns of all rows.

    Args:
        name: Of the clip, which the choice depends on.
        coordinates: Frame, row and column of each patch, int64 (N, 3).
        most: How many are taken; all where there are no more.
    """
    if len(coordinates) <= most:
        return torch.arange(len(coordinates))
    frames, rows, columns = coordinates.unbind(1)
    clip = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    draws = uniforms(keys(SEED, clip, frames, stream=SELECT), rows * (columns.max() + 1) + columns)
    return draws.topk(most).indices.sort().values


def spread(clips: Sequence[Clip], most: int) -> list[Clip]:
    """Return at most so many clips, evenly."""
    stride = max(1.0, len(clips) / most)
    return [clips[int(index * stride)] for index in range(min(most, len(clips)))]
