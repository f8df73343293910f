"""AnchorSet: the words that make a domain different, a score for every word type of it, and the folder that holds both.

The folder has a list to read and edit by hand, tables for machines, and a record of how they were made.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, TypedDict

import torch
from torch import Tensor

from diffmask.config.limits import NotEmpty, at_least
from diffmask.core.anchors import check_anchors
from diffmask.core.difference import reference_frequencies
from diffmask.core.errors import InputError
from diffmask.core.types import TypeScores
from diffmask.files.folders import check_folder, draft
from diffmask.files.made_folder import read_record, read_table, read_tensors, write_record, write_table
from diffmask.files.tables import TABLES, Table, names_column, read_lines
from diffmask.text.anchors.vocabulary import common_types
from diffmask.text.corpus.words import split_words
from diffmask.text.segment.type_table import TypeTable

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ANCHORS, _TYPES, _EMBEDDINGS, _RECORD = "anchors.csv", "types.parquet", "anchors.safetensors", "anchors.json"
NAMES = (_ANCHORS, _TYPES, _EMBEDDINGS, _RECORD)
_MAKE = "make it with: diffmask anchors DATA --model MODEL -o FOLDER"
_COLUMNS = ("anchor", "tf_icf", "domain_count", "domain_frequency", "reference_frequency")


_AGAIN = "make the anchors again with: diffmask anchors DATA --model MODEL -o FOLDER"
_TYPE_COLUMNS = {"type": "string", "count": "int64", "tf_icf": "float64", "score": "float32"}


class _Model(TypedDict):
    name: str
    tokenizer: NotRequired[str]
    architecture: NotRequired[Any]


class _Record(TypedDict):
    """What is used of the record of how anchors were made."""

    anchors: Annotated[list[str], NotEmpty("there is no anchor")]
    num_words: Annotated[int, at_least(1)]
    model: NotRequired[_Model]
    reference: NotRequired[Any]


def read_anchors(path: str | Path, language: str | None = None) -> list[str]:
    """Return the anchors of a file that people wrote or edited, as types.

    Of a table (.csv, .tsv, or a first line that names the column `anchor`) that column is read; anything else is a list
    with one anchor a line. An anchor may be several words, and need not occur in the data.

    Args:
        path: The file.
        language: Language whose own case and letters count, that of the reference.

    Raises:
        InputError: If there is no such file or column, the file is not text, a line has no word in it, or an anchor
            comes twice.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a file with one anchor a line, or an edited {_ANCHORS}")
    anchors = []
    for number, entry in _entries(path):
        words = split_words(entry, language)
        if not words:
            raise InputError(f"{path} has no word in line {number} ({entry!r}); write an anchor there or drop the line")
        anchors.append(" ".join(words))
    return check_anchors(anchors, str(path))


def _entries(path: Path) -> Iterator[tuple[int, str]]:
    """Yield what is written for each anchor, with its line."""
    lines = read_lines(path, "list of anchors")[0] if path.stat().st_size else []
    if path.suffix.lower() not in TABLES and not names_column(lines, "anchor"):
        yield from ((number, line) for number, line in enumerate(lines, 1) if line.strip())
        return
    with Table(path) as table:
        column = table.find("anchor")
        if column is None:
            raise InputError(f"{path} has no column `anchor` in its first line; give the column of the words that name")
        for line, values in table.rows():
            if any(values):
                yield line, values[column] if column < len(values) else ""


