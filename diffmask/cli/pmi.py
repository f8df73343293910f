"""Find n-grams to mask as one."""

import argparse
import time

DESCRIPTION = """\
Find the sequences of two to five words that occur together much more often than their parts would by chance ("in
vitro", "tumor necrosis factor alpha"), and keep them in a folder. Masking hides each of them whole (PMI-Masking, Levine
et al. 2021), because a model that sees half of one need not understand the sentence to guess the rest.

The measure is the paper's: the PMI of an n-gram against its likeliest division into shorter ones. The folder holds
ngrams.csv, a table that you may edit (only its column `ngram` is read), and pmi.json, which says how it was made.

DATA are files, folders or globs of .txt (a line is a document), .jsonl, .json, .csv, .tsv and .parquet, each also
compressed (.gz, .zst), and datasets written by `save_to_disk` of Hugging Face datasets. Counting works on disk, beside
the output: it needs room for about seven times the text there, and the memory does not grow with the text.

An n-gram is in one text, and only white space, or one hyphen, apostrophe or slash, stands between its words."""

EPILOG = """\
examples:
  diffmask pmi papers/ -o pmi/ --num-processes 4
  diffmask pmi shard1/ -o pmi1/ --save-counts shard1.parquet
  diffmask pmi --counts shard1.parquet shard2.parquet -o pmi/ --size 50000
then, in a config:
  masking: {policy: pmi, ngrams: pmi/}"""

_NUM_SHOWN = 6
_SAMPLE_CHARS = 1_000_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("data", nargs="*", metavar="DATA", help="files, folders or globs to count")
    add("-o", "--output", required=True, metavar="FOLDER", help="folder to write")
    add("--counts", nargs="+", default=[], metavar="FILE", help="counts to add (from --save-counts)")
    add("--save-counts", metavar="FILE", help="keep the counts of all n-grams (.parquet)")
    add("--column", metavar="NAME", help="column that holds the text (default: found by its name)")
    add("--max-n", type=int, default=5, metavar="N", help="words of the longest n-gram (default: 5)")
    add("--min-count", type=int, default=11, metavar="N", help="least occurrences (default: 11, as in the paper)")
    add("--min-pmi", type=float, default=2.0, metavar="X", help="least PMI (default: 2.0, 7 times as often as chance)")
    add(
        "--size", type=int, default=800_000, metavar="N", help="most n-grams to keep (default: 800000, as in the paper)"
    )
    add(
        "--rank-by",
        default="pmi",
        metavar="HOW",
        help="which are kept if there are more: pmi, or weighted, which favours frequent ones (default: pmi)",
    )
    add("--num-processes", type=int, default=1, metavar="N", help="count in N processes (default: 1, in this one)")
    add("--overwrite", action="store_true", help="replace outputs that exist")


def run(args: argparse.Namespace) -> None:
    """Count, measure, choose, write and print a summary."""
    from diffmask.core.errors import InputError
    from diffmask.files.folders import check_folder
    from diffmask.text.ngrams.counts import NGramSettings, count_ngrams
    from diffmask.text.ngrams.vocabulary import FILES, VocabularySettings, choose_ngrams, write_vocabulary

    if not args.data and not args.counts:
        raise InputError("there is nothing to count; give files, folders or globs, or counts files with --counts")
    if not args.data and args.column is not None:
        raise InputError(f"--column {args.column} was given without DATA to read; counts files have no such column")
    folder = check_folder(args.output, "n-grams", FILES, overwrite=args.overwrite, reads=[*args.data, *args.counts])
    settings = NGramSettings(args.max_n, args.min_count, args.column, args.num_processes)
    kept = VocabularySettings(args.size, args.min_pmi, args.rank_by)
    start = time.perf_counter()
    counts = count_ngrams(
        args.data, args.counts, settings, save_to=args.save_counts, overwrite=args.overwrite, scratch=folder.parent
    )
    seconds = time.perf_counter() - start
    table = choose_ngrams(counts, kept)
    write_vocabulary(folder, table, kept.describe(counts))
    print(f"counted in {seconds:.1f} s: {counts.num_documents:,} documents, {counts.totals[0]:,} words")
    print(_summary(counts, table))
    if args.data:
        share = _share_in_ngrams(args.data, args.column, table["ngram"].to_pylist())
        print(f"{100 * share:.0f} % of the words at the beginning of DATA are in one of them")
    print(f"wrote {args.output}" + (f" and {args.save_counts}" if args.save_counts else ""))


def _summary(counts, table) -> str:
    """Return a line for each length: how many there are, how many are kept, the best."""
    import pyarrow

    lines = [f"kept {len(table):,} n-grams"]
    for n, num_types in enumerate(counts.num_types[1:], 2):
        level = table.filter(pyarrow.array(table["n"].to_numpy() == n))
        best = ", ".join(level["ngram"].slice(0, _NUM_SHOWN).to_pylist())
        lines.append(f"  {n} words: {len(level):,} of {num_types:,}; best: {best or 'none'}")
    return "\n".join(lines)


def _share_in_ngrams(data: list[str], column: str | None, ngrams: list[str]) -> float:
    """Return the share of words in an n-gram, in a sample from the beginning."""
    from diffmask.files.records import read_blocks
    from diffmask.text.corpus.documents import list_files
    from diffmask.text.ngrams.annotator import NGramLookup

    texts, num_chars = [], 0
    # counting has told what is read
    blocks = (block for path in list_files(data) for block in read_blocks(path, column))
    for document in (document for block in blocks for document in block.texts()):
        texts.append(document.text)
        num_chars += len(document.text)
        if num_chars >= _SAMPLE_CHARS:
            break
    return NGramLookup.of(ngrams).share_in(texts)
