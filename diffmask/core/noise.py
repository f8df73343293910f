"""Counter-based randomness: every random number is a function of where it is used.

There is no generator state, so a mask does not depend on the device, the number of ranks or workers, the batch layout
or what was drawn before, and evaluation cannot disturb training.
"""

from typing import NamedTuple

import torch
from torch import Tensor

SELECT, BORDER, CORRUPT = range(3)
"""Streams: one per use, so that choosing a unit says nothing about how it is corrupted."""

_LOW = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9  # 2**32 over the golden ratio: consecutive indices land far apart
_MULTIPLIERS = (0x7FEB352D, 0x846CA68B)  # the "lowbias32" constants of C. Wellons' hash-prospector (2018)


class Keys(NamedTuple):
    """Two int32 words per sample: everything a random number depends on, but for the index inside the sample."""

    low: Tensor
    high: Tensor

    def take(self, rows: Tensor) -> "Keys":
        """Return the keys of the given rows, one for each entry of `rows`."""
        return Keys(self.low[rows], self.high[rows])


def keys(seed: int, step: int, sample_ids: Tensor, *, stream: int) -> Keys:
    """Mix a seed, a step, sample identities and a stream into keys of the shape of `sample_ids`.

    Args:
        seed: Any int; its low 64 bits count.
        step: Optimiser step (or epoch) that the numbers belong to; its low 32 bits count.
        sample_ids: Stable identities of the samples, int64.
        stream: What the numbers are for: `SELECT`, `BORDER` or `CORRUPT`.
    """
    scalar = _mix(seed & _LOW) ^ _mix((seed >> 32) & _LOW, 1) ^ _mix(step & _LOW, 2) ^ _mix(stream, 3)
    first = _mix_words(sample_ids & _LOW, scalar)
    first = _mix_words((sample_ids >> 32) & _LOW, first)
    return Keys(_signed(first), _signed(_mix_words(first, _mix(scalar, 4))))


def uniforms(keys: Keys, indices: Tensor) -> Tensor:
    """Return uniforms in (0, 1), float64, one per broadcast pair of key and index.

    Args:
        keys: From `keys`, e.g. (B, 1) or (N,).
        indices: Unit or position inside the sample, int in [0, 2**20), e.g. (1, U) or (N,).

    Returns:
        32 hashed bits with the index below them, so that no two indices of a sample ever tie.
    """
    bits = _hash(keys.low, keys.high, indices.to(torch.int32)).double()
    # 2**31 makes the signed bits positive; the index fills the bits under the hash
    return bits.add_((indices.double() + 0.5) * 2.0**-20 + 2.0**31).mul_(2.0**-32)


def _hash(low: Tensor, high: Tensor, indices: Tensor) -> Tensor:
    """Hash int32 indices under two int32 words; int32 arithmetic wraps, and is the fastest integer type everywhere."""
    x = low + indices * _wrap(_GOLDEN)
    x = (x.bitwise_xor((x >> 16).bitwise_and_(0xFFFF))).mul_(_wrap(_MULTIPLIERS[0]))
    x = x.bitwise_xor_((x >> 15).bitwise_and_(0x1FFFF)).bitwise_xor_(high)
    x = x.mul_(_wrap(_MULTIPLIERS[1]))
    return x.bitwise_xor_((x >> 16).bitwise_and_(0xFFFF))


def _mix(value: int, salt: int = 0) -> int:
    """Scramble one 32-bit word in plain Python; `_mix_words` is the same on tensors."""
    x = (value + (salt + 1) * _GOLDEN) & _LOW
    x = ((x ^ (x >> 16)) * _MULTIPLIERS[0]) & _LOW
    x = ((x ^ (x >> 15)) * _MULTIPLIERS[1]) & _LOW
    return x ^ (x >> 16)


def _mix_words(words: Tensor, key: Tensor | int) -> Tensor:
    x = (words + _GOLDEN) & _LOW ^ key
    x = ((x ^ (x >> 16)) * _MULTIPLIERS[0]) & _LOW
    x = ((x ^ (x >> 15)) * _MULTIPLIERS[1]) & _LOW
    return x ^ (x >> 16)


def _signed(words: Tensor) -> Tensor:
    """Reinterpret 32-bit words held in int64 as int32."""
    return (words - ((words >> 31) << 32)).to(torch.int32)


def _wrap(constant: int) -> int:
    return constant - (1 << 32) if constant >= 1 << 31 else constant
