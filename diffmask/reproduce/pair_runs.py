"""The arms of an experiment on clips with texts: anchors of both sides, boxes, and the model that they start from."""

from collections.abc import Iterator, Mapping
from typing import Any

from diffmask.assemble.video_text import VideoTextMasking
from diffmask.config import VideoTextConfig
from diffmask.config.experiment import Arm
from diffmask.config.video_text import SIDES
from diffmask.core.errors import InputError
from diffmask.core.schedule import mean
from diffmask.reproduce.place import Place, Runs, check_names, folder_of_anchors, options, section
from diffmask.reproduce.runner import Job
from diffmask.video_text.anchors.find import PairAnchorSettings

_MADE_ONCE = ("text_model", "fusion")
"""Settings of a run that make a model of its two parts."""
_OF_POLICY = ("policy", "strength", "guided_share", "weighting", "temperature", "direction", "hint_share")
_PARTS = {"text": "tokens", "video": "patches"}
_AUTOMATIC = "automatic"
"""In an arm's anchors: what patches of the domain's clips show more often than those of other clips do."""


class PairRuns(Runs):
    """Runs on clips with texts."""

    kind = VideoTextConfig
    own = {
        "pretrain": ("model", "output", "task", "data.train", "data.clips", "training.seed", "masking.seed",
                     "masking.anchors", "masking.video.boxes"),
        "arms": ("masking.seed", "masking.anchors", "masking.video.boxes"),
        "evaluate": ("model", "task", "output", "name", "seeds", "first_seed", "metric", "video_text.clips",
                     "video_text.subtitles", "video_text.inputs"),
    }  # fmt: skip

    def check(self, place: Place, arms: Mapping[str, Arm]) -> None:
        """Refuse a task without the clips, boxes or other clips that its arms need."""
        task, where = place.task, f"tasks.{place.task_name}"
        place.check([*task.clips, *task.subtitles, *task.reference, *([task.boxes] if task.boxes else ())])
        for name, arm in arms.items():
            if _needs_boxes(place, arm) and not task.boxes:
                raise InputError(f"the arm {name} prefers boxes, and {where}.boxes is not given; name a table of boxes")
            if arm.continued and arm.anchors.get(_AUTOMATIC) and not task.reference:
                raise InputError(
                    f"the arm {name} finds its anchors by comparing clips, and {where}.reference is empty; name other "
                    "clips to compare with"
                )

    def prepare(self, place: Place, arms: Mapping[str, Arm]) -> Iterator[Job]:
        """Yield the jobs that make anchors; arms with the same settings share one."""
        made = (_anchors(place, arm) for arm in arms.values() if arm.continued and arm.anchors)
        yield from {job.name: job for job in made}.values()

    def start(self, place: Place, seed: int) -> dict[str, Any]:
        """Return the settings of the run that makes the model, which trains nothing but heads that lack."""
        common = place.config.pretrain
        masking = {**section(common, "masking"), "seed": seed}
        for side in SIDES:
            given = section(masking, side)
            masking[side] = {name: value for name, value in given.items() if name not in _OF_POLICY}
        masking["text"]["policy"], masking["video"]["policy"] = "whole-word", "random-tube"
        training = {**section(common, "training"), "steps": 0, "epochs": None}
        return {**common, "model": place.config.model, "masking": masking, "training": training}

    def arm(self, place: Place, arm: Arm, seed: int) -> dict[str, Any]:
        """Return the settings of an arm's run."""
        common = {name: value for name, value in place.config.pretrain.items() if name not in _MADE_ONCE}
        masking = {**section(common, "masking"), **arm.masking, "seed": seed}
        for side in SIDES:
            masking[side] = {**section(section(common, "masking"), side), **section(arm.masking, side)}
        if arm.anchors:
            masking["anchors"] = str(folder_of_anchors(place, arm.anchors))
        if _needs_boxes(place, arm):
            masking["video"]["boxes"] = str(place.data / str(place.task.boxes))
        return {**common, "model": str(place.start(seed) / "model"), "masking": masking}

    def needs(self, place: Place, arm: Arm | None) -> list[str]:
        """Return the name of the arm's anchors, if it has some."""
        return [_anchors(place, arm).name] if arm is not None and arm.anchors else []

    def ratios(self, config: VideoTextConfig) -> dict[str, float]:
        """Return the mean mask ratios of both sides."""
        masking = VideoTextMasking.resolve(config.masking)
        sides = masking.masked
        return {_PARTS[side]: mean(masking.schedule(f"ratio_{side}")) for side in sides}

    def evaluation(self, place: Place) -> dict[str, Any]:
        """Return where the clips and the subtitles of the task are."""
        clips, subtitles = place.named(place.task.clips), place.named(place.task.subtitles)
        return {"video_text": {"clips": clips, "subtitles": subtitles}}


def _needs_boxes(place: Place, arm: Arm) -> bool:
    masking = {**section(section(place.config.pretrain, "masking"), "video"), **section(arm.masking, "video")}
    return arm.continued and masking.get("policy") == "boxes"


def _anchors(place: Place, arm: Arm) -> Job:
    """Return the job that makes the anchors of an arm."""
    given = dict(arm.anchors)
    if given.pop(_AUTOMATIC, False):
        given["reference"] = [*given.get("reference", ()), *place.named(place.task.reference)]
        given["model"] = place.config.pretrain.get("text_model")
    data = place.named(place.task.text)
    check_names("anchors", given, PairAnchorSettings, {"data", "anchors", "device"})
    PairAnchorSettings(data=data, **given)  # refuses settings that cannot be used
    folder = folder_of_anchors(place, arm.anchors)
    clips = ["--clips", *place.named(place.task.clips)] if place.task.clips else []
    command = ["anchors", *data, "--modality", "video-text", *clips, "-o", str(folder), *options(given)]
    return Job(f"{place.task_name}/anchors/{folder.name}", tuple(command), folder / "anchors.json")
