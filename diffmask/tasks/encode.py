"""Texts of a task as rows of token ids."""

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from diffmask.config.evaluation import MULTI_LABEL, TOKENS
from diffmask.core.types import IGNORE_INDEX
from diffmask.tasks.task import Split

Row = dict[str, Any]


def encode(split: Split, kind: str, num_labels: int, tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[Row]:
    """Return a row for each example: input_ids (and token_type_ids, if the model has them), labels, and words.

    Labels are a row of the labels, a float of each label where a text has several, or one of each token where words are
    labelled: that of its word at the first token of the word, -100 elsewhere. `words` is, for such rows, the place of
    the first token of each word, or -1 for a word beyond `max_length`.
    """
    rows = _tokenised(split, kind, tokenizer, max_length)
    made = []
    for place, label in enumerate(split.labels):
        row = {name: rows[name][place] for name in ("input_ids", "token_type_ids") if name in rows}
        if kind == TOKENS:
            words = rows.word_ids(place)
            row["words"] = _first_places(words, len(label))
            row["labels"] = [IGNORE_INDEX] * len(words)
            for word, first in enumerate(row["words"]):
                if first >= 0:
                    row["labels"][first] = label[word]
        elif kind == MULTI_LABEL:
            row["labels"] = [float(number in set(label)) for number in range(num_labels)]
        else:
            row["labels"] = label
        made.append(row)
    return made


def _tokenised(split: Split, kind: str, tokenizer: Any, max_length: int) -> Any:
    return tokenizer(
        split.texts,
        split.pairs,
        is_split_into_words=kind == TOKENS,
        truncation="longest_first",
        max_length=max_length,
    )


def _first_places(words: Sequence[int | None], num_words: int) -> list[int]:
    places = [-1] * num_words
    for place, word in enumerate(words):
        if word is not None and places[word] < 0:
            places[word] = place
    return places
