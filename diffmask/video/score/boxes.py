"""Boxes that people or detectors drew (faces, hands, bodies), and how much of each patch lies in one.

placed = match_boxes(read_boxes("faces.csv"), clips, label="face")
placed[clip.path].cover(times, crop, rows=14, columns=14)
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.files.blocks import listed
from diffmask.files.records import read_records
from diffmask.video.clip.clip import Clip
from diffmask.video.clip.names import ClipNames
from diffmask.video.read.sampling import Crop

_CORNERS = ("x1", "y1", "x2", "y2")
_FRAME, _TIME = "frame", "time"
SHARE = "share"
_FINE = 8
"""Parts of a patch, each way, by which the overlap of boxes is resolved."""


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes of one clip.

    Attributes:
        times: Time of each box, float64 (N,): number of the frame, seconds, or share of the clip in [0, 1].
        corners: x1, y1, x2, y2, float64 (N, 4), in pixels of the upright frame or shares of its width and height; NaN
            if the row says that there is no box at this time.
        labels: What is in each box; empty if the table does not say it.
        unit: Unit of the times: `frame`, `time` (seconds), or `share`; with `share` corners are shares too.
    """

    times: Tensor
    corners: Tensor
    labels: tuple[str, ...]
    unit: str

    def of(self, clip: Clip) -> "Boxes":
        """Return the boxes as shares of the clip and of its frame.

        Raises:
            InputError: If a box lies outside of the clip or of its frame.
        """
        assert self.unit != SHARE
        length = max(1, clip.num_frames - 1) if self.unit == _FRAME else max(clip.duration, 1e-9)
        last = clip.num_frames - 1 if self.unit == _FRAME else clip.duration
        late = (self.times < 0) | (self.times > last + 1e-6)
        if late.any():
            what = "frames" if self.unit == _FRAME else "seconds"
            given = f"{self.unit} {self.times[late][0]:g}"
            raise InputError(f"{clip.path} has a box at {given}, but only {last + (self.unit == _FRAME):g} {what}")
        size = torch.tensor([clip.width, clip.height] * 2, dtype=torch.float64)
        outside = ((self.corners[:, :2] >= size[:2]) | (self.corners[:, 2:] <= 0)).any(1)
        if outside.any():
            corners = ", ".join(f"{value:g}" for value in self.corners[outside][0])
            raise InputError(
                f"{clip.path} has a box ({corners}) outside of its frame of {clip.width}x{clip.height} pixels; give "
                "pixels of the upright frame"
            )
        return Boxes((self.times / length).clamp(0, 1), (self.corners / size).clamp(0, 1), self.labels, SHARE)

    def labelled(self, label: str) -> "Boxes":
        """Return the boxes with a label; times without one stay, as times without a box."""
        other = torch.tensor([own != label for own in self.labels], dtype=torch.bool)
        corners = torch.where(other[:, None], torch.nan, self.corners)
        return Boxes(self.times, corners, self.labels, self.unit)

    def cover(self, times: Tensor, crop: Crop, rows: int, columns: int) -> Tensor:
        """Return which share of each patch lies in a box, float32 (T', rows, columns) in [0, 1].

        A time has the boxes of the nearest time in the table, if that is no farther away than the times in the table
        usually are from each other (their median distance). Boxes given for one time only hold for the whole clip.

        Args:
            times: Times of the patches as shares of the clip, float (T',) in [0, 1].
            crop: What is seen of the frame.
            rows: Patches in height.
            columns: Patches in width.
        """
        assert self.unit == SHARE, "boxes are placed with Boxes.of first"
        seen = self.times.unique()
        away = (times.double()[:, None] - seen).abs()
        reach = seen.diff().median().item() if len(seen) > 1 else 1.0
        chosen = torch.where(away.amin(1) <= reach + 1e-9, seen[away.argmin(1)], -1.0)
        used = torch.isin(self.times, chosen) & ~self.corners.isnan().any(1)
        parts = _coverage(crop.of_boxes(self.corners[used].float()), rows * _FINE, columns * _FINE)
        # one more box, which covers nothing and holds at all times, so that no maximum below is one of nothing
        parts = torch.cat([parts, torch.zeros(1, rows * _FINE, columns * _FINE)])
        held = F.pad(self.times[used] == chosen[:, None], (0, 1), value=True)
        # the maximum of fine parts, then their mean: where boxes overlap, nothing counts twice
        covered = torch.stack([parts[row].amax(0) for row in held])
        return covered.unflatten(2, (columns, _FINE)).unflatten(1, (rows, _FINE)).mean((2, 4))


