"""Anchors of a domain of clips: visual words found by comparing with other clips, or texts and pictures that are given.

anchors, patches = build_visual_anchors(VisualAnchorSettings(clips=["toys/"], reference=["street/"]))
anchors.save("anchors/", draw_sheet(anchors, patches))
"""

import importlib.metadata
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffmask.config.limits import LENGTH, AtMost, at_least, check_limits
from diffmask.core.anchors import check_anchors, choose_anchors
from diffmask.core.errors import InputError
from diffmask.core.similarity import anchor_similarity
from diffmask.version import __version__
from diffmask.video.anchors.anchor_set import (
    ALIKE,
    EXEMPLAR,
    TEXT,
    WORD,
    VisualAnchors,
)
from diffmask.video.anchors.visual_words import Patches, VisualWords, describe_frames
from diffmask.video.clip.clip import Clip
from diffmask.video.index.index import read_clips
from diffmask.video.read.sampling import Crop
from diffmask.video.score.boxes import SHARE, Boxes
from diffmask.video.score.embedders import OpenClipEmbedder, PixelEmbedder, build_embedder
from diffmask.video.units.features import PatchEmbedder

_BOX = re.compile(r"(.+):(-?[\d.]+),(-?[\d.]+),(-?[\d.]+),(-?[\d.]+)")
_COMMON_SHARE, _LEAST_COMMON = 0.25, 8
"""The share of visual words, those most frequent in the reference, that anchors are contrasted with."""
_NUM_ANCHORS = 20
_LEAST_TIMES = 2.0
"""A visual word that is not this many times more frequent than in the reference is no anchor."""
_MAX_FITTED_CLIPS, _FITTED_FRAMES = 64, 4
"""The embedder of pixels is fitted to at most this many clips, taken evenly, and to this many frames of each."""
_PACKAGES = ("torch", "open_clip_torch", "scikit-learn")


def _embed_exemplar(spec: str, embedder: PatchEmbedder) -> Tensor:
    """Return the mean embedding of the patches of a picture, float32 (D,).

    Args:
        spec: `image.png`, or `image.png:x1,y1,x2,y2` for a box in pixels; patches weigh by their share in the box.
        embedder: Gives the embeddings.
    """
    path, box = _parse_exemplar(spec)
    frame = _read_picture(path)
    height, width = frame.shape[:2]
    embeddings = embedder.embed(frame[None])[0].cpu()
    if box is None:
        return embeddings.flatten(0, 1).mean(0)
    if box[0] < 0 or box[1] < 0 or box[2] > width or box[3] > height or box[0] >= box[2] or box[1] >= box[3]:
        raise InputError(f"{spec}: the box is not in the picture of {width}x{height} pixels; give x1,y1,x2,y2 in it")
    corners = torch.tensor([box], dtype=torch.float64) / torch.tensor([width, height] * 2)
    boxes = Boxes(torch.zeros(1, dtype=torch.float64), corners, ("",), SHARE)
    shares = boxes.cover(torch.zeros(1), Crop(), *embeddings.shape[:2])[0]
    return (embeddings * shares[:, :, None]).sum((0, 1)) / shares.sum()


def _parse_exemplar(spec: str) -> tuple[Path, tuple[float, ...] | None]:
    """Return the file of a picture, and the box in it.

    >>> _parse_exemplar("face.png:10,20,60,80")
    (PosixPath('face.png'), (10.0, 20.0, 60.0, 80.0))
    """
    found = _BOX.fullmatch(spec)
    if found is None or Path(spec).exists():
        return Path(spec), None
    try:
        return Path(found[1]), tuple(float(found[index]) for index in range(2, 6))
    except ValueError as error:
        raise InputError(f"{spec}: the box is not x1,y1,x2,y2 in pixels") from error


def _read_picture(path: Path) -> Tensor:
    from PIL import Image, ImageOps

    if not path.is_file():
        raise InputError(f"{path} does not exist; give a picture, or image.png:x1,y1,x2,y2")
    try:
        with Image.open(path) as picture:
            # cameras note how a picture is turned instead of turning it
            upright = ImageOps.exif_transpose(picture).convert("RGB")
            return torch.from_numpy(np.array(upright))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # syntax: a damaged PNG
        raise InputError(f"{path} is not a picture that can be read ({error}); give .png or .jpg") from error


_SIZE = at_least(16, "a patch has 16 pixels; give the short side of a frame in pixels")


