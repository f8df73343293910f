"""A run on clips and their texts: one model of both, pairs as rows, and the masks of both sides."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from diffmask.assemble.modality import RowSizes
from diffmask.assemble.text import build_text_masking
from diffmask.assemble.video import VideoParts, build_sampling, build_video_masking, target_embedder
from diffmask.assemble.video_text import VideoTextMasking, build_joint_masking, told_of
from diffmask.config import VideoTextConfig
from diffmask.core.errors import InputError
from diffmask.core.machine import fast_attention, resolve_device
from diffmask.core.processes import read_ranks
from diffmask.pretrain.answer_task import build_answer_task
from diffmask.pretrain.subject import Rows, Subject
from diffmask.pretrain.text import cache_folder, read_anchors, tokenise_settings
from diffmask.pretrain.video import (
    FAILURES_FILE,
    ClipScores,
    check_apart,
    describe_clips,
    hold_out,
    read_failures,
    read_visual_anchors,
)
from diffmask.text.anchors.anchor_set import AnchorSet
from diffmask.text.corpus.documents import describe_sources
from diffmask.text.score.position_scores import add_scores
from diffmask.text.segment.rows import Annotator
from diffmask.train.buckets import RowOrder
from diffmask.train.masking import Masking
from diffmask.train.record import hub_name
from diffmask.video.clip.clip import Clip, content_hash
from diffmask.video.read.dataset import FailureLog, MapOf
from diffmask.video.units.features import PatchEmbedder
from diffmask.video_text.anchors.pair_anchors import refuse_apart
from diffmask.video_text.data.pairs import Pair, PairSettings, read_pairs
from diffmask.video_text.data.rows import PairDataset, text_id, tokenise_pairs
from diffmask.video_text.model.load import LoadedVideoText, load_video_text
from diffmask.video_text.model.objectives import CONTRASTIVE, MATCHING

logger = logging.getLogger(__name__)


class _Processing(NamedTuple):
    """What makes a model's inputs, saved beside it."""

    tokenizer: Any
    frames: Any

    def save_pretrained(self, folder: str | Path) -> None:
        """Write both."""
        for each in self:
            each.save_pretrained(folder)