def read_boxes(path: str | Path) -> dict[str, Boxes]:
    """Return the boxes of each clip, by what the table calls it: its path or its name.

    The table is .csv, .tsv, .jsonl or .parquet with the columns clip, frame (from 0) or time (in seconds), x1, y1, x2,
    y2 (in pixels of the upright frame) and, optionally, label. A row with empty corners says that there is no box at
    that time.

    Raises:
        InputError: If there is no such table, it has other columns, or a row is no box.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a table with the columns clip, frame, {', '.join(_CORNERS)}")
    rows: dict[str, list[tuple[float, tuple[float, ...], str]]] = defaultdict(list)
    unit = None
    for number, row in read_records(path):
        unit = unit or _unit(path, row)
        where = f"{path}: row {number}"
        when = _number(row.get(unit), unit, where)
        if math.isnan(when):
            raise InputError(f"{where} has no {unit}; give it a number")
        name = row.get("clip")
        if not name:
            raise InputError(f"{where} names no clip; give its path or its name")
        rows[str(name)].append((when, _corners(row, where), str(row.get("label") or "")))
    if unit is None:
        raise InputError(f"{path} has no boxes; give rows of clip, frame, {', '.join(_CORNERS)}")
    return {name: _boxes(own, unit) for name, own in rows.items()}


def match_boxes(boxes: Mapping[str, Boxes], clips: Sequence[Clip], label: str | None = None) -> dict[str, Boxes]:
    """Return the boxes of each clip that has one, as shares of it, by the path of the clip.

    Names mean clips as `ClipNames` says, and each must mean one clip at most. A box that lies outside of its clip is
    refused, with any label.

    Args:
        boxes: Boxes as `read_boxes` returns them.
        clips: All clips that are used: which of them a name means depends on the others.
        label: Take only the boxes with this label; None takes all.

    Raises:
        InputError: If no row has the label, a name could mean several clips, or a box lies outside of its clip.
    """
    labels = sorted({own for each in boxes.values() for own in each.labels if own})
    if label is not None and label not in labels:
        known = f"choose from: {listed(labels)}" if labels else "no row has one; leave it out"
        raise InputError(f"no box has the label {label!r}; {known}")
    by_path = {clip.path: clip for clip in clips}
    placed: dict[str, list[Boxes]] = defaultdict(list)
    names = ClipNames(by_path)
    for name, own in boxes.items():
        found = names.find(name)
        if len(found) > 1:
            raise InputError(
                f"the boxes of {name!r} could be those of {len(found)} clips, such as {found[0]} and {found[1]}; "
                "write as much of the path as tells them apart"
            )
        if found:
            placed[found[0]].append(own.of(by_path[found[0]]))
    joined = {path: _join(own) for path, own in placed.items()}
    if label is not None:
        joined = {path: own.labelled(label) for path, own in joined.items()}
    return {path: own for path, own in joined.items() if not own.corners.isnan().any(1).all()}


def _join(boxes: Sequence[Boxes]) -> Boxes:
    """Return the boxes that a table has under several names of one clip, together."""
    labels = tuple(label for each in boxes for label in each.labels)
    times, corners = torch.cat([each.times for each in boxes]), torch.cat([each.corners for each in boxes])
    return Boxes(times, corners, labels, SHARE)


def _coverage(corners: Tensor, rows: int, columns: int) -> Tensor:
    """Return which share of each cell of a grid lies in each box, float (N, rows, columns).

    A box and a cell overlap in a rectangle, so the share is a product of one share down and one across.
    """

    def along(low: Tensor, high: Tensor, count: int) -> Tensor:
        edges = torch.arange(count + 1) / count
        inside = torch.minimum(high[:, None], edges[1:]) - torch.maximum(low[:, None], edges[:-1])
        return inside.clamp_min(0) * count

    left, top, right, bottom = corners.unbind(1)
    return along(top, bottom, rows)[:, :, None] * along(left, right, columns)[:, None, :]


def _unit(path: Path, row: Mapping[str, Any]) -> str:
    """Return the unit in which rows give times: frames or seconds."""
    missing = [name for name in ("clip", *_CORNERS) if name not in row]
    if missing:
        raise InputError(f"{path} has no column {missing[0]!r} (its columns: {listed(row)}); name it so")
    units = [unit for unit in (_FRAME, _TIME) if unit in row]
    if len(units) != 1:
        raise InputError(f"{path} must have the column frame (from 0) or time (in seconds), one of the two")
    return units[0]


def _corners(row: Mapping[str, Any], where: str) -> tuple[float, ...]:
    corners = tuple(_number(row.get(name), name, where) for name in _CORNERS)
    known = [value for value in corners if not math.isnan(value)]
    if known and len(known) < len(corners):
        raise InputError(
            f"{where} has only some of the corners; give x1, y1, x2 and y2, or leave all empty where there is no box"
        )
    if known and (corners[2] <= corners[0] or corners[3] <= corners[1]):
        raise InputError(
            f"{where} is not a box: x1, y1, x2, y2 = {', '.join(f'{value:g}' for value in corners)}; x2 must be above "
            "x1, and y2 above y1"
        )
    return corners


def _number(value: Any, name: str, where: str) -> float:
    if value is None or (isinstance(value, str) and not value.strip()):
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {name} is {value!r}; give a number") from error
    if math.isinf(number):
        raise InputError(f"{where}: {name} is {value!r}; give a number")
    return number


def _boxes(rows: list[tuple[float, tuple[float, ...], str]], unit: str) -> Boxes:
    return Boxes(
        torch.tensor([when for when, _, _ in rows], dtype=torch.float64),
        torch.tensor([corners for _, corners, _ in rows], dtype=torch.float64),
        tuple(label for _, _, label in rows),
        unit,
    )
