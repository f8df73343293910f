"""Read what a page says of a run on video only: its anchors, its clips with masks and pictures, those that failed."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from diffmask.config import VideoConfig
from diffmask.core.errors import InputError
from diffmask.pretrain.clips import read_split
from diffmask.pretrain.video import FAILURES_FILE
from diffmask.report.clips.build_look import scores_needed
from diffmask.report.clips.preview import ClipPreview
from diffmask.report.run.masked_clips import choose_clips, gather_clips, load_trained, preview_clips, run_looks
from diffmask.report.run.masked_text import Course
from diffmask.train.checkpoints import last_checkpoint
from diffmask.video.anchors.anchor_set import VisualAnchors, load_visual_anchors
from diffmask.video.model.load import LoadedVideo, load_video_model
from diffmask.video.read.failures import FailureLog

NUM_CLIPS = 4


class VideoReader:
    """Reads a run on video, as far as it goes.

    Args:
        folder: Of the run.
        config: Its settings.
        attempt: Calls what may fail, with what it is for; notes why in one sentence, and returns None.
        missing: The sentences.
    """

    def __init__(self, folder: Path, config: VideoConfig, attempt: Callable[..., Any], missing: list[str]):
        self._folder, self._config, self._attempt, self._missing = folder, config, attempt, missing

    def read(self, inputs: Mapping[str, Any], course: Course) -> dict[str, Any]:
        """Return the fields of the page's data."""
        anchors = self._anchors(inputs)
        shown = self._attempt("Masks", self._preview, anchors, course)
        return {
            "anchors": [] if anchors is None else [(row[0], float(row[2] or 0.0)) for row in anchors.rows],
            "clips": None if shown is None else shown[0],
            "data_note": "" if shown is None else shown[1],
            "failures": self._attempt("Clips that failed", self._failures) or {},
        }

    def _anchors(self, inputs: Mapping[str, Any]) -> VisualAnchors | None:
        """Return the anchors of the run, if they are still those that it used."""
        folder = self._config.masking.anchors
        if folder is None:
            self._missing.append(
                "Anchors: the run was made without (masking.anchors), so that no patch is known to be of the domain."
            )
            return None
        found = self._attempt("Anchors", load_visual_anchors, folder)
        used = inputs.get("anchors", {}).get("key")
        if found is not None and used is not None and found.key != used:
            self._missing.append(f"Anchors: {folder} was made again since the run.")
            return None
        return found

    def _preview(self, anchors: VisualAnchors | None, course: Course) -> tuple[ClipPreview, str]:
        config = self._config
        if anchors is None and "difference" in scores_needed([config.masking]):
            raise InputError("they need the anchors that the run used")
        training, held_out = read_split(config, progress=False)
        note = "The clips were held out of the training." if held_out else "The clips are some that were trained on."
        loaded = self._attempt("What the model makes of hidden patches", self._model)
        grid = (loaded or self._before()).grid
        clips = choose_clips(held_out or training, NUM_CLIPS, [config.masking])
        gathered = gather_clips(clips, config, grid, anchors, maskings=[config.masking])
        for path, reason in gathered.failed.items():
            self._missing.append(f"The clip {path}: {reason}.")
        looks = run_looks(config, grid, self._folder, course.log, course.num_steps)
        return preview_clips(gathered, looks, loaded), note

    def _model(self) -> LoadedVideo:
        """Return the model that the run made, or the one of its last checkpoint."""
        made = self._folder / "model"
        found = made if made.is_dir() else last_checkpoint(self._folder)
        if found is None:
            raise InputError("the run has neither a model nor a checkpoint yet")
        return load_trained(found, self._config)

    def _before(self) -> LoadedVideo:
        data = self._config.data
        return load_video_model(self._config.model, num_frames=data.num_frames, image_size=data.image_size)

    def _failures(self) -> Mapping[str, str]:
        path = self._folder / FAILURES_FILE
        try:
            return FailureLog(path).read()
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged ({error!r})") from error
