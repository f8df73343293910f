"""The choice of text: score the documents of a pool, take the best, leave out copies of what is evaluated on.

    selection = select_text(SelectionSettings(["web/"], ["chemprot/"], by="ngrams", share=0.05))
    selection.write(folder)

Of a document nothing is kept but its score: its text is read again when it is written.
"""

import gzip
import json
import shlex
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol

import numpy as np

from diffmask.config.limits import SEED, Between, OneOf, at_least, check_limits
from diffmask.core.errors import InputError
from diffmask.files.made_folder import write_record
from diffmask.selective.relevance.copies import Copies, find_copies
from diffmask.selective.relevance.ngrams import NUM_BUCKETS, NgramWeights, gumbel
from diffmask.selective.relevance.pool import Batch, Pool
from diffmask.selective.relevance.target import Target, read_target
from diffmask.text.corpus.documents import SELECTED, SELECTION, Document, Sources, describe_sources
from diffmask.text.corpus.reference import WORDFREQ
from diffmask.version import __version__

DIFFERENCE, NEIGHBOURS, NGRAMS, RANDOM = "difference", "neighbours", "ngrams", "random"
WAYS = (DIFFERENCE, NEIGHBOURS, NGRAMS, RANDOM)
PAGE = "selection.html"
NAMES = (SELECTED, SELECTION, PAGE)
NUM_SHOWN = 10
"""Documents at the top, above the line and below it that a page shows."""
_NO_SCORE = -np.inf


@dataclass(frozen=True)
class SelectionSettings:
    """How text is chosen.

    Attributes:
        pool: Files, folders, globs, datasets on disk: see `list_files`.
        like: A corpus of the domain, or a task: see `read_target`.
        by: difference, neighbours, ngrams or random.
        number: Number of documents to take.
        share: Share of the pool's documents to take.
        per_text: By neighbours: number of documents that each text of `like` takes.
        model: By neighbours the encoder, by difference the model that embeds words; a folder, a hub name or `minilm`.
        anchors: By difference: folder of anchors that exist; without it they are found in `like`.
        reference: By difference: what `like` is compared with to find anchors; none is `wordfreq:en`.
        leave_out: Files of more texts no near-copy of which is taken.
        column: Name of the pool's text column; None finds it.
        like_column: Name of the text column of `like`; None finds it.
        seed: By ngrams and random: decides the sample; None is 0.
        device: auto, cpu, cuda, ...

    Raises:
        InputError: If a value is not allowed, or has no effect.
    """

    pool: Sources
    like: Sources
    by: Annotated[str, OneOf(WAYS)] = NGRAMS
    number: Annotated[int | None, at_least(1)] = None
    share: Annotated[float | None, Between(0, 1, "0.05 takes a twentieth", without_low=True)] = None
    per_text: Annotated[int | None, at_least(1, "50, 150 and 500 were published")] = None
    model: str | None = None
    anchors: str | None = None
    reference: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    column: str | None = None
    like_column: str | None = None
    seed: Annotated[int | None, at_least(0), SEED] = None
    device: str = "auto"

    def __post_init__(self) -> None:
        """Check what can be checked without a file."""
        check_limits(self)
        wrong = self._amounts() or self._without_effect()
        if wrong is not None:
            raise InputError(wrong)

    def _amounts(self) -> str | None:
        """Return what is wrong with how much is to be taken."""
        amounts = {"-n": self.number, "--share": self.share, "--per-text": self.per_text}
        given = [f"{option} {value:g}" for option, value in amounts.items() if value is not None]
        if not given:
            return "how much is to be taken is not said; give -n DOCUMENTS, --share SHARE, or --per-text DOCUMENTS"
        if len(given) > 1:
            return f"{' and '.join(given)} each say how much is taken; give one of them"
        if self.per_text is not None and self.by != NEIGHBOURS:
            return f"{given[0]} takes neighbours, which --by {self.by} does not look for; give -n or --share instead"
        return None

    def _without_effect(self) -> str | None:
        """Return what has no effect, or is missing."""
        by = f"--by {self.by}"
        reads_model = self.by == NEIGHBOURS or (self.by == DIFFERENCE and self.anchors is None)
        if self.anchors is not None and self.by != DIFFERENCE:
            return f"--anchors {self.anchors} has no effect with {by}; leave it out, or give --by {DIFFERENCE}"
        if self.reference and (self.by != DIFFERENCE or self.anchors is not None):
            why = f"--anchors {self.anchors}, which were found already" if self.by == DIFFERENCE else by
            return f"--reference {shlex.join(self.reference)} has no effect with {why}; leave it out"
        if self.model is not None and not reads_model:
            why = f"--anchors {self.anchors}, whose words have scores" if self.anchors else f"{by}, which reads none"
            return f"--model {self.model} has no effect with {why}; leave it out"
        if self.model is None and reads_model:
            return f"{by} needs --model, an encoder: a folder, a hub name, or minilm"
        if self.seed is not None and self.by not in (NGRAMS, RANDOM):
            return f"--seed {self.seed} has no effect with {by}, which draws nothing; leave it out"
        return None