@dataclass(frozen=True)
class VisualAnchorSettings:
    """How the anchors of a domain of clips are found.

    Attributes:
        clips: Index files, videos, folders or globs.
        texts: Descriptions of what belongs to the domain, for an embedder with a text tower.
        exemplars: Pictures of it: `image.png`, or `image.png:x1,y1,x2,y2` for a box in pixels.
        reference: Other clips; visual words that are more frequent in `clips` become the anchors.
        embedder: `clip:MODEL:WEIGHTS`, `clip:FOLDER`, `student:FOLDER` or `pixels`.
        layer: Which layer of the model is read; None is the embedder's own choice.
        size: Pixels of a frame's short side; None is what the model was trained with.
        num_words: Number of visual words.
        num_anchors: How many of them to choose at most; None is 20, or all words if they are fewer.
        num_frames: Frames of each clip whose patches are clustered.
        device: auto, cpu, cuda, ...
    """

    clips: Sequence[str]
    texts: Sequence[str] = ()
    exemplars: Sequence[str] = ()
    reference: Sequence[str] = ()
    embedder: str = "pixels"
    layer: int | str | None = None
    size: Annotated[int | None, _SIZE, AtMost(4096)] = None
    num_words: Annotated[int, at_least(2, "one word leaves nothing to compare; ask for some dozens"), LENGTH] = 128
    num_anchors: Annotated[int | None, at_least(1), LENGTH] = None
    num_frames: Annotated[int, at_least(1), AtMost(4096)] = 8
    device: str = "auto"

    def __post_init__(self):
        """Check what can be checked without a file."""
        given = bool(self.texts or self.exemplars)
        if given == bool(self.reference):
            both = "--reference has no effect on anchors that are given with --text or --exemplar; leave one out"
            none = "no anchors are given; give --text, --exemplar, or --reference OTHER_CLIPS to find some"
            raise InputError(both if given else none)
        check_limits(self)
        if not given and self.num_anchors is not None and self.num_anchors > self.num_words:
            raise InputError(
                f"num_anchors={self.num_anchors} is more than the {self.num_words} visual words; ask for fewer "
                "anchors, or for more words with --num-words"
            )
        check_anchors([*self.texts, *self.exemplars, *([] if given else ["found"])], "--text and --exemplar")


def build_visual_anchors(
    settings: VisualAnchorSettings, command: str = "", *, progress: bool = False
) -> tuple[VisualAnchors, Patches]:
    """Find the anchors of a domain; return them with the patches of its clips, which a contact sheet shows.

    Args:
        settings: What to read and how.
        command: What the user typed, for the record.
        progress: Show progress bars.

    Raises:
        InputError: If clips, reference, embedder, exemplars or a setting cannot be used.
    """
    embedder = build_embedder(settings.embedder, layer=settings.layer, size=settings.size, device=settings.device)
    if settings.texts and not isinstance(embedder, OpenClipEmbedder):
        raise InputError(
            f"--text needs an embedder that reads text, and {settings.embedder} does not; use --embedder "
            "clip:MODEL:WEIGHTS, or give pictures with --exemplar"
        )
    clips = read_clips(settings.clips, progress=progress)
    others = read_clips(settings.reference, progress=progress) if settings.reference else []
    return find_in_clips(settings, embedder, clips, others, command, progress=progress)


def find_in_clips(
    settings: VisualAnchorSettings,
    embedder: PatchEmbedder,
    clips: Sequence[Clip],
    others: Sequence[Clip],
    command: str = "",
    *,
    progress: bool = False,
) -> tuple[VisualAnchors, Patches]:
    """Find the anchors of clips that are read already, as `build_visual_anchors` does.

    Args:
        settings: How; what it names is not read again.
        embedder: The embedder that the settings name.
        clips: The clips of the domain.
        others: Those of the reference.
        command: What the user typed, for the record.
        progress: Show progress bars.

    Raises:
        InputError: If clips or exemplars cannot be used.
    """
    shared = _files(clips) & _files(others)
    if shared:
        raise InputError(
            f"{min(shared)} is among the clips and in the reference too; give other clips as the reference"
        )
    if isinstance(embedder, PixelEmbedder):
        _fit_pixels(embedder, [clips, others])
    options: dict[str, Any] = {"num_frames": settings.num_frames, "progress": progress}
    patches = Patches.sample(clips, embedder, **options)
    record = _record(settings, embedder, patches) | {"command": command}
    if others:
        reference = Patches.sample(others, embedder, **options)
        record["reference"] = {"sources": [str(each) for each in settings.reference], "num_clips": len(reference.clips)}
        found = _found(settings, patches, VisualWords.find(patches, reference, settings.num_words), record)
    else:
        found = _given(settings, embedder, patches, record)
    if isinstance(embedder, PixelEmbedder):
        found = replace(found, basis=dict(embedder.basis or {}))
    return found.fitted_to(patches.embeddings), patches


def _fit_pixels(embedder: PixelEmbedder, sets: Sequence[Sequence[Clip]]) -> None:
    """Fit the basis of a pixel embedder to a few frames of each set of clips."""
    parts = [describe_frames(clips, _MAX_FITTED_CLIPS, _FITTED_FRAMES, embedder.describe) for clips in sets]
    descriptions = [each for part in parts for each in part]
    if not descriptions:
        raise InputError("none of the clips can be read; look at them with: diffmask index --summary")
    embedder.fit(descriptions)