@dataclass(frozen=True, eq=False)
class AnchorSet:
    """What `diffmask anchors` finds: anchors, and the table of types that policies and reports read.

    Attributes:
        anchors: The words that stand for the domain, best first.
        types: Every word type of the domain, most frequent first; then the letter parts of words with digits ("cyp" of
            "cyp2b6") that are no types themselves.
        counts: Occurrences of each type, int64 (V,).
        tf_icf: How many times its general frequency each type has in the domain, float64 (V,).
        scores: Score of each type, float32 (V,); higher = masked more often.
        embeddings: Embeddings of the anchors, float32 (A, D).
        metadata: How the anchors were made: inputs with hashes, models, settings, versions.
    """

    anchors: list[str]
    types: list[str]
    counts: Tensor
    tf_icf: TypeScores
    scores: TypeScores
    embeddings: Tensor
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Let the types know their language, and which of them says more of the domain."""
        object.__setattr__(self, "types", TypeTable(self.types, self.language, self.tf_icf.tolist()))

    @property
    def language(self) -> str | None:
        """Language whose own case and letters count, that of the reference."""
        return self.metadata.get("reference", {}).get("language")

    def domain_frequencies(self) -> Tensor:
        """Return the share of each type in the domain, float64 (V,)."""
        return self.counts.double() / self.metadata["num_words"]

    def reference_frequencies(self) -> Tensor:
        """Return the general frequency of each type, float64 (V,)."""
        return reference_frequencies(self.domain_frequencies(), self.tf_icf)

    @property
    def unknown_score(self) -> float:
        """Score for units that are no word of the domain, such as punctuation: that of the most common words."""
        return self.scores[common_types(self.types, self.reference_frequencies())].median().item()

    def check_model(self, name: str, tokenizer: "PreTrainedTokenizerBase") -> None:
        """Refuse a model that the anchors were not made for.

        Scores that a model of another kind made, such as the text tower of a CLIP, hold for any model: it is words that
        have them, not tokens.

        Args:
            name: What the user called the model.
            tokenizer: Its tokenizer.

        Raises:
            InputError: If its tokenizer or its architecture differs.
        """
        from diffmask.text.model.load import describe_architecture

        made = self.metadata.get("model")
        if made is None:
            return
        given = {"tokenizer": hash_tokenizer(tokenizer), "architecture": describe_architecture(name)}
        other = next((part for part in given if given[part] != made.get(part)), None)
        if other is not None:
            raise InputError(
                f"the anchors were made for {made['name']!r}, which has another {other} than {name!r}; "
                f"make them again with: diffmask anchors DATA --model {name} -o FOLDER"
            )

    def rows(self) -> list[tuple[str, float, int, float, float]]:
        """Return a row for each anchor: anchor, TF-ICF, count, and its shares of the domain and of the reference.

        All are zero for an anchor that does not occur in the data.
        """
        row_of = {word: row for row, word in enumerate(self.types)}
        domain, reference = self.domain_frequencies(), self.reference_frequencies()
        rows = []
        for anchor in self.anchors:
            row = row_of.get(anchor)
            if row is None:
                rows.append((anchor, 0.0, 0, 0.0, 0.0))
                continue
            numbers = (self.tf_icf[row].item(), int(self.counts[row]), domain[row].item(), reference[row].item())
            rows.append((anchor, *numbers))
        return rows

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the anchors' folder; it appears when it is complete.

        Raises:
            InputError: See `check_folder`.
        """
        import pyarrow
        from pyarrow import parquet
        from safetensors.torch import save

        folder = check_folder(folder, "anchors", NAMES, overwrite=overwrite)
        with draft(folder) as new:
            new.mkdir()
            write_table(new / _ANCHORS, _COLUMNS, self.rows())
            columns = {"count": self.counts, "tf_icf": self.tf_icf, "score": self.scores}
            arrays = {name: column.numpy() for name, column in columns.items()}
            parquet.write_table(pyarrow.table({"type": self.types, **arrays}), new / _TYPES)
            (new / _EMBEDDINGS).write_bytes(save({"anchors": self.embeddings.contiguous()}))
            write_record(new / _RECORD, self.metadata | {"anchors": self.anchors})


def load_anchors(folder: str | Path) -> AnchorSet:
    """Read a folder that `diffmask anchors` made.

    Raises:
        InputError: If it is not one, a file is missing or damaged, or its anchors were edited without scoring again.
    """
    folder = Path(folder)
    record = read_record(folder / _RECORD, NAMES, "anchors", _MAKE, _Record)
    if were_edited(folder, record):
        raise InputError(
            f"{folder / _ANCHORS} was edited, but the scores are still those of the anchors before; score again with: "
            f"diffmask anchors DATA --model MODEL --anchors {folder / _ANCHORS} -o {folder} --overwrite"
        )
    table, _ = read_table(folder / _TYPES, _TYPE_COLUMNS, _AGAIN)
    embeddings = read_tensors(folder / _EMBEDDINGS, {"anchors": 2}, _AGAIN)["anchors"]
    columns = {name: torch.from_numpy(table[name].to_numpy().copy()) for name in ("count", "tf_icf", "score")}
    wrong = _contradiction(record, table["type"].to_pylist(), columns, embeddings)
    if wrong is not None:
        raise InputError(f"the files of {folder} contradict each other ({wrong}); {_AGAIN}")
    return AnchorSet(
        anchors=record["anchors"],
        types=table["type"].to_pylist(),
        counts=columns["count"],
        tf_icf=columns["tf_icf"],
        scores=columns["score"],
        embeddings=embeddings,
        metadata=record,
    )


def were_edited(folder: Path, record: Mapping[str, Any]) -> bool:
    """Tell whether the table of a folder names other anchors than those by which types were scored.

    Args:
        folder: The folder.
        record: The `anchors` and their `reference`.
    """
    language = (record.get("reference") or {}).get("language")
    made = [" ".join(split_words(anchor, language)) for anchor in record["anchors"]]
    return read_anchors(folder / _ANCHORS, language) != made


def _contradiction(
    record: "_Record", types: Sequence[str], columns: Mapping[str, Tensor], embeddings: Tensor
) -> str | None:
    """Return what does not fit together in an anchors' folder; None if all does."""
    if len(embeddings) != len(record["anchors"]):
        return f"{len(embeddings)} embeddings for {len(record['anchors'])} anchors"
    if len(set(types)) < len(types) or not types:
        return f"{_TYPES} holds {'a word twice' if types else 'no word'}"
    if (columns["count"] < 1).any() or (columns["tf_icf"] < 0).any():
        return f"{_TYPES} has a word that occurs less than once, or a TF-ICF below 0"
    # letter parts of words with digits are counted beside the words
    if columns["count"].max() > record["num_words"]:
        return f"{_TYPES} counts a word {int(columns['count'].max())} times, of {record['num_words']} words"
    return None


def hash_tokenizer(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Return a sha256 of what a tokenizer does to a text; padding and truncation, settings of a call, are left out."""
    from tokenizers import Tokenizer

    backend = tokenizer.backend_tokenizer
    assert isinstance(backend, Tokenizer)
    state = json.loads(backend.to_str())
    state = {part: value for part, value in state.items() if part not in ("padding", "truncation")}
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
