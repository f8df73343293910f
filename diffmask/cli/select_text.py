"""Choose the text of a pool that is like a domain, or like a task's training texts."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Choose the documents of a pool that are like a domain, or like the training texts of a task, and write them as a corpus
to continue on. Relevant text, and enough of it, is what decides most whether continued pretraining helps.

POOL and the texts of --like are files, folders or globs of .txt (a line is a document), .jsonl, .json, .csv, .tsv and
.parquet, each also compressed (.gz, .zst), and datasets on disk. --like may be a task as `diffmask evaluate` reads it:
its files named dev (or val, valid, ...) and test are not what documents should be like, and no document that is one of
their texts, or nearly, is taken (nor of the texts of --leave-out). A document that is in POOL twice is taken once.

  --by ngrams      how much more likely the words and word pairs of a document are in --like than in POOL: a sample by
                   importance (DSIR, Xie et al. 2023). Needs no model, and is fast
  --by neighbours  the nearest documents in the space of an encoder. --per-text 50 takes so many for each text of --like
                   (kNN-TAPT, Gururangan et al. 2020), -n and --share those that are nearest to any
  --by difference  mean difference score of a document's words, by the table of `diffmask anchors`: one that exists
                   (--anchors), or one that is made of --like, compared with --reference
  --by random      a random sample, to compare with

The output folder holds
  selected.jsonl.gz  the documents, each with its origin, its score and its rank, in the order of the pool
  selection.json     how they were chosen: inputs with hashes, settings, counts, seconds
  selection.html     what was taken, what nearly, and what was left out

Memory does not grow with the texts of POOL, which are read two to four times; a document takes a few bytes."""

EPILOG = """\
examples:
  diffmask select-text web/ --like chemprot/ --share 0.05 -o selected/
  diffmask select-text web/ --like chemprot/ --by neighbours --model minilm --per-text 50 -o selected/
  diffmask select-text web/ papers.jsonl.gz --like notes.txt --by difference --model minilm -n 10000 -o selected/
  diffmask pretrain CONFIG data.train=selected/"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("pool", nargs="+", metavar="POOL", help="files, folders or globs that documents are chosen from")
    add("--like", nargs="+", required=True, metavar="TEXTS", help="a corpus of the domain, or a task")
    add("--by", default="ngrams", help="ngrams, neighbours, difference or random (default: ngrams)")
    add("-n", "--number", type=int, metavar="N", help="number of documents to take")
    add("--share", type=float, metavar="S", help="share of the pool's documents to take, such as 0.05")
    add("--per-text", type=int, metavar="K", help="documents that each text of --like takes, by neighbours")
    add("--model", help="for neighbours and difference: a folder, a hub name, or `minilm` (extra `demo`)")
    add("--anchors", metavar="FOLDER", help="by difference: anchors of `diffmask anchors` (default: made of --like)")
    add(
        "--reference",
        nargs="+",
        default=[],
        metavar="REF",
        help="by difference: what --like is compared with to find anchors: wordfreq:LANGUAGE, corpora, or counts files "
        "of `diffmask count` (default: wordfreq:en)",
    )
    add("--leave-out", nargs="+", default=[], metavar="FILE", help="more texts no near-copy of which is taken")
    add("--column", metavar="NAME", help="column that holds the text of POOL (default: found by its name)")
    add("--like-column", metavar="NAME", help="column that holds the text of --like (default: found by its name)")
    add("--seed", type=int, help="for ngrams and random: decides the sample (default: 0)")
    add("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")
    add("-o", "--output", required=True, metavar="FOLDER", help="folder to write")
    add("--overwrite", action="store_true", help="replace the output if it exists")


def run(args: argparse.Namespace) -> None:
    """Choose, write, and print what was chosen and what to do next."""
    import dataclasses

    from diffmask.files.folders import check_folder
    from diffmask.report.selection import save_selection
    from diffmask.selective.relevance.select import NAMES, SelectionSettings, select_text

    names = {field.name for field in dataclasses.fields(SelectionSettings)}
    given: Any = {name: value for name, value in vars(args).items() if name in names}
    lists = {"leave_out": tuple(args.leave_out), "reference": tuple(args.reference)}
    settings = SelectionSettings(**given | lists)
    reads = [*args.pool, *args.like, *args.leave_out, *args.reference, args.model, args.anchors]
    # before the work, not after it
    output = check_folder(args.output, "selected text", NAMES, overwrite=args.overwrite, reads=reads)
    selection = select_text(settings, "diffmask " + shlex.join(sys.argv[1:]))
    save_selection(selection, output)
    print("\n".join(_summary(selection.record)))
    print(f"wrote {args.output} in {sum(selection.record['seconds'].values()):.1f} s\n")
    folder = shlex.quote(args.output.rstrip("/"))
    print(f"next:\n  look:   open {folder}/selection.html\n  train:  diffmask pretrain CONFIG data.train={folder}")


def _summary(record: dict[str, Any]) -> list[str]:
    """Return how many were taken, of which files, and how many were left out."""
    from diffmask.files.blocks import listed
    from diffmask.selective.relevance.copies import REPEATED
    from diffmask.tasks.leakage import KINDS

    chars, left_out = record["mean_characters"], record["left_out"]
    taken, total = record["num_taken"], record["num_documents"]
    lines = [
        f"{taken:,} of {total:,} documents, {chars['taken']:,.0f} characters each ({chars['pool']:,.0f} in the pool)",
        f"scored at {record['megabytes_per_second']:.3g} MB/s; the last one that is taken has {record['line']:.4g}",
    ]
    if left_out["num_texts"]:
        copies = sum(left_out[kind] for kind in KINDS)
        names = listed(Path(file["path"]).name for file in left_out["files"])
        lines.append(f"{copies:,} near-copies of the {left_out['num_texts']:,} texts of {names} were left out")
    lines += [f"{left_out[REPEATED]:,} repeated documents were left out"] if left_out[REPEATED] else []
    if record["num_without_words"]:
        lines.append(f"{record['num_without_words']:,} documents have no words, and are never taken")
    width = max(len(source["path"]) for source in record["pool"])
    lines += ["", f"{'file':{width}}  {'documents':>10}  {'taken':>8}  {'of what is taken':>16}"]
    for source in record["pool"]:
        share = f"{100 * source['num_taken'] / taken:.1f} %"
        lines.append(f"{source['path']:{width}}  {source['num_documents']:10,}  {source['num_taken']:8,}  {share:>16}")
    return [*lines, ""]
