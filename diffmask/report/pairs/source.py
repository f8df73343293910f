"""Clips and their texts that `diffmask preview` shows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from transformers import PreTrainedTokenizerBase

from diffmask.assemble.modality import config_of_model
from diffmask.assemble.video import VideoMasking
from diffmask.assemble.video_text import VideoTextMasking
from diffmask.config import VideoTextConfig, VideoTextMaskingConfig
from diffmask.core.errors import InputError
from diffmask.files.folders import check_output
from diffmask.report.clips.look import BASELINE, scores_needed
from diffmask.report.clips.preview import ClipPreview
from diffmask.report.clips.source import PLAIN, GatheredClips, choose_clips
from diffmask.report.html.page import is_foreign
from diffmask.report.pairs.look import PairLook
from diffmask.report.pairs.preview import PairPreview, ShownPair
from diffmask.report.preview import Asked
from diffmask.report.text.cut import Excerpt
from diffmask.report.text.look import TextLook, Traits
from diffmask.report.text.preview import PreviewSettings, TextPreview
from diffmask.text.anchors.anchor_set import AnchorSet, load_anchors
from diffmask.text.corpus.documents import Document
from diffmask.text.model.load import load_tokenizer
from diffmask.video.anchors.anchor_set import VisualAnchors, load_visual_anchors
from diffmask.video.clip.clip import Clip
from diffmask.video.model.load import load_video_model
from diffmask.video.units.grid import Grid
from diffmask.video_text.anchors.pair_anchors import refuse_apart
from diffmask.video_text.data.pairs import Pair, PairSettings, read_pairs
from diffmask.video_text.model.config import VideoTextModelConfig
from diffmask.video_text.model.load import load_video_text

COMPLEMENT = (
    "masking.complement: in every mask, the toss of a coin spares the domain's words of a pair or its patches, so that "
    "the domain is hidden on one side at most."
)


class KnownAnchors(NamedTuple):
    """Anchors of the words and of the patches, None where they are not given."""

    text: AnchorSet | None
    video: VisualAnchors | None


class PairSource:
    """Some clips with their texts; see `report.preview.Source`."""

    count: ClassVar[int] = 4
    remedy: ClassVar[str] = "give a config with modality: video-text"

    def __init__(self, asked: Asked):
        config: VideoTextConfig = asked.config
        self._asked, self._config = asked, config
        self._maskings: list[VideoTextMasking] = list(asked.maskings.values())
        self.notes: list[str] = [COMPLEMENT] if config.masking.complement else []
        if asked.checkpoint is not None and asked.model is not None:
            raise InputError("--checkpoint has the model of its run; leave --model out")
        self._anchors = read_pair_anchors(config.masking)
        name = str(asked.checkpoint or asked.model or config.model)
        self._tokenizer = self._read_tokenizer(name)
        self._grid = read_grid(name, config)
        data = config.data
        settings = PairSettings(data.clips, column=asked.column or data.column, progress=True)
        self._pairs = read_pairs(asked.data, settings).pairs
        grid = self._grid
        self.facts: dict[str, str | None] = {
            "clips with texts": ", ".join(asked.data),
            "anchors": config.masking.anchors,
            "model": name or None,
            "patches": f"{' x '.join(map(str, grid.shape))} of {grid.tubelet} x {grid.patch_size} x {grid.patch_size}",
        }
        sides = {"words": config.masking.text, "patches": config.masking.video}
        for what, side in sides.items():
            ratio = side.ratio
            assert ratio is not None
            self.facts[f"mask ratio of {what}"] = f"{ratio.start:g}" if ratio.schedule == "constant" else ratio.schedule

    @staticmethod
    def check_output(path: Path, *, overwrite: bool) -> None:
        """Refuse an output that cannot be written, before the work is done."""
        check_output(path, "page", "preview.html", (".html",), overwrite=overwrite, is_foreign=is_foreign)

    @staticmethod
    def baseline(masking: VideoTextMaskingConfig) -> str:
        """Return the random masking that policies are compared with: of the same units of text, and of tubes."""
        names = {"text": "random-token" if masking.text.units == "token" else "whole-word", "video": BASELINE}
        return names.get(masking.sides, "+".join(names.values()))

    def look(self, masking: VideoTextMasking, progress: float | None) -> PairLook:
        """Return how a policy looks at the pairs, at a share of the training or over all of it."""
        return PairLook.of(masking, self._tokenizer, self._anchors.text, self._grid, progress=progress)

    def preview(self, looks: Mapping[str, PairLook]) -> PairPreview:
        """Return what the policies hide of the pairs; only the clips that are shown are scored."""
        gathered = GatheredPairs(self._pairs, self._config, self._anchors, self._asked.count)
        return gathered.preview(looks, self._maskings, self._tokenizer, self._grid, progress=True)

    def _read_tokenizer(self, name: str) -> PreTrainedTokenizerBase:
        """Return the tokenizer of the model of texts, of the model of both, or of the one the anchors were made for."""
        text, asked = self._anchors.text, self._asked
        known = None if text is None else text.metadata.get("model", {}).get("name")
        own = None if asked.model or asked.checkpoint else self._config.text_model
        model = own or name or known
        if not model:
            raise InputError(
                "neither --model nor --config says which tokenizer reads the texts; add --model MODEL, a model of "
                "video and text or a masked language model"
            )
        tokenizer = load_tokenizer(model)
        if text is not None:
            text.check_model(model, tokenizer)
        return tokenizer


def read_pair_anchors(masking: VideoTextMaskingConfig) -> KnownAnchors:
    """Return the anchors of both sides.

    Raises:
        InputError: If a folder holds none, or other ones on each side than it should.
    """
    if masking.anchors is not None:
        refuse_apart(masking.anchors)
    text, video = (masking.side(name).anchors for name in ("text", "video"))
    return KnownAnchors(
        None if text is None else load_anchors(text), None if video is None else load_visual_anchors(video)
    )


def read_grid(name: str, config: VideoTextConfig) -> Grid:
    """Return how the model cuts clips, or how most models do where it reads none."""
    kind = config_of_model(name).model_type if name else ""
    num_frames, image_size = config.data.num_frames, config.data.image_size
    if kind == VideoTextModelConfig.model_type:
        return load_video_text(name, num_frames=num_frames, image_size=image_size).grid
    if kind == "videomae":
        return load_video_model(name, num_frames=num_frames, image_size=image_size).grid
    return Grid(*PLAIN)


class GatheredPairs:
    """Pairs to show, and the texts of all that figures are taken from.

    Args:
        pairs: All pairs.
        config: The run, or plain settings.
        anchors: The domain's anchors, as far as they are known.
        count: How many are shown.
    """

    def __init__(self, pairs: Sequence[Pair], config: VideoTextConfig, anchors: KnownAnchors, count: int):
        self._pairs, self._config, self._anchors, self._count = pairs, config, anchors, count

    def preview(
        self,
        looks: Mapping[str, PairLook],
        maskings: Sequence[VideoTextMasking],
        tokenizer: PreTrainedTokenizerBase,
        grid: Grid,
        *,
        progress: bool = False,
    ) -> PairPreview:
        """Return what policies hide of the pairs.

        Args:
            looks: How each policy looks at them.
            maskings: What the settings of each come to.
            tokenizer: Tokenizer of the texts.
            grid: How clips are cut.
            progress: Show progress bars.

        Raises:
            InputError: If what gives the scores is not there, or no clip can be read.
        """
        of_patches = [masking.video for masking in maskings if "video" in masking.masked]
        if self._config.masking.complement:  # which patches are of the domain matters under every policy
            own = VideoMasking.for_policy(self._config.masking.side("video"), "difference")
            of_patches.append(VideoMasking.resolve(own))
        self._refuse_without_anchors(scores_needed(of_patches))
        chosen = self._choose(choose_clips(_clips(self._pairs), self._count, of_patches))
        gathered = GatheredClips.read(
            [pair.clip for pair in chosen],
            self._config.video_side,
            grid,
            self._anchors.video,
            maskings=of_patches,
            spans=[pair.span for pair in chosen],
            progress=progress,
        )
        shown = [pair for pair in chosen if pair.clip.path not in gathered.failed]
        seen = {name: look.video for name, look in looks.items() if look.video is not None}
        read = {name: look.text for name, look in looks.items() if look.text is not None}
        return PairPreview(
            [ShownPair(Path(pair.clip.path).name, pair.text, _seconds(pair)) for pair in shown],
            list(looks),
            self._words(shown, read, tokenizer) if read else None,
            # the ids that the texts have, too: a coin that is tossed for a pair is tossed for both
            ClipPreview.of(gathered.clips, gathered.batch | {"sample_ids": torch.arange(len(shown))}, seen),
            gathered.failed,
        )

    def _words(
        self, shown: Sequence[Pair], looks: Mapping[str, TextLook], tokenizer: PreTrainedTokenizerBase
    ) -> TextPreview:
        """Return what policies hide of the texts that are shown, and of all texts."""
        settings = PreviewSettings(
            max_length=min(self._config.data.max_length, tokenizer.model_max_length),
            domain_threshold=self._config.masking.text.domain_threshold,
        )
        documents = [Document(pair.text, pair.clip.path, number, 0) for number, pair in enumerate(self._pairs, 1)]
        excerpts = [Excerpt(pair.text, pair.clip.path, number, pair.text) for number, pair in enumerate(shown, 1)]
        return TextPreview.of(documents, looks, self._anchors.text, tokenizer, settings, excerpts=excerpts)

    def _choose(self, clips: Sequence[Clip]) -> list[Pair]:
        """Return a pair of each clip, the first whose text has a word of the domain, or else the first."""
        traits = Traits(self._anchors.text, self._config.masking.text.domain_threshold)
        own: dict[str, list[Pair]] = {clip.path: [] for clip in clips}
        for pair in self._pairs:
            if pair.clip.path in own:
                own[pair.clip.path].append(pair)
        return [
            next((pair for pair in each if any(map(traits.is_domain, pair.text.casefold().split()))), each[0])
            for each in own.values()
        ]

    def _refuse_without_anchors(self, needed: Sequence[str]) -> None:
        if "difference" in needed and self._anchors.video is None:
            raise InputError(
                "the policy `difference` needs anchors; make them with `diffmask anchors PAIRS -o anchors/` and give "
                "them as --anchors anchors/, or show other policies with --policy"
            )


def _clips(pairs: Sequence[Pair]) -> list[Clip]:
    return list({pair.clip.path: pair.clip for pair in pairs}.values())


def _seconds(pair: Pair) -> str:
    return "" if pair.span is None else f"{pair.span[0]:.1f} to {pair.span[1]:.1f} s"
