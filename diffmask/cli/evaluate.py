"""Fine-tune or probe a model on labelled texts or clips, for several seeds."""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffmask.config.evaluation import EvaluateSettings
    from diffmask.evaluate.seed_file import SeedFile

DESCRIPTION = """\
Evaluate a model, or the model of a run, on a labelled task, for several seeds.

TASK is a folder, or files, named train, dev (or val, valid, validation) and test, as .jsonl, .csv, .tsv or .parquet
(also .gz, .zst), or a saved Hugging Face data set. A text has one label or a list of labels; or there are lists of
words with a label for each word; or pairs of texts with one label. Without a dev split, a tenth of the training texts
serves as one.

For a VideoMAE or ViT-MAE, TASK is an index of `diffmask index --join` with labels and splits, a folder of
SPLIT/LABEL/clips, or a table of clips with label and split. Clips that cannot be read are named and left out; in the
test split they are an error, unless video.unreadable=leave-out allows a smaller test.

For a model of video and text, TASK holds questions about clips (TVQA, TVQA+, Social-IQ 2.0, MSRVTT-QA, or a table of
clip, question, answers and answer), with --method retrieval a table of clips and captions, or labelled clips as above.
Clips are looked for in the folder of the files, or in video_text.clips. What of a question is shown is --inputs: what
the answers alone reach, or all but the clip, belongs beside what the model reaches.

  finetune   train the whole model with the Hugging Face Trainer; dev decides when to stop, and the learning rate
  probe      fit a logistic regression to frozen features, C by cross-validation: seconds, for a quick look
  attentive  video: learned queries pool the frozen states of all patches; dev chooses learning rate and epoch
  matching   video and text: the answer that, with its question, belongs best to the clip; nothing is trained
  retrieval  video and text: texts search for clips and clips for texts; nothing is trained
  knn        video: nearest neighbours by cosine similarity of frozen features; dev chooses how many

The test split is used once, for the model that dev has chosen. Texts that are in more than one split, word for word or
nearly, and clips that are the same file are counted; scores are given for all test examples and for unseen ones.

Each seed's results are a JSON file. Seeds whose files exist are not run again, so that the same command resumes an
evaluation that was interrupted. `diffmask compare` tells which results differ."""

