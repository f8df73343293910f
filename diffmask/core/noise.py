"""Counter-based randomness: every random number is a hash of where it is used.

There is no generator with a state, so a mask does not depend on the device, the number of ranks or workers, the layout
of the batch, or on what was drawn before; and evaluation cannot disturb training.
"""

from typing import NamedTuple

import torch
from torch import Tensor

SELECT, CORRUPT, SEGMENT, ORDER, GUIDE, PREDICT, AUGMENT, NEGATIVES, SIDE, DOCUMENTS, RATIO = range(11)
"""Streams, one per use: the numbers that choose a unit are independent of those that corrupt it, or that cut spans."""

_GOLDEN = 0x9E3779B9  # 2**32 over the golden ratio: consecutive indices land far apart
_LOWBIAS = (0x7FEB352D, 0x846CA68B)  # the "lowbias32" multipliers of C. Wellons' hash-prospector (2018)
_GOLDEN_64 = 0x9E3779B97F4A7C15
_SPLITMIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # the finaliser of splitmix64 (Vigna 2015)


class _Keys(NamedTuple):
    """Two int32 words per sample: all that a random number depends on except the index within the sample."""

    low: Tensor
    high: Tensor

    def take(self, rows: Tensor) -> "_Keys":
        """Return the keys of the given rows, one for each entry of `rows`."""
        return _Keys(self.low.index_select(0, rows), self.high.index_select(0, rows))


def keys(seed: int, step: int, sample_ids: Tensor, *, stream: int) -> _Keys:
    """Hash a seed, a step, sample identities and a stream into keys of the shape of `sample_ids`.

    Args:
        seed: Any int; its low 64 bits count.
        step: Optimiser step (or epoch) to which the numbers belong; its low 64 bits count.
        sample_ids: Stable identities of the samples, int64.
        stream: What the numbers are for: one of the streams above.
    """
    # splitmix64: its 64 bits are enough that two samples of a run practically never share a key
    run = _mix(_mix(_mix(seed) ^ step) + stream)
    z = sample_ids.to(torch.int64) * _wrap(_GOLDEN_64, 64) + _wrap(run, 64)
    # torch has no unsigned integers to compute with: >> copies the sign, and the mask removes these copies again
    for shift, multiplier in zip((30, 27), _SPLITMIX, strict=True):
        z = (z ^ ((z >> shift) & ((1 << (64 - shift)) - 1))) * _wrap(multiplier, 64)
    z = z ^ ((z >> 31) & ((1 << 33) - 1))
    words = z.unsqueeze(-1).view(torch.int32)
    return _Keys(words[..., 0], words[..., 1])


def pair_keys(seed: int, step: int, sample_ids: Tensor, others: Tensor, *, stream: int) -> _Keys:
    """Hash pairs of samples into keys, of the shape that both broadcast to; the order within a pair counts.

    Args:
        seed: Any int, as for `keys`.
        step: Optimiser step, as for `keys`.
        sample_ids: Stable identities of the first samples, int64.
        others: Those of the second samples, int64.
        stream: What the numbers are for: one of the streams above.
    """
    first = keys(seed, step, sample_ids, stream=stream)
    # all 64 bits of the first sample's hash, so that no other sum of two identities is near
    hashed = torch.stack([first.low, first.high], dim=-1).view(torch.int64).squeeze(-1)
    return keys(seed, step, hashed + others, stream=stream)


def uniforms(keys: _Keys, indices: Tensor) -> Tensor:
    """Return uniforms in (0, 1), float64, one per broadcast pair of key and index.

    Each is made of 32 hashed bits with the index below them, so that no two indices of a sample ever tie.

    Args:
        keys: Keys of the samples, such as (B, 1) or (N,).
        indices: Unit or position within the sample, int in [0, 2**20), such as (1, U) or (N,).
    """
    bits = _hash(keys.low, keys.high, indices.to(torch.int32)).double()
    # 2**31 makes the signed word positive; half an index keeps the result above 0; in place, since this runs each step
    return bits.add_((indices.double() + 0.5) * 2.0**-20 + 2.0**31).mul_(2.0**-32)


def row_uniforms(keys: _Keys) -> Tensor:
    """Return one uniform in (0, 1) per key, float64; it is independent of the key's `uniforms`.

    It is the high word itself, which those only show hashed together with the low word and an index.
    """
    return (keys.high.double() + (2.0**31 + 0.5)) * 2.0**-32


def _hash(low: Tensor, high: Tensor, indices: Tensor) -> Tensor:
    """Hash int32 indices under two int32 words.

    It runs for every unit of a batch, so it works on int32, the fastest integer type on every device, whose products
    wrap as the hash needs. The high word enters between the rounds, so that samples with equal low words still differ.
    """
    x = low + indices * _wrap(_GOLDEN, 32)
    x = (x.bitwise_xor((x >> 16).bitwise_and_(0xFFFF))).mul_(_wrap(_LOWBIAS[0], 32))
    x = x.bitwise_xor_((x >> 15).bitwise_and_(0x1FFFF)).bitwise_xor_(high)
    x = x.mul_(_wrap(_LOWBIAS[1], 32))
    return x.bitwise_xor_((x >> 16).bitwise_and_(0xFFFF))


def _mix(value: int) -> int:
    """Return the splitmix64 hash of a Python int; `keys` computes the same on tensors."""
    z = (value * _GOLDEN_64 + _GOLDEN_64) & (1 << 64) - 1
    for shift, multiplier in zip((30, 27), _SPLITMIX, strict=True):
        z = ((z ^ (z >> shift)) * multiplier) & (1 << 64) - 1
    return z ^ (z >> 31)


def _wrap(value: int, bits: int) -> int:
    """Return the signed word with the same bits as an unsigned one, since tensors take no other."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
