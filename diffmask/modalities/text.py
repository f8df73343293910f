"""Text: masked language models, words and tokens."""

from diffmask.assemble.modality import Modality, RowSizes, Words
from diffmask.config import PretrainConfig


class _Text(Modality):
    name = "text"
    config = PretrainConfig
    words = Words(
        samples="text",
        wholes="words",
        parts="tokens",
        ratio_note="At least one word of every row is masked, so that short rows lie above a small ratio.",
        anchor_lead=(
            "The words that make this domain different: many times more frequent here than in general. Difference "
            "masking prefers what is similar to them."
        ),
    )
    model_types = ()  # any that is not of another modality

    @property
    def masking(self):
        from diffmask.assemble.text import TextMasking

        return TextMasking

    def subject(self, config, masking):
        from diffmask.pretrain.text import TextSubject

        return TextSubject(config, masking)

    def row_sizes(self, config, masking, *, read_data: bool) -> RowSizes:
        from diffmask.pretrain.text import text_row_sizes

        return text_row_sizes(config, masking, read_data=read_data)

    @property
    def source(self):
        from diffmask.report.text.source import TextSource

        return TextSource

    def masked_in(self, folder, config, inputs):
        from diffmask.report.run.masked_text import MaskedText

        return MaskedText(folder, config, inputs)


MODALITY = _Text()
