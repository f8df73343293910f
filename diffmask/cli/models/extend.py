"""Extend a model's tokenizer by the words of a domain."""

import argparse
from pathlib import Path

DESCRIPTION = """\
Make words of a domain tokens of a model: those that its tokenizer cuts into pieces, ranked by (pieces - 1) x count x
difference score, from the table of types that `diffmask anchors` made. Each starts as the mean of its pieces. Other
words are cut as before. For uncased WordPiece tokenizers, such as BERT's.

The output is a model folder as save_pretrained writes it. Anchors belong to a tokenizer: make them again for it."""

EPILOG = """\
examples:
  diffmask extend minilm --anchors anchors/ -n 500 -o extended/
  diffmask anchors chemistry.txt --model extended/ -o extended-anchors/"""

_NUM_SHOWN = 10


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a folder, a hub name, or minilm")
    add("--anchors", required=True, type=Path, metavar="FOLDER", help="folder of `diffmask anchors` for this model")
    add("-n", "--num-words", type=int, default=500, metavar="N", help="how many words (default: 500)")
    add("-o", "--output", required=True, type=Path, metavar="FOLDER", help="folder to write")
    add("--overwrite", action="store_true", help="replace the output if it exists")


def run(args: argparse.Namespace) -> None:
    """Extend, write, and say what became of the words."""
    from diffmask.files.folders import check_folder, draft
    from diffmask.files.pretrained import quiet_loading
    from diffmask.text.anchors.anchor_set import load_anchors
    from diffmask.text.anchors.extend import extend
    from diffmask.text.model.load import load_masked_lm, resolve_model
    from diffmask.train.record import Lineage, plain_name, write_short_card

    names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md")
    output = check_folder(args.output, "model", names, overwrite=args.overwrite, reads=[args.model, args.anchors])
    anchors = load_anchors(args.anchors)
    loaded = load_masked_lm(args.model)
    anchors.check_model(args.model, loaded.tokenizer)
    done = extend(loaded, anchors, args.num_words)
    # a head that started at random is none: the next run shall say so, too
    weights = loaded.model.state_dict()
    fresh = {weights[name].data_ptr() for name in loaded.fresh}  # under every name, such as that of a tied bias
    weights = {name: value for name, value in weights.items() if value.data_ptr() not in fresh}
    with draft(output) as new, quiet_loading():
        loaded.model.save_pretrained(new, state_dict=weights)
        loaded.tokenizer.save_pretrained(new)
        start = resolve_model(args.model)
        name = plain_name(args.model)
        told = f"`{name}` with {len(done.words)} more words as tokens of their own, added with diffmask."
        write_short_card(new, f"{name}, extended", told, Lineage.read(start).longer(start, 0))
    for word in done.words[:_NUM_SHOWN]:
        print(f"{word.word}: {len(word.pieces)} pieces, {word.count} times")
    if len(done.words) > _NUM_SHOWN:
        print(f"... and {len(done.words) - _NUM_SHOWN} more")
    print(f"tokens per word of the domain: {done.pieces_before:.3f} before, {done.pieces_after:.3f} after")
    print(f"wrote {args.output}")