class _Scorer(Protocol):
    def score(self, batch: Batch) -> np.ndarray:
        """Return the score of each document, float64 (N,); the higher, the sooner it is taken."""
        ...


class Shown(NamedTuple):
    """A document that the page shows."""

    rank: int
    score: float
    document: Document


@dataclass(frozen=True)
class Selection:
    """What was chosen; `select_text` makes it.

    Attributes:
        settings: How.
        pool: What was chosen from.
        scores: Score of each document of the pool, float32; -inf for one without words.
        order: Places of the documents that may be taken, best first.
        number: How many of them are taken.
        copies: What was left out.
        record: How it was made: files with hashes, counts, seconds.
    """

    settings: SelectionSettings
    pool: Pool
    scores: np.ndarray
    order: np.ndarray
    number: int
    copies: Copies
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def line(self) -> float:
        """Score of the last document that is taken."""
        return float(self.scores[self.order[self.number - 1]])

    @property
    def shown(self) -> tuple[range, range, range]:
        """Ranks of the documents that a page shows: the best, the last that are taken, and the first that are not."""
        best = range(min(NUM_SHOWN, self.number))
        last = range(max(len(best), self.number - NUM_SHOWN), self.number)
        return best, last, range(self.number, self.number + NUM_SHOWN)

    def write(self, folder: Path) -> list[Shown]:
        """Write the documents, in the order of the pool, and the record; return those that a page shows, best first."""
        shown = []
        num_taken, num_chars = np.zeros(len(self.pool.files), np.int64), 0
        # no time in the head of the file: the same choice has the same bytes
        with (folder / SELECTED).open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
            for rank, score, document in self._documents():
                if any(rank in ranks for ranks in self.shown):
                    shown.append(Shown(rank, score, document))
                if rank < self.number:
                    row = {"text": document.text, "source": document.source, "row": document.number, "score": score}
                    file.write((json.dumps(row | {"rank": rank + 1}, ensure_ascii=False) + "\n").encode())
                    num_taken[document.source_index] += 1
                    num_chars += len(document.text)
        for source, number in zip(self.record["pool"], num_taken.tolist(), strict=True):
            source["num_taken"] = number
        self.record["mean_characters"]["taken"] = round(num_chars / self.number, 1)
        write_record(folder / SELECTION, self.record)
        return sorted(shown)

    def _documents(self) -> Iterator[Shown]:
        """Yield the documents that are taken, and those just below the line, in the order of the pool."""
        wanted = self.order[: self.number + NUM_SHOWN]
        rank_of = dict(zip(wanted.tolist(), range(len(wanted)), strict=True))
        for place, document in self.pool.at(wanted, "writing"):
            yield Shown(rank_of[place], float(self.scores[place]), document)


def select_text(settings: SelectionSettings, command: str = "") -> Selection:
    """Score the documents of a pool and choose the best.

    Args:
        settings: How.
        command: What the user typed, for the record.

    Raises:
        InputError: If the pool, the target, the model or a setting cannot be used.
    """
    start = time.perf_counter()
    pool = Pool(settings.pool, settings.column)
    target = read_target(settings.like, settings.like_column, settings.leave_out)
    scorer, details = _scorer(settings, pool, target)
    prepared = time.perf_counter()
    scored = _score_all(pool, scorer)
    end = time.perf_counter()
    order, number = _rank(settings, scored.scores, scorer)
    copies = find_copies(pool, order, number + NUM_SHOWN, target.left_out)
    if settings.per_text is not None:  # the neighbours of a text are what they are: no others take the place of copies
        number -= int(np.isin(order[:number], copies.places).sum())
    order = order[~np.isin(order, copies.places)]
    if len(order) < number or not number:
        raise InputError(
            f"{number:,} documents are wanted, and without repeated ones and near-copies of dev and test texts the "
            f"pool has {len(order):,}; take fewer, or give a larger pool"
        )
    record = {
        "version": __version__,
        "command": command,
        "settings": json.loads(json.dumps(asdict(settings), default=str)),
        "pool": _describe(pool, scored),
        "like": {"files": describe_sources(target.files), "num_texts": len(target.texts)},
        "left_out": {
            "files": describe_sources(target.left_out_files) if target.left_out_files else [],
            "num_texts": len(target.left_out),
            "num_compared": copies.num_compared,
            **copies.counts,
        },
        **details,
        "num_documents": len(scored.scores),
        "num_without_words": int((scored.scores == _NO_SCORE).sum()),
        "num_taken": number,
        "line": float(scored.scores[order[number - 1]]),
        "mean_characters": {"pool": round(scored.num_chars / len(scored.scores), 1)},
        "seconds": {"prepare": round(prepared - start, 1), "score": round(end - prepared, 1)},
        "megabytes_per_second": round(scored.num_bytes / 1e6 / (end - prepared), 3),
    }
    return Selection(settings, pool, scored.scores, order, number, copies, record)


