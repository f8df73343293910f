"""Masking of clips and their texts: what the settings of both sides come to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

from diffmask.assemble.masking import ResolvedMasking
from diffmask.assemble.recipe import Recipe
from diffmask.assemble.text import TextMasking
from diffmask.assemble.video import VideoMasking
from diffmask.config import ScheduleConfig, VideoTextConfig, VideoTextMaskingConfig
from diffmask.config.limits import check_limits
from diffmask.config.video_text import SIDES, TEXT_RATIOS
from diffmask.core.errors import InputError
from diffmask.core.policy import Policy
from diffmask.core.schedule import Schedule
from diffmask.train.masking import Masking
from diffmask.video_text.masking import JointMasking

_RANDOM = {"text": "whole-word", "video": "random-tube"}
_SIDES: Mapping[str, type[ResolvedMasking]] = {"text": TextMasking, "video": VideoMasking}


class VideoTextMasking(ResolvedMasking):
    """The masking of clips and their texts, each side with its own policy; its settings are a `VideoTextMaskingConfig`.

    A policy is named by those of its sides, as in whole-word+random-tube; one name stands for both where both have it,
    and `random` for random words and tubes. Where one side only is masked, it is the policy of that side.

    Attributes:
        text: The masking of the words.
        video: The masking of the patches.
    """

    policies: Mapping[str, Recipe] = {}
    naming = (
        "one policy of text and one of video, named together, as in whole-word+random-tube; a name that both have "
        "stands for both, as difference does, and random for random words and tubes."
    )
    schedules = {f"{name}_{side}": floor for side, kind in _SIDES.items() for name, floor in kind.schedules.items()}

    def __init__(self, config: VideoTextMaskingConfig):
        check_limits(config, "masking.")
        self.config = config
        _check_shared(config)
        self.text, self.video = (told_of(side, partial(self._side, side)) for side in SIDES)
        self.features = ()

    def _side(self, name: str) -> Any:
        """Return the masking of a side; one that is not masked is masked at random in evaluation alone."""
        kind, config = _SIDES[name], self.config.side(name)
        return kind(config if name in self.masked else kind.for_policy(config, _RANDOM[name]))

    @property
    def masked(self) -> tuple[str, ...]:
        """The sides that are masked."""
        return _masked(self.config)

    @classmethod
    def for_policy(cls, config: Any, policy: str) -> Any:
        """Return the settings with the policies of both sides, without what says nothing to them."""
        named = _sides_of(policy, _masked(config)).items()
        made = {
            side: told_of(side, partial(_SIDES[side].for_policy, getattr(config, side), name)) for side, name in named
        }
        return replace(config, **made)

    @classmethod
    def changed_by(cls, config: Any, policy: str) -> set[str]:
        """Return the settings that are given, and that other policies would not read."""
        named = _sides_of(policy, _masked(config)).items()
        return {
            f"{side}.{each}" for side, name in named for each in _SIDES[side].changed_by(getattr(config, side), name)
        }

    def schedule(self, name: str) -> Schedule:
        """Return one of the `schedules`.

        Raises:
            InputError: If it cannot be followed.
        """
        own, _, side = name.rpartition("_")
        return told_of(side, lambda: getattr(self, side).schedule(own))

    @property
    def planned(self) -> dict[str, Schedule]:
        """The schedules of ratio and strength of the sides that are masked, by the keys of a run's log."""
        sides = {side: told_of(side, lambda side=side: getattr(self, side).planned) for side in self.masked}
        return {f"{key}_{side}": schedule for side, planned in sides.items() for key, schedule in planned.items()}

    @property
    def shown_schedules(self) -> dict[str, Schedule]:
        """The schedules that people look at, by title, of the sides that are masked."""
        sides = {side: getattr(self, side).shown_schedules for side in self.masked}
        return {f"{title}, {side}": schedule for side, shown in sides.items() for title, schedule in shown.items()}

    @property
    def is_random(self) -> bool:
        """Whether all words and all patches score the same."""
        return all(getattr(self, side).is_random for side in self.masked)

    def _refuse_silent(self) -> None:
        for side in SIDES:
            told_of(side, getattr(self, side)._refuse_silent)
            if side not in self.masked and (given := _given(getattr(self.config, side))):
                raise InputError(
                    f"masking.{side}.{given[0]} is given, and masking.sides={self.config.sides} masks no "
                    f"{'words' if side == 'text' else 'patches'}; leave it out, or set masking.sides=both"
                )
        if self.config.complement:
            self._check_complement()

    def _check_complement(self) -> None:
        config = self.config
        if config.sides != "both":
            raise InputError(
                f"masking.complement spares the domain on one of both sides, and masking.sides={config.sides} masks "
                "one only; leave one of them out"
            )
        for side in SIDES:
            if config.side(side).anchors is None:
                raise InputError(
                    f"masking.complement needs to know the domain's {'words' if side == 'text' else 'patches'}; make "
                    "anchors with `diffmask anchors PAIRS -o anchors/` and set masking.anchors=anchors/"
                )
        share = config.video.guided_share
        if share != type(config.video)().guided_share:
            raise InputError(
                "masking.complement spares units by their weights, and masking.video.guided_share draws others at "
                "random; leave one of them out"
            )


