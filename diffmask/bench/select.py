"""The masking call (gather scores, select, corrupt) against Hugging Face's, tokens a second.

diffmask bench select
"""

import warnings
from collections.abc import Mapping

import torch
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerBase

from diffmask.bench import fastest
from diffmask.core.masker import Masker
from diffmask.core.policy import Policy
from diffmask.core.processes import torch_threads
from diffmask.policies.difference import Difference
from diffmask.policies.uniform import Uniform
from diffmask.text.adapter import TextAdapter, text_adapter

ROWS, LENGTH, TYPES = 64, 512, 30_000
WORD_LENGTHS = (0.70, 0.18, 0.08, 0.04)
"""Share of words of one, two, three and four tokens, as in English scientific text."""


def run(tokenizer: PreTrainedTokenizerBase, device: str = "cpu", rounds: int = 12) -> list[dict[str, float | str]]:
    """Return one row per contender: tokens a second, and the ratio to Hugging Face's call of the same granularity.

    Args:
        tokenizer: A fast tokenizer with a mask token.
        device: Device on which our masks are drawn; on the CPU both contenders use one thread.
        rounds: Number of turns of each contender; the fastest run counts.
    """
    with torch_threads(1):
        batch = make_batch(len(tokenizer))
        times = fastest(_theirs(tokenizer, batch) | _ours(tokenizer, batch, device), rounds)
    reference = {name.split()[-1]: seconds for name, seconds in times.items() if name.startswith("transformers")}
    return [
        {
            "name": name,
            "million_tokens_per_second": ROWS * LENGTH / seconds / 1e6,
            "ratio": reference[name.split()[-1]] / seconds,
        }
        for name, seconds in times.items()
    ]


def make_batch(vocabulary: int, rows: int = ROWS, length: int = LENGTH) -> dict[str, torch.Tensor]:
    """Return a full batch with words of realistic lengths."""
    generator = torch.Generator().manual_seed(0)
    sizes = 1 + torch.multinomial(torch.tensor(WORD_LENGTHS), rows * length, replacement=True, generator=generator)
    ends = sizes.view(rows, length).cumsum(1)
    words = torch.searchsorted(ends, torch.arange(length).expand(rows, length).contiguous(), right=True)
    num_units = words[:, -1] + 1
    return {
        "input_ids": torch.randint(1000, vocabulary, (rows, length), generator=generator),
        "attention_mask": torch.ones(rows, length, dtype=torch.long),
        "unit_ids": words,
        "types": torch.randint(0, TYPES, (rows, int(num_units.max())), generator=generator),
        "num_units": num_units,
        "sample_ids": torch.arange(rows),
    }


def _theirs(tokenizer: PreTrainedTokenizerBase, batch: Mapping[str, torch.Tensor]) -> dict:
    """Return Hugging Face's masking function alone, with its inputs prepared: padding of Python lists is not timed."""
    tokens = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that masking whole words turns 80/10/10 off
        words = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15, whole_word_mask=True)
    special = torch.zeros(ROWS, LENGTH, dtype=torch.bool)
    # the collator finds words by gaps between character offsets: four letters a token, a space between words
    positions = torch.arange(LENGTH).expand(ROWS, LENGTH)
    starts = 4 * positions + batch["unit_ids"]
    offsets = torch.stack([starts, starts + 4], dim=2)
    return {
        "transformers, token": lambda: tokens.torch_mask_tokens(batch["input_ids"].clone(), special.clone()),
        "transformers, word": lambda: words.torch_mask_tokens(batch["input_ids"].clone(), special.clone(), offsets),
    }


def _ours(tokenizer: PreTrainedTokenizerBase, batch: Mapping[str, torch.Tensor], device: str) -> dict:
    batch = {name: value.to(device) for name, value in batch.items()}
    scores = torch.randn(TYPES, generator=torch.Generator().manual_seed(1))
    policies: dict[str, Policy] = {"random": Uniform(), "difference": Difference(scores.to(device))}
    return {
        f"diffmask {name}, {granularity}": _call(text_adapter(tokenizer, granularity), Masker(policy), batch, device)
        for granularity in ("token", "word")
        for name, policy in policies.items()
    }


def _call(adapter: TextAdapter, masker: Masker, batch: Mapping[str, torch.Tensor], device: str):
    def call() -> None:
        units = adapter.units(batch, 3)
        adapter.corrupt(batch, units, masker(units, 3, 10), 3)
        if device != "cpu":
            torch.cuda.synchronize()

    return call
