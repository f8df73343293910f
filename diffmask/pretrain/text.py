"""A run on text: a masked language model, its tokenised rows, and the task that is learned beside."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from diffmask.assemble.modality import RowSizes
from diffmask.assemble.text import TextMasking, build_text_masking
from diffmask.config import TextConfig, TextDataConfig
from diffmask.core.errors import InputError
from diffmask.core.machine import fast_attention, resolve_device
from diffmask.pretrain.subject import Rows, Subject
from diffmask.pretrain.task import CLASSIFIER, build_task, save_classifier
from diffmask.text.anchors.anchor_set import AnchorSet, load_anchors
from diffmask.text.corpus.documents import describe_sources
from diffmask.text.model.load import LoadedModel, load_masked_lm, load_tokenizer, resolve_model
from diffmask.text.score.position_scores import PositionScorer, add_scores
from diffmask.text.segment.rows import Annotator
from diffmask.text.segment.tokenise import TokeniseSettings, stream, tokenise
from diffmask.train.buckets import RowOrder
from diffmask.train.record import hub_name
from diffmask.train.trainer import MaskedTrainer

if TYPE_CHECKING:
    import datasets
    import pyarrow

_CACHE = "~/.cache/diffmask"
_ROWS_AT_A_TIME = 10_000
SHUFFLE_BUFFER = 10_000
"""Rows of a stream that are mixed."""


def cache_folder(data: Any) -> Path:
    """Return the folder in which what is made of data once is kept, by their settings."""
    return Path(data.cache or _CACHE).expanduser()


def read_anchors(config: TextConfig, tokenizer: PreTrainedTokenizerBase) -> AnchorSet | None:
    """Return the domain's words, where the config names them.

    Raises:
        InputError: If they are none, or were made for another model.
    """
    if config.masking.anchors is None:
        return None
    anchors = load_anchors(config.masking.anchors)
    anchors.check_model(config.model, tokenizer)
    return anchors


def tokenise_settings(config: TextConfig, masking: TextMasking) -> TokeniseSettings:
    """Return how the text of a run becomes rows, before anything annotates them."""
    data = config.data
    return TokeniseSettings(
        max_length=data.max_length,
        overlap=data.overlap,
        units="token" if masking.units == config.masking.eval_units == "token" else "word",
        column=data.column,
        num_processes=data.num_processes,
    )


def read_rows(
    config: TextConfig,
    settings: TokeniseSettings,
    tokenizer: PreTrainedTokenizerBase,
    anchors: AnchorSet | None,
    *,
    annotators: Sequence[Annotator] = (),
    scorers: Sequence[PositionScorer] = (),
    progress: bool = False,
) -> tuple["datasets.Dataset | datasets.IterableDataset", "datasets.Dataset | None"]:
    """Return the rows of training and of evaluation.

    Args:
        config: The run.
        settings: How text becomes rows, before anything annotates them.
        tokenizer: Tokenizer of the model.
        anchors: The domain's words, if they are known.
        annotators: Give the units of the training's rows values while they are tokenised.
        scorers: Give them scores afterwards.
        progress: Show progress bars.

    Raises:
        InputError: If something that the config names cannot be used.
    """
    data = config.data
    annotated = replace(settings, annotators=tuple(annotators))
    types = None if anchors is None else anchors.types
    cache = cache_folder(data)
    held_out = tokenise(data.eval, tokenizer, settings, types, cache) if data.eval else None
    if data.streaming:
        _check_stream(config, scorers)
        # one pass without end: the Trainer counts steps, and a resumed run skips what it has read
        rows = stream(data.train, tokenizer, annotated, types)
        return rows.shuffle(seed=config.training.seed, buffer_size=SHUFFLE_BUFFER).repeat(None), held_out
    rows = tokenise(data.train, tokenizer, annotated, types, cache)
    for scorer in scorers:
        rows = add_scores(rows, scorer, cache, progress=progress)
    return _split(rows, data) if held_out is None else (rows, held_out)


def _check_stream(config: TextConfig, scorers: Sequence[PositionScorer]) -> None:
    if scorers:
        raise InputError(
            f"a policy of masking.policy={config.masking.policy} scores the rows with a model beforehand, which "
            "data.streaming=true leaves no time for; leave streaming out"
        )
    if config.training.steps is None:
        raise InputError("data.streaming=true has no known end; give training.steps instead of training.epochs")


def _split(rows: "datasets.Dataset", data: TextDataConfig) -> "tuple[datasets.Dataset, datasets.Dataset | None]":
    """Hold out a share of the rows."""
    if data.overlap > 0 and data.eval_share > 0:
        raise InputError(
            f"data.overlap={data.overlap} repeats text in neighbouring rows, so a share of them cannot be held out; "
            "give data.eval, or data.eval_share=0"
        )
    held = choose_held_out(_tokens(rows), data.eval_share)
    training = rows.select(np.flatnonzero(~held))
    if not len(training):
        raise InputError(f"data.eval_share={data.eval_share:g} leaves none of {len(rows)} rows to train on; lower it")
    return training, rows.select(np.flatnonzero(held)) if held.any() else None


def choose_held_out(rows: Iterable[np.ndarray], share: float) -> np.ndarray:
    """Choose rows by their content, so that no text stands on both sides, however often it is repeated.

    Args:
        rows: Tokens of each, int32.
        share: Of the rows that is chosen.
    """
    # checksums such as crc32 of similar texts lie close together; those of a cryptographic hash do not
    hashes = [int.from_bytes(hashlib.blake2b(tokens.data, digest_size=4).digest()) for tokens in rows]
    return np.array(hashes, dtype=np.uint32) < share * 2**32


def row_lengths(rows: "datasets.Dataset") -> list[int]:
    """Return the number of tokens of each row."""
    return [len(tokens) for tokens in _tokens(rows)]


def _tokens(rows: "datasets.Dataset") -> Iterator[np.ndarray]:
    """Yield the tokens of each row, a thousand rows at a time: one by one takes thirty times as long."""
    for table in cast(Iterator[Any], rows.select_columns(["input_ids"]).with_format("arrow").iter(1_000)):
        lists = table["input_ids"].combine_chunks()
        values, ends = lists.values.to_numpy(), lists.offsets.to_numpy()
        yield from (values[start:stop] for start, stop in zip(ends, ends[1:], strict=False))


class TextSubject(Subject):
    """A masked language model and its text.

    Args:
        config: The run.
        masking: What its masking comes to.

    Raises:
        InputError: If something that the config names cannot be used.
    """

    def __init__(self, config: TextConfig, masking: TextMasking):
        self._config, self._resolved = config, masking
        self.streams = config.data.streaming
        self._loaded = _load(config)
        self.name, self.model, self.fresh = config.model, self._loaded.model, self._loaded.fresh
        self.processing = self._loaded.tokenizer
        self.objective = self._task = build_task(config, self._loaded)
        self._anchors = read_anchors(config, self._loaded.tokenizer)
        self._annotators = masking.annotators(self._anchors)
        self.masking = build_text_masking(config, masking, self._annotators, self._loaded.tokenizer, self._anchors)

    def read(self, *, progress: bool) -> Rows:
        """Tokenise the text; a model that scores it is let go afterwards."""
        config, anchors, tokenizer = self._config, self._anchors, self._loaded.tokenizer
        scorers = self._resolved.scorers(tokenizer, config.training.device or "auto")
        training, evaluation = read_rows(
            config,
            tokenise_settings(config, self._resolved),
            tokenizer,
            anchors,
            annotators=self._annotators,
            scorers=scorers,
            progress=progress,
        )
        order = None
        if not config.data.streaming:
            known = cast("datasets.Dataset", training)
            # rows of one length keep the order of the shuffle
            order = RowOrder(row_lengths(known) if config.training.bucketed else [0] * len(known))
        return Rows(training, evaluation, order, self._record([each.key for each in (*self._annotators, *scorers)]))

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

    def describe(self) -> dict[str, Any]:
        """Return the front matter of the model card."""
        tags = ["masked-language-modeling", "continued-pretraining", "difference-masking"]
        return {"pipeline_tag": "fill-mask", "base_model": hub_name(resolve_model(self.name)), "tags": tags}

    def finish(self, trainer: MaskedTrainer, folder: Path) -> dict[str, Path]:
        """Take the classifier out of the model, and save it."""
        return {} if self._task is None else {CLASSIFIER: save_classifier(trainer, self._task, self._loaded, folder)}


def _load(config: TextConfig) -> LoadedModel:
    """Load the model; a head that starts at random starts the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
        device = resolve_device(config.training.device or "auto")
        return load_masked_lm(config.model, **fast_attention(device, config.training.precision))


