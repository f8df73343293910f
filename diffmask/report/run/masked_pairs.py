"""What a run on clips with texts masked: held-out pairs as its maskers saw them at several of its steps."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from diffmask.assemble.video_text import VideoTextMasking
from diffmask.config import VideoTextConfig
from diffmask.pretrain.video import FAILURES_FILE
from diffmask.pretrain.video_text import read_split
from diffmask.report.html.page import macros
from diffmask.report.pairs.look import PairLook
from diffmask.report.pairs.preview import PairPreview
from diffmask.report.pairs.source import (
    COMPLEMENT,
    GatheredPairs,
    KnownAnchors,
    PairSource,
    read_grid,
    read_pair_anchors,
)
from diffmask.report.run.masked_clips import learn
from diffmask.report.run.read import Folder, Section
from diffmask.text.model.load import load_tokenizer
from diffmask.train.folder import last_checkpoint
from diffmask.video.read.dataset import FailureLog

_NUM_PAIRS = 4
_NAMES = {"text": "words", "video": "patches"}


class MaskedPairs:
    """What a run on clips with texts masked: a `Masked`."""

    def __init__(self, folder: Folder, config: VideoTextConfig | None, inputs: Mapping[str, Any]):
        self._folder, self._config, self._inputs = folder, config, inputs
        self._known = KnownAnchors(None, None) if config is None else self._read_anchors(config)

    @property
    def anchors(self) -> Sequence[tuple[str, float]]:
        """The anchors of the words that the run used, with their TF-ICF where it is known."""
        text = self._known.text
        known = [] if text is None else [(name, times) for name, times, *_ in text.rows()]
        return known or [(name, 0.0) for name in self._used("words").get("anchors", [])]

    def preview(self) -> tuple[PairPreview, str] | None:
        """Return what was masked, and which pairs that is shown on."""
        return None if self._config is None else self._folder.attempt("Masks", self._preview, self._config)

    def sections(self) -> Sequence[Section]:
        """Return the clips that failed."""
        failed = None if self._config is None else self._folder.attempt("Clips that failed", self._failures)
        return [Section("failures", "Clips that failed", macros("run.html").failures(failed))] if failed else []

    def _read_anchors(self, config: VideoTextConfig) -> KnownAnchors:
        """Return the anchors of the run, as far as they are still those that it used."""
        found = self._folder.attempt("Anchors", read_pair_anchors, config.masking) or KnownAnchors(None, None)
        text, video = found
        if text is not None and self._used("words") not in ({}, _plain(text.metadata | {"anchors": text.anchors})):
            text = self._made_again("words")
        if video is not None and self._used("patches").get("key", video.key) != video.key:
            video = self._made_again("patches")
        return KnownAnchors(text, video)

    def _used(self, what: str) -> Mapping[str, Any]:
        """Return what the run recorded of its anchors."""
        return self._inputs.get("anchors", {}).get(what, {})

    def _made_again(self, what: str) -> None:
        self._folder.missing.append(f"Anchors of {what}: they were made again since the run.")

    def _preview(self, config: VideoTextConfig) -> tuple[PairPreview, str]:
        masking = VideoTextMasking.resolve(config.masking)
        made = self._folder.path / "model"
        kept = made if made.is_dir() else last_checkpoint(self._folder.path)
        tokenizer = load_tokenizer(str(kept or config.text_model or config.model))
        grid = read_grid(str(kept or config.model), config)
        training, held_out = read_split(config, progress=False)
        note = "The pairs were held out of the training." if held_out else "The pairs are some that were trained on."
        note += f" {COMPLEMENT}" if config.masking.complement else ""

        def look(own: VideoTextMasking, progress: float | None = None) -> PairLook:
            return PairLook.of(own, tokenizer, self._known.text, grid, progress=progress)

        gathered = GatheredPairs(held_out or training, config, self._known, _NUM_PAIRS)
        preview = gathered.preview(self._looks(masking, look), [masking], tokenizer, grid)
        for path, reason in preview.failed.items():
            self._folder.missing.append(f"The clip {path}: {reason}.")
        return preview, note

    def _looks(self, masking: VideoTextMasking, look: Any) -> dict[str, PairLook]:
        folder = self._folder
        whole = look(masking)
        learn(whole, folder.path, folder.last_step)

        def at(step: int) -> PairLook:
            found = look(masking, min(1.0, step / folder.num_steps))
            learn(found, folder.path, step)
            return found

        def beside() -> dict[str, PairLook]:
            plain = PairSource.baseline(masking.config)
            random = VideoTextMasking.resolve(VideoTextMasking.for_policy(masking.config, plain))
            return {plain: look(random)} | {masking.config.policy: whole}

        def maskers(of: PairLook) -> dict[str, Any]:
            return {_NAMES[side]: masker for side, masker in of.masker.sides.items()}

        return folder.looks(whole, at, beside, digits=0, maskers=maskers)

    def _failures(self) -> Mapping[str, str]:
        return FailureLog(self._folder.path / FAILURES_FILE).read()


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