def read_split(config: VideoTextConfig, *, progress: bool) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs to train on and those that are held out: all pairs of a clip stand on one side.

    Raises:
        InputError: If there is no pair, or none is left to train on.
    """
    data = config.data
    settings = PairSettings(
        clips=data.clips,
        split=data.split,
        column=data.column,
        segment_seconds=data.segment_seconds,
        localised=data.localised,
        progress=progress,
    )
    training = list(read_pairs(data.train, settings).pairs)
    if data.eval:
        held_out = list(read_pairs(data.eval, replace(settings, split=data.eval_split)).pairs)
        check_apart([pair.clip for pair in training], [pair.clip for pair in held_out])
        return training, held_out
    return hold_out(training, data, lambda pair: pair.clip, "pairs")


class VideoTextSubject(Subject):
    """A model of video and text, and its pairs.

    Args:
        config: The run.
        masking: What its masking comes to.

    Raises:
        InputError: If something that the config names cannot be used.
    """

    def __init__(self, config: VideoTextConfig, masking: VideoTextMasking):
        self._config, self._resolved = config, masking
        self._text = replace(config.text_side, masking=masking.text.config)
        self._clips = replace(config.video_side, masking=masking.video.config)
        device = str(resolve_device(config.training.device or "auto"))
        embedder = target_embedder(config.target, device)
        loaded = _load(config, device, None if embedder is None else embedder.dim)
        self.name, self.model, self.fresh = config.model, loaded.model, loaded.missing
        self.processing, self._loaded = _Processing(loaded.tokenizer, loaded.processor()), loaded
        if config.masking.anchors is not None:
            refuse_apart(config.masking.anchors)
        self._anchors, self._annotators, words = told_of("text", self._words)
        self._parts, patches = told_of("video", partial(self._patches, embedder))
        self.masking = build_joint_masking(config, masking, words, patches)
        self.objective = build_answer_task(config, loaded, progress=False)
        # the task is scored by what tells matching pairs
        loaded.model.train_for((*self.masking.weights, *([] if self.objective is None else ["matching"])))
        self._failures = FailureLog(Path(config.output) / FAILURES_FILE)
        self._scores = ClipScores(self._clips, self._parts)

    def _words(self) -> tuple[AnchorSet | None, Sequence[Annotator], Masking]:
        """Return the domain's words, what gives words values, and how words are masked."""
        masking, tokenizer = self._resolved.text, self._loaded.tokenizer
        anchors = read_anchors(self._text, tokenizer)
        annotators = masking.annotators(anchors)
        return anchors, annotators, build_text_masking(self._text, masking, annotators, tokenizer, anchors)

    def _patches(self, embedder: PatchEmbedder | None) -> tuple[VideoParts, Masking]:
        """Return what is known of the patches, and how they are masked, to predict pixels or what an embedder says."""
        anchors = read_visual_anchors(self._clips)
        parts = VideoParts(self._resolved.video, self._loaded.video, anchors, embedder)
        return parts, build_video_masking(self._clips, parts)

    def read(self, *, progress: bool) -> Rows:
        """Find the pairs, hold some out, tokenise the texts, and make the score maps that are not there yet."""
        config = self._config
        training, held_out = read_split(config, progress=progress)
        clips = _clips_of([*training, *held_out])
        made = told_of("video", partial(self._scores.make, clips, progress=progress))
        scored = {clip.path for clip in clips if self._scores.has(clip, made)}
        training, held_out = ([pair for pair in each if pair.clip.path in scored] for each in (training, held_out))
        if not training:
            raise InputError("none of the clips could be scored; run `diffmask index` again")
        self._tell_without_negatives(training)
        rows = self._dataset(training, made, progress=progress)
        evaluation = self._held_out(held_out, made, progress=progress) if held_out else None
        order = RowOrder([0] * len(rows), visits=True)
        return Rows(rows, evaluation, order, self._record(training, held_out), what="pairs")

    def _held_out(self, pairs: Sequence[Pair], made: Mapping[str, MapOf], *, progress: bool) -> PairDataset:
        """Return the rows of evaluation."""
        data = self._config.data
        maps = {name: made[name] for name in self._parts.map_names["evaluation"]}
        try:
            return self._dataset(pairs, maps, progress=progress, augment=False)
        except InputError as error:
            where = "data.eval" if data.eval else f"the pairs that data.eval_share={data.eval_share:g} holds out"
            raise InputError(f"{where}: {error}") from error

    def _tell_without_negatives(self, pairs: Sequence[Pair]) -> None:
        """Warn where pairs are to be told from others, and there are never any."""
        compared = [f"objectives.{name}" for name in (CONTRASTIVE, MATCHING) if name in self.masking.weights]
        if not compared:
            return
        why = ""
        if len({content_hash(pair.clip) for pair in pairs}) == 1:
            why = "all pairs are of one clip"
        elif len({text_id(pair.text) for pair in pairs}) == 1:
            why = "all pairs have one text"
        elif self._config.training.batch_size * read_ranks().number == 1:
            why = "training.batch_size=1 on one device leaves a pair alone"
        if why:
            logger.warning(
                "%s tell a pair from others, and there are none: %s; set them to 0, or give it others",
                " and ".join(compared), why,
            )  # fmt: skip

    def _dataset(
        self, pairs: Sequence[Pair], maps: Mapping[str, MapOf], *, progress: bool, augment: bool = True
    ) -> PairDataset:
        """Return the rows of pairs; those of training have what the policies read of their words."""
        config, sampling = self._config, build_sampling(self._config.data, self._parts.loaded.grid)
        if not augment:
            sampling = replace(sampling, clips_per_video=1, repeats=1)
        settings = tokenise_settings(self._text, self._resolved.text)
        settings = replace(settings, annotators=tuple(self._annotators) if augment else ())
        types = None if self._anchors is None else self._anchors.types
        cache = cache_folder(config.data)
        texts = tokenise_pairs([pair.text for pair in pairs], self._loaded.tokenizer, settings, types, cache)
        if augment:
            device = config.training.device or "auto"
            for scorer in told_of("text", partial(self._resolved.text.scorers, self._loaded.tokenizer, device)):
                texts = add_scores(texts, scorer, cache, progress=progress)
        seed = config.training.seed
        return PairDataset(pairs, texts, sampling, seed=seed, maps=maps, failures=self._failures, augment=augment)

    def _record(self, training: Sequence[Pair], held_out: Sequence[Pair]) -> dict[str, Any]:
        config = self._config
        sides = {"clips": training, "held_out": held_out}
        record: dict[str, Any] = {name: describe_clips(_clips_of(pairs)) for name, pairs in sides.items()}
        record["texts"] = {name: _describe_texts(pairs) for name, pairs in sides.items()}
        if config.head.weights is not None:
            record["head"] = hashlib.sha256(Path(config.head.weights).read_bytes()).hexdigest()
        if config.task is not None:
            record["task"] = describe_sources([*config.task.train, *config.task.eval])
        if self._annotators:
            record["values of units"] = [each.key for each in self._annotators]
        patches, words = self._scores.record(), self._anchors
        known = {"patches": patches.pop("anchors", None)}
        known["words"] = None if words is None else words.metadata | {"anchors": words.anchors}
        return record | patches | {"anchors": {name: each for name, each in known.items() if each is not None}}

    def describe(self) -> dict[str, Any]:
        """Return the front matter of the model card."""
        tags = ["video-text", "masked-language-modeling", "masked-video-modeling", "difference-masking"]
        bases = [name for name in map(hub_name, (self.name, self._config.text_model or "")) if name]
        return {"pipeline_tag": "video-text-to-text", "base_model": bases or None, "tags": tags}

    def failures(self) -> Mapping[str, str]:
        """Return the clips that could not be read, while they were scored or trained on."""
        return read_failures(self._failures, self._scores)


