"""PairAnchors: anchors of the words and of the patches of clips with texts, and the folder that holds both.

    anchors = load_pair_anchors("anchors/")
    anchors.text.scores, anchors.video.scorer()

Each side is a folder as `diffmask anchors` makes it of texts or of clips alone, so each can be used alone.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from diffmask.core.errors import InputError
from diffmask.files.folders import check_folder, draft
from diffmask.files.made_folder import read_record, write_record
from diffmask.text.anchors.anchor_set import NAMES as TEXT_NAMES
from diffmask.text.anchors.anchor_set import AnchorSet, load_anchors, were_edited
from diffmask.video.anchors.anchor_set import ANCHORS, VisualAnchors, load_visual_anchors
from diffmask.video.anchors.anchor_set import NAMES as VIDEO_NAMES

if TYPE_CHECKING:
    from PIL.Image import Image

TEXT, VIDEO = "text", "video"
"""Folders of the two sides."""
_RECORD = "anchors.json"
NAMES = (_RECORD, *(f"{TEXT}/{name}" for name in TEXT_NAMES), *(f"{VIDEO}/{name}" for name in VIDEO_NAMES))
MODALITY = "video-text"
_MAKE = "make it with: diffmask anchors PAIRS --embedder clip:MODEL:WEIGHTS -o FOLDER"


class _Record(TypedDict):
    """What is used of the record of how anchors were made."""

    modality: str
    joint: bool
    anchors: list[str]


@dataclass(frozen=True, eq=False)
class PairAnchors:
    """Anchors of a domain of clips with texts.

    Attributes:
        text: Anchors of the words, with a score for every word type.
        video: Anchors of the patches.
        metadata: How they were made; what concerns one side only is in its own record.
    """

    text: AnchorSet
    video: VisualAnchors
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def is_joint(self) -> bool:
        """Whether the same words, embedded by the same model, score both sides."""
        return self.metadata["joint"]

    def save(self, folder: str | Path, sheet: "Image", *, overwrite: bool = False) -> None:
        """Write the anchors' folder; it appears when it is complete.

        Args:
            folder: The folder.
            sheet: Picture of what the anchors look like.
            overwrite: Whether a folder of such anchors may be replaced.

        Raises:
            InputError: See `check_folder`.
        """
        folder = check_folder(folder, "anchors", NAMES, overwrite=overwrite)
        with draft(folder) as new:
            new.mkdir()
            self.text.save(new / TEXT)
            self.video.save(new / VIDEO, sheet)
            anchors = {"anchors": self.text.anchors if self.is_joint else []}
            write_record(new / _RECORD, {"modality": MODALITY} | self.metadata | anchors)


def load_pair_anchors(folder: str | Path) -> PairAnchors:
    """Read a folder that `diffmask anchors` made of clips with texts.

    Raises:
        InputError: If it is not one, a file is missing or damaged, or anchors that are to be the same on both sides are
            not.
    """
    folder = Path(folder)
    record = read_record(folder / _RECORD, [_RECORD], "anchors", _MAKE)
    if record.get("modality") != MODALITY:
        kind = "clips" if record.get("modality") == VIDEO else "texts"
        raise InputError(f"folder {folder} holds the anchors of {kind}, not of clips with texts; {_MAKE}")
    record = read_record(folder / _RECORD, NAMES, "anchors of clips with texts", _MAKE, _Record)
    if record["joint"] and were_edited(folder / TEXT, record):
        raise InputError(_edited(folder, TEXT))
    anchors = PairAnchors(load_anchors(folder / TEXT), load_visual_anchors(folder / VIDEO), record)
    if anchors.is_joint and anchors.video.names != anchors.text.anchors:
        raise InputError(_edited(folder, VIDEO))
    if anchors.is_joint and anchors.text.metadata["embedder"].get("key") != anchors.video.metadata["embedder"]["key"]:
        raise InputError(
            f"the files of {folder} contradict each other (its words and its patches were embedded by different "
            f"models); {_MAKE}"
        )
    return anchors


def refuse_apart(folder: str | Path) -> None:
    """Refuse a folder whose sides do not belong together; one without a record of both was put together by hand.

    Raises:
        InputError: See `load_pair_anchors`.
    """
    if (Path(folder) / _RECORD).is_file():
        load_pair_anchors(folder)


def _edited(folder: Path, side: str) -> str:
    """Return the sentence for a side whose anchors are no longer those of the other."""
    table = folder / side / ANCHORS
    return (
        f"{table} was edited, but the same anchors score words and patches, and the scores of words are still those of "
        f"the anchors before; score both again with: diffmask anchors PAIRS --embedder clip:MODEL:WEIGHTS --anchors "
        f"{table} -o {folder} --overwrite"
    )
