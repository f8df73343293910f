"""Find what makes a domain different: words, what is seen in clips, or both."""

import argparse
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

DESCRIPTION = """\
Find the anchors of a domain - what makes it different from what is general - and score by how near things are to them.
Difference masking hides high scores more often.

TEXT. Anchors are the words with the highest TF-ICF: how many times more frequent they are in DATA than in the
reference. Every word is then read where it occurs, by the model that is continued (or another: --embedder), and scored
by two similarities: to the words with a high TF-ICF in general, and to the anchors in particular, against common words.

DATA are files, folders or globs of .txt (a line is a document), .jsonl, .json, .csv, .tsv and .parquet, each also
compressed (.gz, .zst), and datasets written by `save_to_disk` of Hugging Face datasets.

The output folder holds
  anchors.csv          the anchors with counts and frequencies: read it, and edit it
  types.parquet        type, count, tf_icf and score of every word of the domain
  anchors.safetensors  the anchors' embeddings
  anchors.json         how it was made: inputs with hashes, models, settings, versions

Your own anchors: drop, replace or add rows of anchors.csv (only the column `anchor` is read), or write one word a line
in a file, and run the command again with --anchors FILE.

VIDEO. DATA are an index of `diffmask index`, videos, or folders and globs of videos. Anchors are what you say
(--text, with a CLIP model), what you show (--exemplar), or what is found: patches of DATA and of --reference are
clustered into visual words, and those with the highest TF-ICF are the anchors. Patches are embedded by a CLIP model
of open_clip (--embedder clip:MODEL:WEIGHTS or clip:FOLDER), by the model that is trained (student:FOLDER), or by their
colour and texture (pixels, the default, which needs no weights). Nothing is fetched unless a tag or hub name is given.

The output folder holds anchors.csv, anchors.safetensors, anchors.json, and sheet.png, which shows what each anchor
looks like in DATA. Drop rows of anchors.csv to leave anchors out; with --anchors FILE the sheet is drawn again.

VIDEO AND TEXT. DATA are tables of clips with captions, files of questions, or indexes with captions (then say
--modality video-text). With a CLIP model there is one space: the words with the highest TF-ICF in the texts are
embedded by its text tower and score the words of the texts and the patches of the clips. Otherwise each side has
anchors of its own: words by --model, patches by --exemplar or by other clips in --reference. The output folder holds a
folder for each side, text/ and video/."""

