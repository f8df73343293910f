"""What both quickstarts share: a folder of their own, and steps that say what is done."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from diffmask.core.errors import InputError
from diffmask.quickstart.losses import HeldOutLoss, mean_of_seeds, read_losses
from diffmask.train.log import Log

MARKER = "quickstart.json"


def claim(folder: Path, names: Sequence[str], record: Mapping[str, Any], *, overwrite: bool) -> None:
    """Make the folder; what an earlier quickstart left in it is deleted, and nothing else.

    Args:
        folder: The folder.
        names: What a quickstart leaves in it.
        record: What is noted of this one.
        overwrite: Write into a folder that holds something else.

    Raises:
        InputError: If it is a file, or holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"the output {folder} is a file; give the name of a folder with -o")
    marker = folder / MARKER
    before = json.loads(marker.read_text(encoding="utf-8")).get("names", names) if marker.exists() else []
    others = [path.name for path in folder.iterdir()] if folder.exists() and not marker.exists() else []
    others += [name for name in names if marker.exists() and name not in before and (folder / name).exists()]
    if others and not overwrite:
        what = f"holds {others[0]}, which" if marker.exists() else "exists and"
        raise InputError(
            f"the folder {folder} {what} was not made by the quickstart; give another with -o, or use --overwrite to "
            f"write into it ({', '.join(names)} are then replaced)"
        )
    for name in {*names, *before}:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(json.dumps({**record, "names": list(names)}) + "\n", encoding="utf-8")


@contextmanager
def step(console: Console, number: str, title: str, command: str = "") -> Iterator[None]:
    """Print what is done, what a user types for it, and how long it took."""
    console.print()
    console.rule(f"[bold]{number}[/] {title}", align="left", style="dim")
    if command:
        console.print(f"$ {command}", style="cyan", highlight=False, markup=False, soft_wrap=True)
    start = time.monotonic()
    yield
    console.print(f"{time.monotonic() - start:.0f} s", style="dim", highlight=False)


def mean_losses(logs: Mapping[str, Sequence[Log]]) -> list[HeldOutLoss]:
    """Return the means over seeds; all runs begin alike, and the first of them has looked at it."""
    before = next(iter(logs.values()))[0][:1]
    seeds = range(len(next(iter(logs.values()))))
    return mean_of_seeds(
        [read_losses({label: [*before, *each[seed]] for label, each in logs.items()}) for seed in seeds]
    )
