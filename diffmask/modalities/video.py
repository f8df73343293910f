"""Video: masked video and image models, clips and their patches."""

from diffmask.assemble.modality import Modality, RowSizes, Words
from diffmask.config import VideoConfig


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
    model_types = ("videomae", "vit_mae")

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


MODALITY = _Video()