def text_row_sizes(config: TextConfig, masking: TextMasking, *, read_data: bool) -> RowSizes:
    """Return how many tokens of each row may be masked, as `Modality.row_sizes`; of a stream, the most there can be.

    Raises:
        InputError: If something that the config names cannot be used.
    """
    if not read_data or config.data.streaming:
        return RowSizes(np.array([config.data.max_length]), is_bound=True)
    tokenizer = load_tokenizer(config.model)
    anchors = read_anchors(config, tokenizer)
    settings = tokenise_settings(config, masking)
    rows, _ = read_rows(config, settings, tokenizer, anchors, annotators=masking.annotators(anchors))
    known = cast("datasets.Dataset", rows)
    return RowSizes(_maskable_lengths(known), len(known))


def _maskable_lengths(rows: "datasets.Dataset") -> np.ndarray:
    """Return the number of tokens of each row that stand in a unit; special tokens stand in none."""
    tables = cast("Iterable[Any]", rows.with_format("arrow").iter(_ROWS_AT_A_TIME))
    return np.concatenate([_count_in_units(table["unit_ids"]) for table in tables])


def _count_in_units(units: "pyarrow.ChunkedArray") -> np.ndarray:
    lists = units.combine_chunks()
    # of lists that are a part of a longer array, the ends count from its beginning
    ends = lists.offsets.to_numpy() - lists.offsets[0].as_py()
    sums = np.concatenate([[0], np.cumsum(lists.flatten().to_numpy() >= 0)])
    return sums[ends[1:]] - sums[ends[:-1]]
