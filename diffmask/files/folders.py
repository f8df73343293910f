"""Files and folders that are written whole or not at all."""

import errno
import glob
import os
import platform
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from diffmask.core.errors import InputError, first_line
from diffmask.files.own_files import first_foreign

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of the system's errors of a disk without room."""
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EINVAL)
"""Those of a place that may not be written, or of a name that it does not take."""
_OF_TORCH = ("PytorchStreamWriter", "basic_ios::clear", "unexpected pos")
"""What `torch.save` says where it cannot write, without the system's reason."""
_SUFFIX = ".partial"
DRAFT_SUFFIXES = (_SUFFIX, ".tmp")
"""By which a file is known that is not finished; earlier versions wrote the second."""
_PRIVATE = 0o600
_ONLY_WRITTEN = (".html", ".png", ".svg", ".pdf")
"""Endings of files that no command finds in a folder which it reads."""


def check_folder(
    folder: str | Path,
    what: str,
    names: Collection[str],
    *,
    overwrite: bool,
    reads: Iterable[str | Path | None] = (),
) -> Path:
    """Return the absolute path of a folder if it may be written.

    Args:
        folder: What the user named.
        what: What it will hold, for messages.
        names: Files that such a folder holds, as for `first_foreign`; one with others is not deleted.
        overwrite: Whether a folder of this kind may be replaced.
        reads: Files, folders and globs that the command reads.

    Raises:
        InputError: If the folder around it is missing or may not be written, it exists and may not be replaced, it
            holds other files, or replacing it would destroy what is read.
    """
    # a relative path must mean the same folder later, even if the working directory changes in between
    folder = Path(os.path.abspath(folder))
    if not folder.parent.is_dir():
        raise InputError(f"folder {folder.parent} does not exist; create it first")
    if not folder.exists():
        check_writable(folder)
        return folder
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; choose another name for the folder of the {what}")
    foreign = first_foreign(folder, names)
    if foreign is not None:
        other = foreign.relative_to(folder).parts[0]
        raise InputError(f"folder {folder} holds other files ({other}); choose another name for the {what}")
    if any(folder.iterdir()) and not overwrite:
        raise InputError(f"folder {folder} exists; choose another name or allow to overwrite it (--overwrite)")
    refuse_input(folder, reads)
    check_writable(folder)
    return folder


