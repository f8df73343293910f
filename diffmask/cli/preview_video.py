"""diffmask preview, of clips: what would be hidden in them."""

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffmask.assemble.video import VideoMasking
    from diffmask.config import VideoConfig, VideoMaskingConfig
    from diffmask.video.clip.clip import Clip
    from diffmask.video.units.grid import Grid

NUM_CLIPS = 4
PLAIN = (8, 14, 14, 2, 16)
"""Patches in time, height and width, and their frames and pixels, where no model says: of 16 frames of 224 pixels."""
TEXT_ONLY = ("num_sentences", "column")


def run_video(args: argparse.Namespace) -> None:
    """Draw masks, print the numbers, write the pictures."""
    from rich.console import Console

    from diffmask.core.errors import InputError
    from diffmask.report.clips.gather import gather_clips, preview_clips
    from diffmask.report.clips.look import build_look
    from diffmask.report.clips.preview import check_pictures

    for name in TEXT_ONLY:
        if getattr(args, name) is not None:
            raise InputError(
                f"--{name.replace('_', '-')} is an option for text, but {args.data[0]} holds clips; leave it out"
            )
    count = NUM_CLIPS if args.num_clips is None else args.num_clips
    if count < 1:
        raise InputError(f"--num-clips {count} is below 1; give at least one")
    # before the work, not after it
    if args.output is not None:
        check_pictures(args.output, overwrite=args.overwrite)
    _quiet()
    config, progress, learned = _settings(args)
    maskings = _maskings(args, config.masking)
    clips = _clips(args, config, list(maskings.values()), count)
    loaded, grid, notes = _model(args, config)
    looks = {name: build_look(each, grid, progress=progress) for name, each in maskings.items()}
    if learned:
        looks[config.masking.policy].masker.policy.load_state_dict(learned)
    fresh = [name for name, look in looks.items() if look.masker.policy.state_dict() and not learned]
    notes += [f"{name}: shown as before training, when nothing is learned (--checkpoint shows it later)."
              for name in fresh]  # fmt: skip
    anchors = _anchors(config.masking.anchors, list(maskings.values()))
    gathered = gather_clips(clips, config, grid, anchors, maskings=list(maskings.values()), progress=True)
    preview = preview_clips(gathered, looks, loaded)
    preview.print(Console(highlight=False))
    for note in notes:
        print(note)
    for path, reason in gathered.failed.items():
        print(f"not shown: {path} ({reason})")
    if args.output is not None:
        preview.write(args.output, _facts(args, config, grid, progress), notes)
        print(f"\nwrote {args.output}")


def _clips(args: argparse.Namespace, config: "VideoConfig", maskings: "list[VideoMasking]", count: int) -> "list[Clip]":
    """Return the clips that are shown, of which some have boxes where a policy follows them."""
    from diffmask.pretrain.video import box_maps
    from diffmask.report.clips.gather import choose_clips
    from diffmask.video.index.index import read_clips

    clips = read_clips(args.data, progress=True)
    for masking in maskings:
        if masking.config.policy == "boxes":  # as training would refuse them
            box_maps(replace(config, masking=masking.config), clips)
    return choose_clips(clips, count, maskings)


