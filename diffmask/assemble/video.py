"""The policies for video by name: what each hides, where it comes from, what it costs and needs."""

from dataclasses import fields

from diffmask.assemble.choose import choose
from diffmask.assemble.recipe import UNIT_SETTINGS, Recipe, uniform
from diffmask.assemble.score_checks import check_scoring
from diffmask.config import VideoMaskingConfig
from diffmask.core.errors import InputError
from diffmask.core.policy import Policy
from diffmask.policies.feature import Feature
from diffmask.policies.predicted_loss import LEARNING_RATE, PredictedLoss
from diffmask.video.units.features import APPEARANCE_DIM

UNITS = ("patch", "tube", "frame", "block", "cell")


def _predicted_loss(config: VideoMaskingConfig) -> Policy:
    rate = LEARNING_RATE if config.predictor_rate is None else config.predictor_rate
    return PredictedLoss("appearance", APPEARANCE_DIM, rate, config.seed)


VIDEO_POLICIES: dict[str, Recipe] = {
    "random-patch": Recipe(
        uniform,
        "single patches at random",
        "He et al. 2022 (MAE); Feichtenhofer et al. 2022",
        units="patch",
        has_fixed_units=True,
    ),
    "random-tube": Recipe(
        uniform,
        "places at random, each hidden through all of time",
        "Tong et al. 2022 (VideoMAE)",
        units="tube",
        has_fixed_units=True,
    ),
    "random-frame": Recipe(
        uniform,
        "whole frames at random",
        "Tong et al. 2022 (VideoMAE, ablation)",
        units="frame",
        has_fixed_units=True,
    ),
    "random-block": Recipe(
        uniform,
        "boxes in time, height and width at random",
        "Feichtenhofer et al. 2022 (ablation); Xie et al. 2022 (SimMIM)",
        units="block",
        settings=("unit_size",),
        has_fixed_units=True,
    ),
    "running-cell": Recipe(
        uniform,
        "places at random, each running through its cell as time goes on",
        "Qing et al. 2023 (MAR); Wang et al. 2023 (VideoMAE V2)",
        units="cell",
        settings=("unit_size",),
        has_fixed_units=True,
    ),
    "difference": Recipe(
        lambda config: Feature("difference"),
        "patches near the anchors of the domain",
        "Wilf et al. 2023 (Difference-Masking)",
        cost="a score map a clip, made once; or the embedder in each step (live)",
        needs="`diffmask anchors` of clips",
        units="patch",
        settings=("anchors", "live"),
        features=("difference",),
    ),
    "boxes": Recipe(
        lambda config: Feature("boxes"),
        "patches in boxes that were drawn beforehand: faces, bodies, hands",
        "Wilf et al. 2023 (Difference-Masking, as coded for video)",
        cost="boxes through each crop",
        needs="a table of boxes",
        units="patch",
        weighting="linear",
        settings=("boxes", "box_label"),
        features=("boxes",),
    ),
    "motion": Recipe(
        lambda config: Feature("motion", standardised=True),
        "patches that change from frame to frame",
        "frame differences; Huang et al. 2023 (MGMAE) take optical flow",
        cost="differences of the frames in each step",
        units="patch",
        features=("motion",),
    ),
    "attention": Recipe(
        lambda config: Feature("attention", standardised=True),
        "patches that a teacher attends to (direction: show for the others, hint_share for hints)",
        "Kakogeorgiou et al. 2022 (AttMask); Li et al. 2023 (UMT)",
        cost="a score map a clip, made once",
        needs="a teacher",
        units="patch",
        settings=("teacher",),
        features=("attention",),
    ),
    "hard-patch": Recipe(
        _predicted_loss,
        "patches whose loss is predicted to be high, by a small network that learns along",
        "Wang et al. 2023 (HPM)",
        cost="a small network over all patches in each step",
        units="patch",
        settings=("predictor_rate",),
        features=("appearance",),
    ),
}

_DEFAULTS = {each.name: each.default for each in fields(VideoMaskingConfig)}
_READ_BY_ALL = ("anchors", "live")  # the domain's patches are told by them, whatever the policy
_READERS = {
    setting: name
    for name, recipe in reversed(VIDEO_POLICIES.items())
    for setting in recipe.all_settings
    if setting not in _READ_BY_ALL
}


def video_recipe(config: VideoMaskingConfig) -> Recipe:
    """Return the policy that a config names.

    Raises:
        InputError: If a name is unknown, or a setting is given that cannot take effect.
    """
    recipe = choose(VIDEO_POLICIES, config.policy, "policy for video")
    read = {*recipe.settings, *UNIT_SETTINGS.get(video_units(config), ())}
    for setting, reader in _READERS.items():
        if getattr(config, setting) != _DEFAULTS[setting] and setting not in read:
            wanted = "masking.units=block" if setting == "unit_size" else f"masking.policy={reader}"
            raise InputError(
                f"masking.{setting} is given, and the policy {config.policy} does not read it; leave it out, or use "
                f"{wanted}"
            )
    _check_scores(config, recipe)
    return recipe


def _check_scores(config: VideoMaskingConfig, recipe: Recipe) -> None:
    check_scoring(config)
    weighting = config.weighting or recipe.weighting
    # random masking may be given a temperature, so that it differs from other runs in one line
    if not recipe.is_random and config.temperature != _DEFAULTS["temperature"] and weighting != "softmax":
        raise InputError(
            f"masking.temperature={config.temperature:g} is that of softmax, by which {config.policy} does not weigh; "
            "use masking.weighting=softmax, or leave the temperature out"
        )
    if recipe.is_random and (config.direction != "hide" or config.hint_share > 0):
        raise InputError(
            f"masking.direction and hint_share go by scores, and {config.policy} scores all units alike; leave them "
            "out, or choose another policy"
        )
    if config.direction == "show" and weighting == "linear":
        raise InputError(
            "masking.direction=show turns scores below zero, which linear weights clip; use softmax or rank"
        )


def video_units(config: VideoMaskingConfig) -> str:
    """Return what is masked whole.

    Raises:
        InputError: If a name is unknown, or the units are not those of a policy that is made by them.
    """
    recipe = choose(VIDEO_POLICIES, config.policy, "policy for video")
    if config.units is None:
        return recipe.units
    if config.units not in UNITS:
        raise InputError(f"unknown units {config.units!r}; choose from: {', '.join(UNITS)}")
    if recipe.has_fixed_units and config.units != recipe.units:
        other = next(name for name, each in VIDEO_POLICIES.items() if each.is_random and each.units == config.units)
        raise InputError(
            f"masking.units={config.units} does not go with {config.policy}, which masks units of its own "
            f"({recipe.units}); use masking.policy={other}, or leave the units out"
        )
    return config.units
