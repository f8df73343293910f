"""Extending a tokenizer and its model by the words of a domain that the tokenizer cuts into most pieces."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AddedToken, PreTrainedTokenizerBase

from diffmask.core.errors import InputError
from diffmask.text.anchors.anchor_set import AnchorSet
from diffmask.text.model.load import LoadedModel
from diffmask.text.segment.type_table import is_telling


@dataclass(frozen=True)
class NewWord:
    """A word that becomes a token.

    Attributes:
        word: The word.
        count: How often it occurs in the domain.
        pieces: Ids of the tokens that it was cut into.
        gain: What it is ranked by: the tokens it saves in the domain, times its difference score.
    """

    word: str
    count: int
    pieces: tuple[int, ...]
    gain: float


@dataclass(frozen=True)
class Extension:
    """What an extension did.

    Attributes:
        words: The new tokens, by falling gain.
        pieces_before: Mean number of tokens of a word of the domain before.
        pieces_after: The same after.
    """

    words: list[NewWord]
    pieces_before: float
    pieces_after: float


def choose_words(anchors: AnchorSet, tokenizer: PreTrainedTokenizerBase, num_words: int) -> list[NewWord]:
    """Return the words that save most tokens, weighted by how different they are: (pieces - 1) x count x score.

    A score below 0 counts as 0. Terms of several words, numbers and single letters are left out, and so are words that
    the tokenizer spells in another way or has no pieces for.

    Args:
        anchors: The domain's words, their counts and their scores.
        tokenizer: The tokenizer.
        num_words: How many.

    Raises:
        InputError: If the tokenizer is of a kind to which a word cannot be added exactly, or there are fewer words.
    """
    normalize = _check_kind(tokenizer).normalizer.normalize_str
    found = []
    rows = zip(anchors.types, anchors.counts.tolist(), anchors.scores.tolist(), strict=True)
    for (word, count, score), pieces in zip(rows, _pieces(tokenizer, anchors.types), strict=True):
        gain = (len(pieces) - 1) * count * score
        is_word = word.isalnum() and is_telling(word) and normalize(word) == word
        if gain > 0 and is_word and tokenizer.unk_token_id not in pieces:
            found.append(NewWord(word, count, tuple(pieces), gain))
    if not 1 <= num_words <= len(found):
        raise InputError(
            f"{num_words} words are asked for, but the tokenizer cuts {len(found)} of the domain's different words "
            f"into pieces; give -n from 1 to {len(found)}"
            if found
            else "the tokenizer cuts no different word of the domain into pieces, so there is nothing to extend it by"
        )
    return sorted(found, key=lambda new: (-new.gain, new.word))[:num_words]


def extend(loaded: LoadedModel, anchors: AnchorSet, num_words: int) -> Extension:
    """Make words of a domain tokens of a model, in place; each starts as the mean of its pieces.

    That holds for the embeddings, for the rows of a head that has its own, and for its bias. All other words are cut as
    before.

    Raises:
        InputError: See `choose_words`.
    """
    tokenizer = loaded.tokenizer
    words = choose_words(anchors, tokenizer, num_words)
    before = _pieces(tokenizer, anchors.types)
    added: list[str | AddedToken] = [AddedToken(new.word, single_word=True, normalized=True) for new in words]
    tokenizer.add_tokens(added)
    _extend_weights(loaded, words)
    after = _pieces(tokenizer, anchors.types)
    return Extension(words, _mean_length(before, anchors), _mean_length(after, anchors))


def _check_kind(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    """Return the tokenizer of the library, if it is WordPiece that folds case, as the words of a domain do."""
    backend = tokenizer.backend_tokenizer
    assert isinstance(backend, Tokenizer)
    kind = type(backend.model).__name__
    # byte-level BPE and SentencePiece hold the space before a word in its first token: the words would not round-trip
    if kind != "WordPiece":
        raise InputError(
            f"the tokenizer is of the kind {kind}, to which whole words cannot be added exactly; "
            "use a model with an uncased WordPiece tokenizer, such as BERT's"
        )
    if backend.normalizer is None or backend.normalizer.normalize_str("Aa") != "aa":
        raise InputError(
            "the tokenizer tells capitals from small letters, and the words of a domain do not; "
            "use a model with an uncased WordPiece tokenizer"
        )
    return backend


def _pieces(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> list[list[int]]:
    """Return the ids that each word is cut into."""
    return tokenizer(list(words), add_special_tokens=False)["input_ids"]


def _mean_length(pieces: Sequence[Sequence[int]], anchors: AnchorSet) -> float:
    """Return the mean number of tokens of a word of the domain; a word counts as often as it occurs."""
    lengths = torch.tensor([len(each) for each in pieces], dtype=torch.float64)
    return ((lengths * anchors.counts).sum() / anchors.counts.sum()).item()


def _extend_weights(loaded: LoadedModel, words: Sequence[NewWord]) -> None:
    """Give each new token a row in the embeddings and in the head: the mean of the rows of its pieces."""
    model: Any = loaded.model
    tokenizer = loaded.tokenizer
    num_rows = max(len(tokenizer), model.get_input_embeddings().weight.shape[0])
    model.resize_token_embeddings(num_rows, mean_resizing=False)
    head = model.get_output_embeddings()
    tables = [model.get_input_embeddings().weight]
    if head is not None:
        # a tied head has the same rows; to write them twice changes nothing
        tables += [head.weight] if head.bias is None else [head.weight, head.bias]
    ids = tokenizer.convert_tokens_to_ids([new.word for new in words])
    with torch.no_grad():
        for table in tables:
            rows = torch.stack([table[list(new.pieces)].mean(0) for new in words])
            table[ids] = rows
