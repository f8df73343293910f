"""Make a scorer of the tokens that a labelled task needs."""

import argparse
import shlex
import sys
from typing import Any

DESCRIPTION = """\
Make a scorer for selective masking (Gu et al. 2020, "Train No Evil"): it tells which tokens of a text a labelled task
needs, and the policy `selective` masks these more often.

  1. A classifier is fine-tuned on TASK.
  2. Each text that it gets right is read word by word into a buffer. A word is important if, with it, the probability
     of the right label comes within --delta of that for the whole text; it then leaves the buffer.
  3. A token classifier learns to recognise the important words, so that texts without labels can be scored.

TASK is one or more files or folders with a column of texts and one of labels: .jsonl, .csv, .tsv, .parquet (also .gz,
.zst), or datasets on disk. Of several files, those named test are left out, and those named dev (or val, valid, eval,
...) are held out; where there are none, a tenth of the texts is held out.

The output folder holds the token classifier as save_pretrained writes it, its tokenizer, and scorer.json: settings,
hashes of the data, accuracy of the classifier, F1 and AUC of the scorer on held-out texts, and the words.

The defaults suit a small encoder on a CPU. The paper's scripts, for BERT-base on a GPU:
  --max-texts 0 --epochs 10 --learning-rate 2e-5 --scorer-learning-rate 1e-5 --units token --delta 0.01"""

EPILOG = """\
examples:
  diffmask selective chemprot/ --model minilm -o scorer/
  diffmask selective reviews.csv --text review --label stars --model bert-base-uncased --learning-rate 5e-5 -o scorer/
  diffmask pretrain configs/selective.yaml masking.scorer=scorer/"""

_NUM_SHOWN = 20


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("task", nargs="+", metavar="TASK", help="files, folders or globs with texts and labels")
    add("--model", required=True, help="the model that is continued: a folder, a hub name, or `minilm` (extra `demo`)")
    add("-o", "--output", required=True, metavar="FOLDER", help="folder to write")
    add("--text", metavar="NAME", help="column that holds the text (default: found by its name)")
    add("--label", metavar="NAME", help="column that holds the label (default: found by its name)")
    add(
        "--max-texts",
        type=int,
        default=1000,
        metavar="N",
        help="number of texts to train on; 0 takes all (default: 1000)",
    )
    add("--max-length", type=int, default=128, metavar="N", help="tokens that are read of a text (default: 128)")
    add("--units", default="word", help="what the buffer grows by: word, or token as published (default: word)")
    add(
        "--delta",
        type=float,
        default=0.05,
        metavar="P",
        help="by how much the probability may fall short (default: 0.05)",
    )
    add(
        "--epochs", type=float, default=3.0, metavar="N", help="epochs of the classifier and of the scorer (default: 3)"
    )
    add(
        "--learning-rate",
        type=float,
        default=2e-4,
        metavar="RATE",
        help="learning rate of the classifier (default: 2e-4)",
    )
    add(
        "--scorer-learning-rate",
        type=float,
        metavar="RATE",
        help="learning rate of the scorer (default: the classifier's)",
    )
    add("--batch-size", type=int, default=32, metavar="N", help="texts of a step (default: 32)")
    add(
        "--common-words",
        type=int,
        default=100,
        metavar="N",
        help="number of the most frequent words of the language, which are never important (default: 100)",
    )
    add("--language", default="en", help="language of the common words (default: en)")
    add("--seed", type=int, default=0, help="decides the choice of texts and both trainings (default: 0)")
    add("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")
    add("--overwrite", action="store_true", help="replace the output if it exists")


def run(args: argparse.Namespace) -> None:
    """Make the scorer, and print how well it does and what to do next."""
    import dataclasses

    import transformers

    from diffmask.selective.make import SelectiveSettings, build_scorer

    transformers.logging.set_verbosity_error()
    names = {field.name for field in dataclasses.fields(SelectiveSettings)}
    given: Any = {name: value for name, value in vars(args).items() if name in names}
    given["max_texts"] = args.max_texts or None
    settings = SelectiveSettings(**given)
    shown = sys.stderr.isatty()
    if not shown:
        transformers.logging.disable_progress_bar()
    record = build_scorer(settings, args.output, overwrite=args.overwrite, tell=_tell, progress=shown)
    print(_summary(record))
    print(f"wrote {args.output} in {record['seconds']:.1f} s\n")
    given = shlex.join([f"model={args.model}", f"masking.scorer={args.output}"])
    print(f"next:\n  diffmask pretrain configs/selective.yaml {given} data.train=TEXT")


def _tell(line: str) -> None:
    print(line, flush=True)


def _summary(record: dict) -> str:
    """Return what the files were used for, how well the scorer does, and the words with the highest gain."""
    scorer = record["scorer"]
    lines = [f"{file['use']}: {file['path']}" for file in record["files"]] if len(record["files"]) > 1 else []
    if scorer["auc"] is None:
        lines.append("scorer on held-out texts: not measured, the classifier gets too few of them right")
    else:
        lines.append(f"scorer on held-out texts: AUC {scorer['auc']:.3f}, F1 {scorer['f1']:.3f}")
    words = record["words"][:_NUM_SHOWN]
    width = max([12, *(len(row["word"]) for row in words)])
    lines += ["", f"{'word':{width}}  {'count':>7}  {'important':>9}  {'gain':>6}"]
    for row in words:
        share = f"{100 * row['important']:.0f} %"
        lines.append(f"{row['word']:{width}}  {row['count']:7,}  {share:>9}  {row['gain']:6.2f}")
    return "\n".join(lines)
