"""What a run on clips masked: held-out clips as its masker saw them at several of its steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffmask.assemble.video import VideoMasking
from diffmask.config import VideoConfig
from diffmask.core.errors import InputError
from diffmask.pretrain.video import FAILURES_FILE, read_split
from diffmask.report.clips.look import BASELINE, ClipLook, scores_needed
from diffmask.report.clips.preview import ClipPreview
from diffmask.report.clips.source import GatheredClips, choose_clips, load_trained
from diffmask.report.html.page import macros
from diffmask.report.run.read import Folder, Section
from diffmask.train.checkpoint import checkpoints_of, read_policy, step_of
from diffmask.train.folder import last_checkpoint
from diffmask.video.anchors.anchor_set import VisualAnchors, load_visual_anchors
from diffmask.video.model.load import LoadedVideo, load_video_model
from diffmask.video.read.dataset import FailureLog
from diffmask.video.units.grid import Grid

_NUM_CLIPS = 4


class MaskedClips:
    """What a run on clips masked: a `Masked`."""

    def __init__(self, folder: Folder, config: VideoConfig | None, inputs: Mapping[str, Any]):
        self._folder, self._config, self._inputs = folder, config, inputs
        self._known = None if config is None else self._read_anchors(config)

    @property
    def anchors(self) -> Sequence[tuple[str, float]]:
        """The anchors that the run used, with how many times more frequent they are than elsewhere."""
        return [] if self._known is None else [(row[0], float(row[2] or 0.0)) for row in self._known.rows]

    def preview(self) -> tuple[ClipPreview, str] | None:
        """Return what was masked, and which clips that is shown on."""
        return None if self._config is None else self._folder.attempt("Masks", self._preview, self._config)

    def sections(self) -> Sequence[Section]:
        """Return the clips that failed."""
        failed = None if self._config is None else self._folder.attempt("Clips that failed", self._failures)
        return [Section("failures", "Clips that failed", macros("run.html").failures(failed))] if failed else []

    def _read_anchors(self, config: VideoConfig) -> VisualAnchors | None:
        """Return the anchors of the run, if they are still those that it used."""
        folder = config.masking.anchors
        if folder is None:
            self._folder.missing.append(
                "Anchors: the run was made without (masking.anchors), so no patch is known to belong to the domain."
            )
            return None
        found = self._folder.attempt("Anchors", load_visual_anchors, folder)
        used = self._inputs.get("anchors", {}).get("key")
        if found is not None and used is not None and found.key != used:
            self._folder.missing.append(f"Anchors: {folder} was made again since the run.")
            return None
        return found

    def _preview(self, config: VideoConfig) -> tuple[ClipPreview, str]:
        masking = VideoMasking.resolve(config.masking)
        if self._known is None and "difference" in scores_needed([masking]):
            raise InputError("they need the anchors that the run used")
        training, held_out = read_split(config, progress=False)
        note = "The clips were held out of the training." if held_out else "The clips are some that were trained on."
        loaded = self._folder.attempt("What the model makes of hidden patches", self._model, config)
        grid = (loaded or _before(config)).grid
        clips = choose_clips(held_out or training, _NUM_CLIPS, [masking])
        gathered = GatheredClips.read(clips, config, grid, self._known, maskings=[masking])
        for path, reason in gathered.failed.items():
            self._folder.missing.append(f"The clip {path}: {reason}.")
        return gathered.preview(self._looks(masking, grid), loaded), note

    def _looks(self, masking: VideoMasking, grid: Grid) -> dict[str, ClipLook]:
        folder = self._folder
        whole = ClipLook.of(masking, grid)
        learn(whole, folder.path, folder.last_step)

        def at(step: int) -> ClipLook:
            look = ClipLook.of(masking, grid, progress=min(1.0, step / folder.num_steps))
            learn(look, folder.path, step)
            return look

        def beside() -> dict[str, ClipLook]:
            random = VideoMasking.resolve(VideoMasking.for_policy(masking.config, BASELINE))
            return {BASELINE: ClipLook.of(random, grid)} | {masking.config.policy: whole}

        return folder.looks(whole, at, beside, digits=0)

    def _model(self, config: VideoConfig) -> LoadedVideo:
        """Return the model that the run made, or the one of its last checkpoint."""
        made = self._folder.path / "model"
        found = made if made.is_dir() else last_checkpoint(self._folder.path)
        if found is None:
            raise InputError("the run has neither a model nor a checkpoint yet")
        return load_trained(found, config)

    def _failures(self) -> Mapping[str, str]:
        return FailureLog(self._folder.path / FAILURES_FILE).read()


def _before(config: VideoConfig) -> LoadedVideo:
    """Return the model that the run continued."""
    return load_video_model(config.model, num_frames=config.data.num_frames, image_size=config.data.image_size)


def learn(look: ClipLook, folder: Path, step: int) -> None:
    """Give a policy what it had learned by the last checkpoint up to a step, if it learns and there is one."""
    known = [path for path in checkpoints_of(folder) if step_of(path) <= step]
    if known and look.masker.policy.state_dict():
        look.masker.policy.load_state_dict(read_policy(known[-1]))