def _clips_of(pairs: Sequence[Pair]) -> list[Clip]:
    """Return the clips of pairs, each once."""
    return list({pair.clip.path: pair.clip for pair in pairs}.values())


def _describe_texts(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return how many texts there are, and a hash of them and of what they are about."""
    texts = hashlib.sha256()
    for pair in pairs:
        texts.update(f"{content_hash(pair.clip).hex()}\0{pair.span}\0{pair.text}\n".encode("utf-8", "surrogatepass"))
    return {"number": len(pairs), "hash": texts.hexdigest()}


def _load(config: VideoTextConfig, device: str, feature_dim: int | None) -> LoadedVideoText:
    """Load the model; what starts at random starts the same for a seed."""
    fusion = config.fusion if config.text_model is not None or config.fusion != type(config.fusion)() else None
    attention = fast_attention(torch.device(device), config.training.precision).get("attn_implementation")
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
        loaded = load_video_text(
            config.model,
            config.text_model,
            fusion=None if fusion is None else fusion.kind,
            num_fusion_layers=None if fusion is None else fusion.num_layers,
            num_frames=config.data.num_frames,
            image_size=config.data.image_size,
            feature_dim=feature_dim,
            attention=attention,
        )
    if config.target.kind == "pixels":
        # so that whoever loads the model reads its pictures the same way
        loaded.model.video.config.norm_pix_loss = config.target.normalised
    return loaded


def pair_row_sizes(config: VideoTextConfig, masking: VideoTextMasking, *, read_data: bool) -> RowSizes:
    """Return how many patches and tokens a row has at most, as `Modality.row_sizes`.

    Raises:
        InputError: If something that the config names cannot be used.
    """
    loaded = _load(config, "cpu", None)
    num_rows = None
    if config.training.steps is None and read_data:
        num_rows = len(read_split(config, progress=True)[0]) * config.data.clips_per_video
    most = loaded.grid.num_positions + config.data.max_length
    return RowSizes(np.array([most]), num_rows, is_bound=True, repeats=config.data.repeats)
