"""Files that a full disk cuts off."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from diffmask.core.errors import InputError


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
