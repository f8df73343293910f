"""Texts as tokens of which one part matters most, such as the answer behind its question."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerBase


class PartTokens(NamedTuple):
    """Texts as tokens.

    Attributes:
        ids: The tokens of each text.
        inside: Which of them are of the part that matters.
        num_cut: How many tokens of each text are left out.
    """

    ids: list[list[int]]
    inside: list[list[bool]]
    num_cut: list[int]


def tokenise_parts(
    texts: Sequence[str], parts: Sequence[tuple[int, int]], tokenizer: PreTrainedTokenizerBase, most: int
) -> PartTokens:
    """Return texts as tokens; of one that is too long, a part is kept before anything else.

    What stands behind the part is cut off first, from its end; then what stands before it, from its end; then the part.

    Args:
        texts: The texts.
        parts: First character of the part of each, and the one behind it.
        tokenizer: A fast tokenizer.
        most: Tokens of a text, special tokens included.
    """
    read: Any = tokenizer(list(texts), return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False)
    ids, inside, num_cut = [], [], []
    for tokens, offsets, special, (first, last) in zip(
        read["input_ids"], read["offset_mapping"], read["special_tokens_mask"], parts, strict=True
    ):
        of_part = [first < end and start < last and start < end for start, end in offsets]
        dropped = _dropped(of_part, special, len(tokens) - most)
        kept = [place for place in range(len(tokens)) if place not in dropped]
        ids.append([tokens[place] for place in kept])
        inside.append([of_part[place] for place in kept])
        num_cut.append(len(dropped))
    return PartTokens(ids, inside, num_cut)


def _dropped(of_part: Sequence[bool], special: Sequence[int], excess: int) -> set[int]:
    """Return the places of tokens that are left out."""
    if excess <= 0:
        return set()
    ordinary = [place for place in range(len(of_part)) if not special[place]]
    held = [place for place in ordinary if of_part[place]] or [len(of_part)]
    # some tokenizers have tokens for spaces, which seem to span nothing
    part = [place for place in ordinary if held[0] <= place <= held[-1]]
    before = [place for place in ordinary if place < held[0]]
    behind = [place for place in ordinary if place > held[-1]]
    return {*[*behind[::-1], *before[::-1], *part[::-1]][:excess]}
