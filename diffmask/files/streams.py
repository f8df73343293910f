"""The bytes of a corpus file: decompressed as they are read, and refused if they are not what the name says."""

import tempfile
from pathlib import Path
from typing import IO, Self

from diffmask.core.errors import InputError

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"%PDF-": "PDF",
}
_HEAD_BYTES = 1 << 16
_COPY_BYTES = 1 << 20


def split_suffix(path: Path) -> tuple[str, str]:
    """Return the suffix that names the format, and the suffix of the compression ("" if none).

    >>> split_suffix(Path("corpus.JSONL.gz"))
    ('.jsonl', '.gz')
    """
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        return (suffixes[0] if len(suffixes) == 2 else ""), suffixes[-1]
    return (suffixes[-1] if suffixes else ""), ""


class ByteStream:
    """The decompressed content of a file; every failure to read it is one sentence."""

    def __init__(self, path: Path):
        self.path = path
        self.size = path.stat().st_size
        if self.size == 0:
            raise InputError(f"{path} is empty (0 bytes); give a file with text in it")
        try:
            self._raw = path.open("rb")
        except PermissionError as error:
            raise InputError(f"{path} may not be read (permission denied); change its permissions") from error
        self._content: IO[bytes] = self._raw
        suffix = split_suffix(path)[1]
        if suffix:
            self._decompress(COMPRESSIONS[suffix])

    def _decompress(self, name: str) -> None:
        import pyarrow  # its streams notice, unlike others, when a compressed file was cut short

        if _magic_name(self._raw.peek(16)) != name:
            self._raw.close()
            raise InputError(f"{self.path} is not a {name} file, though its name says so; rename it or compress it")
        self._content = pyarrow.CompressedInputStream(pyarrow.PythonFile(self._raw, "r"), name)

    def read(self, num_bytes: int) -> bytes:
        """Return the next bytes of the content, or none at its end."""
        try:
            return self._content.read(num_bytes)
        except OSError as error:
            if error.errno is not None or self._content is self._raw:
                raise
            raise InputError(f"{self.path} is cut short or damaged ({error}); copy or download it again") from error

    def head(self) -> bytes:
        """Return the first bytes of a text; refuse a file that holds something else."""
        head = self.read(_HEAD_BYTES)
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise InputError(f"{self.path} is UTF-16; convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW")
        magic, place = _magic_name(head), head.find(b"\0")
        # "PAR1" may also be the first word of a text about that protein
        if place >= 0 or (magic and (magic == "PDF" or not head[:4].isascii())):
            what = f"a {magic} file" if magic else f"a binary file (a NUL byte at offset {place})"
            raise InputError(f"{self.path} is {what}, not text; give UTF-8 text or name the file for what it is")
        return head

    @property
    def progress(self) -> float:
        """Share of the file that has been read, in [0, 1]."""
        return min(1.0, self._raw.tell() / self.size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        if self._content is not self._raw:
            self._content.close()
        self._raw.close()


def open_seekable(path: Path) -> IO[bytes]:
    """Return the content as a file that can seek: the file itself, or a temporary decompressed copy."""
    with ByteStream(path) as stream:
        if not split_suffix(path)[1]:
            return path.open("rb")
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        while chunk := stream.read(_COPY_BYTES):
            copy.write(chunk)
        copy.seek(0)
        return copy


def _magic_name(head: bytes) -> str | None:
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
