"""Count the words of a corpus."""

import argparse
import time

DESCRIPTION = """\
Count how often each word occurs in a corpus, and keep the counts in a small file.

Counts of two corpora add up, so a large corpus can be counted in pieces, on several machines, and the pieces merged.
A counts file is a reference for `diffmask anchors --reference counts.parquet`.

DATA are files, folders or globs of .txt (a line is a document), .jsonl, .json, .csv, .tsv and .parquet, each also
compressed (.gz, .zst), and datasets written by `save_to_disk` of Hugging Face datasets. Memory holds the vocabulary,
however long the corpus is.

A word is a run of letters, digits and marks, in lower case; punctuation separates. In scripts that are written without
spaces (Chinese, Japanese, Thai, ...) each character is a word."""

EPILOG = """\
examples:
  diffmask count papers/ -o papers.parquet --num-processes 4
  diffmask count more/*.jsonl.gz --column abstract --merge papers.parquet -o all.parquet
  diffmask count --merge shard1.parquet shard2.parquet -o all.parquet"""

_NUM_SHOWN = 10


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("data", nargs="*", metavar="DATA", help="files, folders or globs to count")
    add("-o", "--output", required=True, metavar="FILE", help="counts file to write (.parquet)")
    add("--merge", nargs="+", default=[], metavar="COUNTS", help="counts files to add to the counts")
    add("--column", metavar="NAME", help="column that holds the text (default: found by its name)")
    add("--num-processes", type=int, default=1, metavar="N", help="count in N processes (default: 1, in this one)")
    add("--overwrite", action="store_true", help="replace the output if it exists")


def run(args: argparse.Namespace) -> None:
    """Count, merge, write and print a summary."""
    from diffmask.core.errors import InputError
    from diffmask.text.corpus.counts import Counts, check_output, count_corpus

    if not args.data and not args.merge:
        raise InputError("there is nothing to count; give files, folders or globs, or counts files with --merge")
    if not args.data and args.column is not None:
        raise InputError(f"--column {args.column} was given without DATA to read; counts files have no such column")
    # before the work, not after it
    check_output(args.output, overwrite=args.overwrite, reads=args.data)
    parts = [Counts.load(path) for path in args.merge]
    start = time.perf_counter()
    if args.data:
        parts.append(count_corpus(args.data, args.column, args.num_processes))
    seconds = time.perf_counter() - start
    counts = Counts.merge(parts)
    counts.save(args.output, overwrite=args.overwrite)
    if args.data:
        megabytes = sum(source["bytes"] for source in parts[-1].sources) / 1e6
        print(f"counted {megabytes:,.1f} MB of files in {seconds:.1f} s")
    print(summary(counts))
    print(f"wrote {args.output}")


def summary(counts) -> str:
    """Return documents, words, types and the most frequent words in a few lines."""
    num_words = counts.num_words
    totals = f"{counts.num_documents:,} documents, {num_words:,} words, {len(counts.counts):,} types"
    # the order in the file, where ties are in order of the alphabet
    top = sorted(counts.counts.items(), key=lambda row: (-row[1], row[0]))[:_NUM_SHOWN]
    shares = ", ".join(f"{word} {100 * count / num_words:.1f} %" for word, count in top)
    return f"{totals}\nmost frequent: {shares or 'none'}"
