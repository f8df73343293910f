"""Files and folders that are written whole or not at all.

Files that a full disk cuts off.
"""

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from diffmask.core.errors import InputError


def check_folder(folder: str | Path, what: str, names: Collection[str], *, overwrite: bool) -> Path:
    """Return the absolute path of a folder if it may be written.

    Args:
        folder: What the user named.
        what: What it will hold, for messages.
        names: Names of the files that such a folder holds; one with others is not deleted.
        overwrite: Whether a folder of this kind may be replaced.

    Raises:
        InputError: If the folder around it is missing, it exists and may not be replaced, or it holds other files.
    """
    # a relative path stays what it was, wherever the process goes meanwhile
    folder = Path(os.path.abspath(folder))
    if not folder.parent.is_dir():
        raise InputError(f"folder {folder.parent} does not exist; create it first")
    if not folder.exists():
        return folder
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; choose another name for the folder of the {what}")
    held = sorted(path.name for path in folder.iterdir())
    others = [name for name in held if name not in names]
    if others:
        raise InputError(f"folder {folder} holds other files ({others[0]}); choose another name for the {what}")
    if held and not overwrite:
        raise InputError(f"folder {folder} exists; choose another name or allow to overwrite it (--overwrite)")
    return folder


def replace_folder(draft: Path, folder: Path) -> None:
    """Put a finished folder in the place of another, which goes away last."""
    old = draft.with_name(draft.name + ".old")
    shutil.rmtree(old, ignore_errors=True)  # what a process of the same number left when it was killed
    if folder.exists():
        os.replace(folder, old)
    os.replace(draft, folder)
    shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str, errors: str = "strict") -> None:
    """Write a file, under its name only once it is whole.

    Args:
        path: The file; its folder is there.
        text: What it holds.
        errors: What becomes of characters that cannot be encoded, as for `str.encode`.
    """
    draft = path.with_name(path.name + ".tmp")
    draft.write_text(text, encoding="utf-8", errors=errors)
    os.replace(draft, path)


@contextmanager
def writing(path: Path, remedy: str = "go on with --resume") -> Iterator[None]:
    """Say in one sentence what could not be written; safetensors and torch have errors of their own for a full disk.

    Args:
        path: What is written.
        remedy: What to do when there is room.

    Raises:
        InputError: If a file could not be written whole.
    """
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "PytorchStreamWriter" not in str(error):
            raise
        raise InputError(f"{path} could not be written ({error}); make room on the disk, then {remedy}") from error