def _scorer(settings: SelectionSettings, pool: Pool, target: Target) -> tuple[_Scorer, dict[str, Any]]:
    """Return what scores documents, and what the record says of it."""
    if settings.by == RANDOM:
        return _Random(settings.seed or 0), {}
    if settings.by == NGRAMS:
        return NgramWeights(target.texts, pool, settings.seed or 0), {"num_buckets": NUM_BUCKETS}
    if settings.by == NEIGHBOURS:
        from diffmask.selective.relevance.neighbours import NearestScores
        from diffmask.text.anchors.encoder import Encoder

        assert settings.model is not None
        encoder = Encoder.load(settings.model, settings.device, whole=True)
        return NearestScores(target.texts, encoder, settings.per_text), {"layer": encoder.layer}
    from diffmask.selective.relevance.difference import DifferenceScores, find_anchors
    from diffmask.text.anchors.anchor_set import load_anchors

    if settings.anchors is not None:
        anchors = load_anchors(settings.anchors)
    else:
        reference = settings.reference or (f"{WORDFREQ}en",)
        anchors = find_anchors(target.texts, reference, settings.model or "", settings.device)
    return DifferenceScores(anchors), {"anchors": anchors.anchors}


class _Random:
    """Scores that say nothing: what the others are compared with."""

    def __init__(self, seed: int):
        self._seed = seed

    def score(self, batch: Batch) -> np.ndarray:
        return gumbel(self._seed, batch)


@dataclass(frozen=True)
class _Scored:
    """Scores of all documents in the order of the pool, and what was read: per file, and in all."""

    scores: np.ndarray
    per_file: np.ndarray
    num_chars: int
    num_bytes: int


def _score_all(pool: Pool, scorer: _Scorer) -> _Scored:
    parts, per_file, num_chars, num_bytes = [], np.zeros(len(pool.files), np.int64), 0, 0
    for batch in pool.batches("scoring"):
        texts = batch.texts()
        has_words = np.array([any(map(str.isalnum, text)) for text in texts])
        parts.append(np.where(has_words, scorer.score(batch), _NO_SCORE).astype(np.float32))
        np.add.at(per_file, [document.source_index for document in batch.documents], 1)
        num_chars += sum(map(len, texts))
        num_bytes += sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return _Scored(np.concatenate(parts), per_file, num_chars, num_bytes)


def _rank(settings: SelectionSettings, scores: np.ndarray, scorer: Any) -> tuple[np.ndarray, int]:
    """Return the places of all documents with words, best first, and how many are wanted."""
    chosen = np.zeros(len(scores), bool)
    if settings.per_text is not None:
        if settings.per_text >= len(scores):
            raise InputError(
                f"--per-text {settings.per_text} takes all {len(scores):,} documents of the pool for each text; "
                "take fewer, or give a larger pool"
            )
        chosen[scorer.taken()] = True
        chosen &= scores > _NO_SCORE
    order = np.lexsort((-scores, ~chosen))  # of equal scores the first in the pool
    order = order[scores[order] > _NO_SCORE]
    number = settings.number or int(chosen.sum())
    if settings.share is not None:
        number = max(1, round(settings.share * len(order)))
    if number > len(order):
        raise InputError(
            f"{number:,} documents are wanted, and the pool has {len(order):,} with words; take fewer, or give a "
            "larger pool"
        )
    return order, number


def _describe(pool: Pool, scored: _Scored) -> list[dict[str, Any]]:
    described = describe_sources(pool.files)
    return [
        source | {"num_documents": number} for source, number in zip(described, scored.per_file.tolist(), strict=True)
    ]
