"""Text that `diffmask preview` shows."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import ClassVar

from diffmask.assemble.text import TextMasking
from diffmask.config import TextMaskingConfig
from diffmask.core.errors import InputError
from diffmask.files.folders import check_output
from diffmask.report.html.page import is_foreign
from diffmask.report.preview import Asked
from diffmask.report.text.look import TextLook
from diffmask.report.text.preview import PreviewSettings, TextPreview
from diffmask.text.anchors.anchor_set import load_anchors
from diffmask.text.corpus.documents import read_documents
from diffmask.text.model.load import load_tokenizer


class TextSource:
    """A sample of a corpus; see `report.preview.Source`."""

    count: ClassVar[int] = PreviewSettings.num_sentences
    remedy: ClassVar[str] = "give videos, a folder of them, or an index of `diffmask index`"

    def __init__(self, asked: Asked):
        masking = asked.config.masking
        self._documents = read_documents(asked.data, asked.column)
        self._anchors = None if masking.anchors is None else load_anchors(masking.anchors)
        known = None if self._anchors is None else self._anchors.metadata.get("model", {}).get("name")
        model = asked.model or asked.config.model or known
        if not model:
            raise InputError(
                "neither --model nor --anchors nor --config says which tokenizer to use; add --model MODEL"
            )
        self._tokenizer = load_tokenizer(model)
        if self._anchors is not None:
            self._anchors.check_model(model, self._tokenizer)
        self._settings = PreviewSettings(
            num_sentences=asked.count,
            max_length=min(PreviewSettings.max_length, self._tokenizer.model_max_length),
            domain_threshold=masking.domain_threshold,
        )
        self.facts: dict[str, str | None] = {
            "text": ", ".join(asked.data),
            "anchors": masking.anchors,
            "model": model,
        }
        self.notes: list[str] = []

    @staticmethod
    def check_output(path: Path, *, overwrite: bool) -> None:
        """Refuse an output that cannot be written, before the work is done."""
        check_output(path, "page", "preview.html", overwrite=overwrite, is_foreign=is_foreign)

    @staticmethod
    def baseline(masking: TextMaskingConfig) -> str:
        """Return the random masking of the same units, or else of whole words."""
        return "random-token" if masking.units == "token" else "whole-word"

    def look(self, masking: TextMasking, progress: float | None) -> TextLook:
        """Return how a policy looks at the text, at a share of the training or over all of it."""
        return TextLook.of(masking, self._tokenizer, self._anchors, progress=progress)

    def preview(self, looks: Mapping[str, TextLook]) -> TextPreview:
        """Return what the policies hide of the text."""
        with closing(self._documents):
            return TextPreview.of(self._documents, looks, self._anchors, self._tokenizer, self._settings)
