"""Scores that a model gives to the tokens of a text: computed once for the rows of a corpus, kept beside them.

    rows = tokenise(["papers/"], tokenizer, TokeniseSettings(), None, cache)
    rows = add_scores(rows, load_attention("bert-base-uncased", tokenizer), cache)

A new kind of score is a function that makes a `PositionScorer`.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from diffmask.core.errors import InputError
from diffmask.core.types import Scores, UnitIds
from diffmask.files.cache import Record, Write, load_or_make
from diffmask.text.segment.pad import PadLabelled, pad_rows
from diffmask.text.segment.rows import lists_of

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MEAN, LOG_MEAN_EXP = "mean", "log-mean-exp"
_FORMAT = 1
"""Part of the key of the cache, to be raised when the same rows get other scores."""
_NOT_OF_THE_MODEL = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "problem_type")
"""Entries of a config that change when a model is saved, moved or loaded again, and that no score depends on."""
_SORTED_BATCHES = 32
"""How many batches of rows are sorted by length at a time: little padding, and memory does not grow with the corpus."""


@dataclass(frozen=True, eq=False)
class PositionScorer:
    """A model that gives every position of a row a score: a teacher's attention, a task's gain.

    Attributes:
        column: Name of the column, and of the units' feature: `attention` or `gain`.
        pooling: How the positions of a unit become one score: `MEAN`, or `LOG_MEAN_EXP` where scores are log shares.
        key: What the scores depend on beside the row: a hash of weights and settings.
        model: The model, on its device, in evaluation mode.
        max_length: Most tokens that the model reads.
        what: What the model is, for messages.
        score: Returns the scores for token ids and attention mask, float32 (B, L), on the model's device, finite where
            the mask is 1.
    """

    column: str
    pooling: str
    key: str
    model: "PreTrainedModel"
    max_length: int
    what: str
    score: Callable[[Tensor, Tensor], Tensor]

    @torch.inference_mode()
    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the scores of positions, float32 (B, L), on the model's device; 0 beyond the longest row.

        Raises:
            InputError: If a row is longer than the model reads.
        """
        scores = torch.zeros(input_ids.shape, device=self.model.device)
        longest = int(attention_mask.sum(1).max()) if len(input_ids) else 0
        if longest > self.max_length:
            raise InputError(
                f"the {self.what} reads {self.max_length} tokens, but a row has {longest}; "
                f"set data.max_length to what it reads, or use another {self.what}"
            )
        if longest:
            # padding up to a multiple is not worth the model's time
            ids, valid = (each[:, :longest].to(scores.device) for each in (input_ids, attention_mask))
            scores[:, :longest] = self.score(ids, valid)
        return scores


def unit_scores(scorer: PositionScorer, batch: Mapping[str, Tensor], num_units: int | None = None) -> Scores:
    """Return the score of each unit of a padded batch, float32 (B, U), on the scorer's device; 0 beyond a row's units.

    A unit has the mean over its positions, so that a word does not count for more because it has more pieces.

    Args:
        scorer: Gives the scores of positions.
        batch: input_ids, attention_mask and unit_ids (B, L), as `Pad` makes them.
        num_units: U; None takes that of `types` (B, U) in the batch.
    """
    scores = scorer(batch["input_ids"], batch["attention_mask"])
    valid = batch["attention_mask"].bool().to(scores.device)
    assert scores[valid].isfinite().all(), f"{scorer.column} gave a score that is not finite"
    num_units = batch["types"].shape[1] if num_units is None else num_units
    return _pool(scores, batch["unit_ids"].to(scores.device), num_units, scorer.pooling)


def _pool(scores: Tensor, unit_ids: UnitIds, num_units: int, pooling: str) -> Scores:
    """Return one score per unit, float32 (B, U); 0 for a unit without a position.

    Args:
        scores: Scores of positions, float (B, L).
        unit_ids: Unit of each position, -1 = none.
        num_units: U.
        pooling: `MEAN` or `LOG_MEAN_EXP`.
    """
    inside = unit_ids >= 0
    scores = torch.where(inside, scores.float(), 0.0)
    if pooling == LOG_MEAN_EXP:
        # the largest score of a row is taken out before exp, and put back after log, so that neither overflows
        peak = torch.where(inside, scores, -torch.inf).amax(1, keepdim=True).nan_to_num(neginf=0.0)
        scores = torch.where(inside, (scores - peak).exp(), 0.0)
    # positions of no unit are added up in one column more than there are units, which is cut off
    target = torch.where(inside, unit_ids, num_units)
    shape = (len(scores), num_units + 1)
    sums = scores.new_zeros(shape).scatter_add_(1, target, scores)[:, :num_units]
    counts = scores.new_zeros(shape).scatter_add_(1, target, inside.to(scores.dtype))[:, :num_units]
    means = sums / counts.clamp_min(1)
    if pooling == LOG_MEAN_EXP:
        tiny = torch.finfo(torch.float32).tiny
        means = means.clamp_min(tiny).log() + peak
    return torch.where(counts > 0, means, 0.0)


