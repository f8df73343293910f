"""diffmask preview: look at what would be masked, before training."""

import argparse
from dataclasses import replace
from pathlib import Path

DESCRIPTION = """\
Show what training would mask in your text: a heat map of the probability of each word, with one drawn mask, in the
terminal and as one HTML page that needs no network. Random masking (`uniform`) is always shown beside the policies that
you ask for, at the same ratio.

The page also has the numbers that matter: the mask ratio that is reached, and which share of the masked tokens are
words of the domain, function words, and words of each band of the general frequency.

DATA are files, folders or globs as for `diffmask anchors`; a sample of it is read, the same each time."""

EPILOG = """\
examples:
  diffmask preview papers/ --anchors anchors/
  diffmask preview papers/ --anchors anchors/ -o preview.html
  diffmask preview papers/ --anchors anchors/ --ratio 0.3 --strength 0.5 --weighting rank -o preview.html"""


def add_parser(commands, formatter: type[argparse.HelpFormatter]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "preview", formatter_class=formatter, description=DESCRIPTION, epilog=EPILOG, help="see what would be masked"
    )
    parser.add_argument("data", nargs="+", metavar="DATA", help="files, folders or globs of text")
    parser.add_argument("--anchors", required=True, metavar="FOLDER", help="folder made by `diffmask anchors`")
    parser.add_argument(
        "--policy", action="append", metavar="NAME", help="policy to show; may be repeated (default: difference)"
    )
    parser.add_argument("--ratio", type=float, default=0.15, help="share of the tokens to mask (default: 0.15)")
    parser.add_argument(
        "--strength", type=float, default=1.0, help="0 = at random, 1 = the policy's full preference (default: 1)"
    )
    parser.add_argument(
        "--weighting", default="softmax", metavar="NAME", help="softmax, rank or linear (default: softmax)"
    )
    parser.add_argument("--units", default="word", metavar="NAME", help="word (whole words) or token (default: word)")
    parser.add_argument("--num-sentences", type=int, default=8, metavar="N", help="excerpts to show (default: 8)")
    parser.add_argument("--model", help="model whose tokenizer is used (default: the one the anchors were made for)")
    parser.add_argument("--column", metavar="NAME", help="column that holds the text (default: found by its name)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the masks (default: 0)")
    parser.add_argument("-o", "--output", type=Path, metavar="PAGE", help="HTML page to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the page if it exists")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Draw masks, print them, write the page."""
    from rich.console import Console

    from diffmask.core.errors import InputError
    from diffmask.report.page import check_output, write_page
    from diffmask.text.anchor_set import load_anchors
    from diffmask.text.corpus import read_documents

    if args.num_sentences < 1:
        raise InputError(f"--num-sentences {args.num_sentences} is below 1; give at least one")
    # before the work, not after it
    if args.output is not None:
        check_output(args.output, overwrite=args.overwrite)
    documents = read_documents(args.data, args.column)
    anchors = load_anchors(args.anchors)
    model = args.model or anchors.metadata["model"]["name"]

    from diffmask.build import build_masker
    from diffmask.config import MaskingConfig, ScheduleConfig
    from diffmask.report.heatmap import preview_page
    from diffmask.report.preview import PreviewSettings, make_preview
    from diffmask.report.terminal import print_preview
    from diffmask.text.adapter import text_adapter
    from diffmask.text.load import load_tokenizer

    tokenizer = load_tokenizer(model)
    anchors.check_model(model, tokenizer)
    masking = MaskingConfig(
        ratio=ScheduleConfig(start=args.ratio),
        strength=ScheduleConfig(start=args.strength),
        weighting=args.weighting,
        seed=args.seed,
    )
    names = dict.fromkeys(["uniform", *(args.policy or ["difference"])])
    maskers = {name: build_masker(replace(masking, policy=name), anchors) for name in names}
    settings = PreviewSettings(num_sentences=args.num_sentences, domain_threshold=masking.domain_threshold)
    preview = make_preview(documents, maskers, anchors, tokenizer, text_adapter(tokenizer, args.units), settings)
    print_preview(preview, Console())
    if args.output is not None:
        facts = [
            ("text", ", ".join(args.data)),
            ("anchors", args.anchors),
            ("model", model),
            ("mask ratio", f"{args.ratio:g}"),
            ("strength", f"{args.strength:g}"),
            ("weighting", args.weighting),
            ("units", args.units),
            ("seed", str(args.seed)),
        ]
        write_page(preview_page(preview, anchors, settings.domain_threshold, facts), args.output)
        print(f"\nwrote {args.output}")