EPILOG = """\
examples:
  diffmask evaluate runs/difference --task chemprot/ --seeds 5
  diffmask evaluate minilm --task chemprot/ --method probe -o results/not-continued
  diffmask evaluate runs/difference --task chemprot/ --shares 0.1,0.3,1
  diffmask evaluate runs/difference --task sst2/ finetune.learning_rates=[1e-5,2e-5,5e-5] finetune.epochs=4
  diffmask compare runs/*/evaluation/chemprot-finetune
  diffmask evaluate runs/clips --task clips.parquet --method probe video.stride=2
  diffmask evaluate runs/pairs --task test.csv --method retrieval
  diffmask evaluate runs/pairs --task tvqa_train.jsonl tvqa_val.jsonl --method probe --inputs all \
    video_text.clips=[frames/] video_text.localised=true

All settings with their meaning: diffmask evaluate --settings"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("model", nargs="?", metavar="MODEL_OR_RUN", help="a model's folder or hub name, `minilm`, or a run's folder")
    add("overrides", nargs="*", metavar="key=value", help="settings, such as finetune.epochs=4")
    add("--task", nargs="+", metavar="TASK", help="a folder or files named train, dev and test; an index of clips")
    add("--method", help="finetune, probe, attentive, knn, matching or retrieval, as above (default: finetune)")
    add("--inputs", metavar="A,B,...", help="what is shown of a question, or all (video_text.inputs; default: full)")
    add("--seeds", type=int, metavar="N", help="number of seeds (default: 5)")
    add("--shares", metavar="A,B,...", help="shares of the training examples, for a learning curve (default: 1)")
    add(
        "--outside",
        metavar="LABEL",
        help="label of words that belong to nothing; none: there is no such label (default: O)",
    )
    add("--name", help="what the model is called in tables (default: the name of its folder)")
    add("-o", "--output", metavar="FOLDER", help="folder of the results (default: inside the run)")
    add("--overwrite", action="store_true", help="run seeds again whose results exist")
    add("--settings", action="store_true", help="list every setting with its default, and stop")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from diffmask.config import describe_settings, read_settings
    from diffmask.config.evaluation import EvaluateSettings
    from diffmask.core.errors import InputError

    if args.settings:
        print(describe_settings(EvaluateSettings))
        return 0
    if args.model is None or not args.task:
        raise InputError("no model or no task was given; write `diffmask evaluate MODEL_OR_RUN --task TASK`")
    # settings may follow the files of the task
    behind = [word for word in args.task if "=" in word and not Path(word).exists()]
    given: dict[str, Any] = {"model": args.model, "task": {"files": [word for word in args.task if word not in behind]}}
    if args.outside is not None:
        given["task"]["outside"] = args.outside
    for name in ("method", "seeds", "name", "output"):
        if getattr(args, name) is not None:
            given[name] = getattr(args, name)
    if args.shares is not None:
        given["shares"] = _numbers(args.shares)
    settings = read_settings(EvaluateSettings, given, [*args.overrides, *behind])
    wanted = [settings] if args.inputs is None else _with_inputs(settings, args.inputs)

    import transformers

    from diffmask.evaluate.run import evaluate

    progress = sys.stderr.isatty()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    found = []
    for each in wanted:
        paths = evaluate(each, overwrite=args.overwrite, progress=progress)
        _tell(paths)
        found.append(str(paths[0].parent))
    if len(found) > 1:
        print(f"together: diffmask compare {shlex.join(found)}")
    return 0


def _with_inputs(settings: "EvaluateSettings", words: str) -> "list[EvaluateSettings]":
    """Return an evaluation for each of the inputs, each with a folder of its own."""
    from diffmask.config.evaluation import INPUTS

    names = INPUTS if words == "all" else words.split(",")
    found = []
    for name in names:
        output = f"{settings.output}/{name}" if settings.output and len(names) > 1 else settings.output
        found.append(replace(settings, output=output, video_text=replace(settings.video_text, inputs=name)))
    return found


def _numbers(words: str) -> list[float]:
    from diffmask.core.errors import InputError

    try:
        return [float(word) for word in words.split(",")]
    except ValueError as error:
        raise InputError(f"--shares {words} is not a list of numbers; write for example --shares 0.1,0.3,1") from error


def _tell(paths: list[Path]) -> None:
    """Print the splits, the leakage, and mean and standard deviation of each score over the seeds."""
    from diffmask.evaluate.seed_file import SeedFile

    seeds = [SeedFile.read(path) for path in paths]
    for line in _splits(seeds[0].task):
        print(line)
    print(seeds[0].task["leakage"]["summary"])
    for line in _scores(seeds):
        print(line)
    print(f"\nresults: {paths[0].parent}")


_FEW = 10
"""Examples of a dev split below which its choices say little."""


def _splits(task: Mapping[str, Any]) -> list[str]:
    """Return which files each split was read from, what was left out, and what F1 leaves out."""
    files = task.get("files", {})  # which files of older versions do not tell
    lines = [f"{split + ':':6} {', '.join(names)}" for split, names in files.items()]
    if not files and "examples" in task:
        what = task.get("examples", "texts")
        lines += [f"{split + ':':6} {task[f'num_{split}']:,} {what}" for split in ("train", "dev", "test")]
    lines += task.get("notes", ())
    if task.get("dev_from_train"):
        few = task.get("num_dev", _FEW) < _FEW
        lines.append(
            "dev:   a tenth of train" + (f", {task['num_dev']} only: what it chooses is chance" if few else "")
        )
    for split, reasons in task.get("left_out", {}).items():
        lines.append(f"left out of {split}: {len(reasons):,} clips that cannot be read")
        lines += [f"  {path}: {reason}" for path, reason in reasons.items()]
    if task.get("outside") is not None:
        lines.append(f"label {task['outside']!r} marks words that belong to nothing: left out of F1")
    return lines


def _scores(seeds: "Sequence[SeedFile]") -> list[str]:
    """Return a table: for each share of the training examples, mean and deviation of the scores over the seeds.

    Of retrieval there is a line for each direction too.
    """
    from diffmask.config.evaluation import RANKS, RETRIEVAL, metrics_of

    first, what = seeds[0], seeds[0].task.get("examples", "texts")
    searches = first.task["kind"] == RETRIEVAL
    metrics = metrics_of(first.task["kind"]) | (RANKS if searches else {})
    lines = [f"{f'training {what}':>16}  {f'test {what}':14}" + "".join(f"  {name:>15}" for name in metrics.values())]

    def add(num_train: int, of: str, scores: Sequence[Any]) -> None:
        cells = [_mean([score[name] for score in scores]) for name in metrics]
        lines.append(f"{num_train:>16,}  {of:14}" + "".join(f"  {cell:>15}" for cell in cells))

    for share, num_train in first.num_train.items():
        for part, number in {"all": len(first.targets), "unseen": sum(first.unseen)}.items():
            scores: list[Any] = [seed.scores[share].get(part) for seed in seeds]
            if scores[0] is not None:
                add(num_train, f"{part} {number:,}", scores)
        for direction in first.task["labels"] if searches else ():
            add(num_train, direction, [(seed.scores[share]["all"] or {})["per_class"][direction] for seed in seeds])
    return [*lines, f"mean and standard deviation over {len(seeds)} seed{'s' * (len(seeds) > 1)}"]


def _mean(values: Sequence[float]) -> str:
    from statistics import mean, stdev

    return f"{mean(values):.4f}" + (f" +- {stdev(values):.4f}" if len(values) > 1 else "")