def _check_shared(config: VideoTextMaskingConfig) -> None:
    for side in SIDES:
        if getattr(config, side).seed != 0:
            raise InputError(f"masking.{side}.seed is not read: both sides have one seed; set masking.seed")


def _given(settings: Any) -> list[str]:
    """Return the settings that are none of the defaults; the ratio of words has one by the kind of the texts."""
    usual = type(settings)()
    return [
        each.name
        for each in fields(settings)
        if getattr(settings, each.name) not in (getattr(usual, each.name), *_usual_ratios(each.name))
    ]


def _usual_ratios(name: str) -> list[ScheduleConfig]:
    return [ScheduleConfig(start=ratio) for ratio in TEXT_RATIOS.values()] if name == "ratio" else []


def told_of(side: str, make: Callable[[], Any]) -> Any:
    """Return what is made; a refusal names the settings of the side.

    Raises:
        InputError: As `make`.
    """
    try:
        return make()
    except InputError as error:
        said = str(error)
        own = said.replace("masking.", f"masking.{side}.")
        raise InputError(own if own != said else f"masking.{side}: {said}") from error


def _masked(config: VideoTextMaskingConfig) -> tuple[str, ...]:
    return SIDES if config.sides == "both" else (config.sides,)


def _sides_of(policy: str, masked: Sequence[str]) -> dict[str, str]:
    """Return the policy of each side that is masked, from the name that stands for them."""
    text, plus, video = policy.partition("+")
    names = {"text": text, "video": video if plus else text}
    if policy == "random":
        names = _RANDOM
    for side in masked:
        known = _SIDES[side].policies
        if names[side] not in known:
            raise InputError(
                f"unknown policy {names[side]!r} of {side} in {policy!r}; name those of both sides, as in "
                f"whole-word+random-tube; for {side} choose from: {', '.join(sorted(known))}"
            )
    return {side: names[side] for side in masked}


def build_joint_masking(
    config: VideoTextConfig, masking: VideoTextMasking, text: Masking, video: Masking
) -> JointMasking:
    """Return how a run masks: both sides in one step.

    Args:
        config: The run.
        masking: Its masking.
        text: The masking of its words, as `build_text_masking` returns it.
        video: The masking of its patches, as `build_video_masking` returns it.

    Raises:
        InputError: If nothing is learned, or a setting is given that cannot take effect.
    """
    weights = _weights(config, masking.masked)
    _refuse_unread(config, masking.masked, weights)
    for name, side in {"text": text, "video": video}.items():
        learns = type(side.masker.policy).observe is not Policy.observe
        if learns and name in masking.masked and name not in weights:
            raise InputError(
                f"masking.{name}.policy={config.masking.side(name).policy} learns from losses, and objectives.{name}=0 "
                "has none; choose another policy, or give the objective a weight"
            )
    return JointMasking(
        text,
        video,
        weights,
        masked=masking.masked,
        complement=config.masking.complement,
        whole_texts=config.objectives.whole_texts,
        seed=config.masking.seed,
        layer_decay=config.training.layer_decay,
    )


def _weights(config: VideoTextConfig, masked: Sequence[str]) -> dict[str, float]:
    """Return the weight of each loss; there is none of a side that is not masked.

    Raises:
        InputError: If there is none at all, or a side that is not masked is given a weight.
    """
    given, usual = config.objectives, type(config.objectives)()
    weights = given.weights
    for side in set(SIDES) - set(masked):
        weights.pop(side, None)
        if getattr(given, side) not in (0, getattr(usual, side)):
            raise InputError(
                f"objectives.{side}={getattr(given, side):g} has no effect, since masking.sides={config.masking.sides} "
                "hides nothing of it; leave it out, or set masking.sides=both"
            )
    if not weights:
        raise InputError(
            "nothing is learned: every weight of `objectives` is 0, or of a side that is not masked; give one above 0"
        )
    return weights


def _refuse_unread(config: VideoTextConfig, masked: Sequence[str], weights: Mapping[str, float]) -> None:
    """Refuse what says how something is predicted or compared that is not."""
    if "video" not in weights and (given := _given(config.target)):
        raise InputError(
            f"target.{given[0]} is given, and no patches are predicted "
            f"(masking.sides={config.masking.sides}, objectives.video={config.objectives.video:g}); leave it out"
        )
    compares = "text" in masked and ("contrastive" in weights or "matching" in weights)
    if not (config.objectives.whole_texts or compares):
        raise InputError(
            "objectives.whole_texts=false has no effect: no text is masked that `contrastive` or `matching` read; "
            "leave it out"
        )
