"""diffmask anchors: find the words that make a domain different, and score every word by them."""

import argparse
import shlex
import sys
import time

DESCRIPTION = """\
Find the anchors of a domain - the words that make it different from general text - and score every word of it by how
much it belongs to the domain. Difference masking hides high scores more often.

Anchors are the words with the highest TF-ICF: so many times more frequent in DATA than in the reference. Every word is
then read where it occurs, by the model that is continued (or another: --embedder), and scored by two similarities: to
the words with a high TF-ICF in general, and to the anchors in particular, against common words.

DATA are files, folders or globs of .txt (a line is a document), .jsonl, .json, .csv, .tsv and .parquet, each also
compressed (.gz, .zst), and datasets written by `save_to_disk` of Hugging Face datasets.

The output folder holds
  anchors.csv          the anchors with counts and frequencies: read it, and edit it
  types.parquet        type, count, tf_icf and score of every word of the domain
  anchors.safetensors  the anchors' embeddings
  anchors.json         how it was made: inputs with hashes, models, settings, versions

Your own anchors: drop, replace or add rows of anchors.csv (only the column `anchor` is read), or write one word a line
in a file, and run the command again with --anchors FILE."""

EPILOG = """\
examples:
  diffmask anchors papers/ --model bert-base-uncased -o anchors/
  diffmask anchors papers/ --model minilm --reference general.parquet news/*.txt.gz -o anchors/
  diffmask anchors papers/ --model minilm --anchors anchors/anchors.csv -o anchors/ --overwrite
  diffmask anchors papers/ --model roberta-base --embedder bert-base-uncased --preset published -o published/"""

_NUM_SHOWN = 12


def add_parser(commands: argparse._SubParsersAction, formatter: type[argparse.HelpFormatter]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "anchors",
        formatter_class=formatter,
        description=DESCRIPTION,
        epilog=EPILOG,
        help="find the words that make a domain different",
    )
    add = parser.add_argument
    add("data", nargs="+", metavar="DATA", help="files, folders or globs of the domain")
    add("--model", required=True, help="the model that is continued: a folder, a hub name, or `minilm` (extra `demo`)")
    add("-o", "--output", required=True, metavar="FOLDER", help="folder to write")
    add(
        "--reference",
        nargs="+",
        default=["wordfreq:en"],
        metavar="REF",
        help="what the domain is compared with: wordfreq:LANGUAGE, corpora, or counts files of `diffmask count` "
        "(default: wordfreq:en)",
    )
    add("--num-anchors", type=int, metavar="N", help="how many anchors to choose (default: 20)")
    add(
        "--min-count",
        type=int,
        metavar="N",
        help="words that occur less often are no anchors (default: 10, and once in 5,000 words)",
    )
    add("--anchors", metavar="FILE", help="use the anchors of this file: an edited anchors.csv, or one a line")
    add("--embedder", metavar="MODEL", help="encoder that embeds the words (default: the model)")
    add("--preset", default="default", help="default, or published for the scorer of the paper (Wilf et al. 2023)")
    add("--reduce", help="over the anchors: max, mean, min, or nearest (mean of 3); default mean, of published max")
    add("--context-words", type=int, metavar="N", help="words of DATA to read in context (default: 250000)")
    add("--column", metavar="NAME", help="column that holds the text (default: found by its name)")
    add("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")
    add("--num-processes", type=int, default=1, metavar="N", help="count in N processes (default: 1, in this one)")
    add("--overwrite", action="store_true", help="replace the output if it exists")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Find, score, write, and print what was found and what to do next."""
    from diffmask.core.errors import InputError
    from diffmask.text.anchor_files import check_folder
    from diffmask.text.anchors import AnchorSettings, build_anchors

    idle = _without_effect(args)
    if idle is not None:
        raise InputError(idle)
    # before the work, not after it
    check_folder(args.output, overwrite=args.overwrite)
    given = {name: getattr(args, name) for name in ("num_anchors", "min_count", "context_words")}
    settings = AnchorSettings(
        data=args.data,
        model=args.model,
        reference=args.reference,
        embedder=args.embedder,
        preset=args.preset,
        reduce=args.reduce,
        anchors=args.anchors,
        column=args.column,
        device=args.device,
        num_processes=args.num_processes,
        **{name: value for name, value in given.items() if value is not None},
    )
    start = time.perf_counter()
    found = build_anchors(settings, "diffmask " + shlex.join(sys.argv[1:]))
    found.save(args.output, overwrite=args.overwrite)
    print(summary(found))
    print(f"wrote {args.output} in {time.perf_counter() - start:.1f} s\n")
    print(next_steps(args))


def _without_effect(args: argparse.Namespace) -> str | None:
    """Return the sentence for a setting that would do nothing."""
    for name in ("num_anchors", "min_count"):
        if args.anchors is not None and getattr(args, name) is not None:
            option = f"--{name.replace('_', '-')} {getattr(args, name)}"
            return f"{option} has no effect with --anchors {args.anchors}, which is taken as it is; leave one out"
    if args.preset == "published" and args.context_words is not None:
        option = f"--context-words {args.context_words}"
        return f"{option} has no effect with --preset published, which reads words on their own; leave one out"
    return None


def summary(found) -> str:
    """Return the anchors as a table, and the words with the highest and lowest scores."""
    record = found.metadata
    totals = f"{record['num_documents']:,} documents, {record['num_words']:,} words, {len(found.types):,} types"
    width = max(12, *(len(anchor) for anchor in found.anchors))
    lines = [
        f"{totals}; reference {record['reference']['name']}",
        "",
        f"{'anchor':{width}}  {'count':>7}  {'per million':>11}  {'in general':>10}  {'times':>8}",
    ]
    for anchor, tf_icf, count, domain, reference in found.rows():
        numbers = f"{1e6 * domain:11,.1f}  {1e6 * reference:10,.1f}  {tf_icf:8,.0f}"
        lines.append(f"{anchor:{width}}  {count:7,}  {numbers if count else 'not in the data':>33}".rstrip())
    frequent = [row for row, count in enumerate(found.counts.tolist()) if count >= record["min_count"]]
    order = sorted(frequent or range(len(found.types)), key=lambda row: -found.scores[row].item())
    highest = ", ".join(found.types[row] for row in order[:_NUM_SHOWN])
    lowest = ", ".join(found.types[row] for row in order[::-1][:_NUM_SHOWN])
    lines += ["", f"masked most: {highest}", f"masked least: {lowest}"]
    return "\n".join(lines)


def next_steps(args: argparse.Namespace) -> str:
    """Return what to type next."""
    folder = shlex.quote(args.output.rstrip("/"))
    return "\n".join(
        [
            "next:",
            f"  edit {folder}/anchors.csv if you know better words, and add to the command:",
            f"              --anchors {folder}/anchors.csv --overwrite",
            f"  look:       diffmask preview {shlex.join(args.data)} --anchors {folder}",
            f"  train:      diffmask pretrain CONFIG model={args.model} masking.anchors={folder}",
        ]
    )
