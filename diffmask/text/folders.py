"""Folders that are written whole or not at all."""

import os
import shutil
from pathlib import Path


def replace_folder(draft: Path, folder: Path) -> None:
    """Put a finished folder in the place of another, which goes away last."""
    old = draft.with_name(draft.name + ".old")
    if folder.exists():
        os.replace(folder, old)
    os.replace(draft, folder)
    shutil.rmtree(old, ignore_errors=True)
