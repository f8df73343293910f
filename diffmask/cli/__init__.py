"""The command line: parse, call, print.

Each command is a module with DESCRIPTION, EPILOG, `add_options` and `run`; its docstring is its line in the help.

python -m diffmask --help
"""

import argparse
import importlib
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from diffmask.core.errors import InputError
from diffmask.core.processes import num_cores
from diffmask.version import __version__

COMMANDS = (
    "index",
    "anchors",
    "count",
    "policies",
    "pmi",
    "select_text",
    "selective",
    "preview",
    "schedule",
    "pretrain",
    "models.extend",
    "models.merge",
    "curves",
    "evaluate",
    "compare",
    "report",
    "reproduce",
    "quickstart",
    "bench",
)
"""Modules of this folder, in the order of the help; the last part of a path is what the command is called."""

DESCRIPTION = """\
Continue the pretraining of a masked language or video model on your own domain, and choose what to mask by how much
it makes that domain different (Difference-Masking).

The usual order, for text:
  diffmask anchors  DATA --model MODEL -o anchors/    find the words that make the domain different
  diffmask preview  DATA --anchors anchors/           look at what would be masked
  diffmask pretrain config.yaml                       continue pretraining
and for clips, after `diffmask index CLIPS -o clips.parquet`:
  diffmask anchors  clips.parquet --reference OTHER_CLIPS -o anchors/
First time here? `diffmask quickstart` (or `diffmask quickstart --video`) does all of it, small and offline, in
minutes."""


_OF_VIDEO = {"av", "open_clip", "torchvision"}
"""Libraries of the extra `video`, which text does not need."""
_INSTALL_VIDEO = "pip install 'diffmask[video]'"
_terminated = threading.Event()
"""Whether a command was stopped by SIGTERM, not by Ctrl-C."""


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviated options, and shows paragraphs and examples as they were written."""

    def __init__(self, **settings: Any):
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; no heavy import happens here."""
    parser = Parser(prog="diffmask", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"diffmask {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for path in COMMANDS:
        module = importlib.import_module(f"diffmask.cli.{path}")
        name = path.rpartition(".")[2].replace("_", "-")
        line = (module.__doc__ or "").strip().removesuffix(".")
        texts = {"description": module.DESCRIPTION, "epilog": module.EPILOG}
        command = commands.add_parser(name, help=line[:1].lower() + line[1:], **texts)
        module.add_options(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; bad input is one sentence on stderr and exit status 2."""
    _share_the_cores()
    _replace_what_cannot_be_shown()
    if threading.current_thread() is threading.main_thread():
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _interrupt)
    _terminated.clear()
    status = _run(argv)
    return 128 + signal.SIGTERM if status == 128 + signal.SIGINT and _terminated.is_set() else status


def _run(argv: list[str] | None) -> int:
    try:
        args = _parse(argv)
        with _log_on_stderr():
            return args.run(args) or 0
    except InputError as error:
        return _refuse(str(error))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_VIDEO:
            raise
        return _refuse(f"clips need libraries that are not installed ({error}); install them: {_INSTALL_VIDEO}")
    except BrokenPipeError:
        # the reader of a pipe went away (diffmask ... | head): silence Python's own complaint at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _refuse(f"{error.strerror or error}{where}")
    except KeyboardInterrupt:
        print("terminated" if _terminated.is_set() else "interrupted", file=sys.stderr)
        return 130


def _share_the_cores() -> None:
    """Make a good neighbour of OpenMP, which reads this when torch is loaded; what the user has set stays.

    Threads that spin while they wait take the cores from whatever runs beside them, and several such processes nearly
    stop each other. A container's limit of processor time is one that OpenMP does not know.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("OMP_NUM_THREADS", str(num_cores()))


def _replace_what_cannot_be_shown() -> None:
    """Print characters that the terminal's encoding lacks, or that are part of a broken file name, as others."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # tests and notebooks put others in their place
            stream.reconfigure(errors="backslashreplace" if stream is sys.stderr else "replace")


@contextmanager
def _log_on_stderr() -> Iterator[None]:
    """Show what is logged, sentences without decoration, each once; of several ranks the first one shows all of it."""
    logger, handler = logging.getLogger("diffmask"), logging.StreamHandler()
    level, shown = logger.level, set[str]()
    # the runs of a quickstart read the same corpus, one after the other
    handler.addFilter(lambda record: record.getMessage() not in shown and not shown.add(record.getMessage()))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if os.environ.get("RANK", "0") == "0" else logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, at SIGTERM as well, so that everything that was started is ended.

    Inside an import, where compiled libraries crash on it, end the process.
    """
    if number == signal.SIGTERM:
        _terminated.set()
    if not _importing(frame):
        raise KeyboardInterrupt
    print("terminated" if number == signal.SIGTERM else "interrupted", file=sys.stderr, flush=True)
    os._exit(128 + number)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False


def _parse(argv: list[str] | None) -> argparse.Namespace:
    """Parse a command line; overrides may stand behind options, where argparse does not look for them."""
    parser = build_parser()
    args, rest = parser.parse_known_args(argv)
    rest = [word for word in rest if word != "--"]
    if "overrides" in args and not any(word.startswith("-") for word in rest):
        args.overrides += rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return args


def _refuse(sentence: str) -> int:
    print(f"diffmask: {sentence}", file=sys.stderr)
    return 2
