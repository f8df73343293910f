"""AnchorSet: the words that make a domain different, and a score for every word type of it."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffmask.core.difference import reference_frequencies
from diffmask.core.errors import InputError
from diffmask.core.types import TypeScores
from diffmask.files.folders import replace_folder
from diffmask.text.anchors import anchor_files
from diffmask.text.anchors.vocabulary import common_types

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


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
        embeddings: Of the anchors, float32 (A, D).
        metadata: How they were made: inputs with hashes, models, settings, versions.
    """

    anchors: list[str]
    types: list[str]
    counts: Tensor
    tf_icf: TypeScores
    scores: TypeScores
    embeddings: Tensor
    metadata: dict[str, Any] = field(default_factory=dict)

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
        """Refuse to be used with a model that the anchors were not made for.

        Args:
            name: What the user called the model.
            tokenizer: Its tokenizer.

        Raises:
            InputError: If tokenizer or architecture are others.
        """
        from diffmask.text.anchors.encoder import describe_architecture

        made = self.metadata["model"]
        given = {"tokenizer": hash_tokenizer(tokenizer), "architecture": describe_architecture(name)}
        other = next((part for part in given if given[part] != made[part]), None)
        if other is not None:
            raise InputError(
                f"the anchors were made for {made['name']!r}, which has another {other} than {name!r}; "
                f"make them again with: diffmask anchors DATA --model {name} -o FOLDER"
            )

    def rows(self) -> list[tuple[str, float, int, float, float]]:
        """Return the anchors with the values of `anchor_files.COLUMNS`; zero for one that the data does not hold."""
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
            InputError: See `anchor_files.check_folder`.
        """
        import pyarrow
        from pyarrow import parquet
        from safetensors.torch import save

        folder = anchor_files.check_folder(folder, overwrite=overwrite)
        draft = folder.absolute().with_name(f".{folder.absolute().name}.{os.getpid()}.partial")
        shutil.rmtree(draft, ignore_errors=True)  # of a process of the same number that was killed
        draft.mkdir()
        try:
            anchor_files.write_anchors(draft / anchor_files.ANCHORS, self.rows())
            columns = {"count": self.counts, "tf_icf": self.tf_icf, "score": self.scores}
            arrays = {name: column.numpy() for name, column in columns.items()}
            parquet.write_table(pyarrow.table({"type": self.types, **arrays}), draft / anchor_files.TYPES)
            (draft / anchor_files.EMBEDDINGS).write_bytes(save({"anchors": self.embeddings.contiguous()}))
            anchor_files.write_record(draft / anchor_files.RECORD, self.metadata | {"anchors": self.anchors})
            replace_folder(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def load_anchors(folder: str | Path) -> AnchorSet:
    """Read a folder that `diffmask anchors` made.

    Raises:
        InputError: If it is not one, a file is missing or damaged, or its anchors were edited without scoring again.
    """
    import pyarrow
    from pyarrow import parquet
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    record = anchor_files.read_record(folder)
    try:
        table = parquet.read_table(folder / anchor_files.TYPES)
        embeddings = load_file(folder / anchor_files.EMBEDDINGS)["anchors"]
    except (pyarrow.ArrowInvalid, SafetensorError, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"a file of {folder} is damaged ({reason}); make the anchors again") from error
    columns = {name: torch.from_numpy(table[name].to_numpy().copy()) for name in ("count", "tf_icf", "score")}
    return AnchorSet(
        anchors=record["anchors"],
        types=table["type"].to_pylist(),
        counts=columns["count"],
        tf_icf=columns["tf_icf"],
        scores=columns["score"],
        embeddings=embeddings,
        metadata=record,
    )


def hash_tokenizer(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Return a sha256 of what a tokenizer does to a text; padding and truncation are settings of a call."""
    from tokenizers import Tokenizer

    backend = tokenizer.backend_tokenizer
    assert isinstance(backend, Tokenizer)
    state = json.loads(backend.to_str())
    state = {part: value for part, value in state.items() if part not in ("padding", "truncation")}
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
