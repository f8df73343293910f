"""The one exception that stands for bad input."""

from collections.abc import Generator
from contextlib import contextmanager


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence that says what was given, what is allowed and what to do. The command line prints it
    and exits with status 2; every other exception is a defect of diffmask and keeps its traceback.
    """


@contextmanager
def worker_errors() -> Generator[None]:
    """Reduce an `InputError` of a data loader's worker to its sentence; torch adds the worker's whole traceback to it.

    Raises:
        InputError: With the sentence alone.
    """
    try:
        yield
    except InputError as error:
        name = f"{InputError.__module__}.{InputError.__qualname__}: "
        raise InputError(str(error).strip().splitlines()[-1].removeprefix(name)) from error
