"""Continue a model's pretraining."""

import argparse
import sys
from pathlib import Path

DESCRIPTION = """\
Continue the pretraining of a masked language model on your text, or of a masked video model on your clips, as a YAML
file says.

The folder `output` receives checkpoints, log.jsonl, TensorBoard logs and, at the end, model/: an ordinary folder for
from_pretrained of AutoModelForMaskedLM (or VideoMAEModel), with a card that records how it was made. Ctrl-C finishes
the step and writes a checkpoint (exit status 130), and so does SIGTERM, which schedulers send (143); the same command
with --resume continues from there, and gives the weights that an uninterrupted run gives. See docs/runs.md."""

EPILOG = """\
the shortest config:
  model: bert-base-uncased          # or a folder, or `minilm`
  output: runs/chemistry
  data:
    train: [papers.txt]
  masking:
    policy: difference              # or whole-word, ...: see `diffmask policies`
    anchors: anchors/               # made by `diffmask anchors`
  training:
    steps: 2000

for clips, with a VideoMAE or ViT-MAE:
  modality: video
  model: MCG-NJU/videomae-base
  output: runs/kitchen
  data:
    train: [clips.parquet]          # made by `diffmask index`
  masking:
    policy: difference              # or random-tube, motion, ...: see `diffmask policies video`
    anchors: kitchen/               # made by `diffmask anchors clips.parquet`
  training:
    epochs: 50

examples:
  diffmask pretrain chemistry.yaml
  diffmask pretrain chemistry.yaml masking.policy=whole-word output=runs/random
  diffmask pretrain chemistry.yaml masking.ratio='{schedule: cosine, start: 0.3, end: 0.02}'
  diffmask pretrain chemistry.yaml --resume
  torchrun --nproc_per_node 8 -m diffmask pretrain chemistry.yaml

All settings with their meaning: diffmask pretrain --settings (or --settings video)"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("config", nargs="?", type=Path, metavar="CONFIG", help="a YAML file")
    add("overrides", nargs="*", metavar="key=value", help="settings that replace those of the file")
    add("--resume", action="store_true", help="continue from the last checkpoint of this run")
    add("--overwrite", action="store_true", help="delete the run in the output folder")
    add(
        "--settings",
        nargs="?",
        const="text",
        metavar="MODALITY",
        help="list every setting of a run on text (or video) with its default, and stop",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from diffmask.assemble.modality import modality_named, read_config
    from diffmask.config import describe_settings
    from diffmask.core.errors import InputError

    if args.settings:
        print(describe_settings(modality_named(args.settings).config))
        return 0
    if args.config is None:
        raise InputError("no config was given; write `diffmask pretrain CONFIG.yaml` (see `diffmask pretrain --help`)")
    config = read_config(args.config, args.overrides)

    import transformers

    from diffmask.core.processes import read_ranks
    from diffmask.pretrain import pretrain

    progress = sys.stderr.isatty()
    transformers.logging.set_verbosity_error()
    if not progress:
        transformers.logging.disable_progress_bar()
    outcome = pretrain(config, resume=args.resume, overwrite=args.overwrite, progress=progress)
    for name, reason in sorted(outcome.failures.items()):
        print(f"left out: {name} ({reason})", file=sys.stderr)
    if outcome.interrupted:
        print(
            f"stopped, with a checkpoint in {outcome.folder}; the same command with --resume continues", file=sys.stderr
        )
        return 128 + outcome.signal
    if read_ranks().rank != 0:
        return 0  # one of several processes prints
    for name, value in outcome.metrics.items():
        if name.startswith(("eval_loss", "eval_task")):
            print(f"{name:20} {value:.4f}")
    print(f"model: {outcome.model}")
    for name, folder in outcome.beside.items():
        print(f"{name}: {folder}")
    return 0
