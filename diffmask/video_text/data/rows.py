"""Pairs as rows for training: frames of the clip, and the tokens of the text that belongs to what is shown."""

import hashlib
import logging
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.utils.data import Dataset

from diffmask.text.segment.tokenise import TokeniseSettings, tokenise_each
from diffmask.video.clip.clip import content_hash
from diffmask.video.read.dataset import ClipDataset, FailureLog, MapOf, Row, Sampling
from diffmask.video_text.data.pairs import Pair

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


def tokenise_pairs(
    texts: Sequence[str],
    tokenizer: "PreTrainedTokenizerBase",
    settings: TokeniseSettings,
    types: Sequence[str] | None,
    cache_folder: str | Path,
) -> "datasets.Dataset":
    """Return one row of each text, which says in `sample_id` which text it is; see `tokenise_each`.

    Raises:
        InputError: If the tokenizer or a setting cannot be used, or no text gives a row.
    """
    rows, report = tokenise_each(texts, tokenizer, settings, types, cache_folder)
    logger.info("tokenised: %s", report)
    if report.num_split_documents:
        logger.warning(
            "%s of %s texts are longer than %d tokens, and are cut off there; set a larger max_length to read them all",
            f"{report.num_split_documents:,}", f"{len(texts):,}", settings.max_length,
        )  # fmt: skip
    if len(rows) < len(texts):
        logger.warning(
            "%s of %s texts hold no word that the tokenizer knows, and are left out",
            f"{len(texts) - len(rows):,}", f"{len(texts):,}",
        )  # fmt: skip
    return rows


class PairDataset(Dataset):
    """Rows of pairs: what `ClipDataset` gives, with the text of the pair that is really shown.

    A row has, beside frames, score maps and sample_id: `text`, the text's row of tokens, with the same sample_id;
    `video_id` and `text_id`, numbers that are the same for the same video and for the same text.

    Args:
        pairs: The pairs.
        texts: Rows of their texts, as `tokenise_pairs` makes them, or some of these: pairs without one are left out.
        sampling: How rows are made of clips.
        seed: Seed of what is drawn at random.
        maps: Scores of patches by name, as for `ClipDataset`.
        failures: Where clips that fail are noted; None raises at the first.
        augment: Draw at random; False takes the middle, for evaluation.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        texts: "datasets.Dataset",
        sampling: Sampling,
        *,
        seed: int = 0,
        maps: Mapping[str, MapOf] | None = None,
        failures: FailureLog | None = None,
        augment: bool = True,
    ):
        assert len(texts), "refuse an empty list of pairs where it is read"
        self.pairs = [pairs[number] for number in texts["sample_id"][:]]
        self.texts = texts
        self.clips = ClipDataset(
            [pair.clip for pair in self.pairs],
            sampling,
            spans=[pair.span for pair in self.pairs],
            seed=seed,
            maps=maps,
            failures=failures,
            augment=augment,
        )
        self.video_ids = [_number(content_hash(pair.clip)) for pair in self.pairs]
        self.text_ids = [text_id(pair.text) for pair in self.pairs]

    def __len__(self) -> int:
        """Return the rows of a pass over the data."""
        return len(self.clips)

    def __getitem__(self, visit: int) -> list[Row]:
        """Return the crops of a visit, each with the text of the pair that they show."""
        return [self._joined(crop) for crop in self.clips[visit]]

    def _joined(self, crop: Row) -> Row:
        shown = crop["shown"]
        text: dict[str, Any] = self.texts[shown] | {"sample_id": crop["sample_id"]}
        seen = {name: value for name, value in crop.items() if name != "shown"}
        return seen | {"text": text, "video_id": self.video_ids[shown], "text_id": self.text_ids[shown]}


def text_id(text: str) -> int:
    """Return a number below 2**63 that is the same for texts that differ in capitals, spaces or spelling of characters.

    >>> text_id("A dog  runs") == text_id("a dog runs"), text_id("a dog") == text_id("a cat")
    (True, False)
    """
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return _number(hashlib.blake2b(plain.encode(), digest_size=8).digest())


def _number(content: bytes) -> int:
    return int.from_bytes(content[:8]) >> 1
