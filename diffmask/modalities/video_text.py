"""Video and text: clips with captions or subtitles, words and patches."""

from diffmask.assemble.modality import Modality, RowSizes, Words
from diffmask.config import VideoTextConfig
from diffmask.video_text.model.config import VideoTextModelConfig


class _VideoText(Modality):
    name = "video-text"
    config = VideoTextConfig
    words = Words(
        samples="pairs",
        wholes="words and patches",
        parts="tokens and patches",
        ratio_note="At least one word of every text is masked; of patches, every clip hides the same number.",
        anchor_lead=(
            "What makes this domain different: words of its texts that are many times more frequent than in general, "
            "and what its clips show. Difference masking prefers what is similar to them."
        ),
    )
    data = "clips with texts"
    options = {"anchors": (), "preview": ("num_pairs",)}
    model_types = (VideoTextModelConfig.model_type,)

    def holds(self, sources, expected) -> bool:
        return expected() == self.name

    @property
    def evaluation(self):
        from diffmask.evaluate.methods.video_text import PairMethods

        return PairMethods()

    @property
    def masking(self):
        from diffmask.assemble.video_text import VideoTextMasking

        return VideoTextMasking

    def subject(self, config, masking):
        from diffmask.pretrain.video_text import VideoTextSubject

        return VideoTextSubject(config, masking)

    def row_sizes(self, config, masking, *, read_data: bool) -> RowSizes:
        from diffmask.pretrain.video_text import pair_row_sizes

        return pair_row_sizes(config, masking, read_data=read_data)

    @property
    def source(self):
        from diffmask.report.pairs.source import PairSource

        return PairSource


MODALITY = _VideoText()