def add_scores(
    rows: "datasets.Dataset",
    scorer: PositionScorer,
    cache_folder: Path,
    *,
    batch_size: int = 64,
    progress: bool = False,
) -> "datasets.Dataset":
    """Return tokenised rows with one more column, `scorer.column`: the scores of each row's units, list<float32>.

    They are computed once, in batches of similar length, and found again for the same rows and the same scorer. With
    several ranks let one call this first (`main_process_first`); the others find what it wrote. Add the scores before
    selecting a part of the rows, so that all parts share them.

    Args:
        rows: Rows with input_ids, unit_ids and num_units, as `tokenise` returns them.
        scorer: Gives the scores of positions.
        cache_folder: Where the scores are kept; several runs may share it.
        batch_size: Rows that the scorer is given at a time.
        progress: Show a progress bar.

    Raises:
        InputError: The cache folder cannot be written.
    """
    import datasets
    import pyarrow

    name = f"{scorer.column}-{hashlib.sha256(f'{_FORMAT} {scorer.key} {_hash_rows(rows)}'.encode()).hexdigest()[:32]}"
    schema = pyarrow.schema([(scorer.column, pyarrow.list_(pyarrow.float32()))])

    def fill(write: Write) -> Record:
        for chunk, scored in _score_rows(rows, scorer, batch_size, progress=progress):
            write(pyarrow.RecordBatch.from_arrays([lists_of(scored, chunk["num_units"])], schema=schema))
        return {"scorer": scorer.key, "num_rows": len(rows)}

    made, _ = load_or_make(Path(cache_folder), name, schema, fill)
    return datasets.concatenate_datasets([rows, made], axis=1)


def hash_model(model: "PreTrainedModel", *settings: Any, without: Sequence[str] = ()) -> str:
    """Return a sha256 of a model's weights and of the settings that its scores depend on.

    Args:
        model: The model.
        settings: What else the scores depend on; their `repr` is hashed.
        without: Names of parameters that do not count: those that start at random and are not used.
    """
    digest = hashlib.sha256(repr(settings).encode())
    config = {name: value for name, value in model.config.to_dict().items() if name not in _NOT_OF_THE_MODEL}
    digest.update(json.dumps(config, sort_keys=True, default=str).encode())
    for name, weights in sorted(model.state_dict().items()):
        if name in without:
            continue
        digest.update(f"{name} {tuple(weights.shape)} {weights.dtype}".encode())
        digest.update(weights.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_vocabulary(
    what: str, theirs: "PreTrainedTokenizerBase", ours: "PreTrainedTokenizerBase", remedy: str
) -> None:
    """Refuse a model that reads other token ids than the model that is trained.

    Args:
        what: The model, for the message.
        theirs: Its tokenizer.
        ours: Tokenizer of the model that is trained.
        remedy: What to do, for the message.

    Raises:
        InputError: If a token has another id in one of them.
    """
    other, own = theirs.get_vocab(), ours.get_vocab()
    if other != own:
        example = next(
            iter(sorted(set(own) ^ set(other)) or sorted(token for token in own if own[token] != other[token]))
        )
        raise InputError(
            f"{what} has another vocabulary than the model that is trained ({len(other):,} and {len(own):,} tokens; "
            f"they differ at {example!r}), so it cannot read its token ids; {remedy}"
        )


def _score_rows(
    rows: "datasets.Dataset", scorer: PositionScorer, batch_size: int, *, progress: bool
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Yield chunks of rows in their order, with the scores of all their units, float32."""
    from tqdm import tqdm

    columns = rows.select_columns(["input_ids", "unit_ids", "num_units"]).with_format("numpy")
    with tqdm(total=len(rows), desc=scorer.column, unit="row", disable=None if progress else True, leave=False) as bar:
        for chunk in columns.iter(_SORTED_BATCHES * batch_size):
            assert isinstance(chunk, dict)
            ends = np.cumsum(chunk["num_units"])
            scored = np.zeros(ends[-1], dtype=np.float32)
            lengths = np.array([len(ids) for ids in chunk["input_ids"]])
            for members in np.array_split(np.argsort(lengths, kind="stable"), -(-len(lengths) // batch_size)):
                # scores come in the order of the lengths, and go to where the units of their row stand
                ids, units = ([chunk[name][member] for member in members] for name in ("input_ids", "unit_ids"))
                for member, values in zip(members, _score_batch(scorer, ids, units), strict=True):
                    end, number = ends[member], chunk["num_units"][member]
                    scored[end - number : end] = values[:number]
                bar.update(len(members))
            yield chunk, scored


def _score_batch(scorer: PositionScorer, ids: list[np.ndarray], units: list[np.ndarray]) -> np.ndarray:
    batch = PadLabelled(0, of_words=False).inputs([{"input_ids": tokens} for tokens in ids])
    batch["unit_ids"] = pad_rows(units, -1)
    return unit_scores(scorer, batch, int(batch["unit_ids"].max()) + 1).cpu().numpy()


def _hash_rows(rows: "datasets.Dataset") -> str:
    """Return a sha256 of what the scores are computed from; the same text has the same hash in any file."""
    digest = hashlib.sha256(f"{len(rows)}".encode())
    columns = rows.select_columns(["input_ids", "unit_ids", "num_units"]).with_format("arrow")
    for table in cast(Iterator[Any], columns.iter(10_000)):
        for name in ("input_ids", "unit_ids"):
            values = table[name].combine_chunks()
            digest.update(np.ascontiguousarray(values.value_lengths().to_numpy(zero_copy_only=False)).data)
            digest.update(np.ascontiguousarray(values.flatten().to_numpy(zero_copy_only=False)).data)
        digest.update(np.ascontiguousarray(table["num_units"].to_numpy()).data)
    return digest.hexdigest()
