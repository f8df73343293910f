"""See what would be masked."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffmask.assemble.masking import ResolvedMasking
    from diffmask.assemble.modality import Modality
    from diffmask.config import ScheduleConfig
    from diffmask.report.preview import Source

DESCRIPTION = """\
Show what training would mask in your text: a heat map of the probability of each word, with one drawn mask, in the
terminal and as one HTML page that needs no network. Random masking is always shown beside the policies that you name
(`diffmask policies` lists them), at the same ratio.

The page also has the numbers that matter: the mask ratio that is reached, and which share of the masked tokens are
words of the domain, function words, and words of each band of the general frequency.

DATA are files, folders or globs as for `diffmask anchors`; a sample of it is read, the same each time. With a
checkpoint of a run, its policy is shown as it was then: its ratio and strength, and what it had learned.

VIDEO. DATA are an index of `diffmask index`, videos, or folders and globs of videos. Some clips are shown: the score of
each patch, how often it is hidden in 64 masks, and one drawn mask, beside random tubes at the same ratio, as a page
(.html), a picture (.png) or a picture that moves (.gif). With a checkpoint of a run, what its model makes of the hidden
patches is shown too. Only the clips that are shown are scored.

VIDEO AND TEXT. DATA are tables of clips with captions, files of questions, or indexes with captions. Words and patches
are shown side by side. A policy is named for both sides, as in whole-word+random-tube; a name that both have stands
for both. Settings of one side are given with --set, as in --set text.units=token or --set sides=video."""

EPILOG = """\
examples:
  diffmask preview papers/ --anchors anchors/
  diffmask preview papers/ --anchors anchors/ -o preview.html
  diffmask preview papers/ --anchors anchors/ --ratio 0.3 --strength 0.5 --weighting rank -o preview.html
  diffmask preview papers/ --anchors anchors/ --policy difference --policy salient-span --policy random-span
  diffmask preview papers/ --model minilm --policy pmi --policy attention --set ngrams=pmi/ --set teacher=minilm
  diffmask preview papers/ --config chemistry.yaml --progress 0.5
  diffmask preview papers/ --checkpoint runs/chemistry/checkpoint-500
  diffmask preview clips.parquet --anchors anchors/ --policy difference --policy motion -o preview.html
  diffmask preview clips/ --policy boxes --set boxes=faces.csv --ratio 0.75 --num-clips 8 -o preview.gif
  diffmask preview clips.parquet --checkpoint runs/kitchen/checkpoint-500 -o preview.png
  diffmask preview captions.jsonl --clips clips/ --model minilm --anchors anchors/ -o preview.html
  diffmask preview captions.jsonl --anchors anchors/ --model minilm --policy difference --policy salient-span+motion"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("data", nargs="+", metavar="DATA", help="files, folders or globs of text, or of clips")
    add("--modality", metavar="NAME", help="text, video or video-text (default: told by DATA and what else is given)")
    add("--anchors", metavar="FOLDER", help="folder made by `diffmask anchors`")
    add("--policy", action="append", metavar="NAME", help="policy to show; may be repeated (default: difference)")
    add("--config", type=Path, metavar="FILE", help="take model and masking from a run's config")
    add("--checkpoint", type=Path, metavar="FOLDER", help="show a run's policy as it was then")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting of `masking`; may be repeated")
    add("--ratio", type=float, help="share of tokens or patches to mask (default: 0.15; of clips 0.9)")
    add("--strength", type=float, help="0 = at random, 1 = the policy's full preference (default: 1)")
    add("--weighting", metavar="NAME", help="softmax, rank or linear (default: the policy's own)")
    add("--units", metavar="NAME", help="word, token, span, ...; patch, tube, ... (default: the policy's)")
    add("--progress", type=float, metavar="SHARE", help="hold the schedules at this share of training, such as 0.5")
    add("--num-sentences", type=int, metavar="N", help="text: excerpts to show (default: 8)")
    add("--num-clips", type=int, metavar="N", help="video: clips to show (default: 4)")
    add("--num-pairs", type=int, metavar="N", help="clips with texts: how many to show (default: 4)")
    add("--clips", nargs="+", metavar="CLIPS", help="clips with texts: the clips that DATA name (default: beside them)")
    add(
        "--model",
        help="text: model whose tokenizer is used (default: the one the anchors were made for); video: model that cuts "
        "clips into patches (default: 16 frames of 224 pixels into patches of 2 x 16 x 16)",
    )
    add("--column", metavar="NAME", help="column that holds the text (default: found by its name)")
    add("--seed", type=int, help="seed of the masks (default: 0)")
    add("-o", "--output", type=Path, metavar="PAGE", help="page to write; of clips also .png or .gif")
    add("--overwrite", action="store_true", help="replace the output if it exists")


