"""diffmask preview: look at what would be masked, before training."""

import argparse
from dataclasses import replace
from pathlib import Path

DESCRIPTION = """\
Show what training would mask in your text: a heat map of the probability of each word, with one drawn mask, in the
terminal and as one HTML page that needs no network. Random masking is always shown beside the policies that you ask
for (`diffmask policies` lists them), at the same ratio.

The page also has the numbers that matter: the mask ratio that is reached, and which share of the masked tokens are
words of the domain, function words, and words of each band of the general frequency.

DATA are files, folders or globs as for `diffmask anchors`; a sample of it is read, the same each time. With a
checkpoint of a run, its policy is shown as it was then: its ratio and strength, and what it had learned.

VIDEO. DATA are an index of `diffmask index`, videos, or folders and globs of videos. Some clips are shown: the score of
each patch, how often it is hidden in 64 masks, and one drawn mask, beside random tubes at the same ratio, as a page
(.html), a picture (.png) or a picture that moves (.gif). With a checkpoint of a run, what its model makes of the hidden
patches is shown too. Only the clips that are shown are scored."""

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
  diffmask preview clips.parquet --checkpoint runs/kitchen/checkpoint-500 -o preview.png"""

NUM_SENTENCES = 8


def add_parser(commands, formatter: type[argparse.HelpFormatter]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "preview", formatter_class=formatter, description=DESCRIPTION, epilog=EPILOG, help="see what would be masked"
    )
    parser.add_argument("data", nargs="+", metavar="DATA", help="files, folders or globs of text, or of clips")
    parser.add_argument("--anchors", metavar="FOLDER", help="folder made by `diffmask anchors`")
    parser.add_argument(
        "--policy", action="append", metavar="NAME", help="policy to show; may be repeated (default: difference)"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="take model and masking from a run's config")
    parser.add_argument("--checkpoint", type=Path, metavar="FOLDER", help="show a run's policy as it was then")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any setting of `masking`; may be repeated"
    )
    parser.add_argument("--ratio", type=float, help="share of tokens or patches to mask (default: 0.15; of clips 0.9)")
    parser.add_argument("--strength", type=float, help="0 = at random, 1 = the policy's full preference (default: 1)")
    parser.add_argument("--weighting", metavar="NAME", help="softmax, rank or linear (default: the policy's own)")
    parser.add_argument(
        "--units", metavar="NAME", help="word, token, span, ...; patch, tube, ... (default: the policy's)"
    )
    parser.add_argument(
        "--progress", type=float, metavar="SHARE", help="hold the schedules at this share of training, such as 0.5"
    )
    parser.add_argument("--num-sentences", type=int, metavar="N", help="text: excerpts to show (default: 8)")
    parser.add_argument("--num-clips", type=int, metavar="N", help="video: clips to show (default: 4)")
    parser.add_argument(
        "--model",
        help="text: model whose tokenizer is used (default: the one the anchors were made for); video: model that cuts "
        "clips into patches (default: 16 frames of 224 pixels into patches of 2 x 16 x 16)",
    )
    parser.add_argument("--column", metavar="NAME", help="column that holds the text (default: found by its name)")
    parser.add_argument("--seed", type=int, help="seed of the masks (default: 0)")
    parser.add_argument("-o", "--output", type=Path, metavar="PAGE", help="page to write; of clips also .png or .gif")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Draw masks, print them, write the page."""
    from diffmask.cli.expected import expects_clips
    from diffmask.video.clip.find import are_clips, refuse_nothing

    if are_clips(args.data, lambda: expects_clips(args)):
        from diffmask.cli.preview_video import run_video

        run_video(args)
    else:
        refuse_nothing(args.data)
        _run_text(args)