EPILOG = """\
examples:
  diffmask anchors papers/ --model bert-base-uncased -o anchors/
  diffmask anchors papers/ --model minilm --reference general.parquet news/*.txt.gz -o anchors/
  diffmask anchors papers/ --model minilm --anchors anchors/anchors.csv -o anchors/ --overwrite
  diffmask anchors papers/ --model roberta-base --embedder bert-base-uncased --preset published -o published/
  diffmask anchors clips.parquet --reference other-clips/ -o anchors/
  diffmask anchors clips/ --text "a face" --text "hands" --embedder clip:ViT-B-16:weights.safetensors -o anchors/
  diffmask anchors clips/ --exemplar face.png:40,30,120,130 -o anchors/
  diffmask anchors captions.jsonl --clips clips/ --embedder clip:ViT-B-16:weights.safetensors -o anchors/
  diffmask anchors captions.jsonl --model bert-base-uncased --reference wordfreq:en other-clips/ -o anchors/"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("data", nargs="+", metavar="DATA", help="files, folders or globs of the domain; for clips also an index")
    add("--modality", metavar="NAME", help="text, video or video-text (default: told by DATA and what else is given)")
    add("--model", help="texts: the model that is continued: a folder, a hub name, or `minilm` (extra `demo`)")
    add("-o", "--output", required=True, metavar="FOLDER", help="folder to write")
    add(
        "--reference",
        nargs="+",
        metavar="REF",
        help="what the domain is compared with: wordfreq:LANGUAGE, corpora, or counts files of `diffmask count` "
        "(default: wordfreq:en); or other clips",
    )
    add("--num-anchors", type=int, metavar="N", help="how many anchors to choose (default: 20)")
    add(
        "--min-count",
        type=int,
        metavar="N",
        help="words that occur less often are no anchors (default: 10, and once in 5,000 words)",
    )
    add("--anchors", metavar="FILE", help="use the anchors of this file: an edited anchors.csv, or one a line")
    add(
        "--embedder",
        metavar="MODEL",
        help="encoder that embeds the words (default: the model); for clips clip:MODEL:WEIGHTS, clip:FOLDER, "
        "student:FOLDER or pixels (default)",
    )
    add("--preset", help="default, or published for the scorer of the paper (Wilf et al. 2023)")
    add("--reduce", help="over the anchors: max, mean, min, or nearest (mean of 3); default mean, of published max")
    add("--context-words", type=int, metavar="N", help="words of DATA to read in context (default: 250000)")
    add("--column", metavar="NAME", help="column that holds the text (default: found by its name)")
    add("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")
    add("--num-processes", type=int, metavar="N", help="count in N processes (default: 1, in this one)")
    video = parser.add_argument_group("clips").add_argument
    video("--text", action="append", metavar="TEXT", help="an anchor in words; may be given more than once")
    video("--exemplar", action="append", metavar="IMAGE[:X1,Y1,X2,Y2]", help="an anchor as a picture, or a box in one")
    video("--num-words", type=int, metavar="N", help="visual words to cluster patches into (default: 128)")
    video("--layer", metavar="N", help="layer that is read: a number, or `value` (default: of CLIP `value`, else last)")
    video("--size", type=int, metavar="PIXELS", help="short side of frames for the embedder (default: its own)")
    video("--num-frames", type=int, metavar="N", help="frames of each clip whose patches are clustered (default: 8)")
    pairs = parser.add_argument_group("clips with texts only").add_argument
    pairs("--clips", nargs="+", metavar="CLIPS", help="the clips that DATA name (default: beside each table)")
    pairs("--template", metavar="TEXT", help="text in which a CLIP reads a word (default: 'a video of {}')")
    add("--overwrite", action="store_true", help="replace the output if it exists")


def run(args: argparse.Namespace) -> None:
    """Find, score, write, and print what was found and what to do next."""
    from diffmask.cli.data import modality_of_data
    from diffmask.core.errors import InputError
    from diffmask.files.folders import check_folder

    given = {name: value for name, value in vars(args).items() if value is not None}
    modality = modality_of_data(args, "anchors", decides=True)
    finder = modality.anchors()
    idle = _without_effect(given, finder.fixed)
    if idle is not None:
        raise InputError(idle)
    finder.check(given)
    # before the work, not after it
    reads = [*args.data, *(args.reference or ()), *(args.clips or ()), args.model]
    check_folder(args.output, "anchors", finder.names, overwrite=args.overwrite, reads=reads)
    start = time.perf_counter()
    found = finder.find(given, "diffmask " + shlex.join(sys.argv[1:]))
    finder.save(found, args.output, overwrite=args.overwrite)
    print("\n".join(finder.summary(found)))
    print(f"wrote {args.output} in {time.perf_counter() - start:.1f} s\n")
    print("next:")
    for step in finder.next_steps(given, shlex.quote(args.output.rstrip("/"))):
        print(f"  {step}")


def _without_effect(given: Mapping[str, Any], fixed: Sequence[str]) -> str | None:
    """Return the sentence for a setting that would do nothing, because anchors are taken as they are."""
    for name in fixed if "anchors" in given else ():
        if name in given:
            shown = shlex.join(map(str, given[name])) if isinstance(given[name], list) else given[name]
            option = f"--{name.replace('_', '-')} {shown}"
            return f"{option} has no effect with --anchors {given['anchors']}, which is taken as it is; leave one out"
    return None