def check_output(
    path: str | Path,
    what: str,
    example: str,
    endings: Sequence[str] = (),
    *,
    overwrite: bool,
    reads: Iterable[str | Path | None] = (),
    is_foreign: Callable[[Path], bool] = lambda path: False,
    option: str = "-o",
) -> Path:
    """Return the path of a file that may be written; everything is asked before the work is done.

    Args:
        path: What the user named.
        what: What it will hold, for messages.
        example: Name of such a file, for messages.
        endings: How the name may end; empty allows any ending.
        overwrite: Whether a file of this kind may be replaced.
        reads: Files, folders and globs that the command reads.
        is_foreign: Tells of a file that is there whether it is whole and of another kind; such a file is never
            replaced, unlike a damaged one.
        option: The option that names the file, for messages.

    Raises:
        InputError: If it is a folder, has another ending, exists and may not be replaced, is read by the command or of
            another kind, or its folder is missing or may not be written.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"the output {path} is a folder; give the name of a {what} such as {path / example}")
    if endings and path.suffix not in endings:
        allowed = f"{', '.join(endings[:-1])} or {endings[-1]}".removeprefix(" or ")
        raise InputError(f"the output {path} is no {what}; give a name that ends with {allowed}")
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} of the output does not exist; create it first")
    if path.exists():
        _check_replacing(path, what, overwrite=overwrite, reads=reads, is_foreign=is_foreign, option=option)
    check_writable(path)
    return path


def _check_replacing(
    path: Path,
    what: str,
    *,
    overwrite: bool,
    reads: Iterable[str | Path | None],
    is_foreign: Callable[[Path], bool],
    option: str,
) -> None:
    """Refuse to replace a file that is there; see `check_output`."""
    if not overwrite:
        raise InputError(f"the output {path} exists; use --overwrite to replace it, or give another name with {option}")
    refuse_input(path, reads, option)
    if not path.is_file():
        raise InputError(f"the output {path} is a device or a pipe, not a file; give another name with {option}")
    if path.stat().st_size and is_foreign(path):
        raise InputError(
            f"the output {path} exists and is no {what} of diffmask, so --overwrite does not replace it; give another "
            f"name with {option}"
        )


def refuse_input(output: Path, reads: Iterable[str | Path | None], option: str = "-o") -> None:
    """Refuse to replace a file or a folder that is or holds something which the command reads, or a file of a folder.

    Args:
        output: What will be written; where nothing is, nothing can be lost.
        reads: Files, folders and globs that the command reads; None, and what is neither, is passed over.
        option: The option that names the output, for messages.

    Raises:
        InputError: If it would be lost.
    """
    place, in_folders = output.resolve(), output.is_file() and output.suffix not in _ONLY_WRITTEN
    for source in reads if output.exists() else ():
        named = str(source or "")
        found = [named] if os.path.exists(named) else glob.glob(named, recursive=True)
        for each in map(Path, found):
            inside = in_folders and each.is_dir() and place.is_relative_to(each.resolve())
            if inside or each.samefile(output) or each.resolve().is_relative_to(place):
                raise InputError(
                    f"the output {output} would replace what the command reads ({each}); give another name with "
                    f"{option}"
                )


def check_writable(path: str | Path) -> None:
    """Try to make what will become a file or a folder, so that one that cannot be written is told before the work.

    Args:
        path: The file or the folder; of a folder that does not exist either, its first missing part is tried.

    Raises:
        InputError: If it cannot be written.
    """
    path = Path(os.path.abspath(path))
    while not os.path.lexists(path.parent):
        path = path.parent
    with draft(path) as new:
        new.touch()
        new.unlink()


def refuse_broken_name(path: Path) -> None:
    """Refuse a name that is not UTF-8, which most of what writes files, and other programs, cannot handle.

    Raises:
        InputError: If it is not; a file that is only read may have such a name.
    """
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"the name of the output {path} is not UTF-8; give another name") from error


@contextmanager
def draft(path: str | Path, remedy: str = "give the same command again", *, tidy: bool = True) -> Iterator[Path]:
    """Yield a path beside `path` to write a file or a folder to; it gets its name once all of it is there.

    It replaces what has that name already. If the block fails or is interrupted, the draft is removed and
    what was there before stays. If nothing was written, nothing is renamed.

    Args:
        path: The file or the folder.
        remedy: What the user can do once there is room on the disk, for the message.
        tidy: Remove drafts that killed processes left; this lists the folder around `path`.

    Raises:
        FullDiskError: If the disk is full.
        InputError: If the place may not be written.
    """
    path = Path(os.path.abspath(path))
    refuse_broken_name(path)
    # the machine is part of the name: on a shared disk a process of the same number may be alive elsewhere; the rest
    # cannot be guessed, so that nobody has put a link there
    ours = f".{path.name}.{platform.node()}-"
    new = path.with_name(f"{ours}{os.getpid()}-{secrets.token_hex(8)}{_SUFFIX}")
    if tidy:
        _remove_abandoned(path.parent, ours)
    try:
        with writing(path, remedy):
            yield new
            if new.exists():
                settle(new)
                _replace(new, path)
    finally:
        _remove(new)


def settle(path: Path) -> None:
    """Give a file, or all files of a folder, the mode that the umask asks for, and wait until the disk has them.

    Some libraries write files that only their owner may read.
    """
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file() and not each.is_symlink()]
    usual: int | None = None
    for each in files:
        if stat.S_IMODE(each.stat().st_mode) == _PRIVATE:
            usual = _usual_mode(path.parent) if usual is None else usual
            each.chmod(usual)
        _flush(each)
    for each in (path, *path.rglob("*")) if path.is_dir() else ():
        if each.is_dir():
            _flush(each)


def _usual_mode(folder: Path) -> int:
    """Return the mode of a new file in a folder; Python cannot ask for the umask but by setting it."""
    probe = folder / f".{secrets.token_hex(8)}{_SUFFIX}"
    handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        return stat.S_IMODE(os.fstat(handle).st_mode)
    finally:
        os.close(handle)
        probe.unlink()


def _flush(path: Path) -> None:
    """Wait until a file or a folder is on the disk; some file systems cannot be asked to, for folders."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _replace(new: Path, path: Path) -> None:
    """Give what is finished its name; no system call swaps two folders that hold files."""
    old = new.with_name(new.name + ".old")
    if new.is_dir() and path.exists():
        os.replace(path, old)
    os.replace(new, path)
    _flush(path.parent)
    if old.exists():
        _remove(old)