def _quiet() -> None:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def _settings(args: argparse.Namespace) -> "tuple[VideoConfig, float | None, dict]":
    """Return the run that is shown, how far it is, and what its policy has learned, as far as they are given."""
    from diffmask.assemble.modality import read_config
    from diffmask.config import ScheduleConfig, VideoConfig, VideoDataConfig, with_overrides
    from diffmask.core.errors import InputError
    from diffmask.report.preview import read_checkpoint

    if args.checkpoint is not None and (args.config is not None or args.policy):
        raise InputError("--checkpoint has the config and the policy of its run; leave --config and --policy out")
    progress, learned = args.progress, {}
    config = VideoConfig(model=args.model or "", output="", data=VideoDataConfig(train=tuple(args.data)))
    if args.checkpoint is not None:
        config, at, learned = read_checkpoint(args.checkpoint)
        progress = at if progress is None else progress
    elif args.config is not None:
        config = read_config(args.config)
    if not isinstance(config, VideoConfig):
        raise InputError(
            f"{args.checkpoint or args.config} is of text, but {args.data[0]} holds clips; give a config with "
            "modality: video"
        )
    given = {
        "anchors": args.anchors,
        "ratio": None if args.ratio is None else ScheduleConfig(start=args.ratio),
        "strength": None if args.strength is None else ScheduleConfig(start=args.strength),
        "weighting": args.weighting,
        "units": args.units,
        "seed": args.seed,
    }
    masking = replace(config.masking, **{name: value for name, value in given.items() if value is not None})
    return replace(config, masking=with_overrides(masking, args.set, "masking.")), progress, learned


def _maskings(args: argparse.Namespace, masking: "VideoMaskingConfig") -> "dict[str, VideoMasking]":
    """Return the masking of each policy that is shown, random tubes first."""
    from diffmask.assemble.video import VideoMasking
    from diffmask.core.errors import InputError
    from diffmask.report.clips.look import BASELINE

    names = list(dict.fromkeys(args.policy or [masking.policy]))
    made = {name: VideoMasking.resolve(VideoMasking.for_policy(masking, name)) for name in [BASELINE, *names]}
    for setting in sorted(set.intersection(*(VideoMasking.changed_by(masking, name) for name in names))):
        raise InputError(f"masking.{setting} is given, and says nothing to {', '.join(names)}; leave it out")
    return made


def _anchors(folder: str | None, maskings: "list[VideoMasking]"):
    """Return the anchors, if a policy follows them."""
    from diffmask.core.errors import InputError
    from diffmask.report.clips.look import scores_needed
    from diffmask.video.anchors.anchor_set import load_visual_anchors

    if "difference" not in scores_needed(maskings):
        return None
    if folder is None:
        raise InputError(
            "the policy `difference` needs anchors; make them with `diffmask anchors CLIPS -o anchors/` and give them "
            "as --anchors anchors/, or show other policies with --policy"
        )
    return load_visual_anchors(folder)


def _model(args: argparse.Namespace, config: "VideoConfig"):
    """Return the model that fills in what is hidden, or None; how it cuts clips; and what is to be said."""
    from diffmask.core.errors import InputError
    from diffmask.report.clips.gather import NO_PICTURES, load_trained
    from diffmask.video.model.load import load_video_model
    from diffmask.video.units.grid import Grid

    name = args.model or config.model
    if args.checkpoint is not None:
        if args.model is not None:
            raise InputError("--checkpoint has the model of its run; leave --model out")
        if config.target.kind != "features":
            loaded = load_trained(args.checkpoint, config)
            return loaded, loaded.grid, []
        name = str(args.checkpoint)
    if not name:
        return None, Grid(*PLAIN), []
    grid = load_video_model(name, num_frames=config.data.num_frames, image_size=config.data.image_size).grid
    return None, grid, [f"Not filled in: {NO_PICTURES}."] if args.checkpoint is not None else []


def _facts(args: argparse.Namespace, config: "VideoConfig", grid: "Grid", progress: float | None):
    masking = config.masking
    values = {
        name: f"{value.start:g}" if value.schedule == "constant" else value.schedule
        for name, value in (("mask ratio", masking.ratio), ("strength", masking.strength))
    }
    facts = {
        "clips": ", ".join(args.data),
        "anchors": masking.anchors,
        "model": str(args.checkpoint) if args.checkpoint is not None else config.model or None,
        "patches": f"{' x '.join(map(str, grid.shape))} of {grid.tubelet} x {grid.patch_size} x {grid.patch_size}",
        **values,
        "progress": None if progress is None else f"{progress:.0%}",
        "weighting": masking.weighting,
        "units": masking.units,
        "seed": str(masking.seed),
    }
    return [(name, value) for name, value in facts.items() if value is not None]