def run(args: argparse.Namespace) -> None:
    """Draw masks, print them, write the page."""
    from rich.console import Console

    from diffmask.cli.data import modality_of_data
    from diffmask.config.limits import AtMost, check_value
    from diffmask.core.errors import InputError
    from diffmask.files.folders import refuse_input
    from diffmask.report.preview import Asked

    modality = modality_of_data(args, "preview")
    source: type[Source] = modality.source
    option = next(iter(modality.options["preview"]), "")  # how many samples are shown
    count = getattr(args, option, None)
    count = source.count if count is None else count
    if count < 1:
        raise InputError(f"--{option.replace('_', '-')} {count} is below 1; give at least one")
    check_value(f"--{option.replace('_', '-')}", count, AtMost(1000))
    # before the work, not after it
    if args.output is not None:
        source.check_output(args.output, overwrite=args.overwrite)
        reads = [*args.data, *(args.clips or ()), args.config, args.anchors, args.checkpoint, args.model]
        refuse_input(args.output, reads)
    config, progress, learned = _settings(args, modality)
    maskings = _maskings(args, modality, config.masking)

    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    samples = source(Asked(args.data, config, maskings, count, args.column, args.model, args.checkpoint))
    looks = {name: samples.look(masking, progress) for name, masking in maskings.items()}
    if learned:
        looks[config.masking.policy].masker.policy.load_state_dict(learned)
    fresh = [name for name, look in looks.items() if look.masker.policy.state_dict() and not learned]
    notes = samples.notes + [
        f"{name}: shown as before training, when nothing is learned (--checkpoint shows it later)." for name in fresh
    ]
    preview = samples.preview(looks)
    preview.print(Console(highlight=False))
    print("".join(f"\n{note}" for note in notes))
    if args.output is not None:
        preview.write(args.output, _facts(samples.facts, config.masking, progress), notes)
        print(f"wrote {args.output}")


def _settings(args: argparse.Namespace, modality: "Modality") -> tuple[Any, float | None, dict[str, Any]]:
    """Return the settings of the run, its progress if it is held, and what its policy has learned."""
    from diffmask.assemble.modality import modality_of, read_config
    from diffmask.config import ScheduleConfig
    from diffmask.core.errors import InputError
    from diffmask.report.preview import read_checkpoint

    if args.checkpoint is not None and (args.config is not None or args.policy):
        raise InputError("--checkpoint has the config and the policy of its run; leave --config and --policy out")
    config, progress, learned = modality.plain(args.data, args.model or ""), args.progress, {}
    if args.checkpoint is not None:
        config, at, learned = read_checkpoint(args.checkpoint)
        progress = at if progress is None else progress
    elif args.config is not None:
        config = read_config(args.config)
    if modality_of(config) is not modality:
        raise InputError(
            f"{args.checkpoint or args.config} is of {modality_of(config).name}, but {args.data[0]} holds "
            f"{modality.data}; {modality.source.remedy}"
        )
    if args.clips is not None:
        config = replace(config, data=replace(config.data, clips=tuple(args.clips)))
    given = {
        "anchors": args.anchors,
        "ratio": None if args.ratio is None else ScheduleConfig(start=args.ratio),
        "strength": None if args.strength is None else ScheduleConfig(start=args.strength),
        "weighting": args.weighting,
        "units": args.units,
        "seed": args.seed,
    }
    given = {name: value for name, value in given.items() if value is not None}
    unknown = next((name for name in given if name not in _names(config.masking)), None)
    if unknown is not None:
        raise InputError(
            f"--{unknown} could be of words or of patches; set it for one, as in --set text.{unknown}=VALUE or --set "
            f"video.{unknown}=VALUE"
        )
    masking = _overridden(replace(config.masking, **given), args.set)
    return replace(config, masking=masking), progress, learned


def _overridden(masking: Any, overrides: Sequence[str]) -> Any:
    """Return the settings of a masking with those of `--set`; of a side, only what is named is replaced."""
    from diffmask.config import TextMaskingConfig, VideoMaskingConfig, with_overrides

    for name in _names(masking):
        side = getattr(masking, name)
        if isinstance(side, TextMaskingConfig | VideoMaskingConfig):
            own = [each.removeprefix(f"{name}.") for each in overrides if each.startswith(f"{name}.")]
            masking = replace(masking, **{name: with_overrides(side, own, f"masking.{name}.")})
            overrides = [each for each in overrides if not each.startswith(f"{name}.")]
    return with_overrides(masking, overrides, "masking.")


def _maskings(args: argparse.Namespace, modality: "Modality", given: Any) -> "dict[str, ResolvedMasking]":
    """Return the masking of each policy that is shown, random masking first."""
    from diffmask.core.errors import InputError

    names, masking = list(dict.fromkeys(args.policy or [given.policy])), modality.masking
    shown = dict.fromkeys([modality.source.baseline(given), *names])
    made = {name: masking.for_policy(given, name) for name in shown}
    for setting in sorted(set.intersection(*(masking.changed_by(given, name) for name in names))):
        raise InputError(f"masking.{setting} is given, and has no effect with {', '.join(names)}; leave it out")
    return {name: masking.resolve(each) for name, each in made.items()}


def _facts(own: Mapping[str, str | None], masking: Any, progress: float | None) -> list[tuple[str, str]]:
    """Return what the preview was made from."""
    names = {"ratio", "strength", "weighting", "units"} & _names(masking)
    known = {name: getattr(masking, name) for name in names}
    facts = {
        **own,
        "mask ratio": _shown(known.get("ratio")),
        "strength": _shown(known.get("strength")),
        "progress": None if progress is None else f"{progress:.0%}",
        "weighting": known.get("weighting"),
        "units": known.get("units"),
        "seed": str(masking.seed),
    }
    return [(name, value) for name, value in facts.items() if value is not None]


def _names(settings: Any) -> set[str]:
    return {each.name for each in fields(settings)}


def _shown(schedule: "ScheduleConfig | None") -> str | None:
    if schedule is None:
        return None
    return f"{schedule.start:g}" if schedule.schedule == "constant" else schedule.schedule
