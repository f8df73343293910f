"""Video and text: clips with captions or subtitles, words and patches."""

import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from diffmask.assemble.modality import Modality, RowSizes, Words
from diffmask.config import VideoTextConfig
from diffmask.video_text.model.config import VideoTextModelConfig


class _VideoText(Modality):
    name = "video-text"
    config = VideoTextConfig
    words = Words(
        samples="pairs",
        wholes="words and patches",
        parts="tokens and patches",
        ratio_note="At least one word of every text is masked; of patches, every clip hides the same number.",
        anchor_lead=(
            "What makes this domain different: words of its texts that are many times more frequent than in general, "
            "and what its clips show. Difference masking prefers what is similar to them."
        ),
    )
    data = "clips with texts"
    options = {
        "anchors": (
            *("model", "min_count", "reduce", "column", "clips", "template"),
            *("exemplar", "num_words", "layer", "size", "num_frames"),
        ),
        "preview": ("num_pairs", "column", "clips"),
    }
    model_types = (VideoTextModelConfig.model_type,)

    def holds(self, sources, expected) -> bool:
        from diffmask.video_text.data.recognise import are_pairs

        return are_pairs(sources, lambda: expected() == self.name)

    def anchors(self):
        return _PairAnchors()

    @property
    def evaluation(self):
        from diffmask.evaluate.methods.video_text import PairMethods

        return PairMethods()

    @property
    def masking(self):
        from diffmask.assemble.video_text import VideoTextMasking

        return VideoTextMasking

    def subject(self, config, masking):
        from diffmask.pretrain.video_text import VideoTextSubject

        return VideoTextSubject(config, masking)

    def row_sizes(self, config, masking, *, read_data: bool) -> RowSizes:
        from diffmask.pretrain.video_text import pair_row_sizes

        return pair_row_sizes(config, masking, read_data=read_data)

    @property
    def source(self):
        from diffmask.report.pairs.source import PairSource

        return PairSource

    def masked_in(self, folder, config, inputs):
        from diffmask.report.run.masked_pairs import MaskedPairs

        return MaskedPairs(folder, config, inputs)


class _PairAnchors:
    """`diffmask anchors` of clips with texts."""

    fixed = ("num_anchors", "min_count")

    @property
    def names(self) -> tuple[str, ...]:
        from diffmask.video_text.anchors.pair_anchors import NAMES

        return NAMES

    def check(self, given: Mapping[str, Any]) -> None:
        self._settings(given)

    def _settings(self, given: Mapping[str, Any]):
        from diffmask.video.score.embedders import parse_layer
        from diffmask.video_text.anchors.find import PairAnchorSettings

        options = {**given, "exemplars": given.get("exemplar", ()), "layer": parse_layer(given.get("layer"))}
        read = {each.name for each in fields(PairAnchorSettings)} & options.keys()
        return PairAnchorSettings(**{name: options[name] for name in read})

    def find(self, given: Mapping[str, Any], command: str):
        """Return the anchors, and patches of the clips for the contact sheet."""
        from diffmask.video_text.anchors.find import build_pair_anchors
        from diffmask.video_text.data.pairs import PairSettings, read_pairs

        named = PairSettings(tuple(given.get("clips", ())), column=given.get("column"), progress=True)
        pairs = read_pairs(given["data"], named).pairs
        clips = {pair.clip.path: pair.clip for pair in pairs}
        texts = [pair.text for pair in pairs]
        return build_pair_anchors(self._settings(given), texts, list(clips.values()), command, progress=True)

    def save(self, found, folder: str, *, overwrite: bool) -> None:
        from diffmask.video.anchors.contact_sheet import draw_sheet

        anchors, patches = found
        anchors.save(folder, draw_sheet(anchors.video, patches), overwrite=overwrite)

    def summary(self, found) -> list[str]:
        """Return the anchors of words as a table, and those of patches if they are others."""
        from diffmask.modalities.text import list_words
        from diffmask.modalities.video import list_visual_anchors

        anchors, _ = found
        lines, seen = list_words(anchors.text), list_visual_anchors(anchors.video)
        if not anchors.is_joint:
            return [*lines, "", *seen]
        return [*lines, "", f"{seen[0]}; the same anchors score words and patches"]

    def next_steps(self, given: Mapping[str, Any], folder: str) -> list[str]:
        clips = f" --clips {shlex.join(given['clips'])}" if "clips" in given else ""
        data = shlex.join(given["data"]) + clips
        return [
            f"look:       {folder}/video/sheet.png",
            f"edit {folder}/text/anchors.csv if you know better words, and add to the command:",
            f"            --anchors {folder}/text/anchors.csv --overwrite",
            f"preview:    diffmask preview {data} --anchors {folder}",
            f"train:      diffmask pretrain CONFIG masking.anchors={folder}",
        ]


MODALITY = _VideoText()
