"""Video: masked video and image models, clips and their patches."""

from diffmask.assemble.modality import Modality, RowSizes, Words
from diffmask.config import VideoConfig


class _Video(Modality):
    name = "video"
    config = VideoConfig
    words = Words("clips", "clips", "patches", "patches")
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


MODALITY = _Video()