def _found(
    settings: VisualAnchorSettings, patches: Patches, words: VisualWords, record: dict[str, Any]
) -> VisualAnchors:
    """Return the visual words with the highest TF-ICF."""
    tf_icf = words.tf_icf()
    eligible = words.eligible(len(patches.clips)) & (tf_icf >= _LEAST_TIMES)
    if not eligible.any():
        raise InputError(
            f"no visual word is {_LEAST_TIMES:g} times as frequent in the clips as in the reference, and in more than "
            "one of them; give more clips, other ones, or another --num-words"
        )
    best = choose_anchors(tf_icf, eligible, settings.num_words)
    chosen = _apart(best, words.centroids)[: settings.num_anchors or _NUM_ANCHORS]
    num_common = max(_LEAST_COMMON, round(_COMMON_SHARE * settings.num_words))
    common = words.reference_counts.sort(descending=True, stable=True).indices[:num_common]
    names = [f"word-{row}" for row in chosen.tolist()]
    own, other = words.counts / words.counts.sum(), words.reference_counts / words.reference_counts.sum()
    columns = (tf_icf, words.counts, words.num_clips, own, other)
    values = zip(*(column[chosen].tolist() for column in columns), strict=True)
    rows = [(name, WORD, *each) for name, each in zip(names, values, strict=True)]
    # a word that no patch is nearest to has no frequency; one that the domain lacks counts as the rarest that it has
    seen = (words.counts + words.reference_counts) > 0
    least = tf_icf[tf_icf > 0].min()
    return VisualAnchors(
        names,
        rows,
        words.centroids[chosen],
        words.centroids[common],
        words.centroids[seen],
        tf_icf[seen].clamp_min(least).log().float(),
        {},
        record | {"found": True},
    )


def _apart(rows: Tensor, centroids: Tensor) -> Tensor:
    """Return rows without those whose word looks like a better one: what is frequent is cut into many words."""
    cosines = F.normalize(centroids, dim=1) @ F.normalize(centroids, dim=1).T
    chosen: list[int] = []
    for row in rows.tolist():
        if not chosen or cosines[row, chosen].max() < ALIKE:
            chosen.append(row)
    return torch.tensor(chosen)


def _given(
    settings: VisualAnchorSettings, embedder: PatchEmbedder, patches: Patches, record: dict[str, Any]
) -> VisualAnchors:
    """Return texts and pictures as anchors, contrasted with the visual words of the clips that are least like them.

    Neutral texts ("a photo", "a background") are a worse contrast than none: for the captions of digits in clutter the
    AUC is 0.97 without a contrast, 0.89 against neutral texts, 0.99 against visual words.
    """
    made: list[Tensor] = []
    if settings.texts:
        assert isinstance(embedder, OpenClipEmbedder)
        embedder.refuse_cut(settings.texts)
        made.append(embedder.embed_text(settings.texts).cpu())
    made += [_embed_exemplar(each, embedder)[None] for each in settings.exemplars]
    anchors = torch.cat(made)
    num_words = min(settings.num_words, len(patches.embeddings))
    words = VisualWords.find(patches, patches, num_words).centroids
    # what people ask for may be everywhere in their clips, so the most frequent words would be no contrast
    far = anchor_similarity(words, anchors).sort(stable=True).indices[: -(-num_words * 3 // 4)]
    names = [*settings.texts, *settings.exemplars]
    kinds = [TEXT] * len(settings.texts) + [EXEMPLAR] * len(settings.exemplars)
    rows = [(name, kind, *[None] * 5) for name, kind in zip(names, kinds, strict=True)]
    none = torch.zeros(0)
    return VisualAnchors(names, rows, anchors, words[far], words[:0], none, {}, record | {"found": False})


def _files(clips: Sequence[Clip]) -> set[str]:
    return {os.path.realpath(clip.path) for clip in clips}


def _record(settings: VisualAnchorSettings, embedder: PatchEmbedder, patches: Patches) -> dict[str, Any]:
    """Return how the anchors were made; the same work has the same record, so there is no date in it."""
    return {
        "version": __version__,
        "embedder": {
            "spec": settings.embedder,
            "key": embedder.key,
            "layer": settings.layer,
            "size": settings.size,
            "dim": embedder.dim,
        },
        "num_words": settings.num_words,
        "num_frames": settings.num_frames,
        "sources": [str(each) for each in settings.clips],
        "num_clips": len(patches.clips),
        "num_patches": len(patches.embeddings),
        "reference": None,
        "spread": [[0.0, 1.0], [0.0, 1.0]],
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }
