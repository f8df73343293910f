"""The arms of an experiment on texts: anchors of each, a scorer where an arm needs one, and the head that all share."""

from collections.abc import Iterator, Mapping
from typing import Any

from diffmask.assemble.text import TextMasking
from diffmask.config import TextConfig
from diffmask.config.experiment import Arm
from diffmask.core.errors import InputError
from diffmask.core.schedule import mean
from diffmask.reproduce.place import Place, Runs, check_names, folder_of_anchors, options, section
from diffmask.reproduce.runner import Job
from diffmask.selective.make import SelectiveSettings
from diffmask.text.anchors.find import AnchorSettings

_OF_HEAD = ("ratio", "mask_share", "random_share", "eval_ratio", "eval_units", "domain_threshold")
"""Settings of masking with which the head is trained too; all others belong to the arms."""


class TextRuns(Runs):
    """Runs on texts."""

    kind = TextConfig
    own = {
        "pretrain": ("model", "output", "task", "data.train", "training.seed", "masking.seed", "masking.anchors",
                     "masking.scorer"),
        "arms": ("masking.seed", "masking.anchors", "masking.scorer"),
        "evaluate": ("model", "task", "output", "name", "seeds", "first_seed", "metric"),
    }  # fmt: skip

    def check(self, place: Place, arms: Mapping[str, Arm]) -> None:
        """Refuse what only clips have."""
        for name in ("clips", "subtitles", "boxes", "reference", "inputs"):
            if getattr(place.task, name):
                raise InputError(
                    f"tasks.{place.task_name}.{name} is for clips with texts; give modality: video-text, or leave it "
                    "out"
                )

    def prepare(self, place: Place, arms: Mapping[str, Arm]) -> Iterator[Job]:
        """Yield the jobs that make anchors, arms with the same settings sharing one, and the scorer."""
        once: dict[str, Job] = {}
        for arm in (Arm(), *arms.values()):
            if arm.continued:
                made = _anchors(place, arm)
                once.setdefault(made.name, made)
        yield from once.values()
        if any(_needs_scorer(place, arm) for arm in arms.values()):
            yield _scorer(place)

    def start(self, place: Place, seed: int) -> dict[str, Any]:
        """Return the settings of the run that trains the head; the encoder does not change."""
        common = section(place.config.pretrain, "masking")
        masking = {name: common[name] for name in _OF_HEAD if name in common}
        masking |= {"policy": "whole-word", "anchors": str(folder_of_anchors(place, {})), "seed": seed}
        training = {**section(place.config.pretrain, "training"), "steps": 0, "epochs": None}
        return {**place.config.pretrain, "model": place.config.model, "masking": masking, "training": training}

    def arm(self, place: Place, arm: Arm, seed: int) -> dict[str, Any]:
        """Return the settings of an arm's run."""
        common, anchors = place.config.pretrain, str(folder_of_anchors(place, arm.anchors))
        masking = {**section(common, "masking"), **arm.masking, "anchors": anchors, "seed": seed}
        if _needs_scorer(place, arm):
            masking["scorer"] = str(place.folder / "scorer")
        return {**common, "model": str(place.start(seed) / "model"), "masking": masking}

    def needs(self, place: Place, arm: Arm | None) -> list[str]:
        """Return the names of anchors and scorer."""
        needed = [_anchors(place, arm or Arm()).name]
        return [*needed, _scorer(place).name] if arm is not None and _needs_scorer(place, arm) else needed

    def ratios(self, config: TextConfig) -> dict[str, float]:
        """Return the mean mask ratio."""
        TextMasking.resolve(config.masking).schedule("strength")
        return {"tokens": mean(TextMasking(config.masking).schedule("ratio"))}


def _anchors(place: Place, arm: Arm) -> Job:
    """Return the job that makes the anchors of an arm; arms with the same settings share one."""
    given = dict(arm.anchors)
    expert = given.pop("expert", False)
    data = place.named(place.task.text)
    check_names("anchors", given, AnchorSettings, {"data", "model", "anchors", "device"})
    AnchorSettings(data=data, model=place.config.model, **given)  # refuses settings that cannot be used
    folder = folder_of_anchors(place, arm.anchors)
    command = ["anchors", *data, "--model", place.config.model, "-o", str(folder), *options(given)]
    file = None
    if expert:
        if not place.task.expert_anchors:
            raise InputError(f"an arm asks for expert anchors, and tasks.{place.task_name}.expert_anchors is empty")
        words = place.folder / "expert-anchors.txt"
        command += ["--anchors", str(words)]
        file = (words, "\n".join(place.task.expert_anchors) + "\n")
    return Job(f"{place.task_name}/anchors/{folder.name}", tuple(command), folder / "anchors.json", file=file)


def _scorer(place: Place) -> Job:
    given, files = place.config.selective, place.named(place.task.files)
    check_names("selective", given, SelectiveSettings, {"task", "model", "device"})
    SelectiveSettings(task=files, model=place.config.model, **given)  # refuses settings that cannot be used
    folder = place.folder / "scorer"
    command = ("selective", *files, "--model", place.config.model, "-o", str(folder), *options(given))
    return Job(f"{place.task_name}/scorer", command, folder / "scorer.json")


def _needs_scorer(place: Place, arm: Arm) -> bool:
    masking = {**section(place.config.pretrain, "masking"), **arm.masking}
    mixture = masking.get("mixture") or ()
    return arm.continued and "selective" in (masking.get("policy"), masking.get("base"), *mixture)
