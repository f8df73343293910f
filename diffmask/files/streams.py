"""The bytes of a corpus file: decompressed as they are read, and refused if they are not what the name says."""

import codecs
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
_SPREADSHEETS = (b"[Content_Types].xml", b"mimetypeapplication/vnd.oasis", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
"""What the start of a file holds that Excel or LibreOffice saved as its own: .xlsx, .ods and .xls."""
SPREADSHEET_SUFFIXES = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers")
AS_CSV = 'is a spreadsheet, not text; save it as "CSV UTF-8" (File, Save As) and give that file'
_SIGNED_BYTES = 128
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
    """The decompressed content of a file; every failure to read it is one sentence.

    Args:
        path: The file.
        table: Whether it is a table, which spreadsheets save as UTF-16 too: that is read as UTF-8.
    """

    def __init__(self, path: Path, *, table: bool = False):
        self.path = path
        self.is_utf16 = False
        """Whether it is a table in UTF-16; known once `head` was read."""
        self._table = table
        self._utf16 = codecs.getincrementaldecoder("utf-16")()
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
        data = self._read(num_bytes)
        return self._as_utf8(data) if self.is_utf16 else data

    def _as_utf8(self, data: bytes) -> bytes:
        try:
            # an empty piece is the end, at which half a character may be left
            return self._utf16.decode(data, final=not data).encode("utf-8")
        except UnicodeError as error:
            raise InputError(f"{self.path} is damaged UTF-16; save it again, as UTF-8") from error

    def _read(self, num_bytes: int) -> bytes:
        try:
            return self._content.read(num_bytes)
        except OSError as error:
            if error.errno is not None or self._content is self._raw:
                raise
            raise InputError(f"{self.path} is cut short or damaged ({error}); copy or download it again") from error

    def head(self) -> bytes:
        """Return the first bytes of a text; refuse a file that holds something else."""
        head = self._read(_HEAD_BYTES)
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            if not self._table or head[2:4] == b"\0\0":
                name = "UTF-32" if head[2:4] == b"\0\0" else "UTF-16"
                raise InputError(f"{self.path} is {name}; convert it: iconv -f {name} -t UTF-8 OLD > NEW")
            self.is_utf16 = True
            head = self._as_utf8(head)
        if any(part in head[:_SIGNED_BYTES] for part in _SPREADSHEETS):
            raise InputError(f"{self.path} {AS_CSV}")
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