def _run_text(args: argparse.Namespace) -> None:
    from rich.console import Console

    from diffmask.core.errors import InputError
    from diffmask.report.html.page import check_output
    from diffmask.text.anchors.anchor_set import load_anchors
    from diffmask.text.corpus.documents import read_documents

    if args.num_clips is not None:
        raise InputError(f"--num-clips is an option for video, but {args.data[0]} holds no clips; leave it out")
    num_sentences = NUM_SENTENCES if args.num_sentences is None else args.num_sentences
    if num_sentences < 1:
        raise InputError(f"--num-sentences {num_sentences} is below 1; give at least one")
    # before the work, not after it
    if args.output is not None:
        check_output(args.output, overwrite=args.overwrite)
    documents = read_documents(args.data, args.column)
    masking, model, progress, learned = _settings(args)
    anchors = None if masking.anchors is None else load_anchors(masking.anchors)
    model = model or (anchors.metadata["model"]["name"] if anchors is not None else None)
    if model is None:
        raise InputError("neither --model nor --anchors nor --config says which tokenizer to use; add --model MODEL")

    import transformers

    from diffmask.assemble.text import TextMasking
    from diffmask.report.text.look import build_look
    from diffmask.report.text.preview import PreviewSettings, make_preview
    from diffmask.text.model.load import load_tokenizer

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    tokenizer = load_tokenizer(model)
    if anchors is not None:
        anchors.check_model(model, tokenizer)
    configs = _configs(args, masking)
    looks = {
        name: build_look(TextMasking.resolve(each), tokenizer, anchors, progress=progress)
        for name, each in configs.items()
    }
    if learned:
        looks[masking.policy].masker.policy.load_state_dict(learned)
    fresh = [name for name, look in looks.items() if look.masker.policy.state_dict() and not learned]
    settings = PreviewSettings(
        num_sentences=num_sentences,
        max_length=min(PreviewSettings.max_length, tokenizer.model_max_length),
        domain_threshold=masking.domain_threshold,
    )
    preview = make_preview(documents, looks, anchors, tokenizer, settings)
    preview.print(Console())
    if fresh:
        print(f"\n{', '.join(fresh)}: shown as before training, when nothing is learned (--checkpoint shows it later)")
    if args.output is not None:
        preview.write(args.output, _facts(args, masking, model, progress, fresh))
        print(f"\nwrote {args.output}")


def _settings(args: argparse.Namespace):
    """Return the masking, the model, the progress and what the policy has learned, as far as they are given."""
    from diffmask.assemble.modality import read_config
    from diffmask.config import MaskingConfig, PretrainConfig, ScheduleConfig, with_overrides
    from diffmask.core.errors import InputError
    from diffmask.report.preview import read_checkpoint

    if args.checkpoint is not None and (args.config is not None or args.policy):
        raise InputError("--checkpoint has the config and the policy of its run; leave --config and --policy out")
    config, masking, model, progress, learned = None, MaskingConfig(), args.model, args.progress, {}
    if args.checkpoint is not None:
        config, at, learned = read_checkpoint(args.checkpoint)
        progress = at if progress is None else progress
    elif args.config is not None:
        config = read_config(args.config)
    if config is not None and not isinstance(config, PretrainConfig):
        raise InputError(
            f"{args.checkpoint or args.config} is of video, but {args.data[0]} holds no clips; give videos, a folder "
            "of them, or an index of `diffmask index`"
        )
    if config is not None:
        masking, model = config.masking, model or config.model
    given = {
        "anchors": args.anchors,
        "ratio": None if args.ratio is None else ScheduleConfig(start=args.ratio),
        "strength": None if args.strength is None else ScheduleConfig(start=args.strength),
        "weighting": args.weighting,
        "units": args.units,
        "seed": args.seed,
    }
    masking = replace(masking, **{name: value for name, value in given.items() if value is not None})
    return with_overrides(masking, args.set, "masking."), model, progress, learned


def _configs(args: argparse.Namespace, masking) -> dict:
    """Return the config of each policy that is shown, random masking first."""
    from diffmask.assemble.text import TextMasking
    from diffmask.core.errors import InputError

    names = list(dict.fromkeys(args.policy or [masking.policy]))
    plain = "random-token" if masking.units == "token" else "whole-word"
    configs = {name: TextMasking.for_policy(masking, name) for name in dict.fromkeys([plain, *names])}
    for setting in sorted(set.intersection(*(TextMasking.changed_by(masking, name) for name in names))):
        raise InputError(f"masking.{setting} is given, and says nothing to {', '.join(names)}; leave it out")
    return configs


def _facts(
    args: argparse.Namespace, masking, model: str, progress: float | None, fresh: list[str]
) -> list[tuple[str, str]]:
    facts = {
        "text": ", ".join(args.data),
        "anchors": masking.anchors,
        "model": model,
        "mask ratio": f"{masking.ratio.start:g}" if masking.ratio.schedule == "constant" else masking.ratio.schedule,
        "strength": f"{masking.strength.start:g}"
        if masking.strength.schedule == "constant"
        else masking.strength.schedule,
        "progress": None if progress is None else f"{progress:.0%}",
        "weighting": masking.weighting,
        "units": masking.units,
        "seed": str(masking.seed),
        "shown as before training": ", ".join(fresh) or None,
    }
    return [(name, value) for name, value in facts.items() if value is not None]
