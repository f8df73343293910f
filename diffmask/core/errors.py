"""The one exception that stands for bad input, and how errors of libraries become it."""

from collections.abc import Generator
from contextlib import contextmanager

_MOST_CHARS = 200


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence that says what was given, what is allowed and what to do. The command line prints it
    and exits with status 2; every other exception is a defect of diffmask and keeps its traceback.
    """


def first_line(error: BaseException) -> str:
    """Return the first line of what an error of a library says, without its full stop, for a message of our own."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:;")[:_MOST_CHARS] if lines else type(error).__name__


@contextmanager
def library_errors(what: str, remedy: str, *kinds: type[Exception]) -> Generator[None]:
    """Turn errors of a library into one sentence: what went wrong, the reason that the library gives, what to do.

    Args:
        what: What went wrong, as the beginning of a sentence.
        remedy: What to do, as its end.
        kinds: The errors; an `InputError` says all of this already, and is passed on.

    Raises:
        InputError: In place of one of these errors.
    """
    try:
        yield
    except kinds as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{what} ({first_line(error)}); {remedy}") from error


@contextmanager
def worker_errors() -> Generator[None]:
    """Reduce an `InputError` of a data loader's worker to its sentence; torch adds the worker's whole traceback to it.

    Raises:
        InputError: With the sentence alone, or that a worker was killed.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise InputError(
            f"a process that loads rows ended before its work was done ({first_line(error)}), perhaps because memory "
            "or shared memory ran out; give fewer workers (num_workers), and the same command again"
        ) from error
    except InputError as error:
        if len(str(error).strip().splitlines()) == 1:
            raise  # of this process, perhaps of a kind of its own
        name = f"{InputError.__module__}.{InputError.__qualname__}: "
        raise InputError(str(error).strip().splitlines()[-1].removeprefix(name)) from error
