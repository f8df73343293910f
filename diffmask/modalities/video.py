"""Video: masked video and image models, clips and their patches."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffmask.assemble.modality import Modality, RowSizes, Words
from diffmask.config import VideoConfig
from diffmask.core.errors import InputError

if TYPE_CHECKING:
    from diffmask.video.anchors.anchor_set import VisualAnchors


class _Video(Modality):
    name = "video"
    config = VideoConfig
    words = Words(
        samples="clips",
        wholes="patches",
        parts="patches",
        ratio_note="Whole units are hidden, the same number in every row, so that a ratio is met but for a unit.",
        anchor_lead="What makes this domain different; a number is how many times more frequent it is than elsewhere.",
    )
    data = "clips"
    options = {
        "anchors": ("text", "exemplar", "num_words", "layer", "size", "num_frames"),
        "preview": ("num_clips",),
    }
    model_types = ("videomae", "vit_mae")

    def holds(self, sources, expected) -> bool:
        from diffmask.video.clip.find import are_clips

        def are_expected() -> bool | None:
            name = expected()
            return None if name is None else name == self.name

        return are_clips(sources, are_expected)

    def anchors(self):
        return _ClipAnchors()

    @property
    def evaluation(self):
        from diffmask.evaluate.methods.video import ClipMethods

        return ClipMethods()

    @property
    def masking(self):
        from diffmask.assemble.video import VideoMasking

        return VideoMasking

    def subject(self, config, masking):
        from diffmask.pretrain.video import VideoSubject

        return VideoSubject(config, masking)

    def row_sizes(self, config, masking, *, read_data: bool) -> RowSizes:
        from diffmask.pretrain.video import clip_row_sizes

        return clip_row_sizes(config, masking, read_data=read_data)

    @property
    def source(self):
        from diffmask.report.clips.source import ClipSource

        return ClipSource

    def masked_in(self, folder, config, inputs):
        from diffmask.report.run.masked_clips import MaskedClips

        return MaskedClips(folder, config, inputs)


class _ClipAnchors:
    """`diffmask anchors` of clips."""

    fixed = ("num_anchors", "min_count", "reference", "embedder", "text", "exemplar", "num_words", "layer", "size")

    @property
    def names(self) -> tuple[str, ...]:
        from diffmask.video.anchors.anchor_set import NAMES

        return NAMES

    def check(self, given: Mapping[str, Any]) -> None:
        if "anchors" in given and not Path(given["anchors"]).is_file():
            raise InputError(
                f"{given['anchors']} does not exist; give an edited anchors.csv in a folder of anchors of clips"
            )

    def find(self, given: Mapping[str, Any], command: str):
        """Return the anchors, and patches of the clips for the contact sheet."""
        return self._keep(given) if "anchors" in given else self._build(given, command)

    def _build(self, given: Mapping[str, Any], command: str):
        from diffmask.video.anchors.find import VisualAnchorSettings, build_visual_anchors
        from diffmask.video.score.embedders import parse_layer

        names = ("embedder", "layer", "size", "num_words", "num_anchors", "num_frames", "reference", "device")
        options = {name: given[name] for name in names if name in given}
        if "layer" in options:
            options["layer"] = parse_layer(options["layer"])
        said = {"texts": given.get("text", ()), "exemplars": given.get("exemplar", ())}
        return build_visual_anchors(
            VisualAnchorSettings(clips=given["data"], **said, **options), command, progress=True
        )

    def _keep(self, given: Mapping[str, Any]):
        """Return the anchors of an edited table."""
        from diffmask.video.anchors.anchor_set import load_visual_anchors
        from diffmask.video.anchors.visual_words import Patches
        from diffmask.video.index.index import read_clips

        table = Path(given["anchors"])
        found = load_visual_anchors(table.parent, table)
        embedder = found.embedder(given["device"])
        options = {name: given[name] for name in ("num_frames",) if name in given}
        patches = Patches.sample(read_clips(given["data"], progress=True), embedder, progress=True, **options)
        return found.fitted_to(patches.embeddings), patches

    def save(self, found, folder: str, *, overwrite: bool) -> None:
        from diffmask.video.anchors.contact_sheet import draw_sheet

        anchors, patches = found
        anchors.save(folder, draw_sheet(anchors, patches), overwrite=overwrite)

    def summary(self, found) -> list[str]:
        """Return the anchors as a table."""
        return list_visual_anchors(found[0])

    def next_steps(self, given: Mapping[str, Any], folder: str) -> list[str]:
        data = shlex.join(given["data"])
        return [
            f"look:       {folder}/sheet.png",
            f"edit:       drop rows of {folder}/anchors.csv, which count no more; to draw the sheet again:",
            f"            diffmask anchors {data} --anchors {folder}/anchors.csv -o FOLDER",
            f"preview:    diffmask preview {data} --anchors {folder}",
            f"train:      diffmask pretrain CONFIG masking.anchors={folder}",
        ]


def list_visual_anchors(anchors: "VisualAnchors") -> list[str]:
    """Return lines of a table of anchors."""
    record = anchors.metadata
    reference = record["reference"]
    against = f"; reference of {reference['num_clips']:,} clips" if reference else ""
    width = max(12, *(len(name) for name in anchors.names))
    lines = [f"{record['num_clips']:,} clips, {record['num_patches']:,} patches{against}", ""]
    if not anchors.is_found:
        rows = zip(anchors.names, anchors.rows, strict=True)
        return [*lines, *(f"{name:{width}}  {row[1]}" for name, row in rows)]
    lines.append(f"{'anchor':{width}}  {'patches':>8}  {'clips':>6}  {'share':>7}  {'in general':>10}  {'times':>8}")
    for name, _, tf_icf, count, num_clips, own, other in anchors.rows:
        lines.append(f"{name:{width}}  {count:8,}  {num_clips:6,}  {own:7.2%}  {other:10.2%}  {tf_icf:8,.1f}")
    return lines


MODALITY = _Video()