def _remove_abandoned(folder: Path, start: str) -> None:
    """Remove the drafts of a name whose processes no longer run."""
    drafts = re.compile(re.escape(start) + r"(\d+)(-[0-9a-f]+)?" + re.escape(_SUFFIX))
    for name in os.listdir(folder) if folder.is_dir() else ():
        found = drafts.fullmatch(name)
        if found and not _is_running(int(found[1])):
            _remove(folder / name)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs, as another user
    return True


def _remove(path: Path) -> None:
    with suppress(OSError):  # where nothing can be removed, nothing could be written
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str, errors: str = "strict") -> None:
    """Write a text file, under its name only once it is whole and on the disk.

    Args:
        path: The file; its folder exists.
        text: What it holds.
        errors: How to treat characters that cannot be encoded, as for `str.encode`.
    """
    with draft(path) as new:
        new.write_text(text, encoding="utf-8", errors=errors)


class FullDiskError(InputError):
    """There is no room for what is written; the sentence names the disk, and says what is still there.

    Args:
        path: What was being written.
        reason: What the system or a library said.
        remedy: What the user can do once there is room on the disk.
        kept: What is still there; None tells it by the name, under which only whole files appear.

    Attributes:
        path: What was being written.
        reason: What the system or a library said.
        remedy: What the user can do once there is room on the disk.
    """

    def __init__(self, path: Path, reason: str, remedy: str, kept: str | None = None):
        self.path, self.reason, self.remedy = path, reason, remedy
        if kept is None:
            kept = "what had that name before is still there" if os.path.lexists(path) else "no part of it is left"
        super().__init__(
            f"{path} could not be written ({reason}): {_describe_disk(path)}, and {kept}; make room on the disk, then "
            f"{remedy}"
        )


def _describe_disk(path: Path) -> str:
    """Name the disk on which a path lies, by where it is mounted, and say how much room it has."""
    mount = os.path.realpath(path)
    while not os.path.ismount(mount):
        mount = os.path.dirname(mount)
    room = os.statvfs(mount)
    if room.f_files and not room.f_favail:
        return f"the disk mounted at {mount} has no room for more files"
    return f"the disk mounted at {mount} has {room.f_bavail * room.f_frsize:,} bytes free"


@contextmanager
def writing(path: str | Path, remedy: str = "continue with --resume", kept: str | None = None) -> Iterator[None]:
    """Turn the error of a full disk, or of a place that may not be written, into one sentence.

    Args:
        path: What is written.
        remedy: What the user can do once there is room on the disk.
        kept: What is still there; see `FullDiskError`.

    Raises:
        FullDiskError: If the disk is full.
        InputError: If the place may not be written.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NOT_ALLOWED and _is_at(path, error):
            raise InputError(
                f"{path} cannot be written ({os.strerror(error.errno)}); give another name, or one in another folder"
            ) from error
        reason = _full_disk(error)
        if reason is None:
            raise
        raise FullDiskError(Path(path), reason, remedy, kept) from error


def _is_at(path: str | Path, error: OSError) -> bool:
    """Tell whether an error is about what is written, or its draft, and not about something that is read meanwhile."""
    folder, name = os.path.split(os.path.abspath(path))
    starts = (os.path.join(folder, name), os.path.join(folder, f".{name}"))
    return isinstance(error.filename, str | Path) and os.path.abspath(error.filename).startswith(starts)


def _full_disk(error: BaseException) -> str | None:
    """Return what an error says about a full disk, or None if it is about something else."""
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno in DISK_FULL else None
    # safetensors and torch have errors of their own, told by their text so that neither need be installed
    if any(os.strerror(number) in str(error) for number in DISK_FULL):
        return first_line(error)
    if any(text in str(error) for text in _OF_TORCH):
        return "torch could not write all of it"
    # other libraries raise something else because of one of these
    cause = error.__cause__ or error.__context__
    return None if cause is None else _full_disk(cause)
