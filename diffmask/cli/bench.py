"""Measure speed against what people use today."""

import argparse
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

DESCRIPTION = """\
Measure speed against what people use today, both in one run, and print a table of ratios.

  select      the masking call alone, against DataCollatorForLanguageModeling
  policies    the masking call of each policy, against that of random whole words; feedback, against a training step
  text        training steps, against Trainer + DataCollatorForLanguageModeling
  video       training steps on clips, against VideoMAEForPreTraining, and what masking takes of a step
  video-text  training steps on clips with texts, against the sum of what they consist of
  clips       reading clips into rows, against a plain decord loop, and with score maps
  count       counting words, against scikit-learn's CountVectorizer
  ngrams      counting n-grams of 1 to 5 words, against CountVectorizer, and finding them in texts

`select`, `policies`, `video` and `video-text` need no data; without DATA `clips` encodes some, and the others use the
documentation strings of installed libraries."""

EPILOG = """\
examples:
  diffmask bench select
  diffmask bench text papers.txt --model bert-base-uncased --json bench.json
  diffmask bench video --size base --image-size 224 --device cuda --batch-size 32
  diffmask bench count papers.txt.gz"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("what", choices=BENCHES, help="what is measured")
    add("data", nargs="*", metavar="DATA", help="text files (for text, count and ngrams), or clips")
    add("--model", default="minilm", help="model, or its tokenizer (default: minilm, extra `demo`)")
    add("--column", help="column of the text, where a table has several")
    add("--device", default="cpu", help="where `select`, `video` and `video-text` run (default: cpu)")
    add("--max-length", type=int, default=128, help="tokens of a row for `text` (default: 128)")
    add("--batch-size", type=int, help="rows of a step (default: 32 of text, 4 of clips)")
    add("--size", default="small", choices=("small", "base", "large"), help="VideoMAE for `video` and `video-text`")
    add("--image-size", type=int, default=112, help="pixels of a clip (default: 112)")
    add("--json", type=Path, metavar="FILE", help="write the table to a file too")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    import tempfile

    from diffmask.bench import watch_company
    from diffmask.core.errors import InputError
    from diffmask.files.folders import check_writable, write_text

    if args.json and args.json.exists():
        raise InputError(f"{args.json} exists; name another file for --json, or delete it")
    if args.json:
        check_writable(args.json)
    module, function, arguments = BENCHES[args.what]
    bench = getattr(importlib.import_module(f"diffmask.bench.{module}"), function)
    with tempfile.TemporaryDirectory() as scratch:
        prepared = arguments(args, Path(scratch))
        with watch_company() as company:
            rows = bench(*prepared)
    _print(rows)
    if sentence := company.sentence():
        print(f"diffmask: {sentence}", file=sys.stderr)
    if args.json:
        write_text(args.json, json.dumps(rows, indent=2) + "\n")
    return 0


def _tokenizer(args: argparse.Namespace) -> Any:
    from diffmask.text.model.load import load_tokenizer

    return load_tokenizer(args.model)


def _model(args: argparse.Namespace) -> Any:
    import transformers

    from diffmask.text.model.load import load_masked_lm

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return load_masked_lm(args.model)


def _model_and_rows(args: argparse.Namespace, scratch: Path) -> tuple[Any, Any]:
    from diffmask.text.segment.tokenise import TokeniseSettings, tokenise

    loaded = _model(args)
    settings = TokeniseSettings(max_length=args.max_length, column=args.column)
    return loaded, tokenise(_texts(args, scratch), loaded.tokenizer, settings, None, scratch / "cache")


def _video_model(args: argparse.Namespace) -> Any:
    from diffmask.bench.video import make_config

    return make_config(args.size, args.image_size)


def _clips(args: argparse.Namespace, scratch: Path) -> Any:
    from diffmask.bench.clips import make_clips
    from diffmask.video.index.index import read_clips

    if not args.data:
        (scratch / "clips").mkdir()
        make_clips(scratch / "clips")
    return read_clips(args.data or [str(scratch / "clips")])


def _texts(args: argparse.Namespace, scratch: Path) -> list[str]:
    """Return the given files, or one with the documentation strings of torch and scikit-learn."""
    from diffmask.core.errors import InputError
    from diffmask.demo.docstrings import find_package, read_docstrings, write_documents

    if args.data:
        return args.data
    folders = {name: find_package(name) for name in ("torch", "sklearn")}
    found = {name: folder for name, folder in folders.items() if folder is not None}
    if not found:
        raise InputError("neither torch nor scikit-learn is installed with its source; give DATA")
    path = scratch / "documentation.jsonl"
    write_documents(read_docstrings(found, {}), path)
    return [str(path)]


BENCHES: dict[str, tuple[str, str, Callable[[argparse.Namespace, Path], tuple[Any, ...]]]] = {
    "select": ("select", "run", lambda args, scratch: (_tokenizer(args), args.device)),
    "policies": ("policies", "run", lambda args, scratch: (_model(args),)),
    "text": (
        "text",
        "run",
        lambda args, scratch: (*_model_and_rows(args, scratch), str(scratch / "run"), args.batch_size or 32),
    ),
    "video": ("video", "run", lambda args, scratch: (_video_model(args), args.device, args.batch_size or 4)),
    "video-text": ("video_text", "run", lambda args, scratch: (_video_model(args), args.device, args.batch_size or 4)),
    "clips": ("clips", "run", lambda args, scratch: (_clips(args, scratch), scratch / "maps")),
    "count": ("counting", "run_words", lambda args, scratch: (_texts(args, scratch), args.column)),
    "ngrams": ("counting", "run_ngrams", lambda args, scratch: (_texts(args, scratch), args.column)),
}
"""For each bench its module, its function, and the arguments that the function gets."""


def _print(rows: list[dict]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "name" else "right")
    for row in rows:
        table.add_row(
            *(value if isinstance(value, str) else "-" if value is None else f"{value:,.3g}" for value in row.values())
        )
    Console().print(table)
