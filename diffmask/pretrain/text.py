"""A run on text: a masked language model, its tokenised rows, the task that is learned beside."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from diffmask.assemble import Values, build_annotators, build_masking, build_scorers
from diffmask.config import PretrainConfig
from diffmask.core.machine import fast_attention, resolve_device
from diffmask.pretrain.rows import read_anchors, read_rows, row_lengths
from diffmask.pretrain.subject import Rows, Subject
from diffmask.pretrain.task import build_task, save_classifier
from diffmask.text.corpus.documents import describe_sources
from diffmask.text.model.load import LoadedModel, load_masked_lm
from diffmask.train.buckets import RowOrder
from diffmask.train.trainer import MaskedTrainer

if TYPE_CHECKING:
    import datasets


class TextSubject(Subject):
    """A masked language model and its text.

    Args:
        config: The run.

    Raises:
        InputError: If something that the config names cannot be used.
    """

    def __init__(self, config: PretrainConfig):
        self._config = config
        self._loaded = _load(config)
        self.name, self.model, self.fresh = config.model, self._loaded.model, self._loaded.fresh
        self.objective = self._task = build_task(config, self._loaded)
        self._anchors = read_anchors(config, self._loaded.tokenizer)
        self.masking = build_masking(config, self._loaded.tokenizer, self._anchors)

    def read(self, *, progress: bool) -> Rows:
        """Tokenise the text; a model that scores it is let go afterwards."""
        config, anchors, tokenizer = self._config, self._anchors, self._loaded.tokenizer
        scorers = build_scorers(config.masking, tokenizer, config.training.device or "auto")
        values = Values(build_annotators(config.masking, anchors), scorers)
        training, evaluation = read_rows(config, tokenizer, anchors, values, progress=progress)
        order = None
        if not config.data.streaming:
            known = cast("datasets.Dataset", training)
            # rows of one length keep the order of the shuffle
            order = RowOrder(row_lengths(known) if config.training.bucketed else [0] * len(known))
        return Rows(training, evaluation, order, self._record(values.keys))

    def _record(self, keys: list[str]) -> dict[str, Any]:
        config, anchors = self._config, self._anchors
        record: dict[str, Any] = {"data": describe_sources(config.data.train)}
        if config.data.eval:
            record["held_out"] = describe_sources(config.data.eval)
        if config.task is not None:
            record["task"] = describe_sources([*config.task.train, *config.task.eval])
        if config.head.weights is not None:
            record["head"] = hashlib.sha256(Path(config.head.weights).read_bytes()).hexdigest()
        if keys:
            record["values of units"] = keys
        if anchors is not None:
            record["anchors"] = anchors.metadata | {"anchors": anchors.anchors}
        return record

    def save_beside(self, folder: Path) -> None:
        """Save the tokenizer."""
        self._loaded.tokenizer.save_pretrained(folder)

    def describe(self) -> dict[str, Any]:
        """Return the front matter of the model card."""
        tags = ["masked-language-modeling", "continued-pretraining", "difference-masking"]
        return {"pipeline_tag": "fill-mask", "base_model": self.name, "tags": tags}

    def finish(self, trainer: MaskedTrainer, folder: Path) -> None:
        """Take the classifier out of the model, and save it."""
        if self._task is not None:
            save_classifier(trainer, self._task, self._loaded, folder)


def _load(config: PretrainConfig) -> LoadedModel:
    """Load the model; a head that starts at random starts the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
        device = resolve_device(config.training.device or "auto")
        return load_masked_lm(config.model, **fast_attention(device, config.training.precision))
