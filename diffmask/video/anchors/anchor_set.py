"""VisualAnchors: what makes a domain of clips different, and the score of patches that follows from it.

Their folder holds a table to read and edit, tensors, a picture, and a record of how they were made.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor

from diffmask.config.limits import NotEmpty, above
from diffmask.core.anchors import check_anchors
from diffmask.core.errors import InputError
from diffmask.core.similarity import ANCHOR_SHARE, contrast, likeness
from diffmask.core.types import Scores, TypeScores
from diffmask.files.folders import check_folder, draft
from diffmask.files.json_object import faults
from diffmask.files.made_folder import read_record, read_tensors, write_record, write_table
from diffmask.files.records import read_records
from diffmask.video.score.embedders import build_embedder
from diffmask.video.units.features import PatchEmbedder

if TYPE_CHECKING:
    from PIL.Image import Image

ANCHORS, _TENSORS, RECORD, _SHEET = "anchors.csv", "anchors.safetensors", "anchors.json", "sheet.png"
NAMES = (ANCHORS, _TENSORS, RECORD, _SHEET)
COLUMNS = ("anchor", "kind", "tf_icf", "domain_count", "domain_clips", "domain_frequency", "reference_frequency")
WORD, TEXT, EXEMPLAR = "word", "text", "exemplar"
ALIKE = 0.8
"""Least cosine at which two visual words stand for the same anchor."""
_BASIS = "basis."
_MODALITY = "video"
_MAKE = "make it with: diffmask anchors CLIPS --reference OTHER_CLIPS -o FOLDER"


_AGAIN = "make the anchors again with: diffmask anchors CLIPS --reference OTHER_CLIPS -o FOLDER"
_DIMENSIONS = {"anchors": 2, "common": 2, "words": 2, "log_tf_icf": 1}
_Scale = tuple[float, Annotated[float, above(0)]]


class _Embedder(TypedDict):
    spec: str
    key: str
    layer: str | None
    size: int | None


class _Record(TypedDict):
    """What is used of the record of how anchors were made."""

    anchors: Annotated[list[str], NotEmpty("there is no anchor")]
    rows: list[list]
    embedder: _Embedder
    found: bool
    spread: tuple[_Scale, _Scale]


def _read_kept(path: Path, known: Sequence[str]) -> list[str]:
    """Return the anchors of a table that people may have edited: rows can be dropped and moved, not added.

    Args:
        path: The table; only its column `anchor` is read.
        known: The anchors that the folder holds.
    """
    kept = []
    for number, row in read_records(path):
        if "anchor" not in row:
            raise InputError(
                f"{path} has no column `anchor` in its first line; give the column of the anchors that name"
            )
        name = str(row["anchor"] or "")
        if name not in known:
            raise InputError(
                f"{path}: row {number} has the anchor {name!r}, which the folder does not hold; drop rows, or make "
                "anchors of your own with --text or --exemplar"
            )
        kept.append(name)
    return check_anchors(kept, str(path))


@dataclass(frozen=True, eq=False)
class VisualAnchors:
    """Anchors of a domain of clips.

    Attributes:
        names: Names of the anchors, best first.
        rows: The values of `COLUMNS` for each anchor.
        embeddings: Embeddings of the anchors, float32 (A, D).
        common: Embeddings of visual words that the anchors are contrasted with, float32 (C, D).
        words: Visual words that vote on what is like the domain, float32 (V, D); none if people gave the anchors.
        log_tf_icf: Logarithm of the TF-ICF of these words, float32 (V,).
        basis: What a `pixels` embedder was fitted to; empty for others.
        metadata: How they were made: inputs, embedder, settings, versions.
    """

    names: list[str]
    rows: list[tuple[Any, ...]]
    embeddings: Tensor
    common: Tensor
    words: Tensor
    log_tf_icf: Tensor
    basis: dict[str, Tensor] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A sha256 of everything that the scores depend on."""
        digest = hashlib.sha256(json.dumps([self.metadata["embedder"], self.metadata["spread"]]).encode())
        for name, values in sorted(self.tensors().items()):
            digest.update(f"{name} {tuple(values.shape)}".encode())
            digest.update(values.numpy().tobytes())
        return digest.hexdigest()

    @property
    def is_found(self) -> bool:
        """Whether the anchors were found by comparing clips, not given by people."""
        return self.metadata["found"]

    def kept(self, names: list[str]) -> "VisualAnchors":
        """Return the anchors with these names only; words that look like one of the others no longer vote."""
        chosen = [self.names.index(name) for name in names]
        dropped = [row for row in range(len(self.names)) if row not in chosen]
        if not dropped:
            return self._picked(chosen)
        votes = torch.ones(len(self.words), dtype=torch.bool)
        if self.is_found:
            cosines = F.normalize(self.words, dim=1) @ F.normalize(self.embeddings, dim=1).T
            votes = (cosines.amax(1) < ALIKE) | torch.isin(cosines.argmax(1), torch.tensor(chosen))
        return replace(self._picked(chosen), words=self.words[votes], log_tf_icf=self.log_tf_icf[votes])

    def _picked(self, chosen: list[int]) -> "VisualAnchors":
        names, rows = ([values[row] for row in chosen] for values in (self.names, self.rows))
        return replace(self, names=names, rows=rows, embeddings=self.embeddings[chosen].contiguous())

    def parts(self, embeddings: Tensor) -> tuple[TypeScores, TypeScores]:
        """Return how much patches look like the domain, and how much nearer they are to the anchors, float (N,) each.

        Likeness is zero if people gave the anchors: then nothing was compared.

        Args:
            embeddings: Embeddings of patches, float (N, D).
        """
        anchors, common = (each.to(embeddings) for each in (self.embeddings, self.common))
        near = contrast(embeddings, anchors, common, "mean" if self.is_found else "max")
        if not self.is_found:
            return torch.zeros_like(near), near
        # words vote, patches are voted on
        together = torch.cat([embeddings, self.words.to(embeddings)])
        voters = torch.arange(len(together), device=embeddings.device) >= len(embeddings)
        votes = together.new_zeros(len(together))
        votes[len(embeddings) :] = self.log_tf_icf.to(votes)
        return likeness(together, votes, voters)[: len(embeddings)], near

    def fitted_to(self, embeddings: Tensor) -> "VisualAnchors":
        """Return the anchors with both parts of the score scaled to mean 0 and deviation 1 over some patches.

        Args:
            embeddings: Embeddings of patches of the domain, float (N, D).
        """
        scales = [[each.mean().item(), _deviation(each)] for each in self.parts(embeddings)]
        return replace(self, metadata=self.metadata | {"spread": scales})

    def score(self, embeddings: Tensor) -> TypeScores:
        """Return the score of patches, float (N,), in standard deviations over the patches of the domain.

        As for words it is likeness and contrast, 4 to 1; contrast alone if people gave the anchors.
        """
        likely, near = self.parts(embeddings)
        (likely_mean, likely_deviation), (near_mean, near_deviation) = self.metadata["spread"]
        near = (near - near_mean) / near_deviation
        return torch.lerp((likely - likely_mean) / likely_deviation, near, ANCHOR_SHARE) if self.is_found else near

    def embedder(self, device: str = "auto") -> PatchEmbedder:
        """Return the embedder that the anchors were made with.

        Raises:
            InputError: If its model is no longer there, or is another one.
        """
        made = self.metadata["embedder"]
        options = {"layer": made["layer"], "size": made["size"], "device": device, "basis": self.basis or None}
        found = build_embedder(made["spec"], **options)
        if found.key != made["key"]:
            raise InputError(
                f"the embedder {made['spec']} has other weights than when the anchors were made; make them again"
            )
        return found

    def scorer(self, device: str = "auto") -> "_AnchorScorer":
        """Return a scorer of frames; raises as `embedder` does."""
        return _AnchorScorer(self, self.embedder(device))

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors by name."""
        own = {"anchors": self.embeddings, "common": self.common, "words": self.words, "log_tf_icf": self.log_tf_icf}
        return own | {_BASIS + name: values for name, values in self.basis.items()}

    def save(self, folder: str | Path, sheet: "Image", *, overwrite: bool = False) -> None:
        """Write the anchors' folder; it appears when it is complete.

        Raises:
            InputError: See `check_folder`.
        """
        from safetensors.torch import save

        folder = check_folder(folder, "anchors", NAMES, overwrite=overwrite)
        with draft(folder) as new:
            new.mkdir()
            write_table(new / ANCHORS, COLUMNS, self.rows)
            tensors = {name: values.contiguous() for name, values in self.tensors().items()}
            (new / _TENSORS).write_bytes(save(tensors))
            record = {"modality": _MODALITY} | self.metadata | {"anchors": self.names, "rows": self.rows}
            write_record(new / RECORD, record)
            sheet.save(new / _SHEET)


@dataclass(frozen=True, eq=False)
class _AnchorScorer:
    """Scores patches of frames by anchors; higher = more of the domain."""

    anchors: VisualAnchors
    embedder: PatchEmbedder

    @property
    def key(self) -> str:
        """What the scores depend on besides the frame."""
        return self.anchors.key

    def score(self, frames: Tensor) -> Scores:
        """Return scores float32 (K, rows, columns) of frames uint8 (K, H, W, 3)."""
        embeddings = self.embedder.embed(frames)
        return self.anchors.score(embeddings.flatten(0, 2)).unflatten(0, embeddings.shape[:3])


def load_visual_anchors(folder: str | Path, table: str | Path | None = None) -> VisualAnchors:
    """Read a folder that `diffmask anchors` made of clips; anchors that people dropped from its table are left out.

    Args:
        folder: The folder.
        table: Another table of its anchors.

    Raises:
        InputError: If it is not one, a file is missing or damaged, or its table has other anchors.
    """
    folder = Path(folder)
    record = read_record(folder / RECORD, (ANCHORS, _TENSORS, RECORD), "anchors", _MAKE)
    if record.get("modality") != _MODALITY:
        raise InputError(f"folder {folder} holds the anchors of texts, not of clips; {_MAKE}")
    wrong = next(faults(record, _Record), None)
    if wrong is not None:
        raise InputError(f"{folder / RECORD} is damaged ({wrong}); {_AGAIN}")
    tensors = read_tensors(folder / _TENSORS, _DIMENSIONS, _AGAIN)
    wrong = _contradiction(record, tensors)
    if wrong is not None:
        raise InputError(f"the files of {folder} contradict each other ({wrong}); {_AGAIN}")
    names, rows = record.pop("anchors"), [tuple(row) for row in record.pop("rows")]
    record.pop("modality")
    found = VisualAnchors(
        names=names,
        rows=rows,
        embeddings=tensors["anchors"],
        common=tensors["common"],
        words=tensors["words"],
        log_tf_icf=tensors["log_tf_icf"],
        basis={name.removeprefix(_BASIS): each for name, each in tensors.items() if name.startswith(_BASIS)},
        metadata=record,
    )
    return found.kept(_read_kept(Path(table or folder / ANCHORS), names))


def _contradiction(record: "_Record", tensors: Mapping[str, Tensor]) -> str | None:
    """Return what does not fit together in an anchors' folder; None if all does."""
    anchors, common, words = (tensors[name] for name in ("anchors", "common", "words"))
    if not len(anchors) == len(record["anchors"]) == len(record["rows"]):
        return f"{len(anchors)} embeddings and {len(record['rows'])} rows for {len(record['anchors'])} anchors"
    if not anchors.shape[1] == common.shape[1] == words.shape[1] or not len(common):
        return "embeddings of different sizes, or none that the anchors are contrasted with"
    if len(words) != len(tensors["log_tf_icf"]) or (record["found"] and not len(words)):
        return f"{len(tensors['log_tf_icf'])} TF-ICF for {len(words)} visual words"
    return None


def _deviation(values: Tensor) -> float:
    deviation = values.std(correction=0).item()
    # if patches do not differ there is nothing to scale
    return deviation if deviation > 1e-6 else 1.0
